"""chrF and BLEU are sacrebleu's, whole and under a resample's weights; COMET's command is checked and believed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from contextune.core.errors import UserError
from contextune.evaluate import metrics
from contextune.evaluate.metrics import external, texts

OUTPUTS = ["the cat sat on the mat today", "a dog ran", "", "Labas rytas visiems!", "one two three four five"]
GOLDS = ["the cat sat on a mat", "the dog ran away", "nothing", "Labas rytas, visiems.", "one two three four five"]
COLUMNS = {"item": list("abcde"), "kind": ["generate"] * 5, "output": OUTPUTS, "gold": GOLDS}


def sacrebleu(name, outputs, golds):
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return (CHRF() if name == "chrf" else BLEU(force=True)).corpus_score(outputs, [golds]).score / 100


@pytest.mark.parametrize("name", ["chrf", "bleu"])
def test_corpus_scores_are_sacrebleus(name):
    assert metrics.evaluate(COLUMNS, name) == pytest.approx(sacrebleu(name, OUTPUTS, GOLDS))
    weights = np.array([[2, 0, 1, 1, 1], [0, 3, 0, 2, 0], [1, 1, 1, 1, 1.0]])
    drawn = [[i for i, n in enumerate(row) for _ in range(int(n))] for row in weights]
    expected = [sacrebleu(name, [OUTPUTS[i] for i in d], [GOLDS[i] for i in d]) for d in drawn]
    assert metrics.find(name).of(COLUMNS)(weights).tolist() == pytest.approx(expected)
    assert 0.1 < expected[0] < 0.99


def test_of_one_answer():
    assert texts.sentence("chrf", "one two", "one two") == pytest.approx(1)
    assert texts.sentence("bleu", "one two", "one two") == pytest.approx(1), "short texts have no four-grams"
    assert texts.nearest("a dog", ["the cat", "a dog ran"]) > texts.nearest("a dog", ["the cat"])
    assert texts.nearest("a dog", []) == 0


ROWS = [("1", "hello", "labas", "labas"), ("2", "bye", "eik", "sudie")]
SAY = "import json, sys; [print(json.dumps({'score': len(json.loads(l)['mt']) / 10})) for l in sys.stdin]"


def command(code: str) -> str:
    import shlex

    return shlex.join([sys.executable, "-c", code])


def test_a_command_scores():
    assert external.scores(command(SAY), ROWS, "t") == [0.5, 0.3]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys; print('no GPU', file=sys.stderr); sys.exit(3)", "ended with status 3: no GPU"),
        ("print(1)", "wrote 1 lines for 2 rows"),
        ("print('loading'); print(1)", "wrote 'loading' in line 1, expected a number"),
        ("print('NaN'); print(1)", "wrote 'NaN' in line 1"),
        ("print('{}'); print(1)", "wrote '{}' in line 1"),
    ],
)
def test_a_command_that_fails(code, why):
    with pytest.raises(UserError, match=why):
        external.scores(command(code), ROWS, "t")


@pytest.mark.parametrize(("given", "why"), [("", "empty"), ("no-such-program", "no program"), ("'", "closing quot")])
def test_no_command(given, why):
    with pytest.raises(UserError, match=why):
        external.available(given, "t")
