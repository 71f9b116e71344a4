"""The engine of any OpenAI-compatible server, against one that misbehaves."""

from __future__ import annotations

import dataclasses
import json

import anyio
import pytest

from contextune.core.errors import UserError
from contextune.generation import Failure, Request, Store, ask
from tests.generation.stub import Reply, Stub, said

pytest.importorskip("openai")

from contextune.generation.key import key_for
from contextune.generation.options import Writer
from contextune.generation.server import Server

SCHEMA = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})


@pytest.fixture
def naps(monkeypatch):
    """What was waited between tries; nothing really waits."""
    taken: list[float] = []

    async def sleep(seconds):
        taken.append(seconds)

    monkeypatch.setattr(anyio, "sleep", sleep)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("CONTEXTUNE_API_KEY", raising=False)
    return taken


def asks(n: int, **more) -> list[Request]:
    return [Request(f"question {i}", **more) for i in range(n)]


def answers(stub, requests, **options):
    found = dict(Server(stub.url, "m", **options).complete(requests))
    assert sorted(found) == list(range(len(requests)))
    return [found[i] for i in range(len(requests))]


def echo(number, body):
    return Reply(f"answer to {said(body)}")


def first(*replies):
    """These replies first, then echoes."""
    return lambda number, body: replies[number] if number < len(replies) else echo(number, body)


def test_answers_and_what_is_sent(naps):
    request = Request("who?", 9, 0.5, 3, ("\n", "END"))
    with Stub(echo) as stub:
        assert answers(stub, asks(20), concurrency=4) == [f"answer to question {i}" for i in range(20)]
        found = answers(stub, [request])[0]
        assert (found.cost.read, found.cost.wrote) == (7, 3)
        answers(stub, [request], api="completions")
        chat, plain = stub.seen[-2:]
    common = {"model": "m", "max_tokens": 9, "temperature": 0.5, "seed": 3, "stop": ["\n", "END"]}
    assert (chat[0], chat[2]) == ("/v1/chat/completions", {"messages": [{"role": "user", "content": "who?"}], **common})
    assert (plain[0], plain[2]) == ("/v1/completions", {"prompt": "who?", **common})


@pytest.mark.parametrize(
    ("reply", "waited"),
    [
        (Reply("slow down", 429, headers={"Retry-After": "7"}), 7.0),
        (Reply("slow down", 429), None),
        (Reply("oops", 500), None),
        (Reply("busy", 503), None),
        (Reply(drop=True), None),
        (Reply(hold=True), None),
    ],
    ids=["429 with a time", "429", "500", "503", "dropped", "time-out"],
)
def test_what_passes_is_tried_again(naps, reply, waited):
    with Stub(first(reply, reply)) as stub:
        assert answers(stub, asks(1), retries=2, timeout=0.3 if reply.hold else 20) == ["answer to question 0"]
        assert len(stub.seen) == 3
    assert len(naps) == 2
    assert naps == [waited] * 2 if waited else 0.3 <= naps[0] <= 0.5 < naps[1] <= 1.0


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply("slow down", 429), "429, 3 attempts: slow down"),
        (Reply("oops", 500), "500, 3 attempts: oops"),
        (Reply(drop=True), "connection lost, 3 attempts: "),
        (Reply(hold=True), "no answer within 0.3 s, 3 attempts"),
        (Reply("too long for me", 400), "400: too long for me"),
        (Reply(body=b'{"choices": [{"mess'), "the reply cannot be read"),
        (Reply(body=b"<html>sorry</html>"), "the reply cannot be read"),
        (Reply(body=b"{}"), "the reply cannot be read"),
        (Reply(body=b'{"choices": []}'), "the reply cannot be read"),
        (Reply(""), "empty"),
        (Reply(" \n"), "empty"),
        (Reply("<think>it is long"), "empty: only thoughts"),
        (Reply("and so on", finish="length"), "over-long: cut at 64 tokens"),
        (Reply("", finish="content_filter"), "refused: content filter"),
    ],
)
def test_what_stays_wrong_is_a_failure_and_the_rest_goes_on(naps, reply, reason):
    with Stub(lambda n, body: reply if said(body) == "question 1" else echo(n, body)) as stub:
        found = answers(stub, asks(3), retries=2, timeout=0.3 if reply.hold else 20, concurrency=1)
    assert [found[0], found[2]] == ["answer to question 0", "answer to question 2"]
    assert isinstance(found[1], Failure)
    assert found[1].reason.startswith(reason)
    assert found[1].asked


