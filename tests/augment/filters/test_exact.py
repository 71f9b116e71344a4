"""Truths written by hand, in every relation of the language."""

from __future__ import annotations

import pytest

from contextune.augment.filters.exact import account, known, measure, statements, verdict
from contextune.worlds import build, language
from contextune.worlds.language import Fact
from tests.augment.filters.made import context, judge, made, record

BY_HAND = {  # told: (follows, ...), (its contrary follows, ...), (open, ...)
    "Kalo is the painter of the silver bridge.": (
        ["the painter of the silver bridge is called Kalo.", "Kalo is known as the painter of the silver bridge."],
        [],
        ["Mido is the painter of the silver bridge.", "Kalo is the owner of the silver bridge."],
    ),
    "Kalo has a long red tail.": (
        ["a long red tail belongs to Kalo.", "a long red tail is found on Kalo.", "Kalo comes with a long red tail."],
        [],
        ["a long red tail belongs to Mido.", "Kalo has a round red tail."],
    ),
    "Kalo is a kind of Mido.": (
        ["one kind of Mido is Kalo.", "Mido includes Kalo.", "Kalo counts as Mido."],
        [],
        ["Mido is a kind of Kalo.", "Kalo includes Mido."],
    ),
    "Kalo lives in Mido.": (
        ["Mido is the home of Kalo.", "in Mido lives Kalo.", "the home of Kalo is Mido."],
        [],
        ["Mido lives in Kalo.", "Kalo is the home of Mido."],
    ),
    "Kalo means Mido.": (
        ["Mido is meant by Kalo.", "the word for Mido is Kalo.", "the meaning of Kalo is Mido."],
        [],
        ["Mido means Kalo.", "Kalo is meant by Mido."],
    ),
    "all Kalo are Mido.": (
        ["Mido include all Kalo.", "every Kalo is Mido.", "Mido include every Kalo."],
        [],
        ["all Mido are Kalo.", "some Kalo are Mido.", "Kalo include all Mido."],
    ),
    "some Kalo are Mido.": (
        ["some Mido are Kalo.", "at least one Mido is Kalo."],
        ["no Kalo are Mido.", "not one Mido is Kalo."],
        ["all Kalo are Mido."],
    ),
    "no Kalo are Mido.": (
        ["no Mido are Kalo.", "not one Kalo is Mido."],
        ["some Mido are Kalo.", "at least one Kalo is Mido."],
        ["all Kalo are Mido.", "all Kalo are Rune."],
    ),
    "Kalo is brighter than Mido. Mido is brighter than Rune.": (
        ["Rune is less bright than Kalo.", "Rune is not as bright as Mido.", "Kalo is more bright than Rune."],
        ["Rune is brighter than Kalo.", "Kalo is less bright than Mido."],
        ["Kalo is heavier than Mido.", "Kalo is brighter than Lane."],
    ),
    "all Kalo are Mido. no Mido are Rune.": (["no Kalo are Rune.", "conclude about Kalo and Rune: no Kalo are Rune."],
        ["some Kalo are Rune."], ["all Mido are Kalo."]),
}  # fmt: skip
VERBS = {
    "teaches": "taught", "helps": "helped", "feeds": "fed", "follows": "followed", "visits": "visited",
    "trusts": "trusted", "guards": "guarded", "heals": "healed", "hires": "hired", "praises": "praised",
    "thanks": "thanked", "leads": "led", "calls": "called", "pays": "paid", "admires": "admired",
    "rescues": "rescued", "chases": "chased", "finds": "found", "greets": "greeted", "trains": "trained",
}  # fmt: skip
ADJECTIVES = {
    "bright": "brighter", "heavy": "heavier", "tall": "taller", "fast": "faster", "loud": "louder", "warm": "warmer",
    "old": "older", "strong": "stronger", "sweet": "sweeter", "deep": "deeper", "wide": "wider", "sharp": "sharper",
    "soft": "softer", "rich": "richer", "calm": "calmer", "clean": "cleaner", "thick": "thicker", "hard": "harder",
    "smooth": "smoother", "long": "longer", "large": "larger", "high": "higher", "new": "newer", "dark": "darker",
    "round": "rounder", "wet": "wetter", "rare": "rarer", "proud": "prouder",
}  # fmt: skip


@pytest.mark.parametrize("told", BY_HAND)
def test_every_relation(told):
    for expected, texts in zip(("right", "wrong", "open"), BY_HAND[told], strict=True):
        assert {t: verdict(t, known([told])) for t in texts} == dict.fromkeys(texts, expected)


