from __future__ import annotations

import json
import math
import unicodedata
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, matthews_corrcoef, recall_score

from contextune.core import registry
from contextune.core.errors import UserError
from contextune.evaluate import metrics
from tests.conftest import SHARED, needs_shared
from tests.registered import own

LABELS = ["negative", "neutral", "positive"]


def generated(gold: list[str], output: list[str], options: list[str] | None = None) -> dict:
    n = len(gold)
    empty = {"sums": [[]] * n, "tokens": [[]] * n, "bytes": [[]] * n}
    items = {"item": list(map(str, range(n))), "kind": ["generate"] * n, "options": [options or []] * n}
    return {**items, **empty, "gold": gold, "output": output}


def chosen(gold: list[str], options: list[str], sums, tokens, bytes) -> dict:
    n = len(gold)
    items = {"item": list(map(str, range(n))), "kind": ["choice"] * n, "options": [options] * n, "output": [None] * n}
    return {**items, "gold": gold, "sums": sums, "tokens": tokens, "bytes": bytes}


def texts(sums: list[float], tokens: list[int], bytes: list[int]) -> dict:
    n = len(sums)
    common = {"item": list(map(str, range(n))), "kind": ["perplexity"] * n, "options": [[]] * n}
    numbers = {"sums": [[s] for s in sums], "tokens": [[t] for t in tokens], "bytes": [[b] for b in bytes]}
    return {**common, **numbers, "gold": [None] * n, "output": [None] * n}


def test_three_lengths_to_divide_by():
    #        sum        per token     per byte
    #  a   -2.0 (best)    -2.0         -2.0
    #  bb  -3.0           -0.75 (best) -1.5
    #  ccc -4.0           -2.0         -1.0 (best)
    row = chosen([" a"], [" a", " bb", " ccc"], [[-2.0, -3.0, -4.0]], [[1, 4, 2]], [[1, 2, 4]])
    assert metrics.answers(row, "accuracy") == [" a"]
    assert metrics.answers(row, "accuracy_token") == [" bb"]
    assert metrics.answers(row, "accuracy_byte") == [" ccc"]
    assert metrics.evaluate(row, "accuracy") == 1.0
    assert metrics.evaluate(row, "accuracy_byte") == 0.0


@pytest.mark.parametrize(
    ("metric", "output", "gold", "options", "right"),
    [
        ("exact_match", " Paris \n", "Paris", [], True),
        ("exact_match", "paris", "Paris", [], False),
        ("exact_match", "Paris, France", "Paris", [], False),
        ("starts_with", "paris, France", "Paris", [], True),
        ("starts_with", "Parisian", "Paris", [], False),
        ("starts_with", "In Paris", "Paris", [], False),
        ("starts_with", "what? (yes)", "What? (", [], True),
        ("substring_choice", "I say POSITIVE.", "positive", LABELS, True),
        (
            "substring_choice",
            "positive, not negative",
            "positive",
            LABELS,
            False,
        ),  # the first label wins, not the first word
        ("weighted_f1", "neutral", "Neutral", ["Negative", "Neutral"], True),
        ("substring_choice", "no idea", "noise", ["no", "noise"], False),
        ("exact_match", "noise!", "noise", ["noise"], False),
        ("accuracy", "noise!", "noise", ["noise"], True),
    ],
)
def test_reading_an_output(metric, output, gold, options, right):
    assert (metrics.read_output(metric, output, gold, options) == gold) is right


@pytest.mark.parametrize("metric", ["exact_match", "starts_with", "accuracy"])
@pytest.mark.parametrize("gold", ["À côté", "한국", "ね\u3099こ", "Å"])
def test_texts_are_compared_composed(metric, gold):
    """A tokenizer that composes (NFC) can write no gold answer that is stored decomposed (NFD), and the other way."""
    stored, written = unicodedata.normalize("NFD", gold), unicodedata.normalize("NFC", gold)
    options = (stored, "other") if metric == "accuracy" else ()
    assert metrics.read_output(metric, written, stored, options) == stored
    assert metrics.read_output(metric, stored, written, (written, "other") if options else ()) == written
    assert metrics.read_output(metric, "autre", stored, options) != stored


def test_no_label_is_missing():
    rows = generated(["positive", "neutral"], ["I cannot say", "neutral"], LABELS)
    assert metrics.answers(rows, "weighted_f1") == [None, "neutral"]
    assert metrics.evaluate(rows, "missing") == 0.5
    assert metrics.evaluate(rows, "accuracy") == 0.5


def test_f1_by_hand():
    # gold a a a b, said a a b b: a: precision 1, recall 2/3, F1 4/5; b: precision 1/2, recall 1, F1 2/3
    rows = generated(["a", "a", "a", "b"], ["a", "a", "b", "b"], ["a", "b"])
    assert metrics.evaluate(rows, "weighted_f1") == pytest.approx(0.75 * 4 / 5 + 0.25 * 2 / 3)
    assert metrics.evaluate(rows, "macro_f1") == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert metrics.evaluate(rows, "mcc") == pytest.approx(1 / math.sqrt(3))
    assert metrics.recall(rows["gold"], rows["output"]) == {"a": pytest.approx(2 / 3), "b": 1.0}


