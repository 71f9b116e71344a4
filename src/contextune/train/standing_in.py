"""Functions of an architecture's module in transformers, replaced for a while and for one model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from contextune.models.lm_head import unwrapped


def module_of(model: Any) -> ModuleType:
    """The Python module that defines a model's architecture."""
    return sys.modules[type(unwrapped(model)).__module__]


@contextmanager
def in_place_of(model: Any, names: Mapping[str, Any]) -> Iterator[None]:
    """Within: these names of the architecture's module mean these things; other models of it are as they were after."""
    if not names:
        yield
        return
    module = module_of(model)
    before = {name: getattr(module, name) for name in names}
    try:
        for name, value in names.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
