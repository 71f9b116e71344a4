"""Ids and positions beyond a model's tables."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from contextune.core.errors import UserError
from contextune.models import check_positions, check_vocabulary


def model(kind: str, **options: object):
    with torch.device("meta"):
        cls = getattr(transformers, kind)
        return cls(cls.config_class(vocab_size=100, **options))


SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("GPT2LMHeadModel", {"n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 40}),
        ("OPTForCausalLM", {**SMALL, "ffn_dim": 32, "word_embed_proj_dim": 32, "max_position_embeddings": 40}),
        ("GPTBigCodeForCausalLM", {"n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 40}),
        ("GPTJForCausalLM", {"n_embd": 32, "n_layer": 1, "n_head": 4, "rotary_dim": 4, "n_positions": 40}),
        ("BioGptForCausalLM", {**SMALL, "intermediate_size": 32, "max_position_embeddings": 40}),
        ("MptForCausalLM", {"d_model": 32, "n_layers": 1, "n_heads": 4, "max_seq_len": 40}),
        ("RobertaForCausalLM", {**SMALL, "intermediate_size": 32, "max_position_embeddings": 42, "is_decoder": True}),
    ],
)
def test_a_table_of_positions_ends(kind, options):
    made = model(kind, **options)
    assert check_positions(made, 40, "m") == []
    with pytest.raises(UserError, match="max_length is 41, the model m has 40 positions"):
        check_positions(made, 41, "m")


@pytest.mark.parametrize("kind", ["LlamaForCausalLM", "GPTNeoXForCausalLM", "Qwen2ForCausalLM", "XGLMForCausalLM"])
def test_computed_positions_go_on(kind):
    made = model(kind, **SMALL, intermediate_size=32, max_position_embeddings=40)
    assert check_positions(made, 40, "m") == []
    (warning,) = check_positions(made, 41, "m")
    assert "41, beyond the 40 positions" in warning


def test_positions_of_a_vision_tower_are_its_own():
    text = {**SMALL, "vocab_size": 100, "intermediate_size": 32, "max_position_embeddings": 40}
    eyes = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 1, "image_size": 28, "patch_size": 14}
    config = transformers.Gemma3Config(
        text_config=transformers.Gemma3TextConfig(**text), vision_config=transformers.SiglipVisionConfig(**eyes)
    )
    with torch.device("meta"):
        made = transformers.Gemma3ForConditionalGeneration(config)
    assert check_positions(made, 40, "m") == []


def test_scaled_positions_count():
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 40, "rope_theta": 1e4}
    made = model("LlamaForCausalLM", **SMALL, intermediate_size=32, max_position_embeddings=40, rope_parameters=scaling)
    assert check_positions(made, 160, "m") == []
    assert check_positions(made, 161, "m")


def test_vocabulary(tokenizer):
    made = model("LlamaForCausalLM", **SMALL, intermediate_size=32)
    assert check_vocabulary(made, tokenizer, "m") == []
    more = copy.deepcopy(tokenizer)
    more.add_special_tokens({"additional_special_tokens": ["<image>"]})
    (warning,) = check_vocabulary(made, more, "m")  # as Gemma 3 1B
    assert "101 tokens" in warning
    assert "100 rows" in warning
    assert "<image>" in warning
    more.chat_template = "<image>" + more.chat_template
    with pytest.raises(UserError, match=r"101 tokens.*100 rows.*<image>"):
        check_vocabulary(made, more, "m")
    plain = copy.deepcopy(tokenizer)
    plain.add_tokens(["extra", "words"])
    with pytest.raises(UserError, match=r"102 tokens.*100 rows.*extra, words"):
        check_vocabulary(made, plain, "m")
    padded = copy.deepcopy(tokenizer)
    padded.add_special_tokens({"pad_token": "[PAD]"})
    with pytest.raises(UserError, match=r"\[PAD\]"):
        check_vocabulary(made, padded, "m")
