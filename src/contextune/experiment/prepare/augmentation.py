"""Step 2: what is inferred from a stage's records, through the store."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import replace
from pathlib import Path
from typing import Any

from contextune import models
from contextune.augment import decisions
from contextune.augment.options import Augment, with_defaults
from contextune.augment.room import MARGIN, WINDOW, prompt_tokens, window_of
from contextune.augment.stage import Augmented, AugmentJob, augment, passages, round_trip
from contextune.core.errors import UserError
from contextune.core.sequence import Record
from contextune.core.world import world_of
from contextune.data.records import specials
from contextune.data.token_counts import lengths
from contextune.train.options import AT_ONCE, Train

from ..recipe import Stage
from .contexts import bind_context, prompt_style, writer_path
from .data import Data


def augment_stage(data: Data, stage: Stage, arm: str, plan: bool = False, insist: bool = False) -> Augmented | None:
    """The records of a stage, split, and what is inferred from them; None where it asks for nothing.

    With `plan` nothing is asked of the writer; `insist` as in AugmentJob. Raises UserError.
    """
    if stage.augment is None:
        return None
    style = prompt_style(data) if stage.augment.prompt_style == "auto" else stage.augment.prompt_style
    options = with_defaults(stage.augment, style)
    train = data.recipe.training(stage)
    _refuse_conversations(data, options.data or stage.sources)
    rows = [(r, name) for name in stage.sources for r in data.records[name].records]
    chosen = [r for r, name in rows if name in options.data or not options.data]
    window = _window(data)
    bound = bind_context(data, chosen, f"augmenting {arm}", plan)
    context = replace(
        bound,
        writer=replace(bound.writer, retries=options.retries, window=window - MARGIN),  # type: ignore[type-var]
        corpus=tuple(passages(chosen, "none")),
        prompt_style=style,
        prompt_tokens=prompt_tokens(options, data.base, style, window),
        tokens=AT_ONCE if train.tokens == "auto" else train.tokens,
    )
    job = _job(data, stage, options, train, rows, replace(context, apply=round_trip(context)))
    made = augment(replace(job, insist=insist))
    data.warnings.extend(f"arm {arm}: {text}" for text in made.warnings)
    if not made.records and not (plan and made.pending["requests"]):
        raise UserError(f"arm {arm}: augmentation leaves nothing to train on", "set keep: true, or look at its filters")
    return made


def warn_of_unused(data: Data, stages: Seq[Augmented]) -> None:
    """Decisions on texts that no stage makes have no effect, which is said."""
    unused = [set(s.account["decisions"]["of_no_text"]) for s in stages if "decisions" in s.account]
    if ids := sorted(set.intersection(*unused)) if unused else []:
        shown = ", ".join(ids[:3]) + (" …" if len(ids) > 3 else "")
        file = data.out / decisions.FILE
        data.warnings.append(f"{file}: {len(ids)} of its decisions are on texts that are not made any more ({shown})")


def _job(data: Data, stage: Stage, options: Augment, train: Train, rows: Any, context: Any) -> AugmentJob:
    def sizes(records: Seq[Record]) -> list[int]:
        return [n.target + r.ends for n, r in zip(lengths(records, data.tokenizer), records, strict=True)]

    room = train.max_length - specials(data.tokenizer) + 1  # the end of text is counted with the target
    return AugmentJob(
        options, rows, context, context.writer, sizes, room, _replayed(data, options),
        decided=decisions.read(data.out / decisions.FILE), oracle=_oracle(data, options.data or stage.sources),
    )  # fmt: skip


def _window(data: Data) -> int:
    """Tokens that the writer holds."""
    path = writer_path(data)
    if path is None or not Path(path).is_dir():
        return WINDOW
    return window_of(data.config if path == data.model else models.check(path))


def _replayed(data: Data, options: Augment) -> Seq[tuple[Record, str]]:
    if options.mix is None or options.mix.replay is None:
        return ()
    name = options.mix.replay.data
    return [(r, name) for r in data.records[name].records]


def _oracle(data: Data, sources: Seq[str]) -> Seq[Record] | None:
    """The statements that a world would have inferred; None where the sources are not all of one world."""
    origins = {(s.world, str(s.options)) for name in sources if (s := data.recipe.data[name])}
    first = data.recipe.data[sources[0]]
    if first.world is None or len(origins) > 1:
        return None
    return world_of(first.world, **first.options).records.get("oracle", ())


def _refuse_conversations(data: Data, sources: Seq[str]) -> None:
    for name in sources:
        if data.recipe.data[name].kind == "messages":
            raise UserError(
                f"augment: data.{name} holds conversations; texts and pairs can be augmented",
                "name the sources that are to be augmented: augment: {data: [NAME]}",
            )
