"""Checkpoints that are either whole or not there, and progress.

Two are kept: where the newest is damaged, training resumes from the one before.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from contextune.core.environment import rank
from contextune.core.files import WHOLE, Damaged, faults, sealed
from contextune.core.progress import say_once

from .best import BEST, forget
from .callback import SCORES

KEPT = 2
"""Checkpoints of a stage in training."""


def found(folder: Path) -> list[Path]:
    """A stage's checkpoints, the oldest first."""
    return sorted((p for p in folder.glob("checkpoint-*") if step_of(p) is not None), key=lambda p: step_of(p) or 0)


def step_of(checkpoint: Path) -> int | None:
    """The update of a folder `checkpoint-N`; None where it is named otherwise, and not ours."""
    number = checkpoint.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() and number.isascii() else None


def steps(folder: Path) -> list[int]:
    """The updates of a stage's checkpoints, the first one first."""
    return [step for checkpoint in found(folder) if (step := step_of(checkpoint)) is not None]


def last_whole(folder: Path) -> Path | None:
    """The newest complete checkpoint, looked at from outside; incomplete ones, leftovers of a kill, are removed."""
    whole = []
    for checkpoint in found(folder):
        if (checkpoint / WHOLE).exists():
            whole.append(checkpoint)
        else:
            shutil.rmtree(checkpoint, ignore_errors=True)  # of several processes one is first
    return whole[-1] if whole else None


def last_good(folder: Path) -> Path | None:
    """The newest checkpoint that holds what was written into it; newer ones are removed, and that is said.

    What callbacks have kept since then, and what was best only later, goes too: it is looked at again.
    """
    last_whole(folder)
    for checkpoint in reversed(found(folder)):
        try:
            made = sealed(checkpoint) or {}
            wrong = [
                *(f"{checkpoint.name}/{name}" for name in faults(checkpoint, made["sums"])),
                *faults(folder, made["beside"]),
            ]
        except (Damaged, KeyError):
            made, wrong = {}, [f"{checkpoint.name}/{WHOLE}"]
        if not wrong:
            for name in set(looks(folder)) - set(made["beside"]):
                (folder / name).unlink(missing_ok=True)
            forget(folder, step_of(checkpoint) or 0)
            return checkpoint
        shutil.rmtree(checkpoint, ignore_errors=True)
        say(f"{folder}: damaged or gone: {', '.join(wrong)}; training resumes from an earlier update")
    for name in looks(folder):
        (folder / name).unlink(missing_ok=True)
    forget(folder, 0)
    return None


def looks(folder: Path) -> list[str]:
    """Files that callbacks keep in folders of their own beside the checkpoints, those made anew at each look aside."""
    return [
        str(file.relative_to(folder))
        for inner in folder.iterdir()
        if inner.is_dir() and inner.name != "model" and not inner.name.startswith("checkpoint-")
        if inner.suffix != ".part" and not BEST.fullmatch(inner.name)
        for file in sorted(inner.rglob("*"))
        if file.is_file() and file.name != SCORES and file.suffix != ".part"
    ]


def say(text: str) -> None:
    """What several processes find is said by the first."""
    if rank() == 0:
        say_once(text)


def keep(folder: Path, count: int) -> None:
    """Remove a stage's checkpoints but the newest `count`."""
    there = found(folder)
    for old in there[: len(there) - count]:
        shutil.rmtree(old)