PARTS = {"choices": [{"message": {"content": [{"type": "text", "text": "four"}]}}], "usage": {"prompt_tokens": "5"}}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(body=b'{"error": {"message": "no money\\ud800\\u001b[2J"}}'), "an error with status 200: no money [2J"),
        (Reply(body=b'{"choices": [{"message": {"content": 4}}]}'), "the reply cannot be read (its content is"),
        (Reply(body=b"\xff\xfe"), "the reply cannot be read (no JSON)"),
        (Reply(body=b"<p>moved</p>", status=422), "422: moved"),
        (Reply("a\0b"), "the answer holds the control character U+0000"),
        (Reply("a\ud800"), "the answer holds the control character U+D800"),
        (Reply("[THINK]hm"), "empty: only thoughts, [THINK] is never closed"),
    ],
)  # fmt: skip
def test_odd_replies_are_kept_as_failures_and_the_rest_goes_on(naps, tmp_path, reply, reason):
    odd = lambda n, body: reply if said(body) == "question 1" else Reply(body=json.dumps(PARTS).encode())  # noqa: E731
    with Stub(odd) as stub, Store(tmp_path / "s") as store:
        found = ask(Server(stub.url, "m", retries=0), asks(3), store, on_failure="return")
    assert [found[0], found[2]] == ["four", "four"]
    assert found[1].reason.startswith(reason)


@pytest.mark.parametrize(
    ("api", "parameters", "sent"),
    [
        ("chat", {"seed": None}, {"temperature", "max_tokens", "stop"}),
        ("chat", {"max_tokens": "max_completion_tokens"}, {"temperature", "seed", "max_completion_tokens", "stop"}),
        ("completions", {"max_tokens": None, "seed": "random_seed"}, {"temperature", "random_seed", "stop"}),
        ("chat", {"temperature": None, "stop": None}, {"seed", "max_tokens"}),
    ],
)
def test_parameters_are_left_out_or_renamed(naps, api, parameters, sent):
    with Stub(lambda n, body: Reply("four. five")) as stub:
        assert answers(stub, asks(1, stop=(".",)), api=api, parameters=parameters) == ["four"]
        assert {*stub.seen[0][2]} - {"model", "messages", "prompt"} == sent


@pytest.mark.parametrize(
    ("refusal", "remedy"),
    [
        ("Unsupported parameter: 'max_tokens'", " (set writer.parameters: {max_tokens: max_completion_tokens})"),
        ("seed: Extra inputs are not permitted", " (set writer.parameters: {seed: null})"),
        ("temperature is not supported", " (set writer.parameters: {temperature: null})"),
        ("max_tokens is too large: the context has 512", ""),
        ("too long for me", ""),
    ],
)
def test_the_option_is_named_where_a_parameter_is_refused(naps, refusal, remedy):
    with Stub(lambda n, body: Reply(refusal, 400)) as stub:
        assert answers(stub, asks(1))[0].reason == f"400: {refusal}{remedy}"


def test_parameters_are_checked():
    given = {"server": "http://h/v1", "name": "m"}
    assert Writer.model_validate({**given, "parameters": {"seed": None}}).parameters == {"seed": None}
    for bad in ({"max_tokens": "seed"}, {"seed": "model"}, {"seed": ""}, {"top": None}, {"seed": "a", "stop": "a"}):
        with pytest.raises(ValueError, match="parameters"):
            Writer.model_validate({**given, "parameters": bad})


