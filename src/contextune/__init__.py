"""Fine-tune a language model so that what it learns generalises, and so that it still listens to its context."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_api = {
    "Arm": ".recipe",
    "Moment": ".sequence",
    "Recipe": ".recipe",
    "Record": ".sequence",
    "Segment": ".sequence",
    "Sequence": ".sequence",
    "UserError": ".errors",
    "check": ".checking",
    "load": ".recipe",
    "render": ".sequence",
    "run": ".comparison",
}
__all__ = sorted(_api)


def __getattr__(name: str) -> Any:
    """Names of the public API are imported when first used, so that `import contextune` costs nothing."""
    if name in _api:
        return getattr(import_module(_api[name], __name__), name)
    raise AttributeError(f"module 'contextune' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
