"""Distractors: what precedes a record looks like it, is about others, and leaves the record as it is."""

from __future__ import annotations

import pytest

from contextune import worlds
from contextune.contexts import parse
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey
from contextune.worlds import solve
from tests.contexts.test_examples_edits import shown


def test_distractors_speak_of_others(tokenizer):
    """The record stands as it is, behind statements of its own form about names that no record has."""
    records = worlds.build("reversals", size="small").records["train"][:60]
    named = {w for r in records for w in (r.fields["a"], r.fields["b"])}
    policy = {"policy": "distractors", "share": 1.0, "k": 3, "max_random_similarity": None, "similarity": "overlap"}
    context = parse(policy).bind(BindContext(tokenizer, tuple(records)))
    for record in records[:20]:
        drawn, again = (context.draw(record, DrawKey(0, 0)) for _ in range(2))
        assert drawn == again
        assert drawn.record is None, "what is learned is not edited"
        assert drawn.provenance["distractors"] == 3
        told = list(solve.read(shown(drawn)))
        assert [f.relation for f in told] == [record.fields["relation"]] * 3
        assert not {x for f in told for x in (f.a, f.b)} & named
        assert sum(len(tokenizer.encode(s.text)) for s in drawn.segments) <= context.showing.most


def test_a_share_of_distractors_is_random_examples(tokenizer):
    records = worlds.build("reversals", size="small").records["train"][:60]
    policy = {"policy": "distractors", "share": 0.5, "k": 4, "max_random_similarity": None, "similarity": "overlap"}
    context = parse(policy).bind(BindContext(tokenizer, tuple(records)))
    drawn = [context.draw(r, DrawKey(s, 0)).provenance for r in records for s in range(5)]
    assert all(len(d["examples"]) == 4 for d in drawn)
    assert 0.45 < sum(d["distractors"] for d in drawn) / (4 * len(drawn)) < 0.55


def test_distractors_need_somebody_else(tokenizer):
    records = worlds.build("slots", size="small").records["train"][:40]
    with pytest.raises(UserError, match=r"context (distractors|counterfactual)"):
        parse({"policy": "distractors", "similarity": "overlap"}).bind(BindContext(tokenizer, tuple(records)))
