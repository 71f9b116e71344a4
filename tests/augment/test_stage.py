"""A stage's records with what was inferred from them: golden ids and labels, filters, shortfall, failures, mixing."""

from __future__ import annotations

import pytest

from contextune.augment.export import rows as exported
from contextune.augment.options import Augment, shorthand
from contextune.augment.stage import Augmented, AugmentJob, augment
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import Record, Segment, Sequence, render
from contextune.generation.protocol import Failure
from contextune.generation.stored_writer import StoredWriter
from tests.generation.fake import Fake


def text(id: str, said: str) -> Record:
    return Record(id, (Segment(said, "target"),), id)


RECORDS = [(text("a", "w1 w2"), "s"), (text("b", "w3 w4\n\nw5"), "s"), (text("o", "w6"), "other")]


def run(
    tokenizer, options, answer=lambda r: "w9", records=RECORDS, store=None, plan=False, room=50, replay=()
) -> Augmented:
    engine = Fake(answer)
    writer = StoredWriter(lambda: engine, store, tokenizer, plan)
    context = BindContext(tokenizer, [r for r, _ in records], writer=writer, prompt_tokens=400)
    sizes = lambda rs: [len(tokenizer.encode(r.target, add_special_tokens=False)) + r.ends for r in rs]  # noqa: E731
    made = augment(
        AugmentJob(Augment.model_validate(shorthand(options)), records, context, writer, sizes, room, replay)
    )
    made.account["asked"] = len(engine.asked)
    return made


