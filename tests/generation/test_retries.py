"""What a model said wrong is asked in other variants, and never the same twice."""

from __future__ import annotations

import pytest

from contextune.generation import Failure, Request
from contextune.generation.stored_writer import StoredWriter, Unusable
from tests.generation.fake import Fake


def writer(tmp_path, answer, **more):
    engine = Fake(answer)
    return StoredWriter(lambda: engine, tmp_path / "s", None, retries=2, **more), engine


def cut(request):
    return f"of {request.max_tokens}" if request.max_tokens > 200 else Failure("over-long: cut at 64 tokens")


def test_a_cut_answer_gets_more_tokens(tmp_path):
    ours, engine = writer(tmp_path, cut)
    request = Request("p", 64)
    assert ours([request]) == ["of 256"]
    assert [(r.max_tokens, r.temperature) for r in engine.asked] == [(64, 0.0), (128, 0.0), (256, 0.7)]
    assert ours.key(request) == engine.asked[-1].key("fake")
    assert (ours.counts[""].requests, ours.counts[""].answered, ours.counts[""].failed) == (1, 1, 0)


def test_never_more_than_the_window_holds(tmp_path, tokenizer):
    engine = Fake(lambda r: Failure("over-long: cut"))
    ours = StoredWriter(lambda: engine, tmp_path / "s", tokenizer, retries=2, window=100)
    ours([Request("w1 w2", 64)])
    assert max(r.max_tokens for r in engine.asked) <= 98


@pytest.mark.parametrize(
    "reason", ["empty", "empty: only thoughts", "no JSON in the answer", "the answer holds U+0000"]
)
def test_a_bad_answer_is_sampled_anew(tmp_path, reason):
    ours, engine = writer(tmp_path, lambda r: "good" if r.seed else Failure(reason))
    assert ours([Request("p"), Request("q", seed=5)]) == ["good", "good"]
    assert len({r.key("fake") for r in engine.asked}) == len(engine.asked) == 3
    assert engine.asked[-1].temperature == 0.7


def test_an_answer_of_no_use_is_sampled_anew_and_counted(tmp_path):
    judge = lambda answer: "" if "good" in answer else "no text"  # noqa: E731
    ours, engine = writer(tmp_path, lambda r: "good" if r.prompt == "p" and r.seed else "bad")
    found = ours([Request("p", source="a", judge=judge), Request("q", source="b", judge=judge)])
    assert found == ["good", Unusable("no text")]
    count = ours.counts[""]
    assert (count.requests, count.answered, count.unusable, count.failed) == (2, 1, 1, 0)
    assert ours.listed == [{"source": "b", "operation": "", "reason": "no text"}]
    assert len(engine.asked) == 2 + 3


def test_a_later_run_takes_what_there_is_and_insists_where_it_is_told_to(tmp_path):
    bad = lambda r: Failure("empty")  # noqa: E731
    first, engine = writer(tmp_path, bad)
    first([Request("p")])
    again, quiet = writer(tmp_path, bad)
    assert again([Request("p")]) == [Failure("empty")]
    assert (len(engine.asked), quiet.asked, again.fresh) == (3, [], 0)
    for _ in range(2):
        ours, other = writer(tmp_path, bad, insist=True)
        ours([Request("p")])
        engine.asked += other.asked
    assert len({r.key("fake") for r in engine.asked}) == len(engine.asked) == 9, "nothing twice"
    last, _ = writer(tmp_path, lambda r: "good", insist=True)
    assert last([Request("p")]) == ["good"]
    then, none = writer(tmp_path, bad)
    assert then([Request("p")]) == ["good"]
    assert not none.asked
    assert writer(tmp_path, bad, plan=True)[0]([Request("p")]) == ["good"]


@pytest.mark.parametrize(
    "reason", ["no answer within 3 s", "500: busy", "the reply cannot be read", "the prompt is empty"]
)
def test_what_is_no_fault_of_the_answer_is_asked_as_it_is_in_the_next_run(tmp_path, reason):
    ours, engine = writer(tmp_path, lambda r: Failure(reason))
    assert ours([Request("p")]) == [Failure(reason)]
    assert engine.asked == [Request("p")]
    again, better = writer(tmp_path, lambda r: "good")
    assert again([Request("p")]) == ["good"]
    assert better.asked == [Request("p")]
