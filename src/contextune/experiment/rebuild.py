"""Results recomputed from stored outcomes alone: no model, no training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contextune.core.errors import UserError
from contextune.core.files import Damaged, faults, read_sealed, write_json
from contextune.core.ownership import claimed, refuse_links
from contextune.evaluate.analysis.summary import summarise
from contextune.evaluate.scoring import outcomes

from .recipe import Recipe, load
from .run_files import KIND, is_run


def recipe_of(folder: Path) -> Recipe:
    """The run's recipe.yaml. UserError where it cannot be read, or is another than the run wrote when it was done."""
    name, hint = "recipe.yaml", "give the same contextune run again: it writes the file anew"
    try:
        sums = (read_sealed(folder / "run.json", older=True) or {}).get("sums", {})
        if name in sums and faults(folder, {name: sums[name]}):
            raise Damaged(f"{folder / name} is damaged or was changed (its checksum is another)")
        return load(folder / name)
    except UserError as e:
        raise UserError(e.message, hint) from None
    except Damaged as e:
        raise UserError(str(e), hint) from None


def rebuild(folder: Path) -> dict[str, Any]:
    """Recompute the results.json of a run's folder. Raises UserError where it is no run's, or not finished."""
    if not (folder / "run.json").exists() or not (claimed(folder, KIND) or is_run(folder)):
        raise UserError(f"{folder}: not a run's folder (no run.json)", "contextune run makes one, in runs/NAME")
    refuse_links(folder, "make the report of another folder")
    if not list((folder / "outcomes").glob("*.parquet")):
        raise UserError(f"{folder}: no outcomes yet", "the run is not finished; the same contextune run resumes it")
    made = recipe_of(folder)
    there = {outcomes.arm_of(file) for file in (folder / "outcomes").glob("*.parquet")}
    about = {name: arm.about for name, arm in made.arms.items() if name in there}
    untrained = [name for name in made.arms if made.is_untrained(name)]
    results: dict[str, Any] = summarise(folder, made.compare, about, made.name, untrained)
    write_json(folder / "results.json", results)
    return results
