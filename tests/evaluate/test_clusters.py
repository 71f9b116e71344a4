"""Which items are resampled together: what asks about one fact, in whatever task, wording or grade."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from contextune import worlds
from contextune.core.errors import UserError
from contextune.core.items import Item, question
from contextune.evaluate.tasks.load import load_task

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def clusters(task) -> list[str]:
    return [i.resampled_with for i in task.items]


def test_an_item_that_stands_in_two_tasks_is_one():
    asked = Item("7", "Kalo teaches", 1, (" Rune.", " Mido."))
    assert asked.resampled_with == Item("x", "Kalo teaches ", "Mido").resampled_with == question("Kalo teaches", "Mido")
    assert asked.resampled_with != Item("7", "Kalo teaches", "Rune").resampled_with
    assert Item("7", "Kalo teaches", "Mido", cluster="fact 7").resampled_with == "fact 7"


def test_options_alone_tell_items_without_a_prompt_apart():
    assert len({Item(str(i), "", 0, (f" a{i}", " b")).resampled_with for i in range(3)}) == 3


ROWS = [{"q": f"w{i}?", "again": f"and w{i}?", "a": f"w{i}", "fact": f"f{i // 2}"} for i in range(4)]
TASK = {"name": "t", "kind": "generate", "rows": ROWS, "prompt": "{{ q }}", "answer": "{{ a }}"}


def test_a_task_file_names_the_fact_of_a_row():
    (one,) = load_task({**TASK, "cluster": "{{ fact }}"}, Path())
    (other,) = load_task({**TASK, "name": "u", "prompt": "{{ again }}", "cluster": "{{ fact }}"}, Path())
    assert clusters(one) == clusters(other) == ["f0", "f0", "f1", "f1"]
    assert len(set(clusters(load_task(TASK, Path())[0]))) == 4


@pytest.mark.parametrize(("cluster", "message"), [("{{ fact[9:] }}", "cluster: empty"), ("{{ fcat }}", "fcat")])
def test_a_row_without_a_fact_is_an_error(cluster, message):
    with pytest.raises(UserError, match=message) as caught:
        load_task({**TASK, "cluster": cluster}, Path())
    assert "row 1" in caught.value.message


def test_grades_of_one_item_are_one_cluster():
    pool = [{"q": f"w{i} w{i + 1} w{i + 2}?", "a": f"x{i}"} for i in range(20)]
    graded = {"pool": {"path": None}, "k": 2, "grades": ["none", "low"]}
    rows = [{"q": f"w{50 + i} w{60 + i} w{70 + i}?", "a": f"y{i}"} for i in range(4)]
    spec = {**TASK, "rows": rows + pool, "limit": 4, "graded": {**graded, "pool": {"skip": 4}}}
    none, low = load_task(spec, Path())
    assert clusters(none) == clusters(low)
    assert len(set(clusters(low))) == 4
    assert [i.alone for i in low.items] == [i.prompt for i in none.items]


@pytest.mark.parametrize(
    ("world", "tasks"),
    [
        (
            "reversals",
            ("forward", "reversal", "reversal_written", "reversal_in_context", "listen_edited", "resist_lure"),
        ),
        ("syllogisms", ("premise", "conclusion", "conclusion_meaning", "conclusion_in_context", "listen_edited")),
        ("semantic", ("recall", "rephrasing", "reversal", "reversal_in_context")),
        ("slots", ("trained", "low", "medium", "high", "listen_edited", "resist_lure")),
        ("descriptions", ("reversal_name_first", "reversal_written", "reversal_in_context")),
        ("study", ("closed_book", "closed_book_written", "reversal", "recall_written", "open_book", "resist_lure")),
        ("cipher", ("composed", "composed_codes", "low", "high")),
    ],
)
def test_worlds_name_their_facts(world, tasks):
    """Every fact that a later task asks about is one of the first task's, and they are many."""
    made = worlds.build(world, size="small").tasks
    first, *others = (set(clusters(made[t])) for t in tasks)
    assert len(first) >= 8
    assert all(other <= first for other in others)


def test_common_facts_are_one_cluster_with_or_without_a_distractor():
    made = worlds.build("reversals", size="small").tasks
    common = {i.resampled_with for i in made["retain_skills"].items if i.fields["skill"] == "common"}
    assert common <= set(clusters(made["resist_common"]))


@pytest.mark.parametrize("file", RECIPES, ids=lambda f: f.stem)
def test_recipes_with_fewer_than_three_seeds_say_so(file):
    if len(yaml.safe_load(file.read_text()).get("seeds", [0])) < 3:
        lines = [line for line in file.read_text().splitlines() if line.startswith("seeds:")]
        assert lines
        assert "no arm is called clearly better on fewer than three seeds" in lines[0]
