"""Scores and texts are those of plain forward passes, whatever cache a model has, and what it costs is said."""

from __future__ import annotations

import logging
import random

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from contextune.core.progress import say_once
from contextune.evaluate.scoring.generate import generate
from contextune.generation.local import LocalEngine
from contextune.models import decoding, likelihood
from contextune.models.likelihood import LikelihoodRow, log_likelihoods
from tests.conftest import words
from tests.evaluate.test_forward import plain, questions
from tests.generation.test_local import Cut, answers

COMMON = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
          "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.2,
          "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 512}  # fmt: skip
HYBRID = {"layer_types": ["linear_attention", "full_attention"]}
OWN = {
    "llama": {},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    "rwkv": {"attention_hidden_size": 32, "context_length": 512},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_chunk_size": 8},
    "minimax": {**HYBRID, "block_size": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 512},
    "phi3": {
        "original_max_position_embeddings": 16,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "original_max_position_embeddings": 16,
            "short_factor": [1.0] * 4,
            "long_factor": [4.0] * 4,
        },
    },
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 8},
}


def tiny(kind: str):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**COMMON, **OWN[kind])).eval()


@pytest.fixture(autouse=True)
def unsaid():
    say_once.cache_clear()


def said(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith("contextune")]


@pytest.mark.parametrize("kind", ["lfm2", "rwkv", "falcon_h1", "minimax"])
def test_a_cache_that_cannot_be_shared_is_not(kind, monkeypatch, caplog):
    monkeypatch.setattr(likelihood, "PASS", 10)
    model, rows = tiny(kind), questions()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert log_likelihoods(model, rows, 700) == pytest.approx(plain(model, rows), abs=2e-5)
    assert len(said(caplog)) == 1
    assert "each text is read whole" in said(caplog)[0]


def test_a_model_that_sees_its_padding_is_scored_row_by_row(caplog):
    """As one with two-way attention does."""
    model = tiny("llama")
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    see_all = lambda module, args, kwargs: (args, {**kwargs, "attention_mask": None})  # noqa: E731
    for layer in model.model.layers:
        layer.self_attn.register_forward_pre_hook(see_all, with_kwargs=True)
    rows = questions(4)
    assert log_likelihoods(model, rows) == pytest.approx([log_likelihoods(model, [row])[0] for row in rows], abs=2e-5)
    assert "one text at a time" in said(caplog)[0]


def test_texts_beyond_the_switch_of_longrope_are_scored_row_by_row(caplog):
    """Beside a longer text a short one would have other positions, which a trial of short rows does not show."""
    model = tiny("phi3")
    rows = [LikelihoodRow(tuple(range(4, 4 + n)), (9, 8, 7)) for n in (5, 30, 8, 40)]
    assert log_likelihoods(model, rows) == pytest.approx([log_likelihoods(model, [r])[0] for r in rows], abs=2e-5)
    assert "one text at a time" in said(caplog)[0]
    short = rows[::2]
    assert log_likelihoods(model, short) == pytest.approx([log_likelihoods(model, [r])[0] for r in short], abs=2e-5)


def greedy(model, ids: list[int], new: int) -> list[int]:
    with torch.no_grad():
        for _ in range(new):
            scores = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].clone()
            ids = [*ids, int(scores.argmax())]
    return ids[-new:]


@pytest.fixture
def silent(tokenizer):
    """No chat template and no end of text, so that as many tokens are written as asked for."""
    import copy

    found = copy.deepcopy(tokenizer)
    found.chat_template = found.eos_token = None
    return found


@pytest.mark.parametrize(
    ("kind", "alone"), [("rwkv", True), ("minimax", True), ("lfm2", False), ("mpt", False), ("phi3", True)]
)
def test_generated_texts_are_those_of_forward_passes(kind, alone, silent, caplog):
    rng, model = random.Random(0), tiny(kind)
    model.generation_config.eos_token_id = None
    prompts = [words(rng, 1, 30) for _ in range(6)]
    wanted = [silent.decode(greedy(model, silent.encode(p), 5), skip_special_tokens=True) for p in prompts]
    with caplog.at_level(logging.WARNING):
        assert generate(model, silent, prompts, max_tokens=5, stop=()) == wanted
    assert ["one prompt at a time" in line for line in said(caplog)] == [True] * alone


@pytest.mark.parametrize("kind", ["mpt", "gpt_neo", "rwkv", "falcon_h1"])
def test_the_engine_shares_beginnings_only_where_that_changes_nothing(kind, silent):
    rng, model = random.Random(0), tiny(kind)
    model.generation_config.eos_token_id = None
    document = words(rng, 120, 120)
    asked = [Cut(f"{document} {words(rng, 1, 12)}", 6) for _ in range(6)]
    ids = [silent.encode(r.prompt) for r in asked]
    assert decoding.continues(model, 0) is False
    found = answers(LocalEngine(model, silent), asked)
    assert found == [silent.decode(greedy(model, i, 6), skip_special_tokens=True).strip() for i in ids]


def test_a_usual_model_is_batched_and_shared(caplog):
    model = tiny("llama")
    assert decoding.decoding_of(model, 0) == decoding.Decoding(batch=True, cache=True)
    assert decoding.continues(model, 0)
    assert likelihood._way(model, [200, 200], 4096) == (4096, likelihood.PASS)
    assert said(caplog) == []


@pytest.mark.parametrize("window", [8, 64])
def test_beginnings_beyond_a_sliding_window_are_tried_at_that_length(window, monkeypatch):
    monkeypatch.setattr(likelihood, "PASS", 10)
    config = CONFIG_MAPPING["mistral"](**COMMON, sliding_window=window)
    model = AutoModelForCausalLM.from_config(config).eval()
    rows = [LikelihoodRow((*range(4, 90), *row.given), row.scored) for row in questions(4)]
    assert log_likelihoods(model, rows, 2000) == pytest.approx(plain(model, rows), abs=2e-5)
    assert (0, window + 8) in likelihood._tried[model]
