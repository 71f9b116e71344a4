"""The tokens at which a model stops writing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def add_ends(model: Any, ids: Iterable[int]) -> None:
    """Name `ids` among the end tokens of a model's configuration and generation configuration.

    What is named already stays as it is, a single id or a list.
    """
    owners = [model, model.get_base_model()] if hasattr(model, "get_base_model") else [model]
    for config in (c for owner in owners for c in (owner.config, owner.generation_config) if c is not None):
        own = config.eos_token_id
        named = [] if own is None else [own] if isinstance(own, int) else list(own)
        more = [i for i in ids if i not in named]
        if more:
            config.eos_token_id = [*named, *more] if len(named) + len(more) > 1 else more[0]
