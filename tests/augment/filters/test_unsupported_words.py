from __future__ import annotations

import pytest

from tests.augment.filters.made import context, judge, made

CELLS = "As previously described, Itpr1 is highly expressed in the Purkinje cells."


@pytest.mark.parametrize(
    ("text", "source", "goes"),
    [
        ("The Purkinje cells express Itpr1 highly.", CELLS, False),
        ("The Purkinje cells are found in the brain.", CELLS, True),
        ("The Roman numeral system is based on the Roman numeral system.", CELLS, True),
        ("Glimmer sand is lighter than brannock stone.", "Brannock stone is heavier than glimmer sand.", False),
        ("It is not so.", CELLS, False),
        ("", CELLS, False),
    ],
)
def test_unsupported_words(text, source, goes):
    reason = "words that its sources lack" if goes else ""
    assert judge("unsupported_words", [made(text, source)], context(source)) == [reason]


def test_what_was_read_and_the_share():
    text = made("The Purkinje cells are found in the brain.", CELLS, read="They were found in its brain.")
    assert judge("unsupported_words", [text]) == [""]
    text = made("The Purkinje cells are found in the brain.", CELLS)
    assert judge("unsupported_words", [text], share=0.5) == [""]
    assert judge("unsupported_words", [made("The cells glow.", CELLS)], share=0) == ["words that its sources lack"]
