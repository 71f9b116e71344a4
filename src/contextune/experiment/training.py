"""Train every arm at every seed; what is finished is not done again."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from contextune.core import memory
from contextune.core.environment import rank
from contextune.core.errors import UserError
from contextune.core.files import released
from contextune.core.machine import refusals
from contextune.core.progress import Reporter
from contextune.models import SMALL
from contextune.train.callback import Look, Training
from contextune.train.options import NEEDED

from . import fingerprint, longer, weights
from .model_card import card
from .prepare import Prepared, PreparedStage
from .prepare.data import DATE
from .run_dir import RESUMES, fingerprint_of, stage_folder
from .tracking import tracking
from .workers import Workers, advance

PAUSE = 0.2
"""Seconds between two readings of a training, at least."""

NOTABLE = 0.05
"""Share of the time spent waiting that is said."""


def train_all(prepared: Prepared, reporter: Reporter, workers: Workers | None = None) -> None:
    """Every arm at every seed; what is finished is passed over, what was begun is resumed."""
    from contextune.train.finished import repair  # imports torch

    pairs = [(arm, seed) for seed in prepared.recipe.seeds for arm in prepared.arms]  # one of each arm first
    jobs = [(arm, seed, index, ready) for arm, seed in pairs for index, ready in enumerate(prepared.arms[arm])]
    folders = [stage_folder(prepared.out, a, s, i) for a, s, i, _ in jobs]
    parts = [fingerprint_of(prepared, ready, arm, index, seed) for arm, seed, index, ready in jobs]
    begun = [
        fingerprint.begun(
            f, p, f"arm {a}", longer.KEYS, partial(longer.refuse, f, ready=ready, seed=s, name=f"arm {a}")
        )
        for f, p, (a, s, _, ready) in zip(folders, parts, jobs, strict=True)
    ]
    extended = [  # only now, as none of them is refused
        longer.reopen(f, p, ready, s)
        for f, p, (_, s, _, ready), found in zip(folders, parts, jobs, begun, strict=True)
        if found == "changed" and rank() == 0
    ]
    for f, p in zip(folders, parts, strict=True):
        repair(f, fingerprint.key(p))
    whole = [weights.is_finished(prepared, f) for f in folders]
    open_pairs = [p for p in pairs if any(j[:2] == p and not w for j, w in zip(jobs, whole, strict=True))]
    gone = {f for f, j in zip(folders, jobs, strict=True) if j[:2] in open_pairs and released(f)}
    whole = [w and f not in gone for w, f in zip(whole, folders, strict=True)]
    if gone and rank() == 0:
        weights.take_back(gone)
        reporter.say(f"training {len(gone)} of {len(jobs)} stages again, whose weights were not kept")
    if any(begun):
        reporter.say(f"resuming the run in {prepared.out}: {sum(whole)} of {len(jobs)} stages are finished")
    if any(extended):
        reporter.say(f"training {sum(extended)} of {len(jobs)} stages longer, from where they ended")
    total = sum(ready.plan(seed).updates for _, seed, _, ready in jobs)
    done = sum(r.plan(s).updates for (_, s, _, r), w in zip(jobs, whole, strict=True) if w)
    with reporter.counting("training", total, done) as line:
        if workers is not None:
            todo = [{"do": "train", "arm": arm, "seed": seed} for arm, seed in open_pairs]
            workers.do(todo, lambda message: advance(line, message))
            return
        for arm, seed in open_pairs:
            train_one(prepared, arm, seed, lambda message: advance(line, message))


def train_one(prepared: Prepared, arm: str, seed: int, tell: Callable[[dict[str, Any]], None]) -> None:
    """All stages of an arm at one seed; `tell` is given progress: label, note, by (updates)."""
    for index, ready in enumerate(prepared.arms[arm]):
        _train(prepared, arm, seed, index, ready, tell)


def _train(
    prepared: Prepared, arm: str, seed: int, index: int, ready: PreparedStage, tell: Callable[[dict[str, Any]], None]
) -> None:
    folder = stage_folder(prepared.out, arm, seed, index)
    start = str(stage_folder(prepared.out, arm, seed, index - 1) / "model") if index else prepared.model
    parts = fingerprint_of(prepared, ready, arm, index, seed)
    label = f"{arm} seed {seed}" + (f" stage {index + 1}" if len(prepared.arms[arm]) > 1 else "")
    look = watched(prepared, ready, arm, seed, folder)
    train_stage(
        prepared, ready.at(seed), arm, seed, index, folder, start, parts, label, tell, card(prepared, arm, seed), look,
        tracking(prepared, arm, seed, index),
    )  # fmt: skip


def train_stage(
    prepared: Prepared,
    ready: PreparedStage,
    arm: str,
    seed: int,
    index: int,
    folder: Path,
    start: str,
    parts: fingerprint.Parts,
    label: str,
    tell: Callable[[dict[str, Any]], None],
    card: str = "",
    look: tuple[int, Look | None] = (0, None),
    track: Any = None,
) -> None:
    """Train a stage of an arm in `folder`, from the model `start`; `parts` tell it from any other."""
    from contextune.train import stage  # imports torch

    if rank() == 0:
        fingerprint.begin(folder, parts, began=prepared.began.strftime(DATE), tokens=ready.train.tokens,
            recomputes=ready.train.checkpointing == NEEDED)  # fmt: skip
    job = stage.TrainJob(
        ready.records, ready.context, prepared.tokenizer, ready.train, seed, start, folder,
        prepared.recipe.model if not index else None, card, *look,
        last=index == len(prepared.arms[arm]) - 1, validation=ready.validation, track=track,
        identity=fingerprint.key(parts),
    )  # fmt: skip
    last, spoke, open_ = 0, 0.0, not job.done

    def progress(step: int, of: int, loss: float) -> None:
        nonlocal last, spoke
        if step == of or time.monotonic() - spoke > PAUSE:
            tell({"label": label, "note": f"loss {loss:.3f}", "by": step - last})
            last, spoke = step, time.monotonic()

    if prepared.parameters >= SMALL:
        memory.steady()
    with refusals(folder, RESUMES):
        try:
            stage.run(job, progress)
        except (MemoryError, RuntimeError) as e:
            if not memory.exhausted(e):
                raise
            raise UserError(
                f"{folder}: there is no memory left, with {ready.train.tokens} tokens at once",
                f"free some memory, or give train.tokens=N, smaller; {RESUMES}",
            ) from e
    made = json.loads((folder / "stage.json").read_text())
    if open_ and made["updates"] < job.plan.updates:
        why = f"ended at update {made['updates']}: its validation loss no longer falls"
        tell({"label": label, "note": why, "by": job.plan.updates - last})
    if (share := waited(made)) >= NOTABLE:
        tell({"label": label, "note": f"waited {share:.0%} of the time for its updates to be drawn", "by": 0})


def waited(made: Mapping[str, Any]) -> float:
    """Share of a finished stage's time in which steps waited for their updates, by its stage.json."""
    return float(made.get("waited", 0.0) / max(made["seconds"], 1e-9))


def watched(prepared: Prepared, ready: PreparedStage, arm: str, seed: int, folder: Path) -> tuple[int, Look | None]:
    """How often training stops to be looked at, and who looks: those whose turn it is."""
    training = Training(prepared, arm, ready, folder)
    found = [(options.every, options.bind(training)) for options in prepared.recipe.evaluate.callbacks.values()]
    last = ready.plan(seed).updates

    def look(step: int, model: Any) -> None:
        for every, callback in found:
            if step % every == 0 or step == last or step % together:  # of the last: it may come early
                callback(step, model)

    together = math.gcd(*(every for every, _ in found))
    return together, look if found else None
