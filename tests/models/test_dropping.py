"""Rows that have ended are not computed any more, and nobody's words change by it."""

from __future__ import annotations

import pytest

from contextune.generation import Request
from contextune.generation.local import LocalEngine
from contextune.models import dropping, load_model

LIMITS = (1, 2, 3)


@pytest.fixture(scope="module")
def model(tiny):
    return load_model(str(tiny)).eval()


def asked(temperature: float = 0.0) -> list[Request]:
    texts = ("w1 w2 w3", "w4 w5 w6 w7", "w8 w9")
    return [Request(t, max_tokens=n, cut=True, temperature=temperature) for t, n in zip(texts, LIMITS, strict=True)]


def answers(model, tokenizer, requests) -> list[str]:
    found = dict(LocalEngine(model, tokenizer).complete(requests))
    return [str(found[i]) for i in range(len(requests))]


def rows_of(model, call) -> list[int]:
    """Rows of each forward pass."""
    seen: list[int] = []
    hook = model.register_forward_pre_hook(lambda m, a, k: seen.append(len(k["input_ids"])), with_kwargs=True)
    try:
        call()
    finally:
        hook.remove()
    return seen


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_costs_until_it_ends(model, tokenizer, temperature):
    requests, found = asked(temperature), []
    answers(model, tokenizer, requests)  # the model is tried once
    rows = rows_of(model, lambda: found.extend(answers(model, tokenizer, requests)))
    assert rows == [3, 2, 1]
    assert found == [answers(model, tokenizer, [r])[0] for r in requests]


def test_a_cache_that_cannot_be_parted_keeps_its_rows(model, tokenizer, monkeypatch):
    requests = asked()
    usual, found = answers(model, tokenizer, requests), []
    monkeypatch.setattr(dropping, "_droppable", lambda state: False)
    rows = rows_of(model, lambda: found.extend(answers(model, tokenizer, requests)))
    assert rows == [3, 3, 3]
    assert found == usual