def rendered(record: Record, tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    row = render(Sequence(record.segments, record.ends), tokenizer)
    return row.ids, row.labels


def test_golden_records(tokenizer):
    """w0 is 8. A plain text; a question without loss and its answer; a piece after what precedes it."""
    answers = {"questions": "Question: w7?\nAnswer: w8 w9", "reversal": "- w2 w1"}
    made = run(
        tokenizer, {"operations": ["reversal", "questions"], "split": "cumulative", "data": ["s"]},
        lambda r: answers[r.operation.partition("/")[0]],
    )  # fmt: skip
    by = {r.id: (r, o) for r, o in zip(made.records, made.origins, strict=True)}
    assert list(by) == [
        "a", "b/0", "b/1", "o", "a+reversal/1#0", "b/0+reversal/1#0", "b/1+reversal/1#0", "a+questions/1#0",
        "b+questions/1#0",
    ]  # fmt: skip
    assert rendered(by["a+reversal/1#0"][0], tokenizer) == ((1, 10, 9, 2), (-100, 10, 9, 2))
    assert rendered(by["b/1"][0], tokenizer) == ((1, 11, 12, 13, 2), (-100, -100, -100, 13, 2))
    ids, labels = rendered(by["a+questions/1#0"][0], tokenizer)
    assert (ids[-3:], labels[-3:], {*labels[:-3]}) == ((16, 17, 2), (16, 17, 2), {-100})
    record, origin = by["b/1+reversal/1#0"]
    assert (origin, by["o"][1], by["b+questions/1#0"][1]) == ("s+reversal", "other", "s+questions")
    assert (record.origin, record.document) == ("reversal/1 of b", "b")
    assert {k: v for k, v in record.fields.items() if k != "request"} == {
        "source": "b", "passage": "b/1", "operation": "reversal", "version": 1, "seen": [], "writer": "fake",
    }  # fmt: skip
    assert len(record.fields["request"]) == 32


def test_the_same_again_and_nothing_asked_twice(tokenizer, tmp_path):
    first = run(tokenizer, ["reversal", "rephrase"], store=tmp_path / "g.sqlite")
    again = run(tokenizer, ["reversal", "rephrase"], store=tmp_path / "g.sqlite")
    assert (first.account["asked"], again.account["asked"]) == (6, 0)
    assert first.records == again.records
    assert first.rows == again.rows


def test_originals_may_be_left_out_or_only_split(tokenizer):
    assert [r.id for r in run(tokenizer, {"operations": ["repeat"], "keep": False}).records] == [
        "a+repeat/1#0", "b+repeat/1#0", "o+repeat/1#0",
    ]  # fmt: skip
    split = run(tokenizer, {"split": "independent"})
    assert [r.id for r in split.records] == ["a", "b/0", "b/1", "o"]
    assert split.rows == []


def test_filters_are_accounted_for(tokenizer):
    made = run(tokenizer, {"operations": ["rephrase"], "filters": ["duplicate"]})
    (account,) = made.account["filters"]
    assert (account["filter"], account["in"], account["out"]) == ("duplicate", 3, 1)
    assert (made.account["made"], made.account["kept"]) == (3, 1)
    assert made.account["by_operation"] == {
        "rephrase": {"made": 3, "kept": 1, "requests": 3, "answered": 3, "failed": 0}
    }
    assert [row["kept"] for row in made.rows] == [True, False, False]
    assert sum("rephrase" in r.id for r in made.records) == 1


def test_what_is_too_long_is_left_out_and_counted(tokenizer):
    made = run(tokenizer, ["rephrase"], lambda r: "w1 " * (20 if r.source == "a" else 2), room=10)
    assert [r.id for r in made.records if "+" in r.id] == ["b+rephrase/1#0", "o+rephrase/1#0"]
    assert made.account["filters"][-1]["reasons"] == {"too long": 1}
    assert [row["kept"] for row in made.rows] == [False, True, True]


def test_row_counts_are_guaranteed_or_the_shortfall_is_said(tokenizer):
    """Greedy answers are all alike for b; sampled again they differ. Nothing helps o."""

    def answer(request):
        if request.source == "o":
            return Failure("broken")
        return f"- {request.source} w{request.seed // 1000}" if request.source == "b" else "- w1\n- w2"

    made = run(tokenizer, {"operations": ["rephrase"], "filters": ["duplicate"], "atleast": 2, "failures": 1}, answer)
    rows = [row["text"] for row in made.rows if row["kept"]]
    assert rows == ["w1", "w2", "b w0", "b w1"]
    assert made.account["shortfall"] == {"atleast": 2, "records": {"o": 0}}
    assert any("1 records have fewer than 2 texts (o: 0)" in w for w in made.warnings)
    assert "augment: 3 of 6 requests have no answer (o rephrase/1: broken)" in made.warnings


def test_too_many_failures_are_an_error(tokenizer, tmp_path):
    broken = lambda r: Failure("broken") if r.source == "a" else "w1"  # noqa: E731
    with pytest.raises(UserError, match=r"1 of 3 requests have no answer \(a reversal/1: broken\)") as e:
        run(tokenizer, ["reversal"], broken, store=tmp_path / "g.sqlite")
    assert "augment.failures" in e.value.hint
    made = run(tokenizer, {"operations": ["reversal"], "failures": 0.5}, broken, store=tmp_path / "g.sqlite")
    assert made.account["asked"] == 1, "what was answered is kept"
    assert [r.id for r in made.records if "+" in r.id] == ["b+reversal/1#0", "o+reversal/1#0"]


FOUR = [(text(id, f"w{i} w{i + 1}"), "s") for i, id in enumerate("abcd")]


@pytest.mark.parametrize(
    "reason", ["over-long: cut at 64 tokens", "empty", "the prompt has 9 tokens, the model holds 8"]
)
def test_what_a_writer_never_answers_is_listed_and_the_rest_is_used(tokenizer, tmp_path, reason):
    """1 of 4 is far more than a twentieth, and the same in every run."""
    broken = lambda r: Failure(reason) if r.source == "a" else "w1"  # noqa: E731
    for run_again in range(2):
        made = run(tokenizer, ["reversal"], broken, FOUR, tmp_path / "g.sqlite")
        assert [r.id for r in made.records if "+" in r.id] == [f"{id}+reversal/1#0" for id in "bcd"]
        assert made.account["failures"] == [{"source": "a", "operation": "reversal/1", "reason": reason}]
        assert made.account["by_operation"]["reversal"]["lasting"] == 1
        assert any(f"1 of 4 requests have no answer (a reversal/1: {reason})" in w for w in made.warnings), run_again
    with pytest.raises(UserError, match="1 of 4 requests have no answer"):
        run(tokenizer, {"operations": ["reversal"], "failures": 0.2}, broken, FOUR, tmp_path / "g.sqlite")


def test_a_writer_that_answers_nothing_at_all_is_an_error_that_names_no_other_run(tokenizer):
    with pytest.raises(UserError, match="4 of 4 requests have no answer") as e:
        run(tokenizer, ["reversal"], lambda r: Failure("over-long: cut at 64 tokens"), FOUR)
    assert "max_tokens" in e.value.hint
    assert "run again" not in e.value.hint


def test_a_plan_asks_nothing(tokenizer, tmp_path):
    made = run(tokenizer, ["reversal", "repeat"], store=tmp_path / "g.sqlite", plan=True)
    assert made.account["asked"] == 0
    assert not (tmp_path / "g.sqlite").exists()
    assert made.pending["requests"] == 3
    assert made.pending["write"] == 3 * 256
    assert made.account["by_operation"]["reversal"]["missing"] == 3
    assert [r.id for r in made.records if "+" in r.id] == [f"{id}+repeat/1#0" for id in "abo"]
    run(tokenizer, ["reversal"], records=RECORDS[:1], store=tmp_path / "g.sqlite")
    made = run(tokenizer, ["reversal"], store=tmp_path / "g.sqlite", plan=True)
    assert (made.account["made"], made.pending["requests"]) == (1, 2)


def test_mixing(tokenizer):
    general = [(text(f"g{i}", "w1 w2 w3"), "general") for i in range(10)]
    options = {
        "operations": ["repeat"],
        "mix": {"weights": {"original": 2}, "replay": {"data": "general", "share": 0.5}},
    }
    made = run(tokenizer, options, replay=general)
    assert [o for o in made.origins if "+" in o] == ["s+repeat", "s+repeat", "other+repeat"]
    assert [r.id for r, o in zip(made.records, made.origins, strict=True) if o == "s"] == ["a", "b", "a+2", "b+2"]
    assert made.account["mix"]["replay"]["share"] == pytest.approx(0.5, abs=0.05)
    assert {o for r, o in zip(made.records, made.origins, strict=True) if r.id.startswith("g")} == {"general"}


SHARES = {"shares": {"original": 0.25, "augmented": 0.5, "replay": 0.25}, "replay": {"data": "general"}}


def test_a_plan_mixes_what_is_there(tokenizer, tmp_path):
    general = [(text(f"g{i}", "w1 w2 w3"), "general") for i in range(10)]
    options = {"operations": ["reversal"], "mix": SHARES}
    made = run(tokenizer, options, store=tmp_path / "g.sqlite", plan=True, replay=general)
    assert set(made.account["mix"]) == {"original", "replay"}
    assert made.account["mix"]["replay"]["share"] == pytest.approx(0.5, abs=0.1)
    with pytest.raises(UserError, match=r"'augmented' is to give 0\.5 of the tokens and has none"):
        run(tokenizer, options, lambda r: "", replay=general)


def test_without_operations_nothing_is_augmented(tokenizer):
    general = [(text(f"g{i}", "w1 w2 w3"), "general") for i in range(10)]
    mix = {"shares": {"original": 0.5, "replay": 0.5}, "replay": {"data": "general"}}
    made = run(tokenizer, {"mix": mix}, replay=general)
    assert set(made.account["mix"]) == {"original", "replay"}


MADE = [{"id": "q", "prompt": "Who? ", "text": " Kalo.", "operation": "questions"}]
BARE = [{"id": "t", "prompt": "", "text": "Kalo is.", "operation": "reversal"}]


@pytest.mark.parametrize(
    ("form", "row"),
    [
        ("jsonl", MADE[0]),
        ("alpaca", {"instruction": "Who?", "input": "", "output": "Kalo."}),
        ("sharegpt", {"conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Kalo."}]}),
        ("messages", {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Kalo."}]}),
    ],
)
def test_formats(form, row):
    assert exported(MADE, form) == [row]


def test_a_text_without_a_prompt_is_no_conversation():
    with pytest.raises(UserError, match="t: a text without a prompt is no conversation"):
        exported(BARE, "messages")
    assert exported(BARE, "messages", "Tell.")[0]["messages"][0] == {"role": "user", "content": "Tell."}
    with pytest.raises(UserError, match="unknown format 'aplaca'"):
        exported(BARE, "aplaca")
