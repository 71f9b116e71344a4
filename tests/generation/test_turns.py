"""A request as a conversation whose answer begins with given words, through every engine."""

from __future__ import annotations

import copy

import pytest

from contextune.generation import Request, Store, ask
from contextune.generation.local import LocalEngine, request_ids
from contextune.generation.protocol import without_system
from tests.generation.fake import Fake
from tests.generation.stub import Reply, Stub

TURNS = (("system", "w9"), ("user", "w1"), ("assistant", "w2"), ("user", "w3"))
FOLDED = (("user", "w9\n\nw1"), *TURNS[2:])
REQUEST = Request("w9 w1 w2 w3", 6, cut=True, turns=TURNS, begin="w5 w6")


@pytest.fixture(scope="module")
def plain(tokenizer):
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    return bare


@pytest.fixture(scope="module")
def model(tiny):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny).eval()


def read(request, tokenizer):
    return tokenizer.decode([i for part in request_ids(request, tokenizer) for i in part])


def test_ids_of_a_conversation_end_with_the_opening(tokenizer):
    assert read(REQUEST, tokenizer).replace(" ", "") == (
        "<|system|>w9<|end|><|user|>w1<|end|><|assistant|>w2<|end|><|user|>w3<|end|><|assistant|>w5w6"
    )


def test_without_a_chat_template_it_is_the_text_and_the_opening(plain):
    assert read(REQUEST, plain) == "<s> w9 w1 w2 w3 w5 w6"


def test_a_template_without_a_system_turn_is_asked_without_one(tokenizer):
    strict = copy.deepcopy(tokenizer)
    refuse = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    strict.chat_template = refuse + tokenizer.chat_template
    assert read(REQUEST, strict).replace(" ", "").startswith("<|user|>w9")
    assert without_system(TURNS) == FOLDED
    assert without_system(FOLDED) == FOLDED


@pytest.mark.parametrize("kind", ["chat", "plain"])
def test_the_answer_has_its_opening_and_what_the_model_writes_behind_it(kind, model, tokenizer, plain):
    import torch

    words = {"chat": tokenizer, "plain": plain}[kind]
    (_, found), *_ = LocalEngine(model, words).complete([REQUEST])
    ids = [i for part in request_ids(REQUEST, words) for i in part]
    whole = model.generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=6, do_sample=False
    )
    assert found.startswith("w5 w6")
    assert found == words.decode(whole[0, len(ids) - 2 :], skip_special_tokens=True)


def test_in_a_batch_as_alone(model, tokenizer):
    engine = LocalEngine(model, tokenizer)
    other = Request("w7 w8 w1 w1", 4, cut=True)
    assert dict(engine.complete([other, REQUEST]))[1] == dict(engine.complete([REQUEST]))[0]


def test_the_store_keeps_what_was_asked():
    with Store(None) as store:
        ask(engine := Fake(lambda r: f"{r.begin} …"), [REQUEST], store)
        ask(engine, [REQUEST], store)
        sampling = store._db.execute("SELECT sampling FROM answers").fetchone()[0]
    assert engine.asked == [REQUEST]
    assert '"begin": "w5 w6"' in sampling
    assert '["system", "w9"]' in sampling


class TestServer:
    @pytest.fixture(autouse=True)
    def no_key(self, monkeypatch):
        pytest.importorskip("openai")
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.delenv("CONTEXTUNE_API_KEY", raising=False)

    def answers(self, stub, requests, **options):
        from contextune.generation.server import Server

        return dict(Server(stub.url, "m", concurrency=1, **options).complete(requests))

    def test_messages_have_the_turns_and_no_opening(self):
        with Stub(lambda n, body: Reply("w5 w6 said")) as stub:
            assert self.answers(stub, [REQUEST]) == {0: "w5 w6 said"}
        assert [(m["role"], m["content"]) for m in stub.seen[-1][2]["messages"]] == [*TURNS]

    def test_completions_have_text_and_opening(self):
        with Stub(lambda n, body: Reply(" said")) as stub:
            assert self.answers(stub, [REQUEST], api="completions") == {0: "w5 w6 said"}
        assert stub.seen[-1][2]["prompt"] == "w9 w1 w2 w3w5 w6"

    def test_one_that_knows_no_system_turn_gets_none_from_then_on(self):
        def reply(number, body):
            return Reply("System role not supported", 400) if body["messages"][0]["role"] == "system" else Reply("good")

        with Stub(reply) as stub:
            assert self.answers(stub, [REQUEST, REQUEST]) == {0: "good", 1: "good"}
            roles = [[m["role"] for m in body["messages"]] for _, _, body in stub.seen if "messages" in (body or {})]
        assert roles == [[r for r, _ in TURNS], *[[r for r, _ in FOLDED]] * 2]

    def test_another_refusal_is_a_failure(self):
        with Stub(lambda n, body: Reply("too hot", 400)) as stub:
            (found,) = self.answers(stub, [REQUEST]).values()
        assert found.reason.startswith("400: too hot")
