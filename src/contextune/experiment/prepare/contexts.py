"""Step 3: choose a stage's records and bind its context policy."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

from contextune import models
from contextune.augment.prompt_style import style_of
from contextune.augment.stage import Augmented
from contextune.contexts import BoundPolicy, bind_policy, compose
from contextune.contexts.replay_without_context import replay_without_context
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Record
from contextune.generation.stored_writer import StoredWriter
from contextune.models import Model
from contextune.train.grouping import grouped
from contextune.train.optimizer import check_optimizer

from ..recipe import Stage
from .data import Data
from .stage import PreparedStage

STORE = "generated.sqlite"
"""What a writer has written, within the run's folder."""
PAUSE = 15
"""Seconds between two lines of progress."""


def prepare_stage(data: Data, stage: Stage, made: Augmented | None = None) -> PreparedStage:
    """A stage with its records chosen and its context bound. Raises UserError."""
    train = data.recipe.training(stage)
    whole = [(r, name) for name in stage.sources for r in data.records[name].records]
    if made is not None:
        whole = list(zip(made.records, made.origins, strict=True))
    if not whole:
        raise UserError(
            f"augment of {', '.join(stage.sources)}: nothing of what is trained on has been written yet",
            "contextune augment RECIPE writes it, then it can be checked",
        )
    replayed = {(r.origin, r.id) for r, name in whole if name in set(stage.replayed) - set(stage.sources)}
    taught = [r for r, _ in whole if (r.origin, r.id) not in replayed]
    learned = [(r, name) for r, name in whole if (r.origin, r.id) in replayed or stage.context.is_target(r)]
    if len(learned) == len(replayed):
        raise UserError(f"context {stage.context.name}: its pool leaves no record to train on", "make pool smaller")
    check_optimizer(train)
    if models.is_adapter(data.model):
        models.check_start(data.model, train.adapter)
    else:
        for warning in models.check_adapter(train.adapter, data.kept.get("skeleton")):
            data.warn(warning)
    records, names = [r for r, _ in learned], [name for _, name in learned]
    bound = bind_policy(stage.context, bind_context(data, taught))
    context = grouped(replay_without_context(bound, replayed), records, train.share)
    if train.objective.pairs:
        _refuse_unpaired(data, train.objective.name, records, context)
    return PreparedStage(stage, train, records, context, names, made, bound.shares())


def _refuse_unpaired(data: Data, objective: str, records: Seq[Record], context: BoundPolicy) -> None:
    """UserError where fewer than half of the rows have a second answer in the first epoch; a warning where some lack
    it."""
    key = DrawKey(data.recipe.seeds[0], 0)
    paired = sum(bool(compose(r, context, key).rejected) for r in records)
    said = f"objective {objective}: {paired} of {len(records)} rows have an answer that is not to be given"
    if 2 * paired < len(records):
        raise UserError(
            said,
            "name its column (columns: {rejected: …}) in the source, or draw contexts that make one: counterfactual, "
            "distractors",
        )
    if paired < len(records):
        data.warn(f"{said}; the others teach nothing in the epochs in which they have none")


def bind_context(data: Data, records: Seq[Record], what: str = "writing contexts", plan: bool = False) -> BindContext:
    """What an extension of a stage over these records may look at; with `plan` its writer asks nothing."""
    progress = spoken(data.say, what)
    return BindContext(
        data.tokenizer,
        tuple(records),
        folder=data.base,
        source=lambda name: data.records[name].records,
        model=data.model,
        load_model=lambda: _untrained(data),
        writer=StoredWriter(data.engine, data.out / STORE, data.tokenizer, plan, progress),
        prompt_style=prompt_style(data),
        cache=data.out / "similarities",
        say=data.say,
        warn=data.warn,
        progress=progress,
    )


def _untrained(data: Data) -> Any:
    if "untrained" not in data.kept:
        data.kept["untrained"] = models.load_model(data.model, data.recipe.model).eval()
    return data.kept["untrained"]


def writer_path(data: Data) -> str | None:
    """The folder or hub id of a writer on this machine; None for a server's."""
    writer = data.recipe.writer
    if writer.kind == "server":
        return None
    return models.resolve(Model(path=writer.model), data.base) if writer.model is not None else data.model


def prompt_style(data: Data) -> str:
    """That of the writer; a server's model cannot be looked at."""
    path = writer_path(data)
    return style_of(path) if path is not None and Path(path).is_dir() else "plain"


def spoken(say: Callable[[str], None], what: str) -> Callable[[int, int], None]:
    """How far the writing of texts has come, every fifteen seconds."""
    last = time.monotonic()

    def progress(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last > PAUSE:
            last = time.monotonic()
            say(f"{what}: {done} of {of}")

    return progress
