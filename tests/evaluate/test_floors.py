"""What a task gives to who has learned nothing: values worked out by hand."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from contextune import worlds
from contextune.core.items import Item, Task
from contextune.evaluate.analysis.summary import summarise
from contextune.evaluate.options import Compare
from contextune.evaluate.scoring import outcomes, score
from contextune.evaluate.scoring.floors import copy, floors
from contextune.evaluate.tasks.load import load_task
from contextune.experiment.measures_table import measures_table


def choice(items: list[Item], metric: str = "accuracy") -> Task:
    return Task("t", "choice", tuple(items), metric)


def written(items: list[Item], metric: str = "exact_match") -> Task:
    return Task("t", "generate", tuple(items), metric)


@pytest.mark.parametrize(
    ("prompt", "copied"),
    [
        ("Kalo teaches Mido. Rune teaches Bako.\nKalo teaches", "Mido. Rune teaches Bako.\nKalo teaches"),
        ("Kalo teaches Mido. Rune teaches Bako.\nSeke teaches", "Bako.\nSeke teaches"),
        ("a b c a b d a b", "d a b"),
        ("never seen before", ""),
        ("", ""),
    ],
    ids=["longest run", "last of equals", "last of equal runs", "nothing alike", "empty"],
)
def test_a_copier_continues_as_the_context_did(prompt, copied):
    assert copy(prompt) == copied


def test_listening_to_the_trained_form_is_copying():
    """What an induction head answers without knowing anything: all of the edited facts, hardly any reversed one."""
    (edited, fresh, lure) = load_task(
        {"world": "reversals", "options": {"size": "small"}, "tasks": ["listen_edited", "listen_fresh", "resist_lure"]},
        None,
    )
    assert floors(edited)["copier"] > 0.9
    assert floors(fresh)["copier"] < 0.3
    assert floors(lure)["copier"] == 0.0, "a copier answers with a lure"


def test_a_copier_of_options_takes_what_stood_there_else_what_was_named_last():
    asked = [
        Item("a", "Kalo is tall. Mido is small.\nKalo is", 0, (" tall.", " small."), alone="Kalo is"),
        Item("b", "small or tall?\nSeke likes", 1, (" small.", " tall."), alone="Seke likes"),
        Item("c", "nothing here\nBako likes", 0, (" small.", " tall.", " old.", " new."), alone="Bako likes"),
    ]
    assert floors(choice(asked))["copier"] == pytest.approx((1 + 1 + 0.25) / 3)


def test_where_there_is_no_context_there_is_nothing_to_copy():
    assert "copier" not in floors(choice([Item("a", "Kalo is", 0, (" tall.", " small."))]))


class TestConstant:
    def test_a_text(self):
        asked = [Item(str(i), f"q{i}", i // 3 % 2, (" yes", " no")) for i in range(9)]
        assert floors(choice(asked))["constant"] == pytest.approx(6 / 9)

    def test_a_place_among_the_options(self):
        asked = [Item(str(i), f"q{i}", 1 if i < 7 else 0, (f" x{i}", f" y{i}")) for i in range(10)]
        assert floors(choice(asked))["constant"] == 0.7

    def test_a_form_of_answer(self):
        names = [("Kalo", "Mido"), ("Rune", "Bako"), ("Seke", "Dola"), ("Talo", "Vimo")]
        asked = [
            Item(f"{i}", f"conclude about {a} and {b}:", 0 if i < 3 else 1, (f" no {a} are {b}.", f" all {a} are {b}."))
            for i, (a, b) in enumerate(names)
        ]
        assert floors(choice([*asked[:1], *map(turned, asked[1:])]))["constant"] == 0.75
        free = [Item(i.id, i.prompt, i.gold.strip().removesuffix(".")) for i in asked]
        assert floors(written(free))["constant"] == 0.75

    def test_a_word_of_the_question(self):
        asked = [Item(f"{i}", f"say {w} twice", w) for i, w in enumerate(("Kalo", "Mido", "Rune"))]
        assert floors(written(asked))["constant"] == 1.0

    @pytest.mark.parametrize(
        ("task", "most"), [("conclusion", 1 / 3), ("premise", 0.65), ("conclusion_written", 1 / 3)]
    )
    def test_syllogisms_give_it_no_more_than_chance(self, task, most):
        assert floors(worlds.build("syllogisms", size="small").tasks[task])["constant"] <= most

    def test_equal_forms_would_give_it_a_half(self):
        """What the balance is for: of the eight forms, four conclude with no."""
        task = worlds.build("syllogisms", size="small").tasks["conclusion"]
        by_form: dict[int, Item] = {i.fields["form"]: i for i in task.items}
        assert len(by_form) == 8
        assert floors(choice(list(by_form.values())))["constant"] >= 0.5


def turned(item: Item) -> Item:
    """The options the other way round."""
    return Item(item.id, item.prompt, 1 - item.answer, item.options[::-1])


@pytest.mark.parametrize("metric", ["perplexity", "macro_f1", "token_f1"])
def test_metrics_without_such_floors(metric):
    kind = "perplexity" if metric == "perplexity" else "generate"
    assert floors(Task("t", kind, (Item("a", "x", "y", alone="x"),), metric)) == {}


ASKED = Task(
    "told",
    "generate",
    tuple(Item(f"{i}", f"Kalo is x{i}\nKalo is", f"x{i}", alone="Kalo is") for i in range(6)),
    "exact_match",
    "listen",
    0.0,
)


def reader(model, tokenizer, task, tokens, progress):
    """Answers from the context where there is one, else always x0."""
    said = [i.prompt.split("\n")[0][8:].rstrip(".") if "\n" in i.prompt else "x0" for i in task.items]
    return [
        {"output": o, "options": (), "gold": i.gold, "predicted": o, "correct": float(o == i.gold)}
        for i, o in zip(task.items, said, strict=True)
    ]


@pytest.mark.parametrize("asked", [True, False])
def test_a_deaf_model_is_the_arm_without_its_context(monkeypatch, tmp_path, asked):
    monkeypatch.setitem(score._ASK, "generate", reader)
    for arm in ("none", "cft"):
        table = score.score(None, None, [ASKED], arm=arm, seed=0, without_context=asked)["told"]
        outcomes.write(tmp_path / "outcomes" / outcomes.file_name(arm, 0, "told"), table)
    found = summarise(tmp_path, Compare(resamples=100), {"none": "", "cft": ""}, "test", ["none"])
    deaf = pytest.approx(1 / 6) if asked else None
    expected = {"chance": 0.0, "constant": pytest.approx(1 / 6), "copier": 1.0, "deaf": deaf, "untrained": 1.0}
    assert found["floors"]["tasks"]["told"] == expected
    assert found["floors"]["measures"] == {"listen": expected}
    assert found["floors"]["score"] == expected
    assert found["arms"]["cft"]["tasks"]["told"].get("without_context") == deaf


def test_items_without_a_context_are_not_asked_again(monkeypatch):
    calls = []

    def counting(model, tokenizer, task, tokens, progress):
        calls.append(len(task.items))
        return reader(model, tokenizer, task, tokens, progress)

    monkeypatch.setitem(score._ASK, "generate", counting)
    plain = Task("t", "generate", (Item("a", "x", "y"), Item("b", "Kalo is x\ny", "y", alone="y")), "exact_match")
    table = score.score(None, None, [plain], arm="a", seed=0)["t"]
    assert calls == [2, 1]
    assert table.column("deaf").to_pylist() == [None, 0.0]


def test_floors_stand_beside_every_measure_in_the_terminal():
    floor = {"chance": 0.5, "constant": 0.6, "copier": 0.7, "deaf": None, "untrained": 0.4}
    arms = {"cft": {"measures": {"listen": {"value": 0.9}}}}
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(measures_table({"arms": arms, "floors": {"measures": {"listen": floor}}}))
    head, row = console.export_text().splitlines()[1:3]
    assert head.split() == ["measure", "cft", "chance", "constant", "copier", "deaf"]
    assert row.split() == ["listen", "0.900", "0.500", "0.600", "0.700", "–"]
