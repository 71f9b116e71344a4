from __future__ import annotations

import pytest

from tests.augment.filters.made import judge, made

BIO = "The cell (a small unit) makes ATP."
STAY = [
    ("Mido is less bright than Kalo.", {}),
    ("of course, Mido is less bright than Kalo.", {}),  # an opening of the pocket's language, no chatter
    ("Here is where ATP comes from, and why.", {"source": BIO}),
    ("It said “yes” and stopped.", {"source": BIO}),
    ("Er sagte „ja“ und ging.", {"source": BIO}),
    ("It has two parts: a) the core and b) the shell.", {"source": BIO}),
    ("If a < b and c > d, then ATP falls.", {"source": BIO}),
    ("Kalo", {"prompt": "question: who is brighter? answer:"}),
    ("3.5", {"prompt": "How many?"}),
    ("no stop", {"source": "a title"}),
    ("- ATP is made.", {"source": "- the cell makes ATP."}),
    ("[0, 1) is half open", {"source": "the interval [0, 1) is half open"}),
    ("细胞产生能量。", {"source": BIO}),
    ('He asked "why?"', {"source": BIO}),
    ("The input of a cell: glucose.", {"source": BIO}),
]
GO = [
    ("", {}, "empty"),
    (" \n ", {}, "empty"),
    ("...---...", {}, "no letters"),
    ("42", {}, "no letters"),
    ("Sure, here is the reversal: Mido is less bright than Kalo.", {}, "template residue"),
    ("Sure! Here's one. Mido is.", {}, "template residue"),
    ("Here are two sentences: Mido is less bright.", {}, "template residue"),
    ("As an AI language model I cannot say.", {}, "template residue"),
    ("I'm sorry, but I cannot do that.", {}, "template residue"),
    ("{sentence} is less bright.", {}, "template residue"),
    ("[Insert name] is less bright.", {}, "template residue"),
    ("<|im_start|>Mido is less bright.", {}, "template residue"),
    ("### Response: Mido is less bright.", {}, "template residue"),
    ("reversal: Mido is less bright than Kalo.", {}, "template residue"),
    ("Mido is less bright (than Kalo.", {}, "unbalanced brackets or quotes"),
    ("Mido is less bright) than (Kalo.", {}, "unbalanced brackets or quotes"),
    ('Mido is "less bright than Kalo.', {}, "unbalanced brackets or quotes"),
    ("Mido is less bright than", {}, "cut mid-sentence"),
    ("<b>Mido</b> is less bright.", {}, "markup that its source lacks"),
    ("**Mido** is less bright.", {}, "markup that its source lacks"),
    ("1. Mido is less bright.\n2. Kalo is bright.", {}, "markup that its source lacks"),
    ('{"text": "Mido is less bright."}', {}, "markup that its source lacks"),
    ("```\nMido is less bright.\n```", {}, "markup that its source lacks"),
    ("\\textbf{Mido} is less bright.", {}, "markup that its source lacks"),
    ("| Mido | Kalo |", {}, "markup that its source lacks"),
]


@pytest.mark.parametrize(("text", "given"), STAY)
def test_stays(text, given):
    assert judge("malformed", [made(text, **given)]) == [""]


@pytest.mark.parametrize(("text", "given", "reason"), GO)
def test_goes(text, given, reason):
    assert judge("malformed", [made(text, **given)]) == [reason]


def test_full_stops_need_not_be_asked_for():
    assert judge("malformed", [made("Mido is less bright than")], ends=False) == [""]
