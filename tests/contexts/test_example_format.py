"""Examples on one line are the tokens that the line has as one text."""

from __future__ import annotations

import pytest

from contextune.contexts.example_format import lay, sizes
from contextune.contexts.strategies import Similar
from contextune.core.encoding import encode
from contextune.core.sequence import Record, Segment
from contextune.models import load_tokenizer
from contextune.worlds import pocket

TOLD = [Record(f"r{i}", (Segment(s, "target"),)) for i, s in enumerate(("Lewo is wider than Zuku.", "Taso is calm."))]


@pytest.fixture(scope="module")
def words():
    return load_tokenizer(str(pocket.path()))


@pytest.mark.parametrize(("joining", "ending"), [(" ", "\n"), ("\n", None), (" and  ", "\n\n"), ("", "\n")])
def test_segments_are_tokenised_as_the_line_is(words, joining, ending):
    style = Similar(separator=joining, ending=ending)
    made = lay(TOLD, style)
    line = joining.join(r.target for r in TOLD) + (joining if ending is None else ending)
    assert "".join(s.text for s in made) == line
    assert [i for s in made for i in encode(s.text, words)] == encode(line, words)
    assert all(len(encode(s.text, words)) <= sizes(r, style, words) for s, r in zip(made, TOLD, strict=True))


def test_golden(words):
    style = Similar(separator=" ", ending="\n")
    assert [s.text for s in lay(TOLD, style)] == ["Lewo is wider than Zuku.", " Taso is calm.\n"]
    style = Similar(separator=" ", ending="\n", loss="all")
    assert [(s.text, s.role) for s in lay(TOLD, style)] == [
        ("Lewo is wider than Zuku.", "target"), (" Taso is calm.", "target"), ("\n", "context")
    ]  # fmt: skip
