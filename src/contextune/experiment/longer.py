"""Train what is trained for longer, in the same folder: `train.epochs: 24` after 12.

The longer run begins with the very updates of the shorter one where none of them depends on how many there are: with a
constant learning rate. The optimiser's state after the last whole update is kept for that; a last one that was short
(records times epochs is no multiple of the batch) is made again, whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError
from contextune.core.files import released
from contextune.core.ownership import listed
from contextune.train.checkpoints import last_whole
from contextune.train.schedule import Plan

from . import fingerprint
from .prepare import PreparedStage
from .run_files import added

KEYS = {"train.epochs", "train.steps"}


def refuse(folder: Path, old: Mapping[str, Any], ready: PreparedStage, seed: int, name: str) -> None:
    """UserError where a stage begun with the parts `old`, of another length alone, cannot go on to its new one."""
    before, after = _plan(old, ready, seed), ready.plan(seed)
    gone, checkpoint = released(folder), last_whole(folder)
    done = (folder / "model").is_dir() or gone
    step = int(checkpoint.name.rsplit("-", 1)[1]) if checkpoint else 0
    if after.draws == before.draws or not (done or step):
        return
    lengths = f"{before.updates} updates, the recipe now says {after.updates}"
    schedule = ready.train.schedule
    hint = "give the run another folder with output=FOLDER, or start over with --fresh"
    if schedule != "constant":
        why = f"with schedule {schedule} the learning rate of each update depends on their number: it is another run"
        hint += "; schedule: constant can be trained longer"
    elif after.draws < before.draws:
        why = "it cannot be made shorter"
    elif int(os.environ.get("WORLD_SIZE", 1)) > 1:
        why = "several processes cannot take up a finished stage"
    elif ready.train.selects and not ready.train.validate_every:
        why = "when it is validated depends on how many there are; with train.validate_every: N it does not"
    elif done and ready.train.patience is not None and (ended := _ended(folder)) < before.updates:
        why = f"it ended at update {ended}, as its validation loss no longer fell (train.patience)"
    elif gone:
        why = "its weights were not kept (keep)"
    elif not step and before.draws >= before.batch:
        why = "the state of its optimiser was not kept (by an earlier version, or as another stage follows)"
    else:
        if strange := added(folder):
            raise UserError(
                f"{folder / 'model'}: training it longer would remove what no run has written: {listed(strange)}",
                "move that elsewhere first",
            )
        return
    raise UserError(f"{folder}: {name} was begun for {lengths}; {why}", hint)


def reopen(folder: Path, parts: Mapping[str, Any], ready: PreparedStage, seed: int) -> bool:
    """Whether the stage is now to be trained further; its model goes, its last checkpoint stays."""
    old = fingerprint.read(folder)
    longer = ready.plan(seed).draws > _plan(old, ready, seed).draws
    if longer:
        shutil.rmtree(folder / "model", ignore_errors=True)
    fingerprint.begin(folder, parts, **old.get(fingerprint.NOTES, {}))
    return longer


def _ended(folder: Path) -> int:
    """The last update of a finished stage."""
    return int(json.loads((folder / "stage.json").read_text())["updates"])


def _plan(parts: Mapping[str, Any], ready: PreparedStage, seed: int) -> Plan:
    """The plan of a stage with these parts, over the records that it has."""
    train = parts["train"]
    return Plan.of(len(ready.records), train["batch"], seed, train["epochs"], train["steps"])
