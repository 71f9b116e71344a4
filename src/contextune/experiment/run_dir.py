"""Where a run keeps its things, and what decides them."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from contextune.core.environment import rank
from contextune.core.errors import UserError
from contextune.core.files import WHOLE, Damaged, digest, no_link, read_sealed, released, sweep
from contextune.core.progress import say_once
from contextune.data.records import hashed
from contextune.train.objectives.base import Likelihood
from contextune.train.options import Train

from .prepare import Prepared, PreparedStage
from .recipe import folder_of as folder_of

RESUMES = "the same command resumes"


def stage_folder(out: Path, arm: str, seed: int, index: int) -> Path:
    return out / "arms" / arm / f"seed-{seed}" / f"stage-{index}"


def model_of(prepared: Prepared, arm: str, seed: int) -> str:
    """The folder of an arm's finished model, or of the arm's that it names; the untrained one where there is none."""
    arm = prepared.recipe.models_of(arm)
    stages = prepared.arms[arm]
    return str(stage_folder(prepared.out, arm, seed, len(stages) - 1) / "model") if stages else prepared.model


def fingerprint_of(prepared: Prepared, ready: PreparedStage, arm: str, index: int, seed: int) -> dict[str, Any]:
    """All that decides a stage's weights, by the recipe's own keys."""
    ready = ready.at(seed)
    named = (*ready.stage.sources, *ready.stage.context.sources())
    parts: dict[str, Any] = {
        "model": prepared.model_hash,
        "seed": seed,
        "data": {n: prepared.documents[n].fingerprint for n in named},
        "records": [prepared.digest(n) for n in named],
        "context": ready.stage.context.full(),
        "context_content": ready.stage.context.located(prepared.base).content(),
        "train": _decisive(ready.train),
    }
    if ready.augmented is not None:
        parts["augment"] = ready.augmented.parts
        parts["augmented"] = digest([(r.id, [s.text for s in r.segments], r.ends) for r in ready.records])
    if ready.train.selects:
        parts["validation"] = digest([hashed(r) for r in ready.validation])
    if index:
        before = prepared.arms[arm][index - 1]
        parts["stage before"] = digest(fingerprint_of(prepared, before, arm, index - 1, seed))
    return parts


def _decisive(train: Train) -> dict[str, Any]:
    """What of a stage's options decides its weights; what a folder of an earlier version did not name is left out."""
    left = {"save", "threads", "tokens", "validate_on"}
    left |= set() if train.selects else {"keep", "validate_every"}
    left |= set() if train.patience is not None else {"patience"}
    found = {k: v for k, v in train.model_dump(mode="json").items() if k not in left}
    found["checkpointing"] = train.checkpointing is True  # not where it is left to memory
    if train.optimizer == "adamw":
        del found["optimizer"]
    if train.adapter and train.adapter.kind != "osf":
        del found["adapter"]["preserved"]
    if not train.freeze:
        del found["freeze"]
    if train.kl is None:
        del found["kl"]
    found["objective"] = train.objective.full()
    if train.objective == Likelihood():
        del found["objective"]
    return found


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Two commands must not write into one folder; the lock goes with the process.

    The file says who holds it, for others to read, and is empty again when a command has ended by itself.
    """
    if rank() != 0:
        yield
        return
    with _open(out / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{out}: another run is working in this folder{_holder(file)}",
                "wait for it, or give another output=FOLDER",
            ) from None
        except OSError as e:
            say_once(f"{out}: locks do not work on this disk ({e.strerror}): let no other run work in this folder")
        holder = _holder(file)
        if holder and platform.node() not in holder:  # a disk may keep locks of several hosts apart
            say_once(f"{out}: the last run here did not end by itself{holder}: see that it is not still running")
        _locks.add(file.fileno())
        _write(file, f"process {os.getpid()} on {platform.node()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        try:
            sweep(out)
            yield
        finally:
            _locks.discard(file.fileno())
            _write(file, "")


_locks = set[int]()


def _let_go() -> None:
    """A forked process would hold the lock for a moment after this one was killed."""
    for number in _locks:
        with suppress(OSError):
            os.close(number)
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _open(lock: Path) -> IO[str]:
    """It is emptied: UserError where that would empty a file elsewhere."""
    try:
        file = open(lock, "a+", encoding="utf-8", errors="replace", opener=no_link)  # noqa: SIM115
        if os.fstat(file.fileno()).st_nlink <= 1:
            return file
        file.close()
    except OSError as e:
        if e.errno != errno.ELOOP:
            raise
    raise UserError(f"{lock}: a link to another file", "remove the link, or give another output=FOLDER")


def _holder(file: IO[str]) -> str:
    file.seek(0)
    said = file.read(200).strip()
    return f" ({said})" if said else ""


def _write(file: IO[str], text: str) -> None:
    with suppress(OSError):  # a full disk: the lock holds all the same
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), text.encode())


def kept(out: Path) -> str:
    """What an interrupted run leaves, in words."""
    names = {p: f"{p.parts[-3]} {p.parts[-2].replace('-', ' ')}" for p in out.glob("arms/*/seed-*/stage-*")}
    done = sum((p / "model").is_dir() or released(p) for p in names)
    begun = [
        f"{name} at update {max(steps)}"
        for p, name in sorted(names.items())
        if not (p / "model").is_dir() and (steps := [_step(whole) for whole in p.glob(f"checkpoint-[0-9]*/{WHOLE}")])
    ]
    scored = len(list((out / "outcomes").glob("*.parquet")))
    tried = 0
    with suppress(Damaged):
        tried = sum(len(one["trials"]) for one in (read_sealed(out / "search.json") or {}).values())
    parts = [f"{tried} trial{'s' * (tried != 1)} of the search"] * (tried > 0)
    parts += [f"{done} finished stage{'s' * (done != 1)}"] * (done > 0) + begun
    parts += [f"{scored} scored task{'s' * (scored != 1)}"] * (scored > 0)
    parts += ["what a writer has written"] * (out / "generated.sqlite").exists()
    return f"kept in {out}: {', '.join(parts) or 'nothing yet'}"


def _step(whole: Path) -> int:
    return int(whole.parent.name.rsplit("-", 1)[1])
