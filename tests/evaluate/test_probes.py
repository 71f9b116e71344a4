"""What each probe gives credit for, and that asking changes nothing in training."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file

from contextune.contexts import NoContext
from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.evaluate.probes import questions as probes
from contextune.evaluate.probes.questions import ProbePrompt, Probes
from contextune.evaluate.probes.watch import ProbeWatcher, collected
from contextune.evaluate.tasks import answer_edits as edits
from contextune.evaluate.tasks.examples import Example, normal
from contextune.evaluate.tasks.graded import PooledTask
from contextune.evaluate.tasks.specs import Graded
from contextune.experiment import recipe
from contextune.train import stage
from contextune.train.options import Train

GOLD = "[IN:CALL [SL:WHO Anna ] ]"
ITEM = Item("7", "call Anna", GOLD)
PARSES = Task("t", "generate", (ITEM,), "tree_match")


def edited(output: str) -> float:
    ask = ProbePrompt("edited", ITEM, ("[IN:ZUBA [SL:WHO Bob ] ]",), unit="CALL", fresh="ZUBA")
    (row,) = probes.rows(Probes(PARSES, (ask,)), [output])
    return row["score"]


def test_credit_for_an_edit():
    assert edited("[IN:ZUBA [SL:WHO Anna ]]") == 1
    assert edited(GOLD) == 0, "what the weights say"
    assert edited("[IN:ZUBA [SL:WHO Bob ] ]") == 0, "a blind copy"
    assert edited("[IN:ZUBA [SL:CALL Anna ] ]") == 0, "the old unit still stands there"
    assert edited("[IN:CALL [SL:ZUBA Anna ] ]") == 0, "at the wrong place"
    assert edited("") == 0


def test_scores():
    asks = (
        ProbePrompt("random", ITEM, ("[IN:STOP ]", "[IN:PLAY [SL:WHAT jazz ] ]")),
        ProbePrompt("random", Item("8", "stop", "[IN:STOP ]"), ("[IN:STOP ]",)),
        ProbePrompt("similar", ITEM),
        ProbePrompt("none", ITEM),
        ProbePrompt("lure", ITEM, lure="[IN:CALL [SL:WHO Bob ] ]"),
    )
    rows = probes.rows(Probes(PARSES, asks), ["[IN:STOP]", "[IN:STOP ]", GOLD, "", "[IN:CALL [SL:WHO Bob]]"])
    made = probes.scores(rows)
    assert (made["in_weights"], made["in_weights_alone"]) == (0.5, 0)
    assert (made["similar"], made["random"], made["difference"]) == (1, 0, 1), "over the items that have both"
    assert made["copied"] == 0.5, "two outputs are answers of the context, one of which is right"
    assert made["copy"] > 0.2
    assert made["lured"] == 1
    assert "in_context" not in made


def bench(n=30) -> PooledTask:
    names = ["Anna", "Boris", "Clara", "Dora", "Emil"]
    acts = {"call": "CALL", "wake": "WAKE", "meet": "MEET"}
    pool = [
        Example(f"{a}{i}", f"please {a} {name} at noon", f"Q {a} {name}", f"[IN:{act} [SL:WHO {name} ] ]")
        for a, act in acts.items()
        for i, name in enumerate(names)
    ]
    pool += [
        Example(f"f{i}", f"weather for day{i} tomorrow", f"Q w{i}", f"[IN:RAIN [SL:DAY day{i} ] ]") for i in range(9)
    ]
    items = tuple(
        Item(
            f"{a}{i}",
            f"Q please {a} Zoe{i} at noon A",
            f"[IN:{act} [SL:WHO Zoe{i} ] ]",
            (),
            {"input": f"please {a} Zoe{i} at noon"},
        )
        for a, act in acts.items()
        for i in range(n // 3)
    )
    return PooledTask(Task("acts", "generate", items, "tree_match"), tuple(pool), Graded(k=3))


def test_questions_made_of_pairs():
    made = probes.of_bench(bench(), 10)
    assert made.counts == dict.fromkeys(probes.NAMES, 10)
    for ask in made.asks:
        if ask.probe == "edited":
            assert edits.holds(ask.item.gold, ask.unit)
            assert sum(edits.holds(a, ask.fresh) for a in ask.answers) == 1
            assert not any(edits.holds(a, ask.unit) for a in ask.answers), "the others would speak against the edit"
            assert ask.unit.casefold() not in ask.item.fields["input"]
        if ask.probe == "lure":
            assert normal(ask.lure) != normal(ask.item.gold)
            assert ask.lure in ask.item.prompt
    assert probes.of_bench(bench(), 10) == made


def test_too_small_a_pool():
    small = bench()
    with pytest.raises(UserError, match="no item has 3 random examples in the pool of 2"):
        probes.of_bench(PooledTask(small.task, small.pool[-2:], small.options), 5)


@pytest.mark.parametrize("world", list(probes.WORLDS))
def test_worlds(world):
    from contextune.evaluate.tasks.load import load_task

    tasks = load_task({"world": world, "options": {"size": "small"}}, ".")
    made = probes.of_world(world, {t.name: t for t in tasks}, 3)
    assert made.counts == dict.fromkeys(probes.ALL if world == "slots" else probes.NAMES, 3)
    for ask in made.asks:
        assert len(ask.answers) == (0 if ask.probe == "none" else 4)
        assert all(f"output: {a}" in ask.item.prompt for a in ask.answers)
        if ask.probe == "lure":
            assert ask.lure in ask.answers
    right = [ask.item.gold for ask in made.asks]
    assert probes.scores(probes.rows(made, right))["in_context"] == 1


class Counting(ProbeWatcher):
    asked = 0

    def _answers(self, one, model):
        self.asked += 1
        return super()._answers(one, model)


OPTIONS = {"steps": 6, "batch": 4, "lr": 1e-2, "max_length": 64, "save": 3}


def train(records, tokenizer, tiny, folder, watch=None, **more):
    job = stage.TrainJob(records, NoContext(), tokenizer, Train(**{**OPTIONS, **more}), 3, str(tiny), folder,
                    every=2, look=watch)  # fmt: skip
    return load_file(stage.run(job) / "model.safetensors")


def test_training_does_not_notice(records, tokenizer, tiny, tmp_path):
    items = tuple(Item(str(i), f"w{i} w1", f"w{i + 1}") for i in range(3))
    task = Task("t", "generate", items, "exact_match", max_tokens=4)
    wanted = [Probes(task, tuple(ProbePrompt("random", i, ("w2",)) for i in items))]
    watch = Counting(wanted, tokenizer, tmp_path / "with")
    plain, watched = (train(records, tokenizer, tiny, tmp_path / n, w) for n, w in (("without", None), ("with", watch)))
    assert all((plain[k] == watched[k]).all() for k in plain), "bit for bit"
    assert watch.asked == 4
    found = json.loads((tmp_path / "with" / "probes" / "scores.json").read_text())
    assert [f["step"] for f in found] == [0, 2, 4, 6]
    assert collected(tmp_path / "with" / "probes") == found, "recomputed from the rows"
    again = Counting(wanted, tokenizer, tmp_path / "with")
    again(4, None)
    assert again.asked == 0, "what was asked before a kill is not asked again"
    other = Counting([Probes(task, wanted[0].asks[:1])], tokenizer, tmp_path / "with")
    other._begin()
    assert not list((tmp_path / "with" / "probes").glob("*.jsonl")), "answers to other questions are gone"


RECIPE = {"model": "m", "data": {"d": {"world": "slots"}}, "arms": {"a": {"data": "d"}}}


@pytest.mark.parametrize(
    ("evaluate", "why"),
    [
        ({"tasks": [], "callbacks": {"probes": {}}}, "no task can be probed"),
        ({"tasks": [{"world": "reversals"}], "callbacks": {"probes": {}}}, "no task can be probed"),
        (
            {"tasks": [{"world": "slots", "options": {"size": "small"}}], "callbacks": {"probes": {"tasks": ["slot"]}}},
            "'slot' cannot be probed",
        ),
    ],
)
def test_what_cannot_be_probed(tmp_path, evaluate, why):
    made = recipe.parse({**RECIPE, "evaluate": evaluate})
    options = made.evaluate.callbacks["probes"]
    with pytest.raises(UserError, match=why):
        probes.load(made.evaluate.tasks, tmp_path, made.data, options.items, options.tasks)


@pytest.mark.parametrize("probes_", [{"every": 0}, {"items": 0}, {"evry": 5}])
def test_bad_keys(probes_):
    with pytest.raises(UserError, match=r"evaluate\.callbacks: probes\."):
        recipe.parse({**RECIPE, "evaluate": {"callbacks": {"probes": probes_}}})
