"""Tokens at once for scoring, writing and embedding: from free memory, and fewer where it runs out all the same."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from contextune import models
from contextune.core import memory
from contextune.evaluate.scoring.generate import generate
from contextune.generation import Request
from contextune.generation.local import LocalEngine
from contextune.models import at_once, embeddings
from contextune.models.at_once import Room, token_bytes, tokens_of
from contextune.models.likelihood import LikelihoodRow, log_likelihoods


@pytest.fixture
def model(tiny):
    return models.load_model(str(tiny)).eval()


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(at_once, "say_once", lines.append)
    return lines


class Bounded:
    """A device on which forward passes of more than `most` tokens fail."""

    def __init__(self, monkeypatch, most):
        self.sizes, self.failed = [], 0
        whole = torch.nn.Embedding.forward

        def forward(layer, ids):
            self.sizes.append(ids.numel())
            if ids.numel() > most:
                self.failed += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return whole(layer, ids)

        monkeypatch.setattr(torch.nn.Embedding, "forward", forward)


def test_a_number_is_taken_as_it_is(model):
    assert tokens_of(77, model, 4096) == 77


@pytest.mark.parametrize(("device", "free", "expected"), [
    ("cpu", 1 << 40, 4096), ("cpu", 1 << 20, 128),
    ("cuda", 1 << 40, 131_072), ("cuda", 1 << 28, 32_768), ("cpu", 0, 16),
])  # fmt: skip
def test_auto_is_what_free_memory_holds(model, monkeypatch, device, free, expected):
    """A token of the tiny model: 2 layers, 4 heads of 8, width 32, 64 between, 100 logits, fp32."""
    assert token_bytes(model) == 4 * (2 * 2 * 32 + 8 * 32 + 3 * 64) == 2304
    assert token_bytes(model, logits=True) == 2304 + 800
    monkeypatch.setattr(memory, "free", lambda: free)
    monkeypatch.setattr(type(model), "device", SimpleNamespace(type=device))
    assert tokens_of("auto", model, 4096) == expected


ROWS = [LikelihoodRow(tuple(range(8, 12 + n)), (20, 21 + n % 3)) for n in range(12)]
ROWS += [LikelihoodRow((9, 9, 9), (20 + n, 21, 22)) for n in range(6)]  # one question, six options


@pytest.mark.slow
def test_scoring_goes_on(model, monkeypatch, said):
    plain = log_likelihoods(model, ROWS)
    device = Bounded(monkeypatch, 24)
    seen = []
    assert log_likelihoods(model, ROWS, progress=seen.append) == pytest.approx(plain, abs=1e-5)
    assert device.failed >= 1
    assert seen[-1] == len(ROWS)
    assert said


def test_writing_goes_on(model, tokenizer, monkeypatch, said):
    prompts = [" ".join(f"w{i + j}" for j in range(2 + i % 4)) for i in range(9)]
    plain = generate(model, tokenizer, prompts, max_tokens=4, stop=())
    device = Bounded(monkeypatch, 20)
    assert generate(model, tokenizer, prompts, max_tokens=4, stop=()) == plain
    assert 1 <= device.failed <= 2
    assert said


def test_the_engine_goes_on_with_the_same_draws(model, tokenizer, monkeypatch, said):
    requests = [Request(f"w{i} w{i + 1}", 4, temperature=0.7, seed=i) for i in range(9)]
    plain = dict(LocalEngine(model, tokenizer).complete(requests))
    device, engine = Bounded(monkeypatch, 30), LocalEngine(model, tokenizer)
    engine.share = False
    assert dict(engine.complete(requests)) == plain
    assert device.failed >= 1
    assert engine.tokens < 8192


def test_embedding_goes_on(tiny, monkeypatch, said):
    texts = [" ".join(f"w{i + j}" for j in range(1 + i % 5)) for i in range(12)]
    plain = embeddings.pooled(str(tiny), texts, 64)
    device = Bounded(monkeypatch, 16)
    assert embeddings.pooled(str(tiny), texts, 64) == pytest.approx(plain, abs=1e-6)
    assert device.failed >= 1


def test_what_cannot_be_divided_is_raised(model, monkeypatch, said):
    Bounded(monkeypatch, 3)
    with pytest.raises(torch.OutOfMemoryError):
        log_likelihoods(model, ROWS)


def test_other_errors_are_raised():
    def go(batch):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        list(Room(64).results([1, 2], go, len))


def test_later_batches_are_smaller_at_once(said):
    """Eight fail, four pass: what follows is made with half."""
    room, tried = Room(8), []

    def go(batch):
        tried.append(len(batch))
        if len(batch) > 4:
            raise MemoryError
        return [2 * i for i in batch]

    assert list(room.results(list(range(8)), go, len)) == [
        ([0, 1, 2, 3], [0, 2, 4, 6]),
        ([4, 5, 6, 7], [8, 10, 12, 14]),
    ]
    assert (tried, room.tokens) == ([8, 4, 4], 4)
