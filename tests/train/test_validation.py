"""The validation loss: measured without a trace, followed by `keep: best` and `patience`, and resumed bit for bit."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from contextune.contexts import NoContext, bind_policy
from contextune.core.binding import BindContext
from contextune.core.files import faults, sealed
from contextune.train import stage
from contextune.train.best import bests, prune
from contextune.train.checkpoints import found, last_good
from contextune.train.finished import repair
from contextune.train.options import Train
from contextune.train.validation import Lowest, lowest, rows
from tests.train.kills import Killed, killed, same_weights

OPTIONS = {
    "batch": 4,
    "steps": 12,
    "lr": 3e-2,
    "max_length": 64,
    "save": 2,
    "validate_every": 1,
    "schedule": "constant",
}


@pytest.fixture
def job(tiny, tokenizer, records, tmp_path):
    context = bind_policy(NoContext(), BindContext(tokenizer))

    def job(name: str, **options) -> stage.TrainJob:
        train = Train(**{**OPTIONS, **options})
        return stage.TrainJob(
            records[:12], context, tokenizer, train, 0, str(tiny), tmp_path / name, validation=records[12:20], last=True
        )

    return job


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(r["step"], r["validation"]) for r in json.loads((folder / "losses.json").read_text()) if "validation" in r]


def kept(folder: Path) -> dict:
    return json.loads((folder / "stage.json").read_text())["kept"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], None),
        ([(2, 3.0)], Lowest(2, 3.0, 0)),
        ([(2, 3.0), (4, 2.0), (6, 2.0), (8, 2.5)], Lowest(4, 2.0, 2)),
        ([(2, 3.0), (4, 3.5), (6, 2.9)], Lowest(6, 2.9, 0)),
    ],
)
def test_the_earliest_of_the_lowest(found, expected):
    assert lowest(found) == expected


def test_it_is_the_mean_loss_of_a_target_token(job, tokenizer):
    """Held against the finished model's logits, one text at a time, by hand."""
    made = job("a", steps=3)
    model = AutoModelForCausalLM.from_pretrained(stage.run(made)).eval()
    total = count = 0.0
    for row in rows(made.validation, tokenizer, 64):
        ids, labels = torch.tensor([row.ids]), torch.tensor([row.labels])
        assert row.ids[0] == tokenizer.bos_token_id
        logits = model(ids).logits[0, :-1]
        total += F.cross_entropy(logits, labels[0, 1:], reduction="sum", ignore_index=-100).item()
        count += int((labels[0, 1:] != -100).sum())
    assert losses(made.folder)[-1] == (3, pytest.approx(total / count, rel=1e-5))


def test_measuring_leaves_no_trace(job):
    one, two = job("a", validate_every=1), replace(job("b"), validation=())
    stage.run(one), stage.run(two)
    assert same_weights(one.folder, two.folder)
    assert len(losses(one.folder)) == 12
    assert losses(two.folder) == []
    assert kept(one.folder)["update"] == 12, "keep: last"


def test_the_best_weights_are_those_of_a_run_that_ends_there(job):
    best = job("best", keep="best")
    stage.run(best)
    found = losses(best.folder)
    update, loss = min(found, key=lambda f: (f[1], f[0]))
    assert 1 < update < 12, "else nothing is shown here"
    assert kept(best.folder) == {"update": update, "validation": loss}
    short = job("short", steps=update)
    stage.run(short)
    assert same_weights(best.folder, short.folder)
    files = sorted(p.name for p in (best.folder / "model").iterdir())
    assert files == sorted(p.name for p in (short.folder / "model").iterdir())
    config = [json.loads((j.folder / "model" / "config.json").read_text()) for j in (best, short)]
    assert config[0] == config[1]


