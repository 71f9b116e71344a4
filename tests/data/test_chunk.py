from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.core.encoding import encode
from contextune.core.errors import UserError
from contextune.data import sentences
from contextune.data.chunking import chunk
from contextune.data.sentences import Borders, borders
from tests.data.conftest import SENTENCES, Slow, build

BPE = build("</s>")
TOKENIZERS = {"fast": BPE, "slow": Slow()}

pieces_of_text = st.sampled_from(
    [
        *SENTENCES,
        " ",
        "\n\n",
        "\n",
        "\t",
        "Dr. Lee et al. (2003) say so. ",
        "a" * 90,
        "é",
        "日本語。",
        "🙂",
        "12. ",
        "x.",
        "  ",
    ]
)
texts = st.one_of(
    st.lists(pieces_of_text, max_size=30).map("".join),
    st.text(st.characters(codec="utf-8"), max_size=300),
)


def squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=150, deadline=None)
@given(text=texts, budget=st.integers(4, 40))
def test_every_character_once_and_every_piece_within_the_budget(name, text, budget):
    tokenizer = TOKENIZERS[name]
    pieces = chunk(text, tokenizer, budget)
    at = 0
    for piece in pieces:
        assert piece == piece.strip() != ""
        assert 1 <= len(encode(piece, tokenizer)) <= budget
        begin = text.index(piece, at)
        assert not text[at:begin].strip(), "only white space is left out, and only at seams"
        at = begin + len(piece)
    assert not text[at:].strip()


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=30), budget=st.integers(16, 90))
def test_pieces_are_filled_greedily_and_end_where_sentences_end(parts, budget):
    assert max(len(encode(s, BPE)) for s in SENTENCES) <= 16
    pieces = chunk(" ".join(parts), BPE, budget)
    at = 0
    for piece, following in pairwise([*pieces, ""]):
        held = next(n for n in range(1, len(parts) + 1) if " ".join(parts[at : at + n]) == piece)
        at += held
        if following:
            assert len(encode(f"{piece} {parts[at]}", BPE)) > budget, "one more sentence would have fitted"
    assert at == len(parts)


def test_golden_pieces():
    text = "  Dr. Lee saw it. The cell grows!  \n\nNo. He left."
    assert chunk(text, BPE, 500) == [text.strip()]
    whole = [len(encode(s, BPE)) for s in ("Dr. Lee saw it.", "The cell grows!", "No. He left.")]
    assert chunk(text, BPE, max(whole)) == ["Dr. Lee saw it.", "The cell grows!", "No. He left."]


def test_a_long_sentence_is_cut_between_words():
    pieces = chunk("the cell makes proteins and the cell makes energy and the nucleus holds it all", BPE, 6)
    assert len(pieces) > 2
    assert " ".join(pieces) == "the cell makes proteins and the cell makes energy and the nucleus holds it all"


def test_a_long_word_is_cut_between_characters_of_many_bytes():
    assert chunk("🙂🙂🙂🙂🙂", BPE, 8) == ["🙂🙂", "🙂🙂", "🙂"]  # four bytes each, no merges


def test_a_character_beyond_the_budget():
    with pytest.raises(UserError, match=r"'🙂' at position 4 needs 4 tokens, the chunk has 3"):
        chunk("the 🙂", BPE, 3)


def test_characters_without_a_token():
    from tokenizers import normalizers

    stripping = build("</s>")
    stripping.backend_tokenizer.normalizer = normalizers.Replace("\u200d", "")
    assert chunk("a\u200db", stripping, 8) == ["a\u200db"]
    with pytest.raises(UserError, match="has no token in this tokenizer"):
        chunk("\u200d", stripping, 8)


def test_empty_text_and_empty_budget():
    assert chunk(" \n ", BPE, 8) == []
    with pytest.raises(UserError, match="a chunk of 0 tokens"):
        chunk("text", BPE, 0)


def test_windows_of_a_long_text_leave_no_trace():
    """Offsets are found 50,000 characters at a time; the pieces must not show where."""
    text = " ".join(SENTENCES * 600)
    pieces = chunk(text, BPE, 100)
    assert squeeze("".join(pieces)) == squeeze(text)
    lengths = [len(encode(p, BPE)) for p in pieces[:-1]]
    assert min(lengths) > 60, "a window's seam cut a piece short"


@pytest.mark.parametrize("text", ["x" * 1_000_000, "word " * 200_000, "。" * 200_000], ids=["word", "words", "stops"])
def test_a_text_without_sentences_takes_seconds_not_minutes(text):
    begin = time.process_time()
    assert squeeze("".join(chunk(text, BPE, 2000))) == squeeze(text)
    assert time.process_time() - begin < 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.", ["One. ", "Two."]),
        ("Dr. Lee vs. Fig. 3, e.g. A, agrees. So do I.", ["Dr. Lee vs. Fig. 3, e.g. A, agrees. ", "So do I."]),
        ("Smith et al. (2003) found it. J. Doe did not.", ["Smith et al. (2003) found it. ", "J. Doe did not."]),
        ("It rose by 3.5 %. Then it fell.", ["It rose by 3.5 %. ", "Then it fell."]),
        ('He said "Stop!" Then he left.', ['He said "Stop!" ', "Then he left."]),
        ("Really?! Yes… Well.", ["Really?! ", "Yes… ", "Well."]),
        ("A heading\n\nthe text", ["A heading\n\n", "the text"]),
        ("[12:00] <a> hi\n[12:01] <b> ho", ["[12:00] <a> hi\n", "[12:01] <b> ho"]),
        ("a line wrapped\nwithin a sentence", ["a line wrapped\nwithin a sentence"]),
        ("1. First point\n2. Second point", ["1. First point\n", "2. Second point"]),
        ("That was 1999. The next year came.", ["That was 1999. ", "The next year came."]),
        ("他来了。我走了！", ["他来了。", "我走了！"]),
        ("वह आया। मैं गया।", ["वह आया। ", "मैं गया।"]),
        ("", [""]),
    ],
)
def test_where_sentences_end(text, expected):
    ends = borders(text)
    assert [text[a:b] for a, b in pairwise([0, *ends])] == expected


@settings(max_examples=200, deadline=None)
@given(text=texts)
def test_sentences_joined_are_the_text(text):
    ends = borders(text)
    assert ends == sorted(set(ends))
    assert ends[-1] == len(text)


SEAMS = ["approx", "dr", "J", "12", "\n", "\n\n", " ", ". ", ".", "! ", "。", "」", "a", "Zebra", "é", "...", '"', "\r"]


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(st.sampled_from(SEAMS), max_size=30),
    step=st.integers(1, 12),
    places=st.tuples(*[st.integers(0, 60)] * 2),
)
def test_the_last_borders_of_a_part_are_those_of_the_text(parts, step, places):
    text = "".join(parts)
    begin, end = sorted(min(p, len(text)) for p in places)
    before, sentences._STEP = sentences._STEP, step
    try:
        assert list(Borders(text).back(begin, end)) == [b for b in reversed(borders(text)) if begin < b <= end]
    finally:
        sentences._STEP = before


@pytest.mark.parametrize("run", [".", "! ", "。"])
def test_a_text_of_marks_alone_is_cut_as_fast(run):
    began = time.process_time()
    assert "".join(chunk(run * 50_000, BPE, 64)).replace(" ", "") == run.strip() * 50_000
    assert time.process_time() - began < 10