@pytest.mark.parametrize(
    "bad", [{"timeout": float("inf")}, {"timeout": float("nan")}, {"timeout": 1e9}, {"retries": 10**9}, {"timeout": 0}]
)
def test_no_request_may_be_without_end(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Writer.model_validate({"server": "http://h/v1", "name": "m", **bad})


def test_cut_answers_where_they_are_allowed(naps):
    with Stub(lambda n, body: Reply("one two. thr", finish="length")) as stub:
        assert answers(stub, asks(1, cut=True)) == ["one two. thr"]
        assert answers(stub, asks(1, stop=(".",))) == ["one two"]


def test_thoughts_are_no_part_of_an_answer(naps):
    replies = ["<think>hm</think>\n\nfour", "it was opened before</think> four", "four"]
    with Stub(lambda n, body: Reply(replies[n])) as stub:
        assert answers(stub, asks(3), concurrency=1) == ["four"] * 3


@pytest.mark.parametrize("reply", [Reply("no such key", 401), Reply("not yours", 403), Reply("no model m", 404)])
def test_what_is_hopeless_stops_the_rest(naps, reply):
    with Stub(lambda n, body: reply) as stub:
        found = answers(stub, asks(50), concurrency=2)
        assert len(stub.seen) <= 4
    assert [f.asked for f in found].count(True) == len(stub.seen)
    assert found[-1] == Failure(f"not asked: {reply.status}: {reply.text}")


def test_a_server_that_dies_is_given_up(naps):
    with Stub(first(*[Reply("fine")] * 5, *[Reply("down", 502)] * 500)) as stub:
        found = answers(stub, asks(100), concurrency=4, retries=0)
        assert len(stub.seen) < 20
    assert found.count("fine") == 5, "whichever of those under way came first"
    assert found[-1].reason == "not asked: the server failed 8 times in a row, at last: 502: down"


class TestBudget:
    def test_requests(self, naps, tmp_path):
        with Stub(echo) as stub, Store(tmp_path / "s") as store:
            found = ask(Server(stub.url, "m", max_requests=5), asks(9), store, on_failure="return")
            assert len(stub.seen) == 5
            assert found[:5] == [f"answer to question {i}" for i in range(5)]
            assert {f.reason for f in found[5:]} == {"not asked: the budget of 5 requests is spent"}
            again = ask(Server(stub.url, "m", max_requests=5), asks(9), store)
            assert len(again) == len(stub.seen) == 9

    def test_tokens_are_never_overspent(self, naps):
        """10 tokens each by the server's count, at most 4 + 20 by ours: the last that may need 24 still goes."""
        with Stub(lambda n, body: Reply("x", usage=(4, 6))) as stub:
            found = answers(stub, asks(30, max_tokens=20), max_tokens_total=100, concurrency=3)
            assert len(stub.seen) == 8
        assert found[-1].reason == "not asked: the budget of 100 tokens is spent (80 used, up to 24 needed)"

    def test_estimate(self, naps):
        lines: list[str] = []
        with Stub(echo) as stub:
            answers(stub, asks(3, max_tokens=1000), prices=(1e4, 1e3), say=lines.append)
            assert lines == [
                f"m at {stub.url}: 3 requests, about 12 tokens read, 3,000 written at most; price at most 3.12"
            ]

    def test_a_tokenizer_counts(self, tokenizer):
        assert Server("http://h", "m", tokenizer=tokenizer).estimate([Request("w1 w2 w3")]).read == 3


class TestSchema:
    def test_where_the_server_knows_of_it(self, naps):
        with Stub(lambda n, body: Reply('{"n": 4}')) as stub:
            assert answers(stub, asks(1, schema=SCHEMA)) == ['{"n": 4}']
            wanted = stub.seen[0][2]["response_format"]
        assert wanted == {"type": "json_schema", "json_schema": {"name": "answer", "schema": json.loads(SCHEMA)}}

    @pytest.mark.parametrize("status", [400, 422])
    def test_where_it_does_not(self, naps, status):
        def answer(n, body):
            return (
                Reply("what is that?", status) if "response_format" in body else Reply('Sure:\n```json\n{"n": 4}\n```')
            )

        with Stub(answer) as stub:
            assert answers(stub, asks(3, schema=SCHEMA), concurrency=1) == ['{"n": 4}'] * 3
            assert ["response_format" in body for _, _, body in stub.seen] == [True, False, False, False]

    @pytest.mark.parametrize(
        "bad", ["no JSON at all", '{"n": "four"}', '{"n": 4', "[1]", '{"m": 4}', '{"n": NaN}', '{"n": 4, "n": 5}']
    )
    def test_asked_once_more(self, naps, bad):
        with Stub(first(Reply(bad), Reply('{"n": 4}'))) as stub:
            found = answers(stub, asks(1, schema=SCHEMA))
            assert found == ['{"n": 4}']
            assert (found[0].cost.read, found[0].cost.wrote) == (14, 6)
            turns = stub.seen[1][2]["messages"]
        assert [t["role"] for t in turns] == ["user", "assistant", "user"]
        assert turns[1]["content"] == bad

    def test_then_given_up(self, naps):
        with Stub(lambda n, body: Reply('{"n": "four"}')) as stub:
            found = answers(stub, asks(1, schema=SCHEMA))
            assert len(stub.seen) == 2
        assert found[0].reason == "does not fit the schema: at n: 'four' is not of type 'integer'"

    def test_not_a_schema(self):
        with Stub(echo) as stub, pytest.raises(UserError, match="not a JSON Schema"):
            answers(stub, asks(1, schema='{"type": "no such"}'))


class TestReach:
    def test_nothing_answers(self, naps):
        with Stub(echo) as stub:
            url = stub.url
        with pytest.raises(UserError, match=f"writer.server {url}: nothing answers there") as e:
            list(Server(url, "m", retries=0).complete(asks(1)))
        assert "start the server" in e.value.hint

    def test_the_key_is_refused(self, naps, monkeypatch):
        with Stub(echo) as stub:
            stub.models = 401
            with pytest.raises(UserError, match="refuses the key") as e:
                answers(stub, asks(1))
        assert "CONTEXTUNE_API_KEY" in e.value.hint

    @pytest.mark.parametrize("status", [404, 500, 501])
    def test_no_list_of_models_is_no_matter(self, naps, status):
        with Stub(echo) as stub:
            stub.models = status
            assert answers(stub, asks(1), retries=0) == ["answer to question 0"]

    def test_nothing_is_contacted_before_something_is_asked(self, naps):
        assert len(Server("http://127.0.0.1:9/v1", "m").identity) == 32
        with Store(None) as store:
            assert ask(Server("http://127.0.0.1:9/v1", "m"), [], store) == []


class TestKey:
    def test_from_the_environment_and_never_shown(self, naps, monkeypatch, tmp_path):
        monkeypatch.setenv("CONTEXTUNE_API_KEY", "secret-123")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-5")
        with Stub(lambda n, body: Reply("bad key secret-123", 401)) as stub, Store(tmp_path / "s") as store:
            with pytest.raises(UserError) as e:
                ask(Server(stub.url, "m"), asks(3), store)
            assert stub.seen[0][1]["Authorization"] == "Bearer secret-123"
            assert "OpenAI-Organization" not in stub.seen[0][1]
        assert "bad key (key)" in str(e.value)
        kept = b"".join(p.read_bytes() for p in tmp_path.iterdir())
        assert b"secret-123" not in kept + str(e.value).encode()

    def test_a_bad_key_is_never_sent(self, naps, monkeypatch):
        monkeypatch.setenv("CONTEXTUNE_API_KEY", "secret-123\r")
        with Stub(echo) as stub:
            with pytest.raises(UserError, match="CONTEXTUNE_API_KEY: the key holds a carriage return") as e:
                answers(stub, asks(1))
            assert not stub.seen
        assert "secret" not in str(e.value) + e.value.hint

    @pytest.mark.parametrize(
        "reply", [Reply("x " * 140 + "secret-123", 400), Reply('{\\"secret-123\\"}', 400), Reply("it is secret-123")]
    )
    def test_what_repeats_it_is_never_kept(self, naps, monkeypatch, tmp_path, reply):
        monkeypatch.setenv("CONTEXTUNE_API_KEY", "secret-123")
        with Stub(lambda n, body: reply) as stub, Store(tmp_path / "s") as store:
            (found,) = ask(Server(stub.url, "m"), asks(1), store, on_failure="return")
        assert isinstance(found, Failure)
        kept = b"".join(p.read_bytes() for p in tmp_path.iterdir())
        assert b"secret" not in kept + found.reason.encode()

    def test_openais_key_goes_to_openai_only(self, naps, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
        with Stub(echo) as stub:
            answers(stub, asks(1))
            assert "sk-mine" not in str(stub.seen[0][1])
        assert key_for("https://api.openai.com/v1") == ("sk-mine", "OPENAI_API_KEY")
        assert key_for("https://api.openai.com.evil.org/v1")[0] == ""


def test_identity():
    one = Server("http://h/v1/", "m").identity
    assert one == Server("http://h/v1", "m", concurrency=3, retries=0, prices=(1, 1)).identity
    assert len({one, Server("http://g/v1", "m").identity, Server("http://h/v1", "n").identity,
                Server("http://h/v1", "m", api="completions").identity}) == 4  # fmt: skip


def test_an_interrupt_loses_no_answer(naps, monkeypatch, tmp_path):
    """Ctrl-C while four are under way: their answers are kept, the rest is not asked."""
    import contextune.generation.server as module

    real, calls = module.wait, []

    def interrupting(under_way, **more):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(under_way, **more)

    monkeypatch.setattr(module, "wait", interrupting)
    with Stub(echo) as stub, Store(tmp_path / "s") as store:
        with pytest.raises(KeyboardInterrupt):
            ask(Server(stub.url, "m", concurrency=4), asks(40), store)
        kept = store.get(r.key(Server(stub.url, "m").identity) for r in asks(40))
        assert 4 <= len(kept) == len(stub.seen) < 12
        assert not store._db.execute("SELECT * FROM claims").fetchall()


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(UserError, match="needs the package 'openai'") as e:
        list(Server("http://h/v1", "m").complete(asks(1)))
    assert "contextune[openai]" in e.value.hint


def test_source_is_kept(naps, tmp_path):
    request = dataclasses.replace(asks(1)[0], source="row 7")
    with Stub(echo) as stub, Store(tmp_path / "s") as store:
        ask(Server(stub.url, "m"), [request], store)
        row = store._db.execute("SELECT source, name, read, wrote, seconds > 0 FROM answers").fetchone()
    assert row == ("row 7", "m", 7, 3, 1)
