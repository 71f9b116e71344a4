"""A run over a large source is the run over the same source read into memory; what takes long is done once."""

from __future__ import annotations

import json
import random

import pytest

from contextune.core.errors import UserError
from contextune.data import building, corpus
from contextune.experiment import accounting, overlaps, preview, run_dir
from contextune.experiment.prepare import prepare
from contextune.experiment.recipe import parse
from contextune.train.updates import Updates

from ..conftest import words


@pytest.fixture
def recipe(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTEXTUNE_CACHE", str(tmp_path / "cache"))
    rng = random.Random(2)
    rows = [{"text": ". ".join(words(rng, 5, 20) for _ in range(8)) + "."} for _ in range(300)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:20]))
    items = [
        {"question": row["text"][:200], "options": ["w1", "w2"], "answer": i % 2} for i, row in enumerate(rows[:6])
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "set.txt").write_text("w1 w2 w3\nw4 w5\n")
    prompts = {"policy": "prompts", "set": "set.txt"}
    return {
        "model": {"path": str(tiny)},
        "data": {"a": {"path": "a.jsonl", "held_out": 0.1}, "b": {"path": "b.jsonl"}},
        "train": {"max_length": 64, "batch": 4, "epochs": 1.5, "threads": 1},
        "arms": {
            "cpt": {"stages": [{"data": ["a", "b"]}]},
            "cft": {"stages": [{"data": "a", "context": prompts}]},
        },
        "evaluate": {"perplexity": ["a"]},
        "seeds": [3],
    }


def made(recipe, folder, **options):
    return prepare(parse(recipe), folder, folder / "out", plan=True, **options)


def seen(prepared) -> dict:
    stages = {arm: stages[0] for arm, stages in prepared.arms.items()}
    updates = {}
    for arm, stage in stages.items():
        plan = stage.plan(3)
        found = Updates(stage.records, stage.context, prepared.tokenizer, plan, 64)
        updates[arm] = [plan.updates, plan.times(), found[0], found[len(found) - 1]]
    return {
        "accounting": accounting.accounting(prepared),
        "fingerprints": {a: run_dir.fingerprint_of(prepared, s, a, 0, 3) for a, s in stages.items()},
        "preview": list(preview.preview(prepared, 3, 2)),
        "updates": updates,
        "tasks": [(task.name, task.items) for task in prepared.tasks],
        "origins": {a: list(s.origins) for a, s in stages.items()},
        "overlap": overlaps._overlap(prepared, [("i", prepared.records["a"].records[4].text), ("j", "z " * 20)]),
        "warnings": prepared.warnings,
    }


def test_it_is_the_same_run(recipe, tmp_path, monkeypatch):
    small = seen(made(recipe, tmp_path))
    monkeypatch.setattr(corpus, "LARGE", 100_000)
    prepared = made(recipe, tmp_path)
    assert prepared.large("a")
    assert not prepared.large("b")
    assert seen(prepared) == small
    monkeypatch.setattr(building, "build", None)
    monkeypatch.setattr(overlaps, "overlap", None)
    monkeypatch.setattr(corpus, "LARGE", 1000)
    with pytest.raises(TypeError):
        made(recipe, tmp_path)  # b is not there yet
    monkeypatch.setattr(corpus, "LARGE", 100_000)
    monkeypatch.setattr(accounting, "_known", lambda data, ready: [] if ready.stage.sources == ("a",) else None)
    again = made({**recipe, "arms": {"cft": recipe["arms"]["cft"]}}, tmp_path)
    assert accounting.accounting(again) == [row for row in small["accounting"] if row["arm"] == "cft"]


def test_a_preview_reads_the_beginning_where_that_is_enough(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "LARGE", 1000)
    alone = {**recipe, "evaluate": {}}
    part = made(alone, tmp_path, first=5)
    assert part.partial
    assert not (tmp_path / "cache" / "corpora").exists()
    whole = made(alone, tmp_path)
    assert not whole.partial
    assert len(part.records["a"].records) < len(whole.records["a"].records)
    assert list(preview.preview(part, 3, 2)) == list(preview.preview(whole, 3, 2))
    assert not made(alone, tmp_path, first=5).partial, "it is there by now"


def test_a_policy_that_looks_at_other_records_is_given_all(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "LARGE", 1000)
    arms = {"random": {"stages": [{"data": "a", "context": {"policy": "random", "k": 1, "max_tokens": 20}}]}}
    assert not made({**recipe, "evaluate": {}, "arms": arms}, tmp_path, first=5).partial


@pytest.mark.parametrize("large", [1 << 40, 1])
def test_the_faults_of_all_sources_are_told_at_once(recipe, tmp_path, monkeypatch, large):
    """One that is not there, and one that cannot be read."""
    monkeypatch.setattr(corpus, "LARGE", large)
    (tmp_path / "a.jsonl").unlink()
    (tmp_path / "b.jsonl").write_text("{\n")
    with pytest.raises(UserError, match=r"(?s)2 faults.*data\.a: .*data\.b: "):
        made(recipe, tmp_path)
