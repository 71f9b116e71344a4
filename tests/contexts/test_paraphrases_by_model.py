"""Paraphrases whose answers a model infers: what it is asked, what is believed, what stands in the context."""

from __future__ import annotations

import random

import pytest

from contextune import worlds
from contextune.contexts import parse
from contextune.contexts.paraphrases import fits
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey
from contextune.generation.stored_writer import StoredWriter
from contextune.retrieval import given
from tests.generation.fake import Fake


@pytest.fixture(scope="module")
def slots():
    return worlds.build("slots", size="small").records["train"][:24]


def in_order(request) -> str:
    """Answers by the order that the shown example has, as a model that reads its context does."""
    shown, asked = request.prompt.split("\n")
    words, answer = shown.split(" output: [")
    old, new = words.split()[1:], asked.removesuffix(" output:").split()[1:]
    parts = [" ".join(old[i : i + 2]) for i in (0, 2, 4)]
    order = [parts.index(part) for part in answer.removesuffix("].").split(", ")]
    return " [" + ", ".join(" ".join(new[2 * i : 2 * i + 2]) for i in order) + "]."


def bound(tokenizer, slots, answer, tmp_path):
    engine = Fake(answer)
    policy = parse({"policy": "paraphrase_only", "paraphrases": "model", "answers": "same", "similarity": "overlap"})
    writer = StoredWriter(lambda: engine, tmp_path / "store.sqlite", tokenizer)
    return policy.bind(BindContext(tokenizer, slots, writer=writer)), engine


def test_each_row_is_shown_and_a_changed_input_asked(tokenizer, slots, tmp_path):
    context, engine = bound(tokenizer, slots, in_order, tmp_path)
    assert len(engine.asked) == len(slots)
    rows = {given(row) + row.target: row for row in slots}
    for request in engine.asked:
        shown, asked = request.prompt.split("\n")
        row = rows.pop(shown)
        assert sum(a != b for a, b in zip(asked.split(), given(row).split(), strict=True)) == 1
    for row in slots:
        drawn = context.draw(row, DrawKey(0, 0))
        assert drawn.provenance["slot_one"] == "paraphrase"
        made = context.paraphraser.of(row, random.Random(0))
        assert made.target != row.target
        assert made.target.strip(" [].").split(", ")[0].split()[0] == row.target.strip(" [].").split(", ")[0].split()[0]
    _, again = bound(tokenizer, slots, in_order, tmp_path)
    assert not again.asked, "kept in the store"


@pytest.mark.parametrize("answer", ["", " [nothing].", " [to Mido, send Kalo, for Rune, at Sede]."])
def test_an_answer_of_another_form_is_left_out(tokenizer, slots, tmp_path, answer):
    context, _ = bound(tokenizer, slots, lambda r: answer, tmp_path)
    assert all(context.paraphraser.of(row, random.Random(0)) is None for row in slots)
    assert context.draw(slots[0], DrawKey(0, 0)).provenance["slot_one"] == "similar"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("[to Rune, send Kalo].", True),
        ("[to Mido, send Kalo].", False),
        ("[to Rune, send Mido].", False),
        ("[to Rune].", False),
    ],
)
def test_the_form_of_an_answer(text, right):
    assert fits(text, "[to Mido, send Kalo].", "Mido", "Rune") is right


def test_it_needs_a_writer(tokenizer, slots):
    policy = parse({"policy": "contrastive", "paraphrases": "model", "similarity": "overlap"})
    with pytest.raises(UserError, match="model needs a writer"):
        policy.bind(BindContext(tokenizer, slots))


@pytest.mark.parametrize(("grades", "slot"), [(["medium"], "similar"), (["high"], "random")])
def test_a_neighbour_of_another_grade_is_not_shown(tokenizer, grades, slot):
    """The nearest of r0 shares one of its two words."""
    from tests.contexts.test_examples import PAIRS

    policy = {"policy": "neighbour_only", "k": 2, "similarity": "overlap", "grades": grades}
    drawn = parse(policy).bind(BindContext(tokenizer, tuple(PAIRS))).draw(PAIRS[0], DrawKey(0, 0))
    assert drawn.provenance["slot_one"] == slot
    assert ("r1" in drawn.provenance["examples"]) == (slot == "similar")
