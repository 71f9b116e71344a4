"""A stage's finished model: it appears by a rename, and is looked at again before it is used.

The stage's `whole.json` holds checksums of all that is finished, and copies of what is small.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contextune import models
from contextune.core.errors import UserError
from contextune.core.files import (
    WHOLE,
    Damaged,
    checksums,
    faults,
    files_in,
    released,
    seal,
    sealed,
    sync,
    sync_tree,
    write_text,
)  # fmt: skip
from contextune.core.ownership import listed

from .best import bests, prune
from .callback import SCORES
from .checkpoints import keep, looks, say, steps
from .job import TrainJob
from .saving import CARD, save_weights, write_texts
from .trainer import ContextTrainer
from .validation import LOSS, kept
from .weight_interpolation import part_of_the_way

NOTED = "noted"
"""Of an update, what its objective and the choice of alternatives report beside the loss."""
PART = "model.part"
"""The finished model while it is written."""


def finish(job: TrainJob, trainer: ContextTrainer, times: Mapping[str, float]) -> None:
    """Write the model beside its place, then move it there; then the checkpoints go. `times` go into stage.json."""
    fresh = job.folder / PART
    best = bests(job.folder)
    if job.train.keep == "last":
        save_weights(trainer, fresh)
    elif trainer.is_world_process_zero():
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(best[max(best)], fresh)
    if not trainer.is_world_process_zero():
        trainer.accelerator.wait_for_everyone()
        return
    if job.train.weight_interpolation < 1:
        began = None if job.train.adapter else models.load_model(job.start, job.model).state_dict()
        part_of_the_way(fresh, began, job.train.weight_interpolation)
    write_texts(fresh, job.tokenizer, job.card)
    keys = {"step": "step", "loss": "loss", "lr": "learning_rate", "grad_norm": "grad_norm", "seconds": "seconds"}
    keys |= {LOSS: LOSS}
    history = [row for row in trainer.state.log_history if "loss" in row]
    losses: list[dict[str, Any]] = [
        {**{k: row[v] for k, v in keys.items() if v in row}, **row.get(NOTED, {})}  # type: ignore[dict-item]
        for row in history
    ]
    assert all(math.isfinite(row["loss"]) for row in losses)
    write_text(job.folder / "losses.json", json.dumps(losses))
    stage = {**times, "updates": trainer.state.global_step, "files": sorted(os.listdir(fresh))}
    stage |= {"kept": found} if (found := kept(job, history)) else {}
    write_text(job.folder / "stage.json", json.dumps(stage))
    sync_tree(fresh)
    seal_stage(job.folder, fresh, job.identity)
    os.replace(fresh, job.folder / "model")
    sync(job.folder)
    keep(job.folder, 1 if job.extendable else 0)
    prune(job.folder, steps(job.folder))
    trainer.accelerator.wait_for_everyone()


def repair(folder: Path, identity: str = "") -> None:
    """Look whether a finished stage is what was written: small files are written anew from their copies; where others
    are damaged the model is removed, so that it is trained again. Both are said.
    """
    if not (folder / "model").is_dir() or released(folder):
        return
    prune(folder, steps(folder))  # left where a kill came just before
    try:
        made = sealed(folder)
    except Damaged:
        made = None
    if made is None:
        say(f"{folder}: {WHOLE} is damaged or gone, so the finished model is taken as it is, unchecked")
        seal_stage(folder, folder / "model", identity)
        return
    wrong = faults(folder, made["sums"])
    again = [name for name in wrong if name in made["copies"]]
    for name in again:
        write_text(folder / name, made["copies"][name])
    if again:
        say(f"{folder}: damaged or gone, written anew from a copy: {', '.join(again)}")
    if lost := [name for name in wrong if name not in again]:
        known = {CARD, *(name.removeprefix("model/") for name in made["sums"])}
        if strange := [name for name in files_in(folder / "model") if name not in known]:
            raise UserError(
                f"{folder}: damaged or gone: {', '.join(lost)}; training the stage again would remove what no run has "
                f"written: {listed(strange)}",
                f"move that out of {folder / 'model'} first",
            )
        say(f"{folder}: damaged or gone: {', '.join(lost)}; the stage is trained again")
        shutil.rmtree(folder / "model", ignore_errors=True)


def seal_stage(folder: Path, model: Path, identity: str) -> None:
    """Checksums of a finished stage, but for its model card, which is written again with the results."""
    names = files_in(model)
    sums = {f"model/{name}": value for name, value in checksums(model, names).items() if name != CARD}
    small = ["losses.json", "stage.json", *(str(f.relative_to(folder)) for f in sorted(folder.glob(f"*/{SCORES}")))]
    copies = {name: (folder / name).read_text(encoding="utf-8") for name in small if (folder / name).exists()}
    seal(folder, sums | checksums(folder, [*copies, *looks(folder)]), identity=identity, copies=copies)
