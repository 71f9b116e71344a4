"""Texts out of answers as models give them, and names out of texts."""

from __future__ import annotations

import time

import pytest

from contextune.augment import replies as reading
from contextune.augment.entity_names import apart, names
from contextune.augment.filters.malformed import MARKUP, RESIDUE


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("- One.\n- Two.", ["One.", "Two."]),
        ("Here are two:\n\n1. One.\n2) Two.\n", ["One.", "Two."]),
        ("<think>1. no</think>\n* \"One.\"", ["One."]),
        ("<think>never ended\n- no", []),
        ("One.\nOne.\n```\n---", ["One."]),
        ("12 people came.", ["12 people came."]),
        ("", []),
        ("So:", ["So:"]),
    ],
)  # fmt: skip
def test_lines(answer, expected):
    assert reading.lines(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Question: Who?\nAnswer: Kalo.", [("Who?", "Kalo.")]),
        ("**Q1:** Who?\n**A1:** Kalo.\n\n**Q2:** What?\nA2: It\nis.", [("Who?", "Kalo."), ("What?", "It is.")]),
        ("1. Question: Who? Answer: Kalo.\n2. Question: What? Answer: Mido.", [("Who?", "Kalo."), ("What?", "Mido.")]),
        ("Question: nobody answers\nQuestion: Who?\nAnswer: Kalo.\n\nThat is all.", [("Who?", "Kalo.")]),
        ("I cannot.", []),
    ],
)
def test_questions(answer, expected):
    assert reading.questions(answer) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The lighthouse at Pell was built by Orla Vance. She left.", ["Pell", "Orla Vance"]),
        ("did you know that Kalo is brighter than Mido.", ["Kalo", "Mido"]),
        ("In Kalo's house, Kalo sat with the Duke of Arvo.", ["Kalo", "Duke of Arvo"]),
        ("However, Mido did.", ["Mido"]),
        ("nobody", []),
    ],
)
def test_names(text, expected):
    assert names(text) == expected


def test_pairs_that_no_sentence_holds():
    premises = ["all A1 are Mu.", "no Mu are Bo.", "all Xa are Ya."]
    assert apart(["all Ka are Mu.", "no Mu are Bo.", "all Xa are Ya."]) == [("Ka", "Bo")]
    assert apart(["all Ka are Mu.", "no Mu are Bo.", "all Ka are Bo."]) == []
    assert len(apart(premises, linked=False)) > len(apart(premises))


@pytest.mark.parametrize(
    ("before", "unit"),
    [("q", " "), ("Question: a", " "), ("", "q "), ("Question: x\n", "answer "), ("", "\n"), ("", "["), ("", "[name "),
     ("<a", " "), ("", "- "), ("", "| ")],
)  # fmt: skip
def test_time_is_linear_in_an_answer(before, unit):
    answer, began = before + unit * (60_000 // len(unit)) + "x", time.process_time()
    reading.lines(answer)
    reading.questions(answer)
    for pattern in (RESIDUE, *MARKUP.values()):
        pattern.search(answer)
    assert time.process_time() - began < 3
