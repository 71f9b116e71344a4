"""The weights with the lowest validation loss so far, kept beside a stage's checkpoints until it is finished.

best-40/  best-60/  checkpoint-50/  checkpoint-70/     50 needs 40, 70 needs 60: what was best when it was made
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from contextune.core.files import files_in

PART = "best.part"
"""The weights while they are written."""
BEST = re.compile(r"best-(\d+)")


def bests(folder: Path) -> dict[int, Path]:
    """The weights that are kept, by the update after which they were the best; the earliest first."""
    named = ((BEST.fullmatch(p.name), p) for p in folder.glob("best-*"))
    return dict(sorted((int(match[1]), p) for match, p in named if match))


def files_of_best(folder: Path) -> list[str]:
    """The files of the best weights so far, relative to the stage's folder."""
    found = bests(folder)
    if not found:
        return []
    last = found[max(found)]
    return [f"{last.name}/{name}" for name in files_in(last)]


def forget(folder: Path, after: int) -> None:
    """Remove what was best only after an update that is trained again."""
    for step, best in bests(folder).items():
        if step > after:
            shutil.rmtree(best, ignore_errors=True)


def prune(folder: Path, steps: Iterable[int]) -> None:
    """Remove the weights that were not the best so far after any of the updates `steps`, and half-written ones."""
    shutil.rmtree(folder / PART, ignore_errors=True)
    found = bests(folder)
    needed = {max((b for b in found if b <= step), default=-1) for step in steps}
    for step, best in found.items():
        if step not in needed:
            shutil.rmtree(best, ignore_errors=True)
