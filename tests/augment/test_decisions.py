"""What a person decided of made texts: rejected ones are left out, accepted ones pass every filter."""

from __future__ import annotations

import json

import pytest

from contextune.augment import decisions
from contextune.augment.options import Augment
from contextune.augment.stage import AugmentJob, augment
from contextune.core.binding import BindContext
from contextune.core.decisions import sum_of
from contextune.core.errors import UserError
from contextune.core.sequence import Record, Segment
from contextune.generation.stored_writer import StoredWriter
from tests.generation.fake import Fake

ANSWERS = {"a": "w7", "b": "w8", "c": "w8"}
OPTIONS = {"operations": ["rephrase"], "filters": ["duplicate"]}
A, B, C = (f"{id}+rephrase/1#0" for id in "abc")


def run(tokenizer, said=(), lines=None, tmp_path=None):
    file = tmp_path / decisions.FILE
    file.write_text("\n".join(json.dumps(d) for d in said) if lines is None else lines)
    records = [(Record(id, (Segment(f"w{i}", "target"),), id), "s") for i, id in enumerate("abc")]
    engine = Fake(lambda r: ANSWERS[r.source])
    writer = StoredWriter(lambda: engine, None, tokenizer, False)
    context = BindContext(tokenizer, [r for r, _ in records], writer=writer, prompt_tokens=400)
    job = AugmentJob(
        Augment.model_validate(OPTIONS), records, context, writer, lambda rs: [1 for _ in rs], 50,
        decided=decisions.read(file),
    )  # fmt: skip
    return augment(job)


def kept(made) -> list[str]:
    return [r.id for r, origin in zip(made.records, made.origins, strict=True) if "+" in origin]


def of(id: str, text: str, decision: str) -> dict:
    return {"id": id, "sum": sum_of("", text), "decision": decision}


def test_a_persons_word_is_above_the_filters(tokenizer, tmp_path):
    plain = run(tokenizer, tmp_path=tmp_path)
    assert kept(plain) == [A, B]  # c says what b says
    assert "decisions" not in plain.account
    made = run(tokenizer, [of(A, "w7", "reject"), of(C, "w8", "accept")], tmp_path=tmp_path)
    assert kept(made) == [B, C]
    assert made.account["decisions"] == {"accepted": 1, "rejected": 1, "of_no_text": []}
    first = made.account["filters"][0]
    assert (first["filter"], first["in"], first["out"]) == ("decisions", 3, 2)
    assert first["reasons"] == {"rejected by a person": 1}
    assert {row["id"]: row["kept"] for row in made.rows} == {A: False, B: True, C: True}


def test_a_decision_is_on_a_text_and_not_on_a_number(tokenizer, tmp_path):
    other = run(tokenizer, [of(A, "w5", "reject")], tmp_path=tmp_path)
    assert kept(other) == [A, B]
    assert other.account["decisions"]["of_no_text"] == [A]
    assert kept(run(tokenizer, [{"id": A, "decision": "reject"}], tmp_path=tmp_path)) == [B]  # written by hand


def test_later_lines_overrule(tokenizer, tmp_path):
    assert kept(run(tokenizer, [of(A, "w7", "reject"), of(A, "w7", "accept")], tmp_path=tmp_path)) == [A, B]
    by_hand = [of(A, "w7", "accept"), {"id": A, "decision": "reject"}]
    assert kept(run(tokenizer, by_hand, tmp_path=tmp_path)) == [B]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected an object"),
        ('{"id": "a", "decision": "mend"}', "accept or reject"),
        ('{"id": "", "decision": "accept"}', "expected an item's id"),
        ('{"id": "a", "decision": "accept", "form": "x"}', "unknown key 'form'"),
    ],
)
def test_a_wrong_line_is_named(tokenizer, tmp_path, line, said):
    with pytest.raises(UserError) as e:
        run(tokenizer, lines=f"\n{line}\n", tmp_path=tmp_path)
    assert said in str(e.value)
    assert f"{decisions.FILE}:2" in str(e.value)
