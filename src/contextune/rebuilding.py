"""Results and pages from stored outcomes alone: no model, no training data."""

from __future__ import annotations

import json
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

from . import identity, recipe, report
from .errors import UserError
from .evaluate.summary import summarise


def rebuild(folders: Seq[Path], out: Path | None = None) -> dict[str, Any]:
    """Recompute results.json and report.html of each run; with several, one page over all at `out`.

    Returns {"page": path, "verdicts": [sentence, …], "results": [results, …]}.
    """
    results = [_one(folder) for folder in folders]
    page = report.write(folders[0], _command(folders[0])) if len(folders) == 1 else None
    if page is None:
        for folder in folders:
            report.write(folder, _command(folder))
        page = report.write_many(list(folders), out or Path("comparison.html"))
    return {"page": str(page), "verdicts": [r["verdict"]["sentence"] for r in results], "results": results}


def _one(folder: Path) -> dict[str, Any]:
    if not (folder / "run.json").exists():
        raise UserError(f"{folder}: not a run's folder (no run.json)", "contextune run makes one, in runs/NAME")
    if not list((folder / "outcomes").glob("*.parquet")):
        raise UserError(f"{folder}: no outcomes yet", "the run is not finished; the same contextune run goes on")
    made = recipe.load(folder / "recipe.yaml")
    there = {file.name.split(".seed-")[0] for file in (folder / "outcomes").glob("*.parquet")}
    about = {name: arm.about for name, arm in made.arms.items() if name in there}
    untrained = [name for name, arm in made.arms.items() if not arm.stages]
    results: dict[str, Any] = summarise(folder, made.compare, about, made.name, untrained)
    identity.write_json(folder / "results.json", results)
    return results


def _command(folder: Path) -> str:
    file = folder / "run.json"
    return str(json.loads(file.read_text()).get("command", "")) if file.exists() else ""
