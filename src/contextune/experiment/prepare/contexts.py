"""Step 3: choose a stage's records and bind its context policy."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from itertools import compress, repeat
from pathlib import Path
from typing import Any

from contextune import models
from contextune.augment.prompt_style import style_of
from contextune.augment.stage import Augmented
from contextune.contexts import BoundPolicy, bind_policy, binds_alone, compose
from contextune.contexts.replay_without_context import replay_without_context
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.lazy import chained
from contextune.core.progress import every
from contextune.core.sequence import DrawKey, Record
from contextune.generation.stored_writer import StoredWriter
from contextune.models import Model
from contextune.train.grouping import grouped
from contextune.train.objectives.kl import KL
from contextune.train.optimizer import check_optimizer
from contextune.train.options import Train

from ..recipe import Stage
from .data import Data
from .stage import PreparedStage

STORE = "generated.sqlite"
"""What a writer has written, within the run's folder."""


def prepare_stage(data: Data, stage: Stage, made: Augmented | None = None) -> PreparedStage:
    """A stage with its records chosen and its context bound. Raises UserError."""
    train = data.recipe.training(stage)
    parts = [data.records[name].records for name in stage.sources]
    whole: Seq[Record] = chained(parts) if made is None else made.records
    names = [n for n, part in zip(stage.sources, parts, strict=True) for n in repeat(n, len(part))]
    names = names if made is None else list(made.origins)
    if not len(whole):
        raise UserError(
            f"augment of {', '.join(stage.sources)}: nothing of what is trained on has been written yet",
            "contextune augment RECIPE writes it, then it can be checked",
        )
    apart = set(stage.replayed) - set(stage.sources)
    replayed = {(r.origin, r.id) for r, name in zip(whole, names, strict=True) if name in apart} if apart else set()
    taught = [r for r in whole if (r.origin, r.id) not in replayed] if replayed else whole
    records = whole
    if stage.context.filters():
        is_learned = [(r.origin, r.id) in replayed or stage.context.is_target(r) for r in whole]
        records, names = list(compress(whole, is_learned)), list(compress(names, is_learned))
    if len(records) == len(replayed):
        raise UserError(f"context {stage.context.name}: its pool leaves no record to train on", "make pool smaller")
    check_optimizer(train)
    if models.is_adapter(data.model):
        models.check_start(data.model, train.adapter)
    else:
        for warning in models.check_adapter(train.adapter, data.kept.get("skeleton")):
            data.warn(warning)
        if train.freeze and (bare := data.kept.get("skeleton")) is not None:
            models.frozen_parts(bare, train.freeze)
    bound = bind_policy(stage.context, bind_context(data, taught))
    context = grouped(replay_without_context(bound, replayed), records, train.share)
    if stage.context.reveals() and not train.objective.bare:
        raise UserError(
            f"context {stage.context.name}: it shows the record's own answer, and the objective {train.objective.name} "
            "would learn to copy it",
            "train: {objective: {objective: distill, answers: student}} shows it to the teacher alone",
        )
    if train.objective.pairs:
        _refuse_unpaired(data, train.objective.name, records, context)
    if train.objective.bare:
        _refuse_without_context(data, train.objective.name, stage.context.name, records, context)
    if train.objective.writes and not any(r.segments[0].role == "context" for r in records):
        raise UserError(
            f"objective {train.objective.name}: answers are written after prompts, but none of the {len(records)} rows "
            "has one",
            "use a source of kind pairs or messages, or answers: text",
        )
    if train.kl is not None:
        _refuse_nothing_held(train.kl, records, context, DrawKey(data.recipe.seeds[0], 0))
    validation = validation_of(data, stage, train)
    return PreparedStage(stage, train, records, context, names, made, validation, bound.shares())


def validation_of(data: Data, stage: Stage, train: Train) -> Seq[Record]:
    """What a stage's validation loss is measured on. UserError where it is needed and there is nothing."""
    whole = [name for name in train.validates if not data.recipe.data[name].validation]
    apart = [name for name in train.validates or stage.sources if data.recipe.data[name].validation]
    parts = [*(data.records[name].records for name in whole), *(data.validation(name) for name in apart)]
    found = chained(parts) if parts else ()
    if train.selects and not len(found):
        raise UserError(
            f"train.{'keep: best' if train.keep == 'best' else 'patience'}: no text is held out to validate on by "
            f"{', '.join(train.validates or stage.sources)}",
            f"data.{stage.sources[0]}.validation=0.05 keeps a share out of training, train.validate_on names a source",
        )
    return found


def draws_from_options(data: Data, stage: Stage) -> bool:
    """Whether a stage's contexts are drawn from its options and the record alone, without a look at other records."""
    if stage.augment is not None or stage.context.filters():
        return False
    return binds_alone(stage.context, BindContext(data.tokenizer, folder=data.base, prompt_style=prompt_style(data)))


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


def _refuse_without_context(
    data: Data, objective: str, policy: str, records: Seq[Record], context: BoundPolicy
) -> None:
    """UserError where no row has a drawn context in the first epoch: the teacher would see no more than the student."""
    key = DrawKey(data.recipe.seeds[0], 0)
    if not any(compose(r, context, key).drawn for r in records):
        raise UserError(
            f"objective {objective}: its teacher sees the context and its student does not, but the context {policy} "
            f"draws none for any of the {len(records)} rows",
            "set the stage's context, e.g. {policy: retrieved, retrieve: documents}, or objective: likelihood",
        )


HOLD = {
    "replay": "replay general text: augment: {mix: {replay: {data: SOURCE, share: 0.1}}}",
    "context": "set the stage's context, or learn completions, whose prompts are contexts",
    "targets": "learn something beside general text",
}
"""How a stage gets the tokens that a penalty is to hold."""


def _refuse_nothing_held(kl: KL, records: Seq[Record], context: BoundPolicy, key: DrawKey) -> None:
    """UserError where the stage has none of the tokens, in its first epoch, that are to be predicted as before."""
    missing = set(kl.at)
    for record in records:
        drawn = compose(record, context, key)
        here = {"context" if s.role == "context" else "targets" for s in drawn.segments if s.text or s.ids}
        missing -= {"replay"} if drawn.replayed else here
        if not missing:
            return
    place = next(place for place in kl.at if place in missing)
    raise UserError(f"train.kl: at names {place}, but none of the {len(records)} rows has such tokens", HOLD[place])


def bind_context(data: Data, records: Seq[Record], what: str = "writing contexts", plan: bool = False) -> BindContext:
    """What an extension of a stage over these records may look at; with `plan` its writer asks nothing."""
    progress = spoken(data.say, what)
    return BindContext(
        data.tokenizer,
        records,
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
    is_due = every()

    def progress(done: int, of: int) -> None:
        if is_due():
            say(f"{what}: {done} of {of}")

    return progress
