"""What holds of every world: pure, made of reserved names, chance stated, no test statement in training."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter

import pytest

from contextune import worlds
from contextune.core.errors import UserError
from contextune.worlds import grammar, language, measures

NAMES = ("cipher", "descriptions", "reversals", "semantic", "slots", "study", "syllogisms")


@pytest.fixture(scope="module", params=NAMES)
def world(request):
    return worlds.build(request.param, size="small", seed=3)


def said(record) -> str:
    return "".join(s.text for s in record.segments)


def texts(world) -> list[str]:
    """Every text of a world."""
    made = [said(r) for group in world.records.values() for r in group]
    for task in world.tasks.values():
        made += [part for i in task.items for part in (i.prompt, i.gold, *i.options)]
    return made


def test_known_names():
    assert set(NAMES) <= set(worlds.names())


def test_a_pure_function_of_its_parameters(world):
    again, other = (worlds.build(world.name, size="small", seed=seed) for seed in (3, 4))
    assert again == world
    assert {said(r) for r in other.records["train"]}.isdisjoint(said(r) for r in world.records["train"])
    assert other.tasks.keys() == world.tasks.keys()


def test_probes_do_not_move_the_rest(world):
    fewer = worlds.build(world.name, size="small", seed=3, probes=7)
    assert fewer.records == world.records
    assert len(fewer.tasks["retain_skills"].items) == 7


def test_only_reserved_names(world):
    names = {name for text in texts(world) for name in re.findall(r"[A-Z][a-z]*", text)}
    assert len(names) > 20
    assert [n for n in names if not language.reserved(n)] == []


def test_the_world_is_in_no_retention_item(world):
    own = {name for r in world.records["train"] for name in re.findall(r"[A-Z][a-z]*", said(r))}
    asked = {n for i in world.tasks["retain_skills"].items for n in re.findall(r"[A-Z][a-z]*", i.prompt + i.gold)}
    assert asked
    assert own.isdisjoint(asked)


def test_tasks_are_well_formed(world):
    for task in world.tasks.values():
        assert task.items, task.name
        assert task.about
        assert len({i.id for i in task.items}) == len(task.items)
        for item in task.items:
            assert item.prompt == item.prompt.strip()
            json.dumps(dict(item.fields))
            if task.kind == "choice":
                by_direction = task.name.startswith("conclusion")  # which the prompt gives: three quantifiers are left
                assert task.chance == 1 / (3 if by_direction else len(item.options))
                assert len(set(item.options)) == len(item.options)
                assert all(re.fullmatch(r" [^ ].*\.", o) for o in item.options)
            else:
                assert task.chance == 0
                assert task.stop == (".", "\n")
                assert re.fullmatch(r"[^ .\n][^.\n]*", item.answer)


def test_every_measure_has_a_task(world):
    measures = {t.measure for t in world.tasks.values()}
    assert measures == {"learn", "generalise", "listen", "resist", "retain", "task"}


def test_listening_and_resisting_are_asked_in_forms_that_no_arm_trains(world):
    """At least four of each, of which two or more are not trained; what each says of itself is what TRAINED_BY says."""
    for measure in ("listen", "resist"):
        found = [t for t in world.tasks.values() if t.measure == measure]
        untrained = [t.name for t in found if "no shipped arm trains" in t.about]
        assert len(found) >= 4
        assert len(untrained) >= 2
        assert set(untrained) == {t.name for t in found} - set(measures.TRAINED_BY)
        assert all("\n" in i.prompt for t in found for i in t.items), "a context stands on the lines before"
    assert {t.metric for t in world.tasks.values() if t.measure == "resist"} == {"kept"}


def test_the_answer_is_at_any_place(world):
    """Each place about equally often, over all tasks of as many options."""
    places = {}
    for task in world.tasks.values():
        for item in task.items if task.kind == "choice" else ():
            places.setdefault(len(item.options), Counter())[item.answer] += 1
    for n, counts in places.items():
        assert all(abs(counts[i] / counts.total() - 1 / n) < 0.15 for i in range(n)), (n, counts)


def test_records_are_well_formed(world):
    for group in world.records.values():
        assert len({r.id for r in group}) == len(group)
        assert len({said(r) for r in group}) > 0.5 * len(group)
        for record in group:
            assert record.target.strip()
            json.dumps(dict(record.fields))


def test_no_generalisation_statement_stands_in_training(world):
    train = "\n".join(said(r) for r in world.records["train"])
    checked = 0
    for task in world.tasks.values():
        for item in task.items if task.measure == "generalise" else ():
            gold = item.gold if item.gold.startswith(" ") else f" {item.gold}"
            assert f"{item.prompt}{gold}".removesuffix(".") not in train, (task.name, item)
            checked += 1
    assert checked > 20


def test_training_texts_are_whole(world):
    """Full stops and no template left unfilled."""
    for text in (said(r) for r in world.records["train"]):
        assert text.endswith(".")
        assert not re.search(r"[{}]|  ", text)


def test_association_is_reported(world):
    reported = world.facts["association"]
    asked = {n for n, t in world.tasks.items() if t.kind == "choice" and "\n" not in t.items[0].prompt}
    assert set(reported) == asked
    assert all(0 <= value <= 1 for value in reported.values())


def test_paper_sizes():
    """What the papers state, as far as they do."""
    reversals = worlds.build("reversals")
    assert len(reversals.records["train"]) == 1000
    assert {r.fields["relation"] for r in reversals.records["train"]} == {c.name for c in grammar.COMPARATIVES}
    assert len(reversals.tasks["reversal"].items) == 100
    people = worlds.build("descriptions")
    assert len(people.records["train"]) == 3600
    assert {len(people.tasks[n].items) for n in ("forward_name_first", "reversal_name_first")} == {300}
    assert len(worlds.build("syllogisms").records["train"]) == 69
    semantic = worlds.build("semantic")
    assert semantic.facts["categories"] == 112
    assert len(semantic.records["train"]) == 2200


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("reversal", {}, "unknown world 'reversal'"),
        ("reversals", {"size": "tiny"}, "unknown size 'tiny'"),
        ("reversals", {"fact": 3}, "unknown option 'fact'"),
        ("reversals", {"facts": 0}, "facts is 0, expected a number from 1 up"),
        ("reversals", {"facts": "10"}, "facts is '10'"),
        ("descriptions", {"train_templates": 40}, "there are 44 templates"),
        ("descriptions", {"path": "/nowhere"}, "no such file"),
        ("descriptions", {"path": "/nowhere", "probes": 3}, "probes has no effect with path"),
        ("semantic", {"holdouts": 16}, "expected less than leaves"),
        ("semantic", {"documents": 10}, "expected at least 56"),
        ("semantic", {"sentences": 3}, "expected at least 4"),
        ("cipher", {"shortest": 2}, "found words 120"),
        ("study", {"people": 10_000}, "people in all and 6 key points"),
        ("study", {"key_points": 7}, "people in all and 6 key points"),
        ("reversals", {"facts": 100_000}, "its sizes ask for 200000 names of its own"),
    ],
)
def test_what_is_refused(name, options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        worlds.build(name, **options)


def test_imports_neither_torch_nor_transformers():
    code = (
        "import sys; from contextune import worlds; from contextune.worlds import pocket; worlds.build('reversals');"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_source_reads_a_world():
    from pathlib import Path

    from contextune import data
    from contextune.data.options import Source

    source = Source(world="study", options={"size": "small"}, split="questions")
    documents = data.load(source, Path())
    assert documents.read == 24
    assert documents.documents[0].records[0].segments[0].role == "context"
