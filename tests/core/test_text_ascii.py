"""What is quicker for ASCII is what it is for all texts."""

from __future__ import annotations

import random

from contextune.core import text


def test_short_cuts_change_nothing():
    rng = random.Random(1)
    for _ in range(400):
        said = "".join(rng.choices([*map(chr, range(128)), " ", "a.", " , "], k=rng.randint(0, 40)))
        plain = " ".join(text.visible(said).casefold().split())
        assert text.normal(said) == plain
        assert text.key(said) == text._GAP.sub("", plain)
        assert text.units(said) == text._UNIT.findall(plain) == text._ASCII.findall(plain)


def test_units_of_parts_are_those_of_the_whole():
    rng = random.Random(2)
    letters = [*"ab1 .,中文ไทé", "e\u0301", "\u0301", "\u0b95\u0bcd", " \u0301", "½", "ﬁ", "\u200b", "\u00a0", "\u00b4"]
    for _ in range(600):
        said = "".join(rng.choices(letters, k=rng.randint(0, 30)))
        folded = text.normal(said)
        assert text.units(said) == (text._ASCII if folded.isascii() else text._UNIT).findall(folded)
