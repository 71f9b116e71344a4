"""Wanted and realised: what a policy asks for is counted, shown, and refused where the rows allow too little."""

from __future__ import annotations

import pytest

from contextune.contexts import bind_policy, parse
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.experiment.context_shares import context_line
from tests.contexts.test_values import QUERIES, TREES, pair


def bound(tokenizer, rows, **options):
    records = tuple(pair(f"r{i}", *row) for i, row in enumerate(rows))
    policy = parse({"k": 1, "similarity": "overlap", **options})
    return bind_policy(policy, BindContext(tokenizer, records))


@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        ({"policy": "contrastive", "eps": 0.2}, "paraphrase"),
        ({"policy": "paraphrase_only"}, "paraphrase"),
        ({"policy": "neighbour_only", "grades": ["high"]}, "similar"),
        ({"policy": "mixture", "policies": ["none", {"policy": "paraphrase_only", "k": 1}]}, "paraphrase"),
    ],
)
def test_less_than_half_of_what_is_wanted_is_refused(tokenizer, policy, kind):
    """Of these rows none has a value that another could take the place of, nor a neighbour of grade high."""
    options = policy if policy["policy"] == "mixture" else {"k": 1, "similarity": "overlap", **policy}
    records = tuple(pair(f"r{i}", *row) for i, row in enumerate((TREES[2], QUERIES[2], ("What is it?", "Nothing."))))
    with pytest.raises(UserError, match=rf"{kind} is wanted in [\d.]+% .* 0\.0%.*less than half") as refused:
        bind_policy(parse(options), BindContext(tokenizer, records))
    assert refused.value.hint


def test_what_can_be_made_is_counted(tokenizer):
    """Two of three rows can be paraphrased."""
    (paraphrase, *_) = [
        s for s in bound(tokenizer, TREES, policy="contrastive", eps=0.3).shares() if s.kind == "paraphrase"
    ]
    assert (paraphrase.wanted, paraphrase.possible) == (0.3, pytest.approx(0.2))


def test_a_neighbour_in_place_of_a_paraphrase_is_asked_for(tokenizer):
    shares = bound(tokenizer, (TREES[0], TREES[2], QUERIES[2]), policy="contrastive", paraphrases="none").shares()
    assert [(s.kind, s.wanted) for s in shares] == [("similar", pytest.approx(0.55))]


@pytest.mark.parametrize("policy", ["counterfactual", "distractors"])
def test_too_few_edits_are_refused_with_their_share(tokenizer, policy):
    rows = (*TREES[:2], TREES[2], QUERIES[2], ("What is it?", "Nothing."))
    with pytest.raises(UserError, match=r"can edit 2 of 5 rows \(40%\), min_edited is 50%"):
        bound(tokenizer, rows, policy=policy)
    assert bound(tokenizer, rows, policy=policy, min_edited=0.4).shares()[0].possible == pytest.approx(
        0.4 * {"counterfactual": 0.4, "distractors": 0.5}[policy]
    )


def test_a_database_that_is_not_there(tokenizer, tmp_path):
    with pytest.raises(UserError, match=r"database .*no.sqlite: no such file"):
        bound(tokenizer, TREES, policy="counterfactual", database=str(tmp_path / "no.sqlite"))


def test_the_line():
    row = {
        "arm": "con", "stage": 0, "drawn": 50, "wanted": {"paraphrase": 0.1}, "grades": {"low": 1.0, "medium": 0.0},
        "realised": {"paraphrase": 0.06, "random": 0.94},
    }  # fmt: skip
    assert context_line(row) == (
        "con: paraphrase 6.0% (wanted 10.0%), random 94.0% of 50 contexts; most similar example: low 100%, medium 0%"
    )
