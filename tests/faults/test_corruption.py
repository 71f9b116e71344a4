"""After a power loss: every file of a run's folder empty, half, with a flipped byte, or gone; then the same command.

It ends as an undamaged run, bit for bit, and says what was damaged; or one sentence says what to do, and that works.
"""

from __future__ import annotations

import json
import logging
import random
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from contextune import run
from contextune.cli import main
from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.files import SEAL, write_json
from contextune.core.progress import Reporter, say_once
from contextune.generation import store
from contextune.train.callback import Callback, Look, Training, begin
from contextune.train.checkpoint_callbacks import Checkpoints
from tests.conftest import words

WAYS = ("empty", "half", "flipped", "gone")
STOPS = 9
"""The update at which the interrupted run ends: two checkpoints are there."""


@registry.callbacks("noting")
class Noting(Callback):
    """Keeps the sum of the weights, as other callbacks keep what they see."""

    def check(self, training: Training) -> None:
        pass

    def bind(self, training: Training) -> Look:
        folder = training.folder / "noting"

        def look(step: int, model: Any) -> None:
            begin(folder, "k")
            if not (folder / f"{step:03d}.json").exists():
                write_json(
                    folder / f"{step:03d}.json", float(sum(p.detach().double().sum() for p in model.parameters()))
                )
            seen = {f.stem: json.loads(f.read_text()) for f in sorted(folder.glob("[0-9]*.json"))}
            write_json(folder / "scores.json", [{"step": int(s), "sum": v} for s, v in seen.items()])

        return look


