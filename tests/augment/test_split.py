"""Sentences: nothing is lost, whatever the text; borders where its author puts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextune.augment.sentence_split import pieces, sentences, untitled
from contextune.core.sequence import Record, Segment, Sequence, render

TEXTS = st.text(st.sampled_from("ab AB.!?\n\t:-é。\"'"), max_size=80)


def text(said: str, ends: bool = True) -> Record:
    return Record("r", (Segment(said, "target"),), "d", ends, "file:1", {"k": 1})


@given(TEXTS)
def test_sentences_joined_are_the_text(said):
    assert "".join(sentences(said)) == said


@given(TEXTS.filter(str.strip))
def test_pieces_hold_all_words_once(said):
    alone = pieces(text(said), "independent")
    assert "".join(" ".join(p.target for p in alone).split()) == "".join(said.split())
    cumulative, learned = pieces(text(said), "cumulative"), pieces(text(said), "cumulative_loss")
    assert len(cumulative) == len(learned) == len(alone)
    assert "".join(p.target for p in cumulative) == said
    for a, b in zip(cumulative, learned, strict=True):
        assert "".join(s.text for s in a.segments) == b.target
    assert learned[-1].target == said


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("A cat. The dog.", ["A cat.", " The dog."]),
        ("did you know that Kalo is up. no Kalo are Mido.", ["did you know that Kalo is up.", " no Kalo are Mido."]),
        ("Kalo is up. the story ends. Mido is.", ["Kalo is up.", " the story ends.", " Mido is."]),
        ("The firm Acme Inc. said so. It fell.", ["The firm Acme Inc. said so.", " It fell."]),
        ("acme Inc. said so", ["acme Inc. said so"]),
        ("The sum is approx. ten. Well.", ["The sum is approx. ten.", " Well."]),
        ("It is e.g. this. Yes!  No.\n", ["It is e.g. this.", " Yes!", "  No.\n"]),
        ("One\n\nTwo", ["One", "\n\nTwo"]),
        ("", [""]),
    ],
)
def test_borders(said, expected):
    assert sentences(said) == expected


def test_ids_ends_and_provenance_of_pieces():
    for split, ends in (
        ("independent", [True, True]),
        ("cumulative", [False, False]),
        ("cumulative_loss", [False] * 2),
    ):
        made = pieces(text("A box. The den.", ends=False), split)
        assert [p.id for p in made] == ["r/0", "r/1"]
        assert [p.ends for p in made] == ends
        assert {(p.document, p.origin, p.fields["k"]) for p in made} == {("d", "file:1", 1)}
    assert [p.ends for p in pieces(text("A box. The den."), "cumulative")] == [False, True]


def test_what_is_not_split():
    pair = Record("p", (Segment("Ant. The bee.", "context"), Segment("Cod. The den.", "target")))
    for split in ("none", "independent", "cumulative"):
        assert pieces(pair, split) == [pair]
    assert pieces(text("only one."), "independent") == [text("only one.")]
    assert pieces(text("A box. The den."), "none") == [text("A box. The den.")]


def test_cumulative_in_tokens(tokenizer):
    """w0 is 8. What precedes is not trained on; an end of text only where the whole text ends."""
    record = text("w0 w1\n\nw2 w3\n\nw4")
    rows = [render(Sequence(p.segments, p.ends), tokenizer) for p in pieces(record, "cumulative")]
    assert [r.ids for r in rows] == [(1, 8, 9), (1, 8, 9, 10, 11), (1, 8, 9, 10, 11, 12, 2)]
    assert [r.labels for r in rows] == [
        (-100, 8, 9), (-100, -100, -100, 10, 11), (-100, -100, -100, -100, -100, 12, 2),
    ]  # fmt: skip
    learned = render(Sequence(pieces(record, "cumulative_loss")[1].segments, False), tokenizer)
    assert learned.labels == (-100, 8, 9, 10, 11)
    alone = render(Sequence(pieces(record, "independent")[1].segments), tokenizer)
    assert (alone.ids, alone.labels) == ((1, 10, 11, 2), (-100, 10, 11, 2))


@pytest.mark.parametrize(
    ("said", "bare"),
    [("about Kalo, Mido: all Kalo are Mido.", "all Kalo are Mido."), ("- Kalo has it.", "Kalo has it."), ("a:", "a:"),
     ("question: who has A? answer: B.", "question: who has A? answer: B."),
     (" Kalo is up. ", "Kalo is up.")],
)  # fmt: skip
def test_titles_are_left_out(said, bare):
    assert untitled(said) == bare
