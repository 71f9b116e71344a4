"""When checkpoints are made, what is looked at after an update, and progress: callbacks of the trainer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from contextune.core.errors import UserError
from contextune.core.files import checksums, files_in, seal, sync, sync_tree

from .best import files_of_best
from .checkpoints import KEPT, keep, looks


class Checkpoints(TrainerCallback):
    """Saves every `every` updates, or about ten times a stage where `every` is 0, but not faster than `pause` seconds;
    and after update `also`.

    When a checkpoint is made changes nothing in what is learned, so a clock may decide it.
    """

    def __init__(
        self, every: int, pause: float = 20.0, distributed: bool = False, also: int = 0, identity: str = ""
    ) -> None:
        # processes must agree on when to save, and their clocks do not
        self.every, self.pause, self.identity = every, 0.0 if distributed else pause, identity
        self.last, self.also = time.monotonic(), also

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        every = self.every or max(1, state.max_steps // 10)
        due = state.global_step % every == 0 and state.global_step < state.max_steps
        pause = not self.every and time.monotonic() - self.last < self.pause
        ends = control.should_training_stop and state.global_step < state.max_steps  # to be decided alike if killed
        control.should_save = not ends and (state.global_step == self.also or (due and not pause))
        if control.should_save and state.is_world_process_zero:
            keep(_folder(args), KEPT - 1)  # so that there is never more than KEPT on the disk

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.last = time.monotonic()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()  # the others' parts are written too
        if not state.is_world_process_zero:
            return
        folder = _folder(args)
        new = folder / f"checkpoint-{state.global_step}"
        sync_tree(new)
        beside = checksums(folder, [*looks(folder), *files_of_best(folder)])
        seal(new, checksums(new, files_in(new)), step=state.global_step, identity=self.identity, beside=beside)
        sync(folder)


def _folder(args: TrainingArguments) -> Path:
    assert args.output_dir is not None
    return Path(args.output_dir)


class Diverged(UserError):
    """A loss that is no longer a number."""

    def __init__(self, update: int, loss: float, what: str = "loss") -> None:
        super().__init__(
            f"update {update}: the {what} is {loss}, training has diverged",
            "lower train.lr, raise train.warmup, or set train.precision: fp32",
        )


class Every(TrainerCallback):
    """Calls `look(step, model)` before the first update, after every `every`-th and after the last."""

    def __init__(self, every: int, look: Callable[[int, Any], None]) -> None:
        self.every, self.look = every, look

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any) -> None:
        if state.global_step == 0:
            self._look(state, at["model"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any) -> None:
        if state.global_step % self.every == 0 or control.should_training_stop:
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
            raise Diverged(state.global_step, logs["loss"])
        if state.is_world_process_zero:
            self.progress(state.global_step, state.max_steps, logs["loss"])
