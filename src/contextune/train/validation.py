"""The validation loss of a stage: of texts that are neither trained on nor part of any test.

It is the mean negative log-likelihood (nats) of a target token, every text read alone: no context is drawn for it, so
that losses can be compared between arms. Measuring draws from no generator and leaves the model as it was.

    update      10    20    30    40    50
    loss       2.9   2.4   2.1   2.2   2.3     keep: best takes the weights of update 30;
                                  1     2      patience: 2 ends the stage after update 50
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from contextune.core.files import sync_tree
from contextune.core.sequence import Record, Rendered, Sequence, Tokenizer, render

from .best import PART, prune
from .checkpoint_callbacks import Diverged
from .checkpoints import steps
from .job import TrainJob
from .saving import save_weights

LOSS = "validation"
"""Of an update, where its validation loss stands in the trainer's state and in losses.json."""


@dataclass(frozen=True, slots=True)
class Lowest:
    """The lowest validation loss so far, after which update (the earliest of equal ones), and losses since then."""

    update: int
    loss: float
    since: int


def lowest(losses: Iterable[tuple[int, float]]) -> Lowest | None:
    """Of (update, loss) in the order of training."""
    best: Lowest | None = None
    for update, loss in losses:
        if best is None or loss < best.loss:
            best = Lowest(update, loss, 0)
        else:
            best = Lowest(best.update, best.loss, best.since + 1)
    return best


def losses_of(history: Iterable[dict[str, Any]]) -> list[tuple[int, float]]:
    """(update, validation loss) of those rows of losses.json, or of a trainer's history, that have one."""
    return [(row["step"], row[LOSS]) for row in history if LOSS in row]


def kept(job: TrainJob, history: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """{"update", "validation"} of the weights that a stage keeps; None where nothing was validated."""
    losses = losses_of(history)
    if not losses:
        return None
    best = lowest(losses)
    assert best is not None
    update, loss = (best.update, best.loss) if job.train.keep == "best" else losses[-1]
    return {"update": update, "validation": loss}


def rows(records: Seq[Record], tokenizer: Tokenizer, max_length: int) -> list[Rendered]:
    """The records, rendered alone."""
    return [
        render(Sequence(r.segments, r.ends, {"record": r.id, "origin": r.origin}), tokenizer, max_length)
        for r in records
    ]


class Validation(TrainerCallback):
    """Measures the loss after every so many updates and after the last, keeps the best weights where they are wanted,
    and ends a stage whose loss no longer falls. It is called before `Checkpoints`, which save its results.

    All that it goes by is in the trainer's history, and so in every checkpoint: a resumed stage decides alike.
    """

    trainer: Any
    """Is set once there is one."""

    def __init__(self, job: TrainJob) -> None:
        self.job, self.loss = job, math.nan
        self.rows = rows(job.validation, job.tokenizer, job.train.max_length)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        every = self.job.train.validate_every or max(1, state.max_steps // 10)
        self.loss = math.nan
        if state.global_step % every and state.global_step != state.max_steps:
            return
        self.loss = self.trainer.validation_loss(self.rows)
        if not math.isfinite(self.loss):
            raise Diverged(state.global_step, self.loss, "validation loss")
        best = lowest([*losses_of(state.log_history), (state.global_step, self.loss)])
        assert best is not None
        if self.job.train.keep == "best" and not best.since:
            self._save(state)
        if self.job.train.patience is not None and best.since >= self.job.train.patience:
            control.should_training_stop = True

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if math.isfinite(self.loss):
            state.log_history[-1][LOSS] = self.loss
            self.loss = math.nan

    def _save(self, state: TrainerState) -> None:
        """Older weights go first, but those that a checkpoint needs to be resumed; the new ones appear by a rename."""
        folder, best = self.job.folder, self.job.folder / f"best-{state.global_step}"
        if state.is_world_process_zero:
            prune(folder, steps(folder))
            shutil.rmtree(best, ignore_errors=True)
        self.trainer.accelerator.wait_for_everyone()
        save_weights(self.trainer, folder / PART)
        if state.is_world_process_zero:
            sync_tree(folder / PART)
            os.replace(folder / PART, best)
        self.trainer.accelerator.wait_for_everyone()
