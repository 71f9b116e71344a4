"""Figures that papers printed, to be shown beside a run's own; they are data, in published.yaml."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".yaml")


def names() -> list[str]:
    return sorted(_known())


def figures(name: str | None) -> dict[str, Any] | None:
    """The figures of a name: {source, arms, tasks, averages, notes}; None where there are none."""
    found: dict[str, Any] | None = _known().get(str(name))
    return found


@cache
def _known() -> dict[str, Any]:
    import yaml

    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))
