"""The models that write and answer, behind the store of answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

from contextune.core.errors import UserError
from contextune.core.options import parse_options
from contextune.core.progress import every
from contextune.core.sequence import Tokenizer
from contextune.generation.options import Writer
from contextune.generation.stored_writer import StoredWriter
from contextune.generation.writer import open_engine

from .prompts import Prompts
from .writer import Writing

STORE = "written.sqlite"
"""What a writer has answered, within the exam's folder."""
PAUSE = 10
"""Seconds between two lines of progress."""


def writer_options(writer: str | None, name: str | None, engine: str) -> Writer | None:
    """The options of who writes, as a recipe's `writer`; None where nobody does."""
    if writer is None:
        if used := "--name" if name else "--engine" if engine != "auto" else "":
            raise UserError(f"{used} has no effect without --writer", "--writer MODEL, or --writer URL --name NAME")
        return None
    served = writer.startswith(("http://", "https://"))
    said = {"server": writer} if served else {"model": writer}
    said |= {k: v for k, v in (("name", name), ("engine", engine if engine != "auto" else None)) if v}
    return parse_options(lambda: Writer.model_validate(said), "--writer")


def open_writing(
    writer: Writer, model: str | None, folder: Path, prompts: Prompts, seed: int, say: Callable[[str], None]
) -> Writing:
    """`model` answers without the passage; None: the writer does. Nothing is loaded before it is asked."""
    asks = _stored(writer, folder, say)
    return Writing(asks, asks if model is None else _stored(Writer(model=model), folder, say), prompts, seed, say)


def _stored(writer: Writer, folder: Path, say: Callable[[str], None]) -> StoredWriter:
    none = cast(Tokenizer, None)  # looked at by plans and windows alone
    return StoredWriter(lambda: open_engine(writer, "", Path(), say), folder / STORE, none, progress=_spoken(say))


def _spoken(say: Callable[[str], None]) -> Callable[[int, int], None]:
    is_due = every(PAUSE)

    def progress(done: int, of: int) -> None:
        if is_due():
            say(f"  {done} of {of} answers")

    return progress
