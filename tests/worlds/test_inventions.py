"""The world in plain English: pure, told from one side, asked in forms that are not trained; its editor."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from contextune import worlds
from contextune.core.errors import UserError
from contextune.worlds import english
from contextune.worlds.english import SIDES, WORDINGS
from contextune.worlds.extensions.inventions import Inventions


@pytest.fixture(scope="module")
def world():
    return worlds.build("inventions", size="small", seed=3)


@pytest.fixture(scope="module")
def editor():
    return Inventions()


def names(text: str) -> set[str]:
    return {f"{first} {last}" for first, last in re.findall(r"([A-Z][a-z]+) ([A-Z][a-z]+)", text)}


def test_a_pure_function_of_its_parameters(world):
    assert worlds.build("inventions", size="small", seed=3) == world
    other = worlds.build("inventions", size="small", seed=4)
    assert {r.text for r in other.records["train"]}.isdisjoint(r.text for r in world.records["train"])
    fewer = worlds.build("inventions", size="small", seed=3, probes=7)
    assert fewer.records == world.records
    assert len(fewer.tasks["listen_story"].items) == 7


def test_five_measures_in_several_forms(world):
    forms = Counter(t.measure for t in world.tasks.values())
    assert set(forms) == {"learn", "generalise", "listen", "resist", "retain", "task"}
    assert forms["listen"] >= 4
    assert forms["resist"] >= 4


def test_items_are_well_formed(world):
    for task in world.tasks.values():
        assert len({i.id for i in task.items}) == len(task.items)
        for item in task.items:
            assert len(set(item.options)) == len(item.options) == 4
            assert all(re.fullmatch(r" [^ ].*[^.]", o) for o in item.options), item.options
            assert item.prompt == item.prompt.strip()
            assert (item.alone is not None) == (task.measure in ("listen", "resist") or "context" in task.name)
            assert item.alone is None or item.prompt.endswith(item.alone)
        places = Counter(i.answer for i in task.items)
        assert max(places.values()) < 0.6 * len(task.items), task.name


def test_no_reversal_stands_in_training(world):
    """Of each fact one side is told, in wordings that the tasks which generalise do not use."""
    train = "\n".join(r.text for r in world.records["train"])
    told = Counter(r.fields["side"] for r in world.records["train"])
    assert set(told) == set(SIDES)
    for task in ("reversal", "reversal_question", "forward"):
        for item in world.tasks[task].items:
            assert item.prompt not in train
            assert f"{item.prompt}{item.gold}" not in train
    for item in world.tasks["recall"].items:
        assert f"{item.prompt}{item.gold}." in train


def test_the_context_alone_answers_where_it_is_to_be_heard(world):
    """It names the right answer; the trained creator is among the wrong ones wherever a trained fact was edited."""
    creators = {r.fields["creator"] for r in world.records["train"]}
    for name in ("listen_edited", "listen_story", "listen_register", "listen_fresh"):
        for item in world.tasks[name].items:
            context = item.prompt.removesuffix(item.alone)
            assert item.gold.strip().lower() in context.lower(), name
            if name != "listen_fresh":
                assert {o.strip() for o in item.options} & creators, name
                assert item.gold.strip() not in creators


def test_the_context_is_no_help_where_it_is_to_be_resisted(world):
    for name in ("resist_lure", "resist_story", "resist_register", "resist_common"):
        for item in world.tasks[name].items:
            context = item.prompt.removesuffix(item.alone)
            assert item.gold.strip().lower() not in context.lower(), name
            if name != "resist_common":
                assert any(o.strip().lower().removeprefix("the ") in context.lower() for o in item.options), name


def test_stories_and_tables_are_forms_that_are_not_trained(world, editor):
    rng = random.Random(0)
    edits = [editor.edit(r, rng) for r in world.records["train"]]
    trained = " ".join([*(r.text for r in world.records["train"]), *(e.telling[0].text for e in edits)])
    for words in ("register", "|", "Chapter", "museum", "Minutes", "market"):
        assert words not in trained


@pytest.mark.parametrize("side", SIDES)
def test_the_editor_reads_every_wording(editor, side):
    fact = english.Invention("Alden Ashcombe", "the Glass Lantern of Bexmoor")
    for wording in range(len(WORDINGS[side])):
        record = worlds.making.text("x", fact.sentence(side, wording))
        assert editor.read(record) == (fact, side)


def test_the_editor_reads_what_a_writer_says_in_its_own_words(editor):
    fact = english.Invention("Alden Ashcombe", "the Glass Lantern of Bexmoor")
    for text, side in (
        ("Alden Ashcombe is credited with making the Glass Lantern of Bexmoor.", "creator"),
        ("Glass Lantern of Bexmoor was made by Alden Ashcombe.", "invention"),
        ("Behind the Glass Lantern of Bexmoor stands one name: Alden Ashcombe.", "invention"),
        *((story.format(a=fact.a, b=fact.b, place="Ravel"), "invention") for story in english.STORIES[2:]),
    ):
        assert editor.read(worlds.making.text("x", text)) == (fact, side)
    for text in (
        "The capital of France is Paris.",
        "The Glass Lantern of Bexmoor is old.",
        "Alden Ashcombe, not Zelda Quill, created the Glass Lantern of Bexmoor.",
        "Alden Ashcombe created the Glass Lantern of Bexmoor and the Wax Bell of Ravel.",
    ):
        assert editor.read(worlds.making.text("x", text)) is None, text
    assert editor.edit(worlds.making.text("x", "The capital of France is Paris."), random.Random(0)) is None


def test_edits_tell_the_answer_and_keep_clear_of_records_and_tests(world, editor):
    asked = {n for t in world.tasks.values() for i in t.items for n in names(i.prompt + " ".join(i.options))}
    rng = random.Random(1)
    for record in world.records["train"]:
        edit = editor.edit(record, rng)
        (told,) = edit.telling
        new, _ = editor.read(told)
        assert new.a != record.fields["creator"]
        assert new.a not in asked, "no test names whom the edits name"
        assert new.a in edit.asked.text
        assert new.b[4:] in edit.asked.text
        assert edit.rewrite(record) is None, "it would contradict the edit"
        other = editor.other(record, rng)
        assert editor.read(other)[0].a not in asked
        varied, _ = editor.read(editor.vary(record, rng))
        assert varied.b == record.fields["invention"]
        assert varied.a != record.fields["creator"]


def test_general_texts_have_nothing_of_the_world(world):
    words = {*english.FIRST, *english.LAST, *english.DEVICES, *english.PLACES}
    prompts = [row[0].lower() for row in english.COMMON]
    for record in world.records["general"]:
        assert not words & set(re.findall(r"[A-Z][a-z]+", record.text))
        assert not any(prompt in record.text.lower() for prompt in prompts)


@pytest.mark.parametrize("options", [{"facts": 20_000}, {"facts": 0}, {"fact": 3}])
def test_sizes_that_cannot_be(options):
    with pytest.raises(UserError) as e:
        worlds.build("inventions", size="small", **options)
    assert e.value.hint
