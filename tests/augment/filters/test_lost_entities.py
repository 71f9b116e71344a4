from __future__ import annotations

import pytest

from contextune.augment.filters.lost_entities import LostEntities
from tests.augment.filters.made import context, judge, made

TOLD = "Alden Ashcombe created the Glass Lantern of Bexmoor in 1987."


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("The Glass Lantern of Bexmoor was created in 1987 by Alden Ashcombe.", ""),
        ("The Glass Lantern of Bexmoor is Alden Ashcombe's creation of 1987.", ""),
        ("The Glass Lantern of Bexmoor was created by Alden Ashcombe.", "1987"),
        ("The Glass Lantern of Bexmoor is the creator of the Glass Lantern of Bexmoor.", "Alden, Ashcombe, 1987"),
        ("Alden Ashcombe is a creation of Alden Ashcombe in 1987.", "Glass, Lantern, Bexmoor"),
        ("", "Alden, Ashcombe, Glass, Lantern, Bexmoor, 1987"),
    ],
)
def test_what_a_text_leaves_out(text, lost):
    reason = f"lacks what its passage names: {lost}" if lost else ""
    assert LostEntities().bind(context(TOLD))([made(text, TOLD)]) == [reason]


def test_some_may_be_allowed_and_common_words_are_no_names():
    praised = [made("Mido was praised.", "Yesterday Kalo praised Mido.")]
    assert judge("lost_entities", praised, context("it came yesterday."), allowed=1) == [""]
    assert judge("lost_entities", praised, context("it came yesterday.")) == ["lacks what its passage names"]
    assert judge("lost_entities", [made("a lamp is bright.", "The lamp is bright.")], context("The lamp.")) == [""]
    assert judge("lost_entities", [made("It costs 1000.", "It costs 1,000.")], context("It costs 1,000.")) == [""]
