"""Which engine a recipe's writer opens, and what the grammar refuses."""

from __future__ import annotations

import pytest

from contextune.core.errors import UserError
from contextune.experiment.recipe import parse
from contextune.generation import open_engine
from contextune.generation.local import LocalEngine
from contextune.generation.options import Writer
from contextune.generation.vllm import Vllm

BASE = {"model": "pocket", "data": {"a": {"path": "x"}}, "arms": {"a": {"data": "a"}}}
SERVER = {"server": "http://localhost:8000/v1", "name": "m"}


def test_the_recipes_model_writes_by_default(tiny):
    engine = open_engine(Writer(tokens=99), str(tiny))
    assert isinstance(engine, LocalEngine)
    assert (engine.tokens, engine.name) == (99, str(tiny))


def test_another_model_relative_to_the_recipe(tiny):
    assert open_engine(Writer(model=tiny.name), "pocket", tiny.parent).name == str(tiny)
    with pytest.raises(UserError, match="no folder"):
        open_engine(Writer(model="./none"), "pocket", tiny.parent)


def test_a_server(tiny):
    pytest.importorskip("openai")
    more = {"api": "completions", "concurrency": 3, "retries": 1, "timeout": 9, "prices": {"input": 1, "output": 2}}
    engine = open_engine(Writer(**SERVER, **more, budget={"requests": 5, "tokens": 70}), str(tiny))
    assert (engine.url, engine.name, engine.api, engine.concurrency) == (SERVER["server"], "m", "completions", 3)
    assert (engine.retries, engine.timeout, engine.prices, engine.tokenizer) == (1, 9, (1, 2), None)
    assert (engine.budget.most_requests, engine.budget.most_tokens) == (5, 70)
    assert open_engine(Writer(**SERVER, model=str(tiny)), "pocket").tokenizer is not None


def test_vllm(tiny):
    assert isinstance(open_engine(Writer(engine="vllm"), str(tiny)), Vllm)


@pytest.mark.parametrize(
    ("writer", "said"),
    [
        ({"server": "http://h"}, "a server needs both `server` and `name`; name is missing"),
        ({"engine": "server", "name": "m"}, "server is missing"),
        ({**SERVER, "engine": "local"}, "name, server: only for a server, the engine is local"),
        ({"concurrency": 2}, "concurrency: only for a server"),
        ({**SERVER, "server": "http://me:secret@h/v1"}, "without user, password or query"),
        ({**SERVER, "server": "localhost:8000"}, "a URL such as"),
        ({**SERVER, "server": "http://h/v1?key=1"}, "a URL such as"),
        ({**SERVER, "budget": {"request": 3}}, "'requests' or 'tokens'"),
        ({**SERVER, "budget": {"requests": 0}}, "greater than 0"),
        ({**SERVER, "prices": {"input": 1}}, "both input and output"),
        ({**SERVER, "concurency": 1}, "did you mean 'concurrency'"),
        ({**SERVER, "api": "chats"}, "'chat' or 'completions'"),
    ],
)
def test_bad_writers(writer, said):
    with pytest.raises(UserError) as e:
        parse({**BASE, "writer": writer})
    assert said in str(e.value)
    assert "writer" in e.value.message
    assert "secret" not in str(e.value)
