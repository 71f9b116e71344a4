"""Which prompts a writer is asked with."""

from __future__ import annotations

from functools import lru_cache

from contextune.core import registry


@lru_cache(maxsize=16)
def style_of(model: str) -> str:
    """The prompt style for a model's folder: that of the registered model which recognises it, else plain."""
    found = (known.prompt_style for known in registry.models.values() if known().recognises(model))
    return next(found, "plain")
