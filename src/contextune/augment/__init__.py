"""What follows from a text: operations that infer it, filters that judge it, a mixture to train on.

The package can be called: `contextune.augment(texts, operations, writer=model)` is `augment.api.augment_texts`.
"""

import sys
from types import ModuleType
from typing import Any

from . import operations  # noqa: F401  importing a file registers what it holds
from .base import Inferred, Operation, Passage, parse_operation

__all__ = ["Inferred", "Operation", "Passage", "parse_operation"]


class _Callable(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        from .api import augment_texts

        return augment_texts(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
