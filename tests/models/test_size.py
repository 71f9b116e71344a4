"""Parameters are counted from what is stored."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from contextune import models
from contextune.core.errors import UserError
from contextune.models.options import Adapter
from contextune.models.resolve import read_config


def sizes(folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    return models.count(str(folder), read_config(folder)), model.num_parameters()


def make(folder, **more):
    shape = {"vocab_size": 60, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2}  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(**shape, **more))
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("tied", [False, True])
def test_grouped_queries_and_tied_heads(tmp_path, tied):
    make(tmp_path, tie_word_embeddings=tied)
    ours, real = sizes(tmp_path)
    assert ours == real


def test_a_tied_head_that_is_stored_is_counted_once(tmp_path):
    make(tmp_path, tie_word_embeddings=True)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    ours, real = sizes(tmp_path)
    assert ours == real


def test_shards_by_their_index_and_nothing_beside(tmp_path):
    model = make(tmp_path / "whole")
    model.save_pretrained(tmp_path, max_shard_size="8KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    shutil.copy(tmp_path / "whole/model.safetensors", tmp_path / "consolidated.safetensors")
    ours, real = sizes(tmp_path)
    assert ours == real


@pytest.mark.parametrize("rank", [2, 7])
def test_an_adapter_with_its_base(tmp_path, rank):
    base = make(tmp_path / "base")
    whole = models.adapt(models.load_model(str(tmp_path / "base")), Adapter(rank=rank))
    whole.save_pretrained(tmp_path / "adapter")
    ours = models.count(str(tmp_path / "adapter"), read_config(tmp_path / "adapter"))
    assert ours == sum(p.numel() for p in whole.parameters()) > base.num_parameters()


def test_what_is_broken_is_named(tmp_path):
    make(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match=r"model\.safetensors does not load"):
        models.count(str(tmp_path), json.loads((tmp_path / "config.json").read_text()))
