"""From a prepared recipe to what one stage's augmentation needs."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import models
from ..accounting import lengths
from ..data.records import specials
from ..errors import UserError
from ..recipe import Model, Stage, Train
from ..sequence import Record
from .base import Desk
from .desk import Asking
from .options import Augment
from .prompted import Prompted
from .run import Augmented, Job, augment, passages, round_trip
from .style import style_of
from .verify import Bench

if TYPE_CHECKING:
    from ..generate.base import Engine
    from ..prepare import Prepared

WINDOW = 8192
"""Tokens that a writer is taken to hold where its configuration cannot be looked at (a server)."""
MARGIN = 64
"""Tokens left for a chat template."""


def augment_stage(
    prepared: Prepared,
    stage: Stage,
    train: Train,
    engine: Callable[[], Engine],
    plan: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Augmented:
    """The records of a stage, split, and what is inferred from them; with `plan` nothing is asked."""
    options = stage.augment
    assert options is not None
    _refuse_conversations(prepared, options.data or stage.sources)
    rows = [(r, name) for name in stage.sources for r in prepared.records[name].records]
    asking = Asking(engine, prepared.out / "generated.sqlite", prepared.tokenizer, plan, progress)
    chosen = [r for r, name in rows if name in options.data or not options.data]
    desk = Desk(
        asking,
        asking.key,
        prepared.tokenizer,
        tuple(passages(chosen, "none")),
        prepared.base,
        style(prepared, options),
        room(prepared, options),
    )
    bench = Bench(chosen, prepared.tokenizer, _model(prepared), round_trip(desk), train.tokens)
    job = Job(
        options,
        rows,
        desk,
        asking,
        bench,
        lambda records: [n.target + r.ends for n, r in zip(lengths(records, prepared.tokenizer), records, strict=True)],
        train.max_length - specials(prepared.tokenizer) + 1,  # the end of text is counted with the target
        _replayed(prepared, options),
        _oracle(prepared, options.data or stage.sources),
    )
    return augment(job)


def style(prepared: Prepared, options: Augment) -> str:
    """As the recipe says, else by the writer; a server's model cannot be looked at."""
    if options.style != "auto":
        return options.style
    path = writer_path(prepared)
    return style_of(path) if path is not None else "plain"


def writer_path(prepared: Prepared) -> str | None:
    """The folder or hub id of a writer on this machine; None for a server's."""
    writer = prepared.recipe.writer
    if writer.kind == "server":
        return None
    return models.resolve(Model(path=writer.model), prepared.base) if writer.model is not None else prepared.model


def room(prepared: Prepared, options: Augment) -> int:
    """Tokens that a prompt may have: the writer's context without the longest answer. UserError where none is left."""
    asking = [o for o in options.operations if isinstance(o, Prompted)]
    if not asking:
        return 0
    chosen = style(prepared, options)
    answer = max(o.max_tokens or o.wording(prepared.base, chosen).max_tokens for o in asking)
    window = _window(prepared)
    left = window - answer - MARGIN
    if left < 1:
        raise UserError(
            f"augment: answers of {answer} tokens leave no room for a prompt, the writer holds {window}",
            "lower max_tokens of the operations",
        )
    return left


def _window(prepared: Prepared) -> int:
    path = writer_path(prepared)
    if path is None or not Path(path).is_dir():
        return WINDOW
    config: dict[str, Any] = dict(prepared.config) if path == prepared.model else models.check(path)
    found = config.get("max_position_embeddings") or config.get("text_config", {}).get("max_position_embeddings")
    return int(found or WINDOW)


def _model(prepared: Prepared) -> Callable[[], Any]:
    return cache(lambda: models.load_model(prepared.model, prepared.recipe.model).eval())


def _replayed(prepared: Prepared, options: Augment) -> Seq[tuple[Record, str]]:
    if options.mix is None or options.mix.replay is None:
        return ()
    name = options.mix.replay.data
    return [(r, name) for r in prepared.records[name].records]


def _oracle(prepared: Prepared, sources: Seq[str]) -> Seq[Record] | None:
    """The statements that a world would have inferred; None where the sources are not all of one world."""
    origins = {(s.world, str(s.options)) for name in sources if (s := prepared.recipe.data[name])}
    first = prepared.recipe.data[sources[0]]
    if first.world is None or len(origins) > 1:
        return None
    from ..worlds import build

    return build(first.world, **first.options).records.get("oracle", ())


def _refuse_conversations(prepared: Prepared, sources: Seq[str]) -> None:
    for name in sources:
        if prepared.recipe.data[name].kind == "messages":
            raise UserError(
                f"augment: data.{name} holds conversations; texts and pairs can be augmented",
                "name the sources that are to be augmented: augment: {data: [NAME]}",
            )
