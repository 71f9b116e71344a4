"""Where a run keeps its things, and what decides them."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from contextune.core.environment import rank
from contextune.core.errors import UserError
from contextune.core.files import digest

from .prepare import Prepared, PreparedStage
from .recipe import folder_of as folder_of


def writable(out: Path) -> None:
    """UserError where the run's folder cannot be made and written to."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out) as probe:  # of this process alone: others of the run look at the same time
            probe.write(b"x")
    except FileExistsError:
        raise UserError(f"output {out}: a file of that name is in the way", "give another output=FOLDER") from None
    except OSError as e:
        raise UserError(
            f"output {out}: cannot be written ({os.strerror(e.errno or 0)})", "give another output=FOLDER"
        ) from None


def stage_folder(out: Path, arm: str, seed: int, index: int) -> Path:
    return out / "arms" / arm / f"seed-{seed}" / f"stage-{index}"


def model_of(prepared: Prepared, arm: str, seed: int) -> str:
    """The folder of an arm's finished model; the untrained one where the arm has no stages."""
    stages = prepared.arms[arm]
    return str(stage_folder(prepared.out, arm, seed, len(stages) - 1) / "model") if stages else prepared.model


def fingerprint_of(prepared: Prepared, ready: PreparedStage, arm: str, index: int, seed: int) -> dict[str, Any]:
    """All that decides a stage's weights, by the recipe's own keys."""
    named = (*ready.stage.sources, *ready.stage.context.sources())
    parts: dict[str, Any] = {
        "model": prepared.model_hash,
        "seed": seed,
        "data": {n: prepared.documents[n].fingerprint for n in named},
        "records": [prepared.digest(n) for n in named],
        "context": ready.stage.context.full(),
        "context_content": ready.stage.context.located(prepared.base).content(),
        "train": {
            k: v for k, v in ready.train.model_dump(mode="json").items() if k not in ("save", "threads", "tokens")
        },
    }
    if ready.augmented is not None:
        parts["augment"] = ready.augmented.parts
        parts["augmented"] = digest([(r.id, [s.text for s in r.segments], r.ends) for r in ready.records])
    if index:
        before = prepared.arms[arm][index - 1]
        parts["stage before"] = digest(fingerprint_of(prepared, before, arm, index - 1, seed))
    return parts


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Two runs must not write into one folder; the lock goes with the process."""
    if rank() != 0:
        yield
        return
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{out}: another run is working in this folder", "wait for it, or give another output=FOLDER"
            ) from None
        yield


def kept(out: Path) -> str:
    """What an interrupted run leaves, in words."""
    from contextune.train.checkpoints import last_whole  # imports torch

    names = {p: f"{p.parts[-3]} {p.parts[-2].replace('-', ' ')}" for p in out.glob("arms/*/seed-*/stage-*")}
    done = sum((p / "model").is_dir() for p in names)
    begun = [
        f"{name} at update {checkpoint.name.rsplit('-', 1)[1]}"
        for p, name in sorted(names.items())
        if not (p / "model").is_dir() and (checkpoint := last_whole(p))
    ]
    scored = len(list((out / "outcomes").glob("*.parquet")))
    parts = [f"{done} finished stage{'s' * (done != 1)}"] * (done > 0) + begun
    parts += [f"{scored} scored task{'s' * (scored != 1)}"] * (scored > 0)
    parts += ["what a writer has written"] * (out / "generated.sqlite").exists()
    return f"kept in {out}: {', '.join(parts) or 'nothing yet'}"


def clear(out: Path) -> None:
    """Remove what a run has made, and nothing else."""
    for name in ("arms", "outcomes", "augmented"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in (
        "recipe.yaml",
        "run.json",
        "memory.json",
        "accounting.json",
        "contexts.json",
        "samples.json",
        "results.json",
        "report.html",
    ):
        (out / name).unlink(missing_ok=True)
