"""A search within a run: tried once, kept raw, resumed when killed, and followed by every stage."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from contextune import UserError, load, run
from contextune.core.progress import Reporter
from contextune.experiment import search as searching
from contextune.experiment.halving import budget
from contextune.experiment.prepare import prepare
from contextune.experiment.run_dir import folder_of
from contextune.train.trainer import ContextTrainer
from tests.conftest import words


@pytest.fixture
def recipe(tiny, tmp_path) -> dict[str, Any]:
    rng = random.Random(0)
    rows = [{"id": f"d{i}", "text": words(rng, 20, 30)} for i in range(20)]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return {
        "model": str(tiny), "output": str(tmp_path / "out"), "seeds": [0, 1],
        "data": {"docs": {"path": "docs.jsonl", "held_out": 0.2, "validation": 0.2}},
        "arms": {"none": None, "a": {"data": "docs"}},
        "train": {"max_length": 64, "batch": 2, "schedule": "constant", "warmup": 0, "save": 3},
        "search": {"lr": [3e-2, 1e-2], "steps": [32, 64]},
        "evaluate": {"perplexity": ["docs"], "samples": 0}, "compare": {"resamples": 100},
    }  # fmt: skip


@pytest.fixture
def go(recipe, tmp_path, monkeypatch):
    """Runs the recipe; returns the trials that were trained."""
    tried: list[tuple[str, int, int]] = []
    before = searching.try_one

    def watched(prepared, tell, **job):
        before(prepared, tell, **job)
        tried.append((searching.name(job["arm"], job["seed"]), job["rung"], job["candidate"]))

    monkeypatch.setattr(searching, "try_one", watched)

    def go(*overrides: str, **options: Any) -> list[tuple[str, int, int]]:
        tried.clear()
        run(recipe, base=tmp_path, overrides=overrides, reporter=Reporter.silent(), workers=1, **options)
        return list(tried)

    return go


def found(out: Path) -> dict[str, Any]:
    return {k: v for k, v in json.loads((out / "search.json").read_text()).items() if k != "seal"}


def stage(out: Path, seed: int) -> dict[str, Any]:
    return json.loads((out / f"arms/a/seed-{seed}/stage-0/identity.json").read_text())["train"]


@pytest.mark.slow
def test_each_seed_chooses_and_is_trained_by_its_choice(go, tmp_path, monkeypatch):
    """Losses are made up, so that the seeds differ in what they choose."""
    best = {0: 3e-2, 1: 1e-2}

    def loss(trainer, rows):
        return abs(trainer.args.learning_rate - best[trainer.args.seed]) + 1 / trainer.args.max_steps

    monkeypatch.setattr(ContextTrainer, "validation_loss", loss)
    out = tmp_path / "out"
    tried = go(evaluate=False)
    assert len(tried) == len(set(tried)) == 2 * (4 + 2)
    made = found(out)
    for seed in (0, 1):
        one = made[f"a/seed-{seed}"]
        assert one["choice"] == {"lr": best[seed], "steps": 64}
        assert (stage(out, seed)["lr"], stage(out, seed)["steps"]) == (best[seed], 64)
        losses = json.loads((out / f"arms/a/seed-{seed}/stage-0/losses.json").read_text())
        assert len(losses) == 64
        assert one["budget"] == 64
        assert sum(t["updates"] for t in one["trials"]) <= 64
        for trial in one["trials"]:
            assert trial["validation"] == pytest.approx(abs(trial["values"]["lr"] - best[seed]) + 1 / trial["updates"])
    assert not (out / "search").exists()
    assert go(evaluate=False) == [], "what is found is not looked for again"
    with pytest.raises(UserError, match=r"arm a was searched with another recipe.*; changed: search\.lr"):
        go("search.lr=[1e-5, 1e-2]", evaluate=False)


@pytest.mark.slow
def test_a_killed_search_ends_the_same(go, tmp_path, monkeypatch):
    short = ("search.steps=[]", "search.lr=[1e-5, 3e-2, 1e-2]", "train.steps=24", "seeds=[0]")
    once = go(*short)
    whole, keep = found(tmp_path / "out"), searching.write_sealed
    killed = [f"output={tmp_path / 'killed'}", *short]
    left = iter([False, False, True])

    def write(file, value):
        keep(file, value)
        if next(left, False):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(searching, "write_sealed", write)
        with pytest.raises(KeyboardInterrupt):
            go(*killed)
    assert go(*killed) == once[3:]
    assert found(tmp_path / "killed") == whole
    results = [json.loads((tmp_path / f / "results.json").read_text()) for f in ("out", "killed")]
    assert results[0] == results[1]
    for _ in range(2):
        assert go(*short, "keep=outcomes") == [], "it stays finished without its weights"
    assert not list((tmp_path / "out").rglob("*.safetensors"))
    report = (tmp_path / "out" / "report.html").read_text()
    assert searching.settings(whole["a/seed-0"]["choice"]) in report


def test_what_diverges_is_not_chosen(go, recipe, tmp_path, monkeypatch):
    measure = ContextTrainer.validation_loss

    def loss(trainer, rows):
        return math.nan if trainer.args.learning_rate > 1e-3 else measure(trainer, rows)

    monkeypatch.setattr(ContextTrainer, "validation_loss", loss)
    short = ("search.steps=[]", "train.steps=16", "seeds=[0]")
    go("search.lr=[3e-2, 1e-5]", *short, evaluate=False)
    one = found(tmp_path / "out")["a/seed-0"]
    assert one["choice"] == {"lr": 1e-5}
    assert [t["validation"] is None for t in one["trials"]] == [True, False]
    with pytest.raises(UserError, match="arm a at seed 0: training diverged with every setting"):
        go("search.lr=[3e-2, 2e-2]", f"output={tmp_path / 'b'}", *short, evaluate=False)


def planned(recipe, tmp_path, *overrides):
    made = load(recipe, overrides)
    return searching.plan(prepare(made, tmp_path, folder_of(made)))


def test_the_same_budget_for_every_arm(recipe, tmp_path):
    recipe["arms"]["b"] = {"stages": [{"data": "docs"}, {"data": "docs"}]}
    found = planned(recipe, tmp_path)
    assert found == {"candidates": 4, "updates": {"a": 64, "b": 128}, "equal": False}
    assert "not as many updates in every arm: a at most 64, b at most 128" in searching.plan_line(found)
    del recipe["arms"]["b"]
    recipe["arms"]["c"] = {"data": "docs"}
    found = planned(recipe, tmp_path)
    assert found["equal"]
    assert searching.plan_line(found) == "4 settings a seed, at most 64 updates in every arm, as many as one run has"
    assert planned(recipe | {"search": None}, tmp_path) is None


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.docs.validation=0"], "search: arm a has no texts to validate on"),
        (["search.steps=[6, 9]"], r"4 settings for as many updates as one run has \(9\) leave 1 to the shortest trial"),
    ],
)
def test_refused_before_anything_is_trained(recipe, tmp_path, overrides, said):
    with pytest.raises(UserError, match=said):
        planned(recipe, tmp_path, *overrides)


def test_matched_arms_stay_matched(recipe, tmp_path):
    """Half as many steps are half of what the arm was matched to."""
    recipe["arms"]["b"] = {"data": ["docs", "more"], "match": "passes"}
    recipe["data"]["more"] = {"path": "docs.jsonl", "limit": 8}
    made = load(recipe)
    ready = prepare(made, tmp_path, folder_of(made))
    ours, theirs = (searching._updates(ready, arm, 0) for arm in ("a", "b"))
    assert ours == [32, 64] * 2
    assert budget(theirs) > 64
    assert theirs[0] == round(theirs[1] / 2)
