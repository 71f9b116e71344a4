"""General text holds nothing that a test asks, whatever the seeds."""

from __future__ import annotations

import re

import pytest

from contextune import worlds
from contextune.data.contamination import overlap
from contextune.worlds import language
from contextune.worlds.general import held_out
from contextune.worlds.pocket import corpus
from contextune.worlds.pocket.english import WORDS

NAMES = ("cipher", "descriptions", "reversals", "semantic", "slots", "study", "syllogisms")
SEEDS = (0, 1, 7)


@pytest.fixture(scope="module")
def replayed():
    """General texts of several seeds and sizes."""
    made = [worlds.build("general", size="small", seed=seed) for seed in SEEDS]
    made.append(worlds.build("general", seed=3, rows=1500))
    return [(f"{i}:{r.id}", r.text) for i, w in enumerate(made) for r in w.records["train"]]


@pytest.mark.parametrize("name", [*NAMES[:2], *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES[2:])])
def test_no_test_item_stands_in_general_text(replayed, name):
    """Every task, what is retained included: what is asked, alone and behind its context."""
    made = [worlds.build(name, size="small", seed=seed) for seed in SEEDS]
    items = [
        (f"{i}:{task.name}:{item.id}", f"{prompt} {item.gold.strip()}")
        for i, world in enumerate(made)
        for task in world.tasks.values()
        for item in task.items
        for prompt in (item.prompt, item.prompt.rpartition("\n")[2])
    ]
    found = overlap(replayed, items)
    assert found.checked > 500
    assert found.hits == ()


def test_names_of_tests_stand_in_no_general_text(replayed):
    names = {name for _, text in replayed for name in re.findall(r"\b[A-Z][a-z]+", text)}
    assert len(names) > 1000
    names -= {word.capitalize() for word in WORDS}  # which begin a preface: "Life", "Note"
    assert not names & set(language.all_names(True))


def test_common_facts_are_halved_by_pair():
    tests, replay = (language.common_facts(part) for part in ("tests", "replay"))
    assert sorted(tests + replay) == sorted(language.common_facts())
    assert 0.4 < len(tests) / len(language.common_facts()) < 0.6
    words = [
        {w for pair in part for w in re.findall(r"\w+", f"{pair[0].replace('the', '')} {pair[1]}")}
        for part in (tests, replay)
    ]
    shared = {"opposite", "of", "is", "question", "what", "answer", "word", "names", "a", "sort", "thing"}
    assert words[0] & words[1] <= shared


def test_general_text_asks_in_no_form_that_is_held_out(replayed):
    said = "\n".join(text for _, text in replayed)
    assert "is it true" not in said
    assert "the opposite of" in said


def test_what_is_held_out():
    common = language.common_facts("tests")[0]
    assert held_out(f"\n{common[0]}", common[1])
    assert held_out(*language.verify("Kalo teaches Mido", False))
    assert held_out("\ninput: send Kalo to Mido by Rune at Seke output:", " [send Kalo, to Mido, by Rune, at Seke].")
    assert not held_out("\ninput: send Kalo to Mido by Rune output:", " [send Kalo, to Mido, by Rune].")
    assert not held_out(*language.common_facts("replay")[0])
    assert not held_out("Kalo teaches", " Mido.")


def test_pretraining_is_as_it_was():
    """The shipped model's documents hold all of the common facts and all forms."""
    said = "\n".join(corpus.document(0, i, only="known").text for i in range(60))
    assert any(f"{p}{a}" in said for p, a in language.common_facts("tests"))
    assert set(corpus.WRITERS) >= {"checks", "openings"}
