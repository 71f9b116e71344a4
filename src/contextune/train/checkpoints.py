"""Checkpoints that are either whole or not there, and progress."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from contextune.core.errors import UserError

WHOLE = "whole.json"
"""Written into a checkpoint after everything else. Without it a checkpoint is the leftover of a kill."""


def last_whole(folder: Path) -> Path | None:
    """The newest complete checkpoint; incomplete ones are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.rsplit("-", 1)[1]))
    for broken in (p for p in found if not (p / WHOLE).exists()):
        shutil.rmtree(broken, ignore_errors=True)  # of several processes one is first
    whole = [p for p in found if (p / WHOLE).exists()]
    return whole[-1] if whole else None


class Checkpoints(TrainerCallback):
    """Saves every `every` updates, or about ten times a stage where `every` is 0, but not faster than `pause` seconds;
    and after update `also`.

    When a checkpoint is made changes nothing in what is learned, so a clock may decide it.
    """

    def __init__(self, every: int, pause: float = 20.0, distributed: bool = False, also: int = 0) -> None:
        # processes must agree on when to save, and their clocks do not
        self.every, self.pause = every, 0.0 if distributed else pause
        self.last, self.also = time.monotonic(), also

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        every = self.every or max(1, state.max_steps // 10)
        due = state.global_step % every == 0 and state.global_step < state.max_steps
        pause = not self.every and time.monotonic() - self.last < self.pause
        control.should_save = state.global_step == self.also or (due and not pause)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.last = time.monotonic()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()  # the others' parts are written too
        if not state.is_world_process_zero:
            return
        assert args.output_dir is not None
        folder = Path(args.output_dir)
        new = folder / f"checkpoint-{state.global_step}"
        (new / WHOLE).write_text(json.dumps({"step": state.global_step}))
        for old in folder.glob("checkpoint-*"):  # only now: a kill before this line leaves the older one
            if old != new:
                shutil.rmtree(old)


class Every(TrainerCallback):
    """Calls `look(step, model)` before the first update, after every `every`-th and after the last."""

    def __init__(self, every: int, look: Callable[[int, Any], None]) -> None:
        self.every, self.look = every, look

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any) -> None:
        if state.global_step == 0:
            self._look(state, at["model"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any) -> None:
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._look(state, at["model"])

    def _look(self, state: TrainerState, model: Any) -> None:
        if state.is_world_process_zero:
            self.look(state.global_step, model)


class Watch(TrainerCallback):
    """Calls `progress(done, all, loss)` after each update; ends a run whose loss is no longer a number."""

    def __init__(self, progress: Any) -> None:
        self.progress = progress

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise UserError(
                f"update {state.global_step}: the loss is {logs['loss']}, training has diverged",
                "lower train.lr, raise train.warmup, or set train.precision: fp32",
            )
        if state.is_world_process_zero:
            self.progress(state.global_step, state.max_steps, logs["loss"])
