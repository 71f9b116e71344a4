"""Edited contexts that a model invents: what is asked, what is believed, what stands where."""

from __future__ import annotations

import pytest

from contextune.contexts import parse
from contextune.contexts.editing.model_edits import framed, understood
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey
from contextune.generation.stored_writer import StoredWriter
from contextune.worlds.making import pair
from tests.generation.fake import Fake

BOOKS = {
    "The Trial": "Kafka",
    "Emma": "Austen",
    "Ulysses": "Joyce",
    "Nana": "Zola",
    "Walden": "Thoreau",
    "Amerika": "Kafka",
}
ROWS = tuple(pair(f"r{i}", f"Who wrote {book}?", f" {who}.") for i, (book, who) in enumerate(BOOKS.items()))


def invent(request) -> str:
    book = request.prompt.split("?")[0].removeprefix("Who wrote ")
    return "I cannot." if book == "Nana" else f"statement: {book} was written by Robert Walser.\nanswer: Robert Walser."


def bound(tokenizer, answer, tmp_path, rows=ROWS):
    engine = Fake(answer)
    options = {"share": 1.0, "k": 3, "max_random_similarity": None, "similarity": "overlap"}
    policy = parse({"policy": "counterfactual", "editor": "model", **options})
    writer = StoredWriter(lambda: engine, tmp_path / "store.sqlite", tokenizer)
    return policy.bind(BindContext(tokenizer, rows, writer=writer)), engine


def test_the_statement_stands_before_the_new_answer(tokenizer, tmp_path):
    context, engine = bound(tokenizer, invent, tmp_path)
    assert [r.source for r in engine.asked] == [r.id for r in reversed(ROWS)]
    assert " Kafka." in engine.asked[-1].prompt
    for seed in range(8):
        drawn = context.draw(ROWS[0], DrawKey(seed, 0))
        told = "".join(s.text for s in drawn.segments)
        assert "The Trial was written by Robert Walser." in told
        assert told.count("Who wrote") == 2, "two other examples, as they are"
        assert "Kafka" not in told
        assert [(s.text, s.role) for s in drawn.record.segments] == [
            ("Who wrote The Trial?", "context"),
            (" Robert Walser.", "target"),
        ]
    _, again = bound(tokenizer, invent, tmp_path)
    assert len(again.asked) == 0, "kept in the store"


def test_a_row_without_an_invention_is_left_alone(tokenizer, tmp_path):
    context, _ = bound(tokenizer, invent, tmp_path)
    drawn = context.draw(ROWS[3], DrawKey(0, 0))
    assert (drawn.segments, drawn.record) == ((), None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Robert Walser",
        "statement: Walser wrote it.",
        "statement: Walser wrote it.\nanswer:",
        "statement: Walser wrote it.\nanswer: Kafka.",
        "statement: Kafka wrote it.\nanswer: kafka",
        "statement: Walser wrote it, not Kafka.\nanswer: Walser",
        "statement: He wrote it.\nanswer: Walser",
        "Sure!\nstatement: Walser wrote it.\nanswer: Walser",
    ],
)
def test_what_is_not_believed(text):
    assert understood(text, " Kafka.") is None


def test_what_is_believed():
    assert understood("Statement: Walser wrote it.\n\nanswer: Walser.\n", " Kafka.") == ("Walser wrote it.", "Walser")


@pytest.mark.parametrize(("target", "made"), [(" Kafka.", " Walser."), ("Kafka", "Walser"), ("  Kafka\n", "  Walser")])
def test_the_frame_of_an_answer_is_kept(target, made):
    assert framed("Walser", target) == made


def test_no_writer_and_no_invention(tokenizer, tmp_path):
    policy = parse({"policy": "counterfactual", "editor": "model", "similarity": "overlap"})
    with pytest.raises(UserError, match="needs a writer"):
        policy.bind(BindContext(tokenizer, ROWS))
    with pytest.raises(UserError, match="of 6 answers of the writer none"):
        bound(tokenizer, lambda r: "I cannot.", tmp_path)
