"""Continuous batching, run on the CPU: the answers of static batches, stops, ends, and where it fails."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MambaConfig

from contextune import models
from contextune.evaluate.scoring.generate import generate
from contextune.generation import Request
from contextune.generation.local import LocalEngine
from contextune.models import Adapter, paged

BEGIN = " ".join(f"w{i}" for i in range(40))
PROMPTS = [f"{BEGIN} w{i}" for i in range(5)] + ["w3 w4", "w9"]


@pytest.fixture
def model(tiny):
    return models.load_model(str(tiny)).eval()


@pytest.fixture
def on_cpu(monkeypatch):
    """Taken on this device too; counts its calls."""
    monkeypatch.setattr(paged, "DEVICES", ("cuda", "cpu"))
    calls, whole = [], paged.write

    def write(model, prompts, *more):
        calls.append(len(prompts))
        return whole(model, prompts, *more)

    monkeypatch.setattr(paged, "write", write)
    return calls


def test_not_on_a_cpu(model):
    assert not paged.allowed(model, 0)


def test_the_texts_of_static_batches(model, tokenizer, monkeypatch, on_cpu):
    with monkeypatch.context() as patched:
        patched.setattr(paged, "DEVICES", ())
        plain = generate(model, tokenizer, PROMPTS, max_tokens=8, stop=())
        stop = plain[0].split()[3]
        stopped = generate(model, tokenizer, PROMPTS, max_tokens=8, stop=(stop,))
    seen = []
    assert generate(model, tokenizer, PROMPTS, max_tokens=8, stop=(), progress=seen.append) == plain
    assert seen == list(range(1, len(PROMPTS) + 1))
    assert generate(model, tokenizer, PROMPTS, max_tokens=8, stop=(stop,)) == stopped != plain
    assert on_cpu == [3, len(PROMPTS), len(PROMPTS)], "a trial once, then all at once"
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.slow
def test_ends_are_the_models(model, tokenizer, monkeypatch, on_cpu):
    """The token that comes third becomes an end: an answer that ends is no answer that is cut."""
    engine, requests = LocalEngine(model, tokenizer), [Request(p, 6) for p in PROMPTS] + [Request("w1", 4, 0.8, 7)]
    (_, ids) = next(iter(paged.write(model, [[1, 8, 9]], [6], (), 0)))
    model.generation_config.eos_token_id = ids[2]
    plain = {}
    with monkeypatch.context() as patched:
        patched.setattr(paged, "DEVICES", ())
        plain = dict(engine.complete(requests))
    on_cpu.clear()
    assert dict(engine.complete(requests)) == plain
    assert on_cpu == [3, len(PROMPTS)], "what is sampled is written as before"
    assert any(paged_ids[-1] == ids[2] for _, paged_ids in paged.write(model, [[1, 8, 9]], [6], (ids[2],), 0))


@pytest.mark.slow
def test_under_an_adapter(model, tokenizer, on_cpu, monkeypatch):
    adapted = models.adapt(model, Adapter(rank=2)).eval()
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5, generator=torch.Generator().manual_seed(0))
    found = generate(adapted, tokenizer, PROMPTS, max_tokens=5, stop=())
    monkeypatch.setattr(paged, "DEVICES", ())
    assert found == generate(adapted, tokenizer, PROMPTS, max_tokens=5, stop=())
    assert on_cpu


@pytest.mark.parametrize("config", [
    MambaConfig(vocab_size=100, hidden_size=16, num_hidden_layers=1, state_size=4),
    LlamaConfig(vocab_size=100, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2),
])  # fmt: skip
def test_what_a_model_does_not_allow(on_cpu, monkeypatch, config):
    """A state instead of keys and values; and pages that give something else."""
    model = AutoModelForCausalLM.from_config(config).eval()
    if config.model_type == "llama":
        assert paged.allowed(model, 0)
        paged._tried.clear()
        whole = paged.write
        monkeypatch.setattr(paged, "write", lambda *a: ((i, [(t + 1) % 100 for t in ids]) for i, ids in whole(*a)))
    assert not paged.allowed(model, 0)


@pytest.mark.slow
def test_where_it_fails_the_rest_is_written_in_batches(model, tokenizer, monkeypatch, on_cpu):
    requests = [Request(p, 5) for p in PROMPTS]
    with monkeypatch.context() as patched:
        patched.setattr(paged, "DEVICES", ())
        texts, answers = generate(model, tokenizer, PROMPTS, max_tokens=5, stop=()), None
        answers = dict(LocalEngine(model, tokenizer).complete(requests))
    assert paged.allowed(model, 0)
    whole = paged.write

    def broken(*given):
        for n, found in enumerate(whole(*given)):
            if n == 3:
                raise RuntimeError("continuous batching failed: no pages are left")
            yield found

    monkeypatch.setattr(paged, "write", broken)
    assert generate(model, tokenizer, PROMPTS, max_tokens=5, stop=()) == texts
    assert dict(LocalEngine(model, tokenizer).complete(requests)) == answers
