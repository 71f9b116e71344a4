"""vLLM in process, by a fake module: what it is handed, and how its answers are read."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from contextune.core.errors import UserError
from contextune.generation import Failure, Request
from contextune.generation import vllm as engines


class Params(SimpleNamespace):
    pass


class FakeLLM:
    made: list[FakeLLM] = []  # noqa: RUF012

    def __init__(self, **options):
        self.options, self.calls = options, []
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=64))
        FakeLLM.made.append(self)

    def generate(self, prompts, params, use_tqdm=True):
        assert not use_tqdm
        self.calls.append((prompts, params))
        return [self.output(p["prompt_token_ids"], q) for p, q in zip(prompts, params, strict=True)]

    @staticmethod
    def output(ids, params):
        text = '{"n": 1}' if getattr(params, "structured_outputs", None) else f"read {len(ids)}"
        reason = "length" if params.max_tokens == 1 else "stop"
        return SimpleNamespace(outputs=[SimpleNamespace(text=text, token_ids=[5, 6], finish_reason=reason)])


@pytest.fixture
def fake(monkeypatch):
    FakeLLM.made = []
    package, inner = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    package.LLM, package.SamplingParams = FakeLLM, Params
    inner.StructuredOutputsParams = Params
    monkeypatch.setitem(sys.modules, "vllm", package)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", inner)
    return FakeLLM


def test_what_it_is_handed_and_says(fake, tiny, tokenizer, monkeypatch):
    monkeypatch.setattr(engines, "SLICE", 2)
    engine = engines.Vllm(str(tiny), tokenizer, max_model_len=64)
    schema = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}})
    requests = [
        Request("w9 w9", 4, 0.5, 7, ("x",)),
        Request("w1", 4, schema=schema),
        Request("w2", 1),
        Request("w3 " * 61, 8),
        Request("w2", 1, cut=True),
    ]
    found = dict(engine.complete(requests))
    assert found == {
        0: "read 5",
        1: '{"n": 1}',
        2: Failure("over-long: cut at 1 tokens"),
        3: Failure("the prompt has 64 tokens and 8 are to be written, the model holds 64"),
        4: "read 4",
    }
    assert (found[0].cost.read, found[0].cost.wrote) == (5, 2)
    [llm] = fake.made
    assert llm.options == {
        "model": str(tiny), "enable_prefix_caching": True, "generation_config": "vllm", "max_model_len": 64,
    }  # fmt: skip
    assert [len(prompts) for prompts, _ in llm.calls] == [2, 1, 1]
    params = llm.calls[-1][1][0]
    assert (params.max_tokens, params.temperature, params.seed, params.stop) == (4, 0.5, 7, ["x"])
    assert not list(engine.complete([]))


def test_identity(tiny, tokenizer):
    one = engines.Vllm(str(tiny), tokenizer).identity
    assert (
        one == engines.Vllm(str(tiny), tokenizer).identity != engines.Vllm(str(tiny), tokenizer, dtype="half").identity
    )


def test_what_it_cannot_do(tiny, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match="needs the package 'vllm'"):
        list(engines.Vllm(str(tiny), tokenizer).complete([Request("w1", 4)]))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="an adapter"):
        engines.Vllm(str(tmp_path), tokenizer)
