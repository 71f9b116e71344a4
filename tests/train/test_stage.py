"""A stage learns, resumes bit for bit after SIGKILL, and gives one loss curve on one process and on two."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from contextune.contexts import NoContext
from contextune.contexts.policy import parse
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.models.options import Adapter
from contextune.train import precision, stage
from contextune.train.checkpoints import WHOLE, last_whole
from contextune.train.options import Train

# the same job as a script, so that it can be killed and launched on several processes
SCRIPT = """
import json, sys, time
from pathlib import Path
from contextune import models
from contextune.contexts import NoContext
from contextune.core.binding import BindContext
from contextune.contexts.policy import parse
from contextune.train.options import Train
from contextune.core.sequence import Record, Segment
from contextune.train import precision, stage
model, folder, records, options = sys.argv[1:5]
rows = [Record(r["id"], tuple(Segment(*s) for s in r["segments"])) for r in json.loads(Path(records).read_text())]
pause = float(sys.argv[5]) if len(sys.argv) > 5 else 0
def progress(done, total, loss):
    time.sleep(pause)
train, tokenizer = Train(**json.loads(options)), models.load_tokenizer(model)
examples = {"policy": "random", "k": 3, "similarity": "overlap"}
context = parse(examples).bind(BindContext(tokenizer, tuple(rows))) if train.share > 1 else NoContext()
job = stage.TrainJob(rows, context, tokenizer, train, 3, model, Path(folder))
stage.run(job, progress)
"""
EXAMPLES = parse({"policy": "random", "k": 3, "similarity": "overlap"})
OPTIONS = {"epochs": 5, "batch": 8, "lr": 1e-2, "max_length": 64, "save": 4}


@pytest.fixture(scope="module")
def script(tmp_path_factory, records) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("script")
    (folder / "job.py").write_text(SCRIPT)
    rows = [{"id": r.id, "segments": [(s.text, s.role) for s in r.segments]} for r in records]
    (folder / "records.json").write_text(json.dumps(rows))
    return folder / "job.py", folder / "records.json"


def command(script, tiny, folder, pause=0.0, launch=(), **options) -> list[str]:
    job, rows = script
    return [
        sys.executable,
        *launch,
        str(job),
        str(tiny),
        str(folder),
        str(rows),
        json.dumps({**OPTIONS, **options}),
        str(pause),
    ]


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in json.loads((folder / "losses.json").read_text())]


@pytest.fixture(scope="module")
def uninterrupted(script, tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    subprocess.run(command(script, tiny, folder), check=True, capture_output=True)
    return folder


def job(records, tokenizer, tiny, folder, **options) -> stage.TrainJob:
    return stage.TrainJob(records, NoContext(), tokenizer, Train(**{**OPTIONS, **options}), 3, str(tiny), folder)


def test_loads_as_any_model(uninterrupted):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(uninterrupted / "model")
    assert AutoTokenizer.from_pretrained(uninterrupted / "model")("w0").input_ids == [1, 8]
    assert not list(uninterrupted.rglob("*.bin")), "pickles were written"
    assert not list(uninterrupted.glob("checkpoint-*"))
    curve = losses(uninterrupted)
    assert len(curve) == 25
    assert sum(curve[-5:]) < sum(curve[:5]) - 0.5


@pytest.mark.parametrize("after", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_killed_and_resumed_is_bit_equal(script, tiny, tmp_path, uninterrupted, after):
    """SIGKILL at a random moment, again and again until it is done."""
    rng, deadline, kills = random.Random(after), time.time() + 120, 0
    while not (tmp_path / "model").is_dir():
        assert time.time() < deadline
        process = subprocess.Popen(
            command(script, tiny, tmp_path, pause=0.05), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if kills < after:
            begun = set(tmp_path.glob("checkpoint-*"))
            while process.poll() is None and set(tmp_path.glob("checkpoint-*")) <= begun:
                time.sleep(0.01)  # so that each life gets somewhere
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == after
    ours, theirs = (load_file(f / "model" / "model.safetensors") for f in (tmp_path, uninterrupted))
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert losses(tmp_path) == losses(uninterrupted)


TWO = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--standalone")
"""torchrun, gloo."""


def launched(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]


def test_two_processes_give_the_curve_of_one(script, tiny, tmp_path, uninterrupted):
    """A batch of odd sizes so that the shares differ."""
    launched(command(script, tiny, tmp_path, launch=TWO))
    assert losses(tmp_path) == pytest.approx(losses(uninterrupted), rel=1e-4)


@pytest.mark.slow
def test_two_processes_share_beginnings(script, tiny, tmp_path, records, tokenizer):
    """Groups of three after one context of solved examples, dealt to two processes: the curve of one, row by row."""
    context = EXAMPLES.bind(BindContext(tokenizer, tuple(records)))
    options = {"steps": 4, "batch": 9, "share": 3, "max_length": 200}
    alone = stage.TrainJob(
        records, context, tokenizer, Train(**{**OPTIONS, **options, "layout": "single"}), 3, str(tiny), tmp_path / "one"
    )
    stage.run(alone)
    launched(command(script, tiny, tmp_path / "two", launch=TWO, **options, layout="shared"))
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"tokens": 64},
        {"layout": "packed"},
        *(pytest.param(o, marks=pytest.mark.slow) for o in ({"layout": "padded"}, {"layout": "single"})),
        {"checkpointing": True},
    ],
)
def test_memory_options_do_not_change_the_curve(records, tokenizer, tiny, tmp_path, uninterrupted, options):
    stage.run(job(records, tokenizer, tiny, tmp_path, **options))
    assert losses(tmp_path) == pytest.approx(losses(uninterrupted), rel=1e-4)


def test_accumulation_is_weighted_by_tokens(records, tokenizer, tiny, tmp_path):
    """The first loss is the mean over the update's tokens, not over its micro-batches."""
    from contextune import models
    from contextune.core.sequence import Sequence, render
    from contextune.train.layouts import single
    from contextune.train.loss import nll
    from contextune.train.schedule import Plan

    stage.run(job(records, tokenizer, tiny, tmp_path, layout="single", steps=1))
    rows = [render(Sequence(records[r].segments), tokenizer) for _, r in Plan.of(40, 8, 3, 5).update(0)]
    model = models.load_model(str(tiny))
    expected = sum(nll(model, b).item() for b in single(rows, 0, 0)) / sum(r.trained for r in rows)
    assert losses(tmp_path)[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["lora", pytest.param("dora", marks=pytest.mark.slow), "qlora"])
