"""An arm's finished model, found in a run's folder."""

from __future__ import annotations

from pathlib import Path

from contextune.core.errors import UserError, nearest
from contextune.core.files import released

from .recipe import Recipe
from .run_dir import stage_folder
from .weights import again


def finished_model(run: Path, recipe: Recipe, arm: str, seed: int | None = None) -> Path | None:
    """The model of an arm's last stage, of `seed` or of the recipe's first that is finished; None where none is.

    Of an arm with `weights_of` the one that it asks. Raises UserError for a seed that the run does not have.
    """
    refuse_seed(run, recipe, seed)
    for stage in _last_stages(run, recipe, arm, seed):
        names = ("config.json", "adapter_config.json")
        if (stage / "stage.json").is_file() and any((stage / "model" / name).is_file() for name in names):
            return (stage / "model").resolve()
    return None


def require_model(run: Path, recipe: Recipe, arm: str, seed: int | None = None) -> Path:
    """As `finished_model`; UserError as well where there is no such arm, and where its model is not finished."""
    if arm not in recipe.arms:
        raise UserError(f"--arm {arm}: no arm of that name in {run}", nearest(arm, recipe.arms))
    if (found := finished_model(run, recipe, arm, seed)) is None:
        refuse_released(run, recipe, arm, seed)
        raise UserError(f"{run}: the weights of arm {arm} are not there", "the same contextune run trains the arm")
    return found


def refuse_released(run: Path, recipe: Recipe, arm: str, seed: int | None = None) -> None:
    """UserError where an arm was trained and its weights were not kept."""
    for stage in _last_stages(run, recipe, arm, seed):
        if released(stage):
            raise UserError(f"{stage}: the weights of arm {arm} were not kept (keep)", again(arm))


def _last_stages(run: Path, recipe: Recipe, arm: str, seed: int | None) -> list[Path]:
    """Of each seed that is asked for the folder of the last stage of the arm whose models are asked."""
    trains = recipe.models_of(arm)
    seeds = recipe.seeds if seed is None else (seed,)
    return [stage_folder(run, trains, each, len(recipe.arms[trains].stages) - 1) for each in seeds]


def refuse_seed(run: Path, recipe: Recipe, seed: int | None) -> None:
    """UserError for a seed that the run does not have."""
    if seed is not None and seed not in recipe.seeds:
        raise UserError(f"--seed {seed}: {run} has the seeds {', '.join(map(str, recipe.seeds))}", "give one of these")
