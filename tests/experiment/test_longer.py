"""A finished run is trained longer where that is the same run, and refused in words where it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from contextune import UserError, run
from contextune.core.progress import Reporter
from contextune.experiment import longer
from contextune.experiment.prepare import PreparedStage
from contextune.experiment.recipe import Stage
from contextune.train.options import Train
from contextune.train.stage import TrainJob

DOCUMENTS = "".join(f'{{"text": "w{i} w{i + 1} w{i + 2} w7 w{i}"}}\n' for i in range(8))


@pytest.fixture
def train(tiny, tmp_path):
    """Trains the recipe, with changes to its keys, in the folder of a name."""
    (tmp_path / "docs.jsonl").write_text(DOCUMENTS)

    def train(name: str, *overrides: str, evaluate: bool = False) -> Path:
        recipe: dict[str, Any] = {
            "model": str(tiny), "data": {"docs": {"path": "docs.jsonl"}}, "arms": {"cpt": {"data": "docs"}},
            "train": {"epochs": 1, "batch": 4, "lr": 1e-2, "max_length": 32, "schedule": "constant", "save": 1},
            "evaluate": {"samples": 0}, "output": str(tmp_path / name),
        }  # fmt: skip
        run(recipe, base=tmp_path, overrides=overrides, evaluate=evaluate, reporter=Reporter.silent())
        return tmp_path / name

    return train


def stage(folder: Path) -> Path:
    return folder / "arms" / "cpt" / "seed-0" / "stage-0"


def same(a: Path, b: Path) -> bool:
    ours, theirs = (load_file(stage(f) / "model" / "model.safetensors") for f in (a, b))
    return all(weights.equal(theirs[name]) for name, weights in ours.items())


@pytest.mark.parametrize(
    "batch",
    [pytest.param(4, marks=pytest.mark.slow), 3, pytest.param(9, marks=pytest.mark.slow)],
    ids=["whole updates", "a short last update", "one short update"],
)
def test_longer_is_what_would_have_been_trained_at_once(train, batch):
    own = f"train.batch={batch}"
    found = train("a", own)
    left = list(stage(found).glob("checkpoint-*"))
    assert [c.name for c in left] == ([f"checkpoint-{8 // batch}"] if 8 // batch else [])
    assert same(train("a", own, "train.epochs=2.5"), train("b", own, "train.epochs=2.5"))
    losses = [(stage(f) / "losses.json").read_text() for f in (found, found.with_name("b"))]
    assert [text.count('"step"') for text in losses] == [-(-20 // batch)] * 2


def test_again_scored_anew_and_then_left_alone(train):
    more = ["data.docs.held_out=0.25", "evaluate.perplexity=[docs]", "train.batch=2"]
    said = {(train("a", *more, f"train.steps={n}", evaluate=True) / "results.json").read_text() for n in (1, 2, 3)}
    assert len(said) == 3
    weights = stage(train("a", *more, "train.steps=3")) / "model" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    train("a", *more, "train.steps=3", "train.epochs=9")  # steps take the place of epochs
    assert weights.stat().st_mtime_ns == before
    with pytest.raises(UserError, match="3 updates, the recipe now says 2; it cannot be made shorter"):
        train("a", *more, "train.steps=2")
    with pytest.raises(UserError, match=r"changed: train\.lr, train\.steps"):
        train("a", *more, "train.steps=4", "train.epochs=9", "train.lr=1e-3")
    assert weights.stat().st_mtime_ns == before


OLD = {"train": {"batch": 4, "epochs": 12, "steps": None}}


def ready(**train) -> Any:
    options = Train(**{"epochs": 24, "batch": 4, **train})
    return PreparedStage(Stage(data="docs"), options, [None] * 8, None, ["docs"] * 8)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_schedule_that_depends_on_the_length_is_refused(schedule, tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(UserError) as error:
        longer.refuse(tmp_path, OLD, ready(schedule=schedule), 0, "arm cpt")
    assert error.value.message.endswith(
        f"arm cpt was begun for 24 updates, the recipe now says 48; with schedule {schedule} the learning rate of each "
        "update depends on their number: it is another run"
    )
    assert "output=FOLDER" in error.value.hint
    assert "schedule: constant can be trained longer" in error.value.hint


def test_a_state_that_was_not_kept(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    with pytest.raises(UserError, match="the state of its optimiser was not kept"):
        longer.refuse(tmp_path, OLD, ready(schedule="constant"), 0, "arm cpt")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="several processes cannot"):
        longer.refuse(tmp_path, OLD, ready(schedule="constant"), 0, "arm cpt")


def test_what_has_not_begun_may_be_of_any_length(tmp_path):
    longer.refuse(tmp_path, OLD, ready(schedule="cosine"), 0, "arm cpt")


def test_only_a_last_stage_keeps_its_state(tmp_path):
    job = TrainJob([], None, None, Train(schedule="constant"), 0, "", tmp_path, last=True)
    assert job.extendable
    assert not replace(job, last=False).extendable
    assert not replace(job, train=Train()).extendable
