"""Results recomputed from stored outcomes alone: no model, no training data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError
from contextune.core.files import Damaged, digest, read_sealed, write_json
from contextune.core.ownership import claimed
from contextune.core.progress import say_once
from contextune.evaluate.analysis.summary import summarise
from contextune.evaluate.scoring import outcomes

from .recipe import Recipe, load
from .run_files import KIND, is_run


def _recipe(folder: Path) -> Recipe:
    """The run's recipe.yaml. UserError where it cannot be read or is another than the run wrote."""
    file = folder / "recipe.yaml"
    hint = "give the same contextune run again: it writes the file anew"
    try:
        made = load(file)
        info = read_sealed(folder / "run.json", older=True) or {}
    except UserError as e:
        raise UserError(e.message, hint) from None
    except Damaged as e:
        raise UserError(str(e), hint) from None
    plain = json.loads(made.model_dump_json(exclude_defaults=True))
    if info.get("identity", digest(plain)) != digest(plain):
        say_once(f"{file} is not what the run wrote there; the results are computed by what it says now")
    return made


def rebuild(folder: Path) -> dict[str, Any]:
    """Recompute the results.json of a run's folder. Raises UserError where it is no run's, or not finished."""
    if not (folder / "run.json").exists() or not (claimed(folder, KIND) or is_run(folder)):
        raise UserError(f"{folder}: not a run's folder (no run.json)", "contextune run makes one, in runs/NAME")
    if not list((folder / "outcomes").glob("*.parquet")):
        raise UserError(f"{folder}: no outcomes yet", "the run is not finished; the same contextune run resumes it")
    made = _recipe(folder)
    there = {outcomes.arm_of(file) for file in (folder / "outcomes").glob("*.parquet")}
    about = {name: arm.about for name, arm in made.arms.items() if name in there}
    untrained = [name for name, arm in made.arms.items() if not arm.stages]
    results: dict[str, Any] = summarise(folder, made.compare, about, made.name, untrained)
    write_json(folder / "results.json", results)
    return results
