"""What the package itself registers, read off its files: tests derive their lists from it, and pin none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from contextune.core.registry import Registry

SRC = Path(__file__).resolve().parents[1] / "src" / "contextune"


def in_files(kind: str) -> list[str]:
    """Names in decorators of a kind, in any file of the package."""
    texts = (path.read_text(encoding="utf-8") for path in SRC.rglob("*.py") if path.name != "registry.py")
    return sorted(name for text in texts for name in re.findall(rf'^@registry\.{kind}\("(\w+)"\)', text, re.MULTILINE))


def own(registry: Registry, names: Iterable[str] | None = None) -> list[str]:
    """The names of a registry (or those of `names` in it) that are the package's, not a plug-in's."""
    found = registry.names() if names is None else [n for n in names if n in registry]
    return [name for name in found if registry[name].__module__.startswith("contextune.")]