def test_adapters(records, tokenizer, tiny, tmp_path, kind):
    from transformers import AutoModelForCausalLM

    if kind == "qlora":
        pytest.importorskip("bitsandbytes")

    options = {"adapter": Adapter(kind=kind, rank=4, dropout=0.1), "lr": 1e-2}
    folder = stage.run(job(records, tokenizer, tiny, tmp_path / "one", **options))
    assert (folder / "adapter_model.safetensors").exists()
    assert not (folder / "model.safetensors").exists()
    assert losses(tmp_path / "one")[-1] < losses(tmp_path / "one")[0]
    AutoModelForCausalLM.from_pretrained(folder)
    second = stage.TrainJob(
        records, NoContext(), tokenizer, Train(**{**OPTIONS, **options}), 3, str(folder), tmp_path / "two"
    )
    stage.run(second)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert two[0] < (one[0] + one[-1]) / 2, "the second stage began anew"


def test_bf16_keeps_fp32_weights_and_learns_alike(records, tokenizer, tiny, tmp_path, uninterrupted):
    folder = stage.run(job(records, tokenizer, tiny, tmp_path, precision="bf16"))
    assert {t.dtype for t in load_file(folder / "model.safetensors").values()} == {torch.float32}
    assert losses(tmp_path) != losses(uninterrupted), "computed in fp32 after all"
    assert losses(tmp_path) == pytest.approx(losses(uninterrupted), rel=0.02)


def test_when_bf16_is_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "native_bf16", lambda: ["amx_bf16"])
    assert not precision.wants_bf16("auto", 1_000_000), "a tiny model gains nothing"
    assert precision.wants_bf16("auto", 50_000_000)
    assert precision.wants_bf16("bf16", 1)
    assert not precision.wants_bf16("fp32", 50_000_000)
    monkeypatch.setattr(precision, "native_bf16", list)
    assert not precision.wants_bf16("auto", 50_000_000)


def test_a_checkpoint_without_its_mark_is_a_leftover(tmp_path):
    for step, whole in [(4, True), (8, False)]:
        (tmp_path / f"checkpoint-{step}").mkdir()
        if whole:
            (tmp_path / f"checkpoint-{step}" / WHOLE).write_text("{}")
    assert last_whole(tmp_path) == tmp_path / "checkpoint-4"
    assert not (tmp_path / "checkpoint-8").exists()


def test_divergence_is_named(records, tokenizer, tiny, tmp_path):
    made = job(records, tokenizer, tiny, tmp_path)
    beyond = made.train.model_copy(update={"lr": 1e30, "clip": 1e30})  # more than a recipe may say
    with pytest.raises(UserError, match=r"the loss is (nan|inf), training has diverged"):
        stage.run(replace(made, train=beyond))
    assert not (tmp_path / "model").exists()