answer = st.sampled_from([*LABELS, "something else"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(LABELS), answer, st.integers(0, 3)), min_size=2, max_size=30))
def test_as_scikit_learn_has_them_also_on_resamples(rows):
    gold, said, weight = map(list, zip(*rows, strict=True))
    if not sum(weight):
        return
    outcomes = generated(gold, said, LABELS)
    predicted = [s if s in LABELS else "missing" for s in said]
    drawn = [(g, p) for g, p, w in zip(gold, predicted, weight, strict=True) for _ in range(w)]
    golds, answers = map(list, zip(*drawn, strict=True))
    labels = sorted(set(golds))
    weights = np.array([weight], dtype=float)
    for average in ("weighted", "macro"):
        expected = f1_score(golds, answers, labels=labels, average=average, zero_division=0)
        found = metrics.find(f"{average}_f1").of(outcomes)(weights)
        assert found == pytest.approx([expected])
    place = {label: i for i, label in enumerate(sorted(set(gold)))}  # PIXIU: all other answers are one class
    with warnings.catch_warnings(action="ignore"):  # of a single label
        expected = matthews_corrcoef([place[g] for g in golds], [place.get(a, -1) for a in answers])
    assert metrics.find("mcc").of(outcomes)(weights) == pytest.approx([expected], abs=1e-9)
    assert metrics.find("accuracy").of(outcomes)(weights) == pytest.approx([np.mean([g == a for g, a in drawn])])
    sklearn_recall = recall_score(gold, predicted, labels=sorted(set(gold)), average=None, zero_division=0)
    assert list(metrics.recall(gold, predicted).values()) == pytest.approx(list(sklearn_recall))


def test_perplexity_counts_tokens_and_bytes_of_all_texts_together():
    rows = texts([-math.log(2) * 6, -math.log(2) * 2], [3, 1], [6, 10])
    assert metrics.evaluate(rows, "perplexity") == pytest.approx(2 ** (8 / 4))
    assert metrics.evaluate(rows, "bits_per_byte") == pytest.approx(8 / 16)
    only_first = np.array([[2.0, 0.0]])
    assert metrics.find("perplexity").of(rows)(only_first) == pytest.approx([4.0])


def test_what_is_said_of_each_kind():
    labelled = generated(["a", "a", "b"], ["a", "b", "?"], ["a", "b"])
    said = metrics.summary(labelled, "weighted_f1")
    assert {*own(registry.metrics, said), "recall"} == {
        *("weighted_f1", "accuracy", "substring_choice", "macro_f1", "mcc", "missing", "recall")
    }
    free = generated(["Ann", "Bob"], ["Ann", "Eve"])
    said = metrics.summary(free, "exact_match")
    assert {name: said[name] for name in own(registry.metrics, said)} == {
        "exact_match": 0.5,
        "accuracy": 0.5,
        "starts_with": 0.5,
        "contains": 0.5,
        "token_f1": 0.5,
    }
    letters = chosen([" A", " B"], [" A", " B"], [[0, -1], [0, -1]], [[1, 1]] * 2, [[1, 1]] * 2)
    assert metrics.summary(letters, "accuracy")["recall"] == {"A": 1.0, "B": 0.0}
    assert set(metrics.summary(texts([-1.0], [1], [1]), "perplexity")) == {"perplexity", "bits_per_byte"}


def test_majority_is_the_metric_of_a_constant_answer():
    rows = generated(["a", "a", "a", "b"], ["b"] * 4, ["a", "b"])
    assert metrics.majority(rows, "accuracy") == 0.75
    assert metrics.majority(rows, "weighted_f1") == pytest.approx(0.75 * 6 / 7)
    assert metrics.majority(rows, "mcc") == 0.0
    assert metrics.majority(texts([-1.0], [1], [1]), "perplexity") is None


@needs_shared
def test_the_constant_answer_on_fincausal():
    """contextual_fine_tuning.md 6.2: 569 of 8,580 are causal, and saying noise always gives a weighted F1 of 0.9017."""
    file = SHARED / "fincausal2020_task1" / "trial_full.jsonl"
    gold = [("noise", "causal")[json.loads(line)["label"]] for line in file.read_text().splitlines()]
    rows = generated(gold, ["noise"] * len(gold), ["causal", "noise"])
    assert 0.9016 < metrics.evaluate(rows, "weighted_f1") < 0.9017
    assert metrics.majority(rows, "weighted_f1") == metrics.evaluate(rows, "weighted_f1")
    assert metrics.evaluate(rows, "macro_f1") == pytest.approx(0.4829, abs=1e-4)
    assert metrics.recall(gold, ["noise"] * len(gold)) == {"causal": 0.0, "noise": 1.0}


def test_unknown_and_unsuited_names():
    with pytest.raises(UserError, match="unknown 'acuracy'") as e:
        metrics.check("acuracy", "choice", "task t")
    assert e.value.hint == "did you mean 'accuracy'?"
    with pytest.raises(UserError, match="'perplexity' is not for tasks of kind choice"):
        metrics.check("perplexity", "choice", "task t")
    assert not metrics.find("perplexity").higher_is_better
    assert metrics.find("mcc").higher_is_better
