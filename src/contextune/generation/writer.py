"""Which engine a recipe's `writer` means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from contextune import models
from contextune.core import registry
from contextune.models import Model

if TYPE_CHECKING:
    from .options import Writer
    from .protocol import Engine


def open_engine(
    writer: Writer, model: str, folder: Path | None = None, say: Callable[[str], None] = lambda text: None
) -> Engine:
    """The engine of a writer's options. `model` (a folder or hub id) writes where the writer names none.

    `folder` is the recipe's: the writer's own paths are relative to it. `say` is told the price estimate. A server
    is not contacted here, but when it is first asked something.
    """
    path = model if writer.model is None else models.resolve(Model(path=writer.model), folder or Path())
    engine: Engine = registry.engines.find(writer.kind).open(writer, path, say)
    return engine
