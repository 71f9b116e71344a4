"""Training's logs in trackers, through transformers' own callbacks.

One arm at one seed is one run of a tracker, over all its stages and resumes. A tracker is only told when training
begins and what is logged, never of checkpoints, so that it copies no weights. Its fault never ends a training.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from contextune.core.errors import first_line
from contextune.core.progress import say_once

from .trackers import TrackedRun, begin_mlflow, opened, told


class Tracking(TrainerCallback):
    """Tells a run's trackers what training logs; one that fails is told nothing more, and that is said once."""

    def __init__(self, run: TrackedRun) -> None:
        self.run, self.arguments = run, told(run)
        self.open: dict[str, tuple[ExitStack, TrainerCallback]] = {}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **at: Any) -> None:
        if not state.is_world_process_zero:
            return
        moved = self._moved(state)
        for name, tracker in self.run.track.trackers():
            with self._guarded(name):
                stack = ExitStack()
                self.open[name] = stack, stack.enter_context(opened(self.run, tracker, moved.global_step))
                self.open[name][1].on_train_begin(self.arguments, moved, control, model=at.get("model"))  # type: ignore[arg-type]

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **at: Any
    ) -> None:
        moved = self._moved(state)
        for name in list(self.open):
            with self._guarded(name):
                self.open[name][1].on_log(self.arguments, moved, control, logs=dict(logs or {}), model=at.get("model"))  # type: ignore[arg-type]

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the trackers' runs; once is enough."""
        for name in list(self.open):
            stack, _ = self.open.pop(name)
            with self._guarded(name):
                stack.close()

    def _moved(self, state: TrainerState) -> TrainerState:
        """The state with the arm's updates in place of the stage's."""
        moved = copy.copy(state)
        moved.global_step += self.run.before
        return moved

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """Within, a fault is said and closes the tracker, and what it prints does not go to standard output."""
        try:
            with redirect_stdout(sys.stderr if name != "trackio" else _Nowhere()):
                yield
        except Exception as e:
            stack, _ = self.open.pop(name, (ExitStack(), None))
            with suppress(Exception):  # the first fault is the one that is said
                stack.close()
            say_once(f"track.{name}: {type(e).__name__}: {first_line(e)}; the run goes on without it")


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None: ...


def log(run: TrackedRun, values: Mapping[str, float]) -> None:
    """Log values of a run that is no longer, or never was, in training, at update `run.before`."""
    tracking = Tracking(run)
    state = TrainerState(is_world_process_zero=True)
    tracking.on_train_begin(None, state, TrainerControl())  # type: ignore[arg-type]
    tracking.on_log(None, state, TrainerControl(), logs=values)  # type: ignore[arg-type]
    tracking.close()


def make_store(run: TrackedRun) -> None:
    """What several processes must not make at the same time."""
    if run.track.mlflow is not None:
        with Tracking(run)._guarded("mlflow"):
            begin_mlflow(run)