def test_killed_anywhere_it_is_the_same(job):
    """Checkpoints every second update, so that what was best is also lost and found again."""
    whole = job("whole", keep="best")
    stage.run(whole)
    best = kept(whole.folder)["update"]
    for update in (best - 1, best, best + 1, 11):
        one = job(f"killed{update}", keep="best")
        killed(one, update)
        stage.run(one)
        assert same_weights(one.folder, whole.folder)
        assert losses(one.folder) == losses(whole.folder)
        assert kept(one.folder) == kept(whole.folder)


def test_patience_ends_a_stage_and_a_resumed_one_ends_alike(job, monkeypatch):
    whole = job("whole", keep="best", patience=3, validate_every=1)
    stage.run(whole)
    found = losses(whole.folder)
    best = min(found, key=lambda f: (f[1], f[0]))[0]
    last = found[-1][0]
    assert last == best + 3 < 12
    assert json.loads((whole.folder / "stage.json").read_text())["updates"] == last
    one = job("killed", keep="best", patience=3, validate_every=1, save=1)
    killed(one, best)
    with monkeypatch.context() as patch:  # after the last update, before the model is written
        patch.setattr(stage, "finish", _killed)
        with pytest.raises(Killed):
            stage.run(one)
    stage.run(one)
    assert losses(one.folder) == found
    assert same_weights(one.folder, whole.folder)


def _killed(*_):
    raise Killed


def test_what_is_best_is_checked_with_the_checkpoint(job):
    """Of damaged best weights the checkpoint before is the newest that is good."""
    made = job("a", keep="best", lr=1e-3)  # falls all the time
    killed(made, 9)
    assert sorted(bests(made.folder))[-1] == 9
    assert [c.name for c in found(made.folder)] == ["checkpoint-6", "checkpoint-8"]
    assert {6, 8} <= set(bests(made.folder)), "what these checkpoints need"
    assert 7 not in bests(made.folder)
    (weights,) = bests(made.folder)[8].glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4] + b"oops")
    assert last_good(made.folder).name == "checkpoint-6"
    assert sorted(bests(made.folder)) == [6]
    whole = job("whole", keep="best", lr=1e-3)
    stage.run(made), stage.run(whole)
    assert same_weights(made.folder, whole.folder)


def test_nothing_is_left_but_what_a_longer_run_needs(job):
    made = job("a", keep="best")
    stage.run(made)
    (checkpoint,) = found(made.folder)
    assert list(bests(made.folder)) == [kept(made.folder)["update"]]
    assert not faults(made.folder, sealed(checkpoint)["beside"])
    cosine = job("b", keep="best", schedule="cosine")
    stage.run(cosine)
    assert not bests(cosine.folder)
    assert not found(cosine.folder)
    (cosine.folder / "best-3").mkdir()  # a kill just after the model had appeared
    repair(cosine.folder)
    assert not bests(cosine.folder)


def test_pruning_keeps_what_was_best_at_each_checkpoint(tmp_path):
    for step in (10, 20, 30, 40):
        (tmp_path / f"best-{step}").mkdir()
    (tmp_path / "best-x").mkdir()
    prune(tmp_path, [25, 30, 44])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best-20", "best-30", "best-40", "best-x"]


def test_a_loss_that_is_no_number_ends_it(job, monkeypatch):
    from contextune.core.errors import UserError
    from contextune.train.trainer import ContextTrainer

    monkeypatch.setattr(ContextTrainer, "validation_loss", lambda *_: math.nan)
    with pytest.raises(UserError, match="update 1: the validation loss is nan, training has diverged"):
        stage.run(job("a"))


@pytest.mark.slow
def test_adapters_too(job):
    options = {"adapter": {"kind": "lora", "rank": 4}, "keep": "best", "lr": 0.1}
    whole, one = job("whole", **options), job("killed", **options)
    stage.run(whole)
    killed(one, 7)
    stage.run(one)
    assert same_weights(one.folder, whole.folder)
    short = job("short", adapter=options["adapter"], lr=0.1, steps=kept(whole.folder)["update"])
    stage.run(short)
    assert same_weights(short.folder, whole.folder)