class PowerLoss(BaseException):
    pass


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, tiny) -> dict[str, Any]:
    folder, rng = tmp_path_factory.mktemp("corruption"), random.Random(0)
    rows = [{"id": f"d{i}", "text": words(rng, 8, 20) + "."} for i in range(8)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    items = [{"q": words(rng, 2, 4), "a": rng.randrange(2)} for _ in range(6)]
    (folder / "items.jsonl").write_text("".join(json.dumps(r) + "\n" for r in items))
    return {
        "name": "loss", "model": str(tiny), "seeds": [0], "output": str(folder / "whole"),
        "data": {"docs": {"path": str(folder / "docs.jsonl"), "held_out": 0.2}},
        "arms": {
            "two": {"stages": [{"data": "docs", "train": {"steps": 2}}, {"data": "docs"}]},
            "made": {
                "data": "docs",
                "augment": {
                    "operations": [{"operation": "rephrase", "max_tokens": 64}], "filters": [], "failures": 1.0
                },
            },
        },
        "writer": {"tokens": 4},
        "train": {"steps": 12, "batch": 3, "lr": 0.01, "max_length": 40, "save": 4, "schedule": "linear"},
        "evaluate": {
            "tasks": [{"name": "pick", "kind": "choice", "path": str(folder / "items.jsonl"), "prompt": "{{ q }}",
                       "options": [" w1", " w2"], "answer": "{{ a }}"}],
            "samples": 1, "callbacks": {"noting": {"every": 6}},
        },
        "compare": {"baseline": "two", "resamples": 100},
    }  # fmt: skip


def go(recipe: dict[str, Any], out: Path, **more: Any) -> list[str]:
    """Runs into `out`, as a new process would; what was said of it on the way."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("contextune")
    say_once.cache_clear()
    store._checked.clear()
    logger.addHandler(handler)
    try:
        run({**recipe, "output": str(out)}, reporter=Reporter.silent(), workers=1, **more)
    finally:
        logger.removeHandler(handler)
    return said


@pytest.fixture(scope="module")
def whole(recipe) -> Path:
    go(recipe, Path(recipe["output"]))
    return Path(recipe["output"])


@pytest.fixture(scope="module")
def interrupted(recipe, tmp_path_factory) -> Path:
    """The power fails in the training of the last stage of arm `two`, with checkpoints 4 and 8 on the disk."""
    out, kept = tmp_path_factory.mktemp("interrupted") / "run", Checkpoints.on_step_end

    def fails(self, args, state, control, **more):
        if state.global_step == STOPS and "stage-1" in args.output_dir:
            raise PowerLoss
        return kept(self, args, state, control, **more)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerLoss):  # noqa: PT012
        patch.setattr(Checkpoints, "on_step_end", fails)
        go(recipe, out)
    stage = out / "arms" / "two" / "seed-0" / "stage-1"
    assert sorted(p.name for p in stage.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-8"]
    return out


def state(out: Path) -> dict[str, Any]:
    """All that a run leaves, without times."""
    return {name: _content(out / name) for name in files(out)}


def files(out: Path) -> list[str]:
    made = (p for p in out.rglob("*") if p.is_file())
    apart = r"\.lock|.*\.sqlite.+|(recipe\.yaml|README\.md)\.yours"  # what is kept aside is one file more
    return sorted(str(p.relative_to(out)) for p in made if not re.fullmatch(apart, p.name))


def _content(file: Path) -> Any:
    if file.suffix == ".sqlite":
        with closing(sqlite3.connect(file)) as db:
            return db.execute("SELECT key, text, reason, prompt FROM answers ORDER BY key").fetchall()
    if file.suffix == ".parquet":
        return pq.read_table(file).to_pydict()
    if file.name in ("report.html", "augmented.html", "recipe.yaml"):  # dates, and the folder's name
        return bool(file.stat().st_size)
    if file.suffix == ".json":
        return _timeless(json.loads(file.read_text()), file.name)
    named = rb"(recipe `|written by contextune )[0-9a-f]+"  # of which the folder's name is a part
    return re.sub(named, b"", file.read_bytes())


def _timeless(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_timeless(v, "") for v in value]
    if isinstance(value, dict):
        gone = (
            "seconds",
            "waited",
            "began",
            "ended",
            "notes" if name == "identity.json" else "",
            SEAL,
            "copies",
            "environment",
        )
        value = {k: _timeless(v, "") for k, v in value.items() if k not in gone}
        if name == "run.json":
            value = {k: v for k, v in value.items() if k in ("status", "model", "parameters", "warnings")}
        if "sums" in value:
            value["sums"] = {k: v for k, v in value["sums"].items() if k not in ("losses.json", "stage.json")}
    return value


def damage(file: Path, way: str) -> None:
    content = bytearray(file.read_bytes())
    if way == "gone":
        return file.unlink()
    if way == "flipped":
        content[len(content) // 2] ^= 0x04
    file.write_bytes(content if way == "flipped" else content[: len(content) // 2 if way == "half" else 0])
    return None


def same_command(recipe: dict[str, Any], out: Path, expected: dict[str, Any]) -> str:
    """Gives it again; "right", or "refused" where a sentence said what to do, and that was right."""
    try:
        said = go(recipe, out)
    except UserError as e:
        if "move " in e.hint:
            shutil.move(out / "generated.sqlite", out.with_suffix(".moved"))
        elif "--fresh" not in e.hint:
            raise
        said = [e.message, *go(recipe, out, fresh="--fresh" in e.hint)]
    found = state(out)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    return "\n".join(said)


def cases(base: Path) -> Iterator[tuple[str, str]]:
    for name in files(base):
        for way in WAYS:
            if (base / name).stat().st_size:
                yield name, way


def sweep(recipe: dict[str, Any], base: Path, whole: Path, chosen: list[tuple[str, str]], tmp_path: Path) -> list[str]:
    expected, wrong = state(whole), []
    for name, way in chosen:
        out = tmp_path / "run"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(base, out)
        damage(out / name, way)
        try:
            same_command(recipe, out, expected)
        except (Exception, PowerLoss) as e:
            wrong.append(f"{way} {name}: {type(e).__name__} {str(e)[:300]}")
    return wrong


QUICK = [
    ("whole", "arms/two/seed-0/stage-1/model/model.safetensors", "flipped"),
    ("interrupted", "arms/two/seed-0/stage-1/checkpoint-8/optimizer.pt", "empty"),
    ("interrupted", "generated.sqlite", "half"),
]


@pytest.mark.parametrize(("base", "name", "way"), QUICK)
def test_the_same_command_ends_equal(base, name, way, recipe, whole, interrupted, tmp_path):
    shutil.copytree({"whole": whole, "interrupted": interrupted}[base], tmp_path / "run")
    damage(tmp_path / "run" / name, way)
    said = same_command(recipe, tmp_path / "run", state(whole))
    assert Path(name).name in said, "it is said"


@pytest.mark.slow
def test_every_file_of_a_finished_run(recipe, whole, tmp_path):
    assert sweep(recipe, whole, whole, list(cases(whole)), tmp_path) == []


@pytest.mark.slow
def test_every_file_of_an_interrupted_run(recipe, whole, interrupted, tmp_path):
    assert sweep(recipe, interrupted, whole, list(cases(interrupted)), tmp_path) == []


SHOWN = [
    ("accounting.json", "flipped"), ("samples.json", "flipped"), ("run.json", "half"), ("run.json", "flipped"),
    ("recipe.yaml", "half"), ("augmented/made.stage-0.json", "empty"), ("outcomes/two.seed-0.pick.parquet", "half"),
    ("arms/two/seed-0/stage-1/losses.json", "gone"), ("augmented/made.stage-0.jsonl", "gone"),
    ("questions.json", "flipped"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "way"), SHOWN)
def test_a_report_of_damaged_files_says_how_they_are_made_again(name, way, whole, tmp_path, capsys):
    shutil.copytree(whole, tmp_path / "run")
    damage(tmp_path / "run" / name, way)
    with pytest.raises(SystemExit) as e:
        main(["report", str(tmp_path / "run")])
    *_, first, second = capsys.readouterr().err.splitlines()
    assert e.value.code == 2
    assert Path(name).name in first
    assert "contextune run again" in second or "delete it; the run scores it again" in second


def test_a_file_that_ends_too_early_is_no_interrupt(tmp_path, monkeypatch, capsys):
    """torch and pickle raise EOFError, which typer takes for Ctrl-C."""

    def read(*args: Any, **more: Any) -> None:
        raise EOFError("Ran out of input")

    monkeypatch.setattr("contextune.experiment.rebuild.rebuild", read)
    with pytest.raises(SystemExit) as e:
        main(["report", str(tmp_path)])
    assert e.value.code == 1
    assert "error: EOFError: Ran out of input" in capsys.readouterr().err
