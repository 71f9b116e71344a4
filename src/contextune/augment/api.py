"""`contextune.augment(texts, operations, writer=…)`: what follows from texts, without a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune import models
from contextune.core.binding import BindContext
from contextune.core.options import parse_options
from contextune.core.sequence import Record, Segment, Tokenizer
from contextune.generation.stored_writer import StoredWriter
from contextune.models import Model

from .options import Augment, with_defaults
from .prompt_style import style_of
from .room import MARGIN, WINDOW, prompt_tokens, window_of
from .stage import AugmentJob, augment, passages, round_trip

if TYPE_CHECKING:
    from contextune.generation.protocol import Engine

LONG = 1_000_000
"""Tokens that a text may have: nothing is trained here."""
SOURCE = "texts"


def augment_texts(
    texts: Iterable[str | Mapping[str, Any]],
    operations: Seq[str | Mapping[str, Any]],
    writer: Any = "pocket",
    *,
    tokenizer: Tokenizer | None = None,
    filters: Seq[str | Mapping[str, Any]] | None = None,
    split: str = "none",
    store: Path | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """What operations infer from texts, each with its provenance.

    `texts` are texts, or mappings with `text` and, optionally, `id`. `writer` is a model's name, folder or hub id, a
    loaded model (then with its `tokenizer`, or the one beside its weights), or an engine. With `store`, a file, nothing
    is asked twice. Returns rows {id, prompt, text, from, source, passage, operation, version, request, seen, writer,
    kept}; `kept` is False where a filter left a text out. Raises UserError.
    """
    said = {
        "operations": list(operations), "filters": filters if filters is None else list(filters), "split": split,
        "failures": 1.0,
    }  # fmt: skip
    options = parse_options(lambda: Augment.model_validate(said), "augment")
    records = [_record(text, place) for place, text in enumerate(texts)]
    path, load, engine, tokenizer = _opened(writer, tokenizer)
    style, window = style_of(path), window_of(models.check(path)) if Path(path).is_dir() else WINDOW
    options = with_defaults(options, style)
    asker = StoredWriter(engine, Path(store) if store is not None else None, tokenizer, progress=progress)
    context = BindContext(
        tokenizer,
        records,
        model=path,
        load_model=load,
        writer=replace(asker, retries=options.retries or 0, window=window - MARGIN),
        prompt_style=style,
        prompt_tokens=prompt_tokens(options, None, style, window),
        corpus=tuple(passages(records, "none")),
        progress=progress,
    )
    context = replace(context, apply=round_trip(context))
    rows = [(r, SOURCE) for r in records]
    sizes: Callable[[Seq[Record]], list[int]] = lambda found: [0] * len(found)  # noqa: E731
    made = augment(AugmentJob(options, rows, context, context.writer, sizes, LONG, insist=True))  # type: ignore[arg-type]
    return made.rows


def _record(text: str | Mapping[str, Any], place: int) -> Record:
    given = {"text": text} if isinstance(text, str) else dict(text)
    id = str(given.get("id", f"text-{place}"))
    return Record(id, (Segment(str(given["text"]), "target"),), id, True, SOURCE)


def _opened(writer: Any, tokenizer: Tokenizer | None) -> tuple[str, Callable[[], Any], Callable[[], Engine], Tokenizer]:
    """(where the model lies, what loads it, what opens its engine, its tokenizer)."""
    from contextune.generation.local import LocalEngine  # imports torch

    if isinstance(writer, str | Path):
        path = models.resolve(Model(path=str(writer)), Path())
        models.check(path)
        tokenizer = tokenizer or models.load_tokenizer(path)
        loaded = models.load_model(path).eval()
        return path, lambda: loaded, lambda: LocalEngine(loaded, tokenizer, name=path), tokenizer
    path = str(getattr(writer, "name_or_path", ""))
    tokenizer = tokenizer or models.load_tokenizer(path)
    if not hasattr(writer, "complete"):
        return path, lambda: writer, lambda: LocalEngine(writer.eval(), tokenizer, name=path), tokenizer
    return path, lambda: None, lambda: writer, tokenizer
