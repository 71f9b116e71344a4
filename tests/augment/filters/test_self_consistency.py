from __future__ import annotations

from dataclasses import replace

import pytest

from tests.augment.filters.made import judge, made

RIGHT, WRONG = "Gota is less long than Kivo.", "Gota is longer than Kivo."


def test_what_was_made_once_is_left_out():
    texts = [made(RIGHT), made(WRONG), made(f" {RIGHT.lower()}")]
    assert judge("self_consistency", texts) == ["", "made 1 of 2 times", ""]


def test_each_operation_is_counted_alone():
    reversed_, rephrased = made(RIGHT), replace(made(RIGHT), operation="another/1")
    assert all(judge("self_consistency", [reversed_, rephrased]))


@pytest.mark.parametrize(("least", "kept"), [(2, True), (3, True), (4, False)])
def test_least(least, kept):
    assert [not r for r in judge("self_consistency", [made(RIGHT)] * 3, least=least)] == [kept] * 3


def test_an_answer_counts_with_its_question():
    asked = [made(" Kivo.", prompt=f"question: what is {w} than Gota? answer:") for w in ("longer", "older")]
    assert all(judge("self_consistency", asked))
