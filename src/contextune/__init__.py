"""Fine-tune a language model so that what it learns generalises, and so that it still listens to its context."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_api = {
    "Arm": ".experiment.recipe",
    "BindContext": ".core.binding",
    "ContextCollator": ".train.collator",
    "ContextDataset": ".train.dataset",
    "DrawKey": ".core.sequence",
    "Recipe": ".experiment.recipe",
    "Record": ".core.sequence",
    "Segment": ".core.sequence",
    "Sequence": ".core.sequence",
    "UserError": ".core.errors",
    "augment": ".augment",
    "check": ".experiment.library",
    "load": ".experiment.recipe",
    "load_model": ".models",
    "load_tokenizer": ".models",
    "prepare": ".experiment.prepare",
    "registry": ".core.registry",
    "render": ".core.sequence",
    "run": ".experiment.run",
    "score": ".experiment.library",
}
__all__ = sorted(_api)


def __getattr__(name: str) -> Any:
    """Names of the public API are imported when first used, so that `import contextune` costs nothing."""
    if name not in _api:
        raise AttributeError(f"module 'contextune' has no attribute '{name}'")
    module = import_module(_api[name], __name__)
    return module if module.__name__ == f"{__name__}.{name}" or name == "registry" else getattr(module, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
