"""What the terminal shows of a finished run: each measure by arm, and beside it what needs no training.

In the last row how far each arm's models have moved from the first one on general text (nats a token).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contextune.evaluate.analysis.summary import FLOORS

SHOWN = [name for name in FLOORS if name != "untrained"]
"""Of results.json's `floors`; an untrained model is one of the arms."""


def measures_table(results: Mapping[str, Any]) -> Any:
    """Shares right, one row a measure, as a table of rich's; a dash where nothing is known."""
    from rich.table import Table

    table = Table(
        box=None, pad_edge=False, padding=(0, 0, 0, 1), title="measures", title_justify="left", header_style="dim"
    )
    for i, title in enumerate(("measure", *results["arms"], *SHOWN)):
        table.add_column(title, justify="right" if i else "left", min_width=5 if i else 10, overflow="fold")
    for measure, floors in results["floors"]["measures"].items():
        values = [arm["measures"][measure]["value"] for arm in results["arms"].values()]
        table.add_row(measure, *map(_share, (*values, *(floors[name] for name in SHOWN))))
    if moved := results.get("first_kl"):
        found = [moved["arms"].get(arm, {}).get("value") for arm in results["arms"]]
        table.add_row("first KL", *map(_share, found), *("" for _ in SHOWN))
    return table


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
