"""Learning curves: a length is a checkpoint, training does not notice, and bad names are refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file

from contextune.contexts import NoContext
from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.evaluate.curve import CurveCallback, CurveWatcher, collected
from contextune.experiment import recipe
from contextune.train import stage
from contextune.train.options import Train

ITEMS = tuple(Item(str(i), f"w{i} w1", i % 2, (" w2", " w3"), cluster=f"fact {i // 2}") for i in range(4))
CHOICE = Task("t", "choice", ITEMS, "accuracy")
TEXTS = Task("p", "perplexity", (Item("0", "w1 w2", ""),), "perplexity")
OPTIONS = {"batch": 4, "lr": 1e-2, "max_length": 64, "schedule": "constant", "warmup": 0.0}


def train(records, tokenizer, tiny, folder, steps, look=None):
    job = stage.TrainJob(records, NoContext(), tokenizer, Train(**OPTIONS, steps=steps), 3, str(tiny), folder,
                         every=2, look=look)  # fmt: skip
    return load_file(stage.run(job) / "model.safetensors")


def test_a_shorter_training_is_the_beginning_of_a_longer_one(records, tokenizer, tiny, tmp_path):
    seen = {}
    ask = CurveWatcher([CHOICE], tokenizer, tmp_path / "long", 4096)

    def look(step, model):
        ask(step, model)
        seen[step] = {k: v.clone() for k, v in model.state_dict().items()}

    train(records, tokenizer, tiny, tmp_path / "long", 6, look)
    short = train(records, tokenizer, tiny, tmp_path / "short", 4)
    assert all((seen[4][k] == v).all() for k, v in short.items()), "bit for bit, watched or not"


def test_what_is_kept(records, tokenizer, tiny, tmp_path):
    watch = CurveWatcher([CHOICE], tokenizer, tmp_path, 4096)
    train(records, tokenizer, tiny, tmp_path, 4, watch)
    found = json.loads((tmp_path / "curve" / "scores.json").read_text())
    assert [(f["task"], f["step"], f["n"]) for f in found] == [("t", 0, 4), ("t", 2, 4), ("t", 4, 4)]
    kept = json.loads((tmp_path / "curve" / "000002.json").read_text())["t"]
    assert kept["clusters"] == [i.cluster for i in ITEMS]
    assert set(kept["correct"]) <= {0.0, 1.0}
    assert collected(tmp_path / "curve") == found, "recomputed from the values"
    watch(2, None)  # what was asked before a kill is not asked again
    other = CurveWatcher([Task("t", "choice", ITEMS[:2], "accuracy")], tokenizer, tmp_path, 4096)
    with pytest.raises(AttributeError):
        other(2, None)
    assert not (tmp_path / "curve" / "000004.json").exists(), "answers to other questions are gone"


@pytest.mark.parametrize(
    ("tasks", "wanted", "why"),
    [
        ([CHOICE], ("u",), "no task 'u' with right answers"),
        ([TEXTS], ("p",), "no task 'p'"),
        ([TEXTS], (), "no task with"),
    ],
)
def test_what_has_no_curve(tasks, wanted, why):
    with pytest.raises(UserError, match=why):
        CurveCallback(tasks=wanted).check(SimpleNamespace(run=SimpleNamespace(tasks=tasks)))


def test_all_tasks_with_answers_are_asked_by_default():
    assert CurveCallback().chosen([CHOICE, TEXTS]) == [CHOICE]


@pytest.mark.parametrize("given", [{"every": 0}, {"evry": 5}, {"tasks": 3}])
def test_bad_keys(given):
    made = {"model": "m", "data": {"d": {"world": "slots"}}, "arms": {"a": {"data": "d"}}}
    with pytest.raises(UserError, match=r"evaluate\.callbacks: curve\."):
        recipe.parse({**made, "evaluate": {"callbacks": {"curve": given}}})
