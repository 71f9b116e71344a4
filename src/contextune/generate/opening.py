"""Which engine a recipe's `writer` means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..recipe import Writer
    from .base import Engine


def open_engine(
    writer: Writer, model: str, folder: Path | None = None, say: Callable[[str], None] = lambda text: None
) -> Engine:
    """The engine of a writer's options. `model` (a folder or hub id) writes where the writer names none.

    `folder` is the recipe's: the writer's own paths are relative to it. `say` is told the price estimate. A server
    is not contacted here, but when it is first asked something.
    """
    from .. import models
    from ..recipe import Model

    path = model
    if writer.model is not None:
        path = models.resolve(Model(path=writer.model), folder or Path())
    if writer.kind == "server":
        from .server import Server

        assert writer.server is not None  # the grammar sees to it
        assert writer.name is not None
        return Server(
            writer.server, writer.name, api=writer.api, concurrency=writer.concurrency, retries=writer.retries,
            timeout=writer.timeout,
            max_requests=writer.budget.get("requests"), max_tokens_total=writer.budget.get("tokens"),
            prices=(writer.prices["input"], writer.prices["output"]) if writer.prices else None,
            tokenizer=models.load_tokenizer(path) if writer.model is not None else None, say=say,
        )  # fmt: skip
    if writer.model is not None:
        models.check(path)
    if writer.kind == "vllm":
        from .vllm import Vllm

        return Vllm(path, models.load_tokenizer(path))
    from .local import Local

    return Local(models.load_model(path).eval(), models.load_tokenizer(path), writer.tokens, path)