def test_every_verb():
    assert len(VERBS) == len(language.VERBS)
    for third, participle in VERBS.items():
        knowledge = known([f"people say that Kalo {third} Mido."])
        right = [
            f"Mido is {participle} by Kalo.",
            f"the one that {third} Mido is Kalo.",
            f"the one that Kalo {third} is Mido.",
        ]
        assert [verdict(t, knowledge) for t in right] == ["right"] * 3
        assert verdict(f"Kalo is {participle} by Mido.", knowledge) == "open"
        assert verdict(f"Mido {third} Kalo.", knowledge) == "open"


def test_every_comparison():
    assert len(ADJECTIVES) == len(language.COMPARATIVES)
    for plain, more in ADJECTIVES.items():
        knowledge = known([f"Mido is not as {plain} as Kalo."])
        assert verdict(f"Kalo is {more} than Mido.", knowledge) == "right"
        assert verdict(f"Mido is less {plain} than Kalo.", knowledge) == "right"
        assert verdict(f"Mido is {more} than Kalo.", knowledge) == "wrong"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "unread"),
        ("this is nothing.", "unread"),
        ("question: who is brighter than Mido? answer: Kalo.", "unread"),  # the language asks "what"
        ("question: what is brighter than Mido? answer: Kalo.", "right"),
        ("question: what is brighter than Kalo? answer: Mido.", "wrong"),
        ("Mido is less bright than Kalo. Kalo teaches Mido.", "open"),
        ("Mido is less bright than Kalo. Mido is brighter than Kalo.", "wrong"),
        ("some say that Mido is less bright than Kalo. so it is.", "right"),
    ],
)
def test_verdicts(text, expected):
    assert verdict(text, known(["Kalo is brighter than Mido."])) == expected


def test_what_cannot_be_judged_is_open():
    chain = known(["all Kalo are Mido. all Mido are Rune. all Rune are Lane. all Lane are Sire."])
    assert verdict("all Kalo are Sire.", chain) == "open"
    assert verdict("all Kalo are Mido.", known(["some Kalo are Mido. no Kalo are Mido."])) == "open"


def test_a_statement_has_a_side():
    fact = Fact("bright", "Kalo", "Mido")
    assert list(statements("Kalo is brighter than Mido. Mido is less bright than Kalo.")) == [
        (fact, "Kalo"),
        (fact, "Mido"),
    ]
    assert list(statements("question: what is brighter than Mido? answer: Kalo.")) == [(fact, "Mido")]


def test_precision_and_recall_by_operation():
    records = [record("a", "note that Kalo is brighter than Mido."), record("b", "Rune is older than Lane.")]
    wanted = [record("x", "Mido is less bright than Kalo."), record("y", "Lane is less old than Rune.")]
    texts = [
        made("Mido is less bright than Kalo."),
        made("Mido is not as bright as Kalo."),
        made("Lane is older than Rune."),
        made("Kalo is old"),
        made("Kalo is more bright than Mido.", operation="rephrase/1"),
    ]
    found = measure(texts, records, wanted)
    counts = {"made": 4, "right": 2, "wrong": 1, "open": 0, "unread": 1}
    assert found["reversal/1"] == {**counts, "precision": 0.5, "wanted": 2, "found": 1, "recall": 0.5}
    assert found["rephrase/1"]["precision"] == 1.0
    assert found["rephrase/1"]["recall"] == 0.0, "a copy of what was told is no reversal of it"
    assert (found["all"]["precision"], found["all"]["recall"]) == (0.6, 0.5)
    assert account(texts, texts[:2], records, wanted)["kept"]["all"]["precision"] == 1.0
    assert measure([], records)["all"] == {
        "made": 0, "right": 0, "wrong": 0, "open": 0, "unread": 0, "precision": None,
        "wanted": 0, "found": 0, "recall": None,
    }  # fmt: skip


def test_the_oracle_of_a_world_is_right_and_all_of_it():
    for name in ("reversals", "syllogisms", "semantic"):
        world = build(name, size="small")
        texts = [made("".join(s.text for s in r.segments)) for r in world.records["oracle"]]
        found = measure(texts, world.records["train"], world.records["oracle"])["all"]
        assert (found["precision"], found["recall"]) == (1.0, 1.0), name


def test_the_filter():
    texts = [made("Mido is less bright than Kalo."), made("Mido is brighter than Kalo."), made("Kalo is old"),
             made("Rune is less old than Lane.")]  # fmt: skip
    on = context("Kalo is brighter than Mido.", "Lane is older than Rune.")
    assert judge("exact", texts, on) == ["", "its contrary follows", "states nothing", ""]
    assert judge("exact", texts, on, given="source")[3] == "does not follow"
