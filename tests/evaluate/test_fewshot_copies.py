"""An item's own question is never among its examples, however it is written."""

# ruff: noqa: E501
from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from contextune.core.errors import UserError
from contextune.evaluate.tasks import building, specs

ASKED = "Who keeps the red lamp at the old harbour of the island?"
COPIES = {
    "space": " Who keeps the  red lamp at the old harbour of the island? ",
    "case": ASKED.upper(),
    "a space before the mark": ASKED.replace("?", " ?"),
    "soft hyphens": ASKED.replace("lamp", "la\u00admp"),
    "no mark": ASKED.replace("?", ""),
    "one word more": ASKED.replace("the old", "the very old"),
}
OTHER = {"q": "When does the ferry leave for the town?", "a": "Noon"}


def prompts(*rows: dict[str, str], n: int = 1) -> list[str]:
    keys = {"name": "f", "kind": "generate", "rows": list(rows), "prompt": "Q: {{ q }}\nA:", "answer": "{{ a }}"}
    spec = specs.parse({**keys, "fewshot": {"n": n}}, "t")
    return [item.prompt for item in building.build(spec, Path(), None, "t").items]


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_are_no_examples(copy):
    found = prompts({"q": ASKED, "a": "Maren"}, {"q": copy, "a": "Maren"}, OTHER)
    assert [p.startswith(f"Q: {OTHER['q']}\nA: Noon") for p in found] == [True, True, False]


@pytest.mark.parametrize(
    ("one", "other"),
    [("红灯在哪里？", "红灯 在哪里?"), ("어디에 등대가 있어요?", "어디에등대가 있어요?"), ("ประภาคารอยู่ที่ไหน", "ประภาคาร อยู่ที่ไหน"),
     ("Wo ist die Größe?", unicodedata.normalize("NFD", "wo ist die größe?")), ("أين المنارة؟", "أيْنَ المَنارة؟")],
)  # fmt: skip
def test_copies_in_other_scripts(one, other):
    found = prompts({"q": one, "a": "1"}, {"q": other, "a": "2"}, OTHER)
    assert all(p.startswith(f"Q: {OTHER['q']}") for p in found[:2])


def test_other_questions_are_examples():
    """The same words with another answer, and other signs between the same numbers, are other questions."""
    for one, other in (
        (ASKED, ASKED.replace("red", "green")),
        ("12 + 7 =", "12 - 7 ="),
        ("红灯在哪里？", "绿灯在哪里？"),
    ):
        found = prompts({"q": one, "a": "1"}, {"q": other, "a": "2"})
        assert [p.startswith(f"Q: {q}\nA: {a}") for p, q, a in zip(found, (other, one), "21", strict=True)] == [
            True
        ] * 2


def test_too_few_beside_the_copies():
    with pytest.raises(
        UserError, match=r"fewshot\.n is 1, there are 0 examples for item 0 beside itself and its copies"
    ):
        prompts({"q": ASKED, "a": "Maren"}, {"q": COPIES["space"], "a": "Maren"})
