"""contains, token_f1 and number_match: answers in sentences of the model's own."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from contextune.core.errors import UserError
from contextune.evaluate import metrics
from contextune.evaluate.metrics.free_answers import last_number, words
from contextune.evaluate.tasks.load import load_task


def worth(metric: str, output: str, gold: str) -> float:
    return metrics.find(metric).worth(output, gold)


@pytest.mark.parametrize(
    ("output", "gold", "contained", "f1"),
    [
        ("The capital of France is Paris", "Paris", 1, 2 / 6),
        ("The capital of France is Paris.", "paris", 1, 2 / 6),
        ("It is in the city of New York!", "New York", 1, 2 * 2 / 9),
        ("a concatenation", "cat", 0, 0),
        ("York, New", "New York", 0, 1),
        ("The Hague", "Hague", 1, 1),
        ("首都は東京です。", "東京", 1, 2 * 2 / 9),
        ("เมืองหลวงคือกรุงเทพ", "กรุงเทพ", 1, 2 * 7 / 26),
        ("naïve cafe\u0301", "Naïve café", 1, 1),
        ("Ｐａｒｉｓ", "Paris", 1, 1),
        ("the", "a", 0, 0),
        ("", "Paris", 0, 0),
        ("x + y", "+", 1, 1 / 2),
    ],
)
def test_an_answer_in_a_sentence(output, gold, contained, f1):
    assert worth("contains", output, gold) == contained
    assert worth("token_f1", output, gold) == pytest.approx(f1)


def test_token_f1_is_the_official_scripts():
    """SQuAD 1.1's: precision 2/4, recall 2/3, as a word counts as often as both sides have it."""
    assert worth("token_f1", "the red red fox ran", "Red fox, fast") == pytest.approx(2 * 2 / (4 + 3))
    assert words("The state-of-the-art, an ANSWER.") == ["stateoftheart", "answer"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[(t, 1234) for t in ("1,234", "1234", "1234.0", "It is 1,234.", "$1,234", "1’234", "1\u202f234", "１２３４")],
        ("first 3, then 4", 4),
        ("5-3", 3), ("-3", -3), ("−3", -3), ("x=-3.5!", Fraction(-7, 2)), ("-$5", -5),
        ("3/4", Fraction(3, 4)), (".5", Fraction(1, 2)), ("2e3", 2000), ("50%", 50),
        ("1,2", 2), ("#### 72", 72), ("٣", 3), ("chapter 3 200 pages", 200),
        ("none", None), ("", None), ("1e9999999", 9999999), ("9" * 5000, None), ("1/0", 1),
    ],
)  # fmt: skip
def test_the_last_number(text, number):
    assert last_number(text) == number


def test_number_match():
    assert worth("number_match", "so 3 + 4 = 7 apples", "7.0") == 1
    assert worth("number_match", "seven", "7") == 0
    assert worth("number_match", "7, or is it 8?", "7") == 0


def made(metric: str, answer: str) -> dict:
    return {"name": "t", "kind": "generate", "rows": [{"q": "Q:", "a": answer}], "prompt": "{{ q }}",
            "answer": "{{ a }}", "metric": metric}  # fmt: skip


def test_as_a_tasks_metric():
    task = load_task(made("contains", "Paris"), Path())[0]
    grade = metrics.find("contains").grade(task, task.items, ["The capital of France is Paris\n"])[0]
    assert (grade.predicted, grade.correct) == ("Paris", 1)


def test_a_gold_answer_without_a_number_is_refused():
    with pytest.raises(UserError, match=r"item 0: answer: no number in 'seven'"):
        load_task(made("number_match", "seven"), Path())


def test_shown_beside_exact_match():
    columns = {"item": ["0"], "kind": ["generate"], "options": [[]], "sums": [[]], "tokens": [[]], "bytes": [[]],
               "gold": ["Paris"], "output": ["It is Paris"]}  # fmt: skip
    said = metrics.summary(columns, "exact_match")
    assert (said["exact_match"], said["contains"], said["token_f1"]) == (0, 1, 1 / 2)
    assert "number_match" not in said
