"""An answer in parts: together they are what the engine answers at once."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.core.errors import UserError
from contextune.generation import Request
from contextune.generation.local import LocalEngine
from contextune.generation.streaming import stream


@pytest.fixture(scope="module")
def engines(tiny, tokenizer):
    from transformers import AutoModelForCausalLM

    model, bare = AutoModelForCausalLM.from_pretrained(tiny).eval(), copy.deepcopy(tokenizer)
    bare.chat_template = None
    return LocalEngine(model, bare), LocalEngine(model, tokenizer)


def at_once(engine, request) -> str:
    return str(next(iter(engine.complete([request])))[1])


@given(st.lists(st.integers(0, 91), min_size=1, max_size=30), st.integers(1, 12), st.sampled_from((0.0, 1.5)))
@settings(max_examples=12, deadline=None)
def test_the_parts_are_the_answer(engines, prompt, most, temperature):
    request = Request(" ".join(f"w{i}" for i in prompt), most, temperature, seed=3, cut=True)
    for engine in engines:
        parts = list(stream(engine, request))
        assert "".join(parts) == at_once(engine, request)
        assert all(parts)


def test_a_stop_text_ends_it_and_is_not_said(engines):
    engine, _ = engines
    whole = "".join(stream(engine, Request("w1 w2", 8))).split()
    stop = f" {whole[3]}"
    cut = Request("w1 w2", 8, stop=(stop,), cut=True)
    assert "".join(stream(engine, cut)) == at_once(engine, cut) == "".join(f" {w}" for w in whole[:3]).lstrip(" ")


def test_turns_and_a_beginning(engines):
    _, engine = engines
    request = Request("", 5, turns=(("user", "w1"), ("assistant", "w2"), ("user", "w3")), begin="w4 w5", cut=True)
    assert "".join(stream(engine, request)) == at_once(engine, request)


def test_it_ends_at_the_next_token_when_nobody_listens(engines):
    engine, _ = engines
    calls = []
    hook = engine.model.register_forward_hook(lambda *_: calls.append(1))
    try:
        parts = stream(engine, Request("w1", 400))
        next(parts)
        parts.close()
    finally:
        hook.remove()
    assert len(calls) < 100


def test_no_room_is_said(engines):
    with pytest.raises(UserError, match="the model reads 512 at once"):
        next(stream(engines[0], Request(" ".join(["w1"] * 600), 5)))


def test_what_fails_while_writing_is_raised_to_who_reads(engines, monkeypatch):
    engine, _ = engines

    def fail(**_):
        raise MemoryError("no room")

    monkeypatch.setattr(engine.model, "generate", fail)
    with pytest.raises(MemoryError, match="no room"):
        list(stream(engine, Request("w1", 5)))
