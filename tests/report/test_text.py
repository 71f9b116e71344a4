from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from contextune.report.text import pieces, safe, shown


def test_by_hand() -> None:
    assert pieces("a b  c\n\n d") == [
        ("text", "a"),
        ("space", "·"),
        ("text", "b"),
        ("space", "··"),
        ("text", "c"),
        ("line", "⏎"),
        ("line", "⏎"),
        ("space", "·"),
        ("text", "d"),
    ]
    assert safe("a\r\nb\rc\td\x00\x85\ud83d") == "a\nb‹U+000D›c\td‹U+0000›‹U+0085›\ufffd"
    assert shown("a\tb\u200b\u2066") == "a⇥b‹U+200B›‹U+2066›"
    assert safe("\u200fשלום\u200e 👩\u200d🔬") == "\u200fשלום\u200e 👩\u200d🔬"


@given(st.text(st.characters()))
def test_what_is_left_can_be_written_and_acts_on_nothing(text: str) -> None:
    for made in (safe(text), shown(text)):
        made.encode("utf-8")
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", made)
    assert "".join(piece for _, piece in pieces(text)) == shown(text).replace(" ", "·").replace("\n", "⏎")
