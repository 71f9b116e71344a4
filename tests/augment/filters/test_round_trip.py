from __future__ import annotations

import pytest

from contextune.core.errors import UserError
from tests.augment.filters.made import context, judge, made


def answering(answers: dict[str, str | None]):
    def ask(texts, operation):
        assert operation == "reversal"
        return [answers[m.text] for m in texts]

    return context(apply=ask)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Kalo is brighter than Mido.", ""),
        ("people say that Kalo is brighter than Mido", ""),
        ("Kalo is brighter than Mido. Kalo is brighter than Mido.", ""),
        ("Mido is brighter than Kalo.", "another text on the way back"),
        ("Kalo is brighter", "names are lost on the way back"),
        ("Kalo, Mido.", ""),  # nothing that the passage lacks, and all names: a weakness that is known
        (None, "no answer on the way back"),
        (" ", "no answer on the way back"),
    ],
)
def test_the_way_back(answer, reason):
    text = "Mido is less bright than Kalo."
    assert judge("round_trip", [made(text)], answering({text: answer})) == [reason]


def test_only_the_operations_named_are_sent_back():
    texts = [made("a", operation="rephrase/1"), made("b", operation="reversal/2")]
    assert judge("round_trip", texts, answering({"b": None})) == ["", "no answer on the way back"]
    assert judge("round_trip", texts[:1], answering({})) == [""]


def test_no_writer():
    with pytest.raises(UserError, match="needs a writer"):
        judge("round_trip", [made("a")])
