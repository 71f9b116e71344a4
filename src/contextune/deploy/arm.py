"""The finished arm of a run that is taken elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contextune.chat.speakers import speakers
from contextune.core.commands import refuse_code
from contextune.core.errors import UserError, nearest
from contextune.experiment.rebuild import recipe_of
from contextune.models.options import Adapter, Model
from contextune.models.resolve import is_adapter


@dataclass(frozen=True, slots=True)
class FinishedArm:
    """`path` holds the weights of the last stage, or an adapter on its base; `name` is the run's and the arm's."""

    run: Path
    arm: str
    name: str
    path: Path
    model: Model
    adapter: Adapter | None

    @property
    def is_adapter(self) -> bool:
        return is_adapter(str(self.path))


def finished(run: Path, arm: str, seed: int | None = None) -> FinishedArm:
    """An arm with its weights, of the seed named or the first that is finished.

    Raises UserError where `run` is no run's folder, for an arm that is not there, is untrained or not finished.
    """
    if not (run / "recipe.yaml").is_file():
        what = "no such folder" if not run.exists() else "not a run's folder (no recipe.yaml)"
        raise UserError(f"{run}: {what}", "contextune run makes one, in runs/NAME")
    recipe = recipe_of(run)
    if arm not in recipe.arms:
        raise UserError(f"--arm {arm}: no arm of that name in {run}", nearest(arm, recipe.arms))
    if recipe.is_untrained(arm):
        raise UserError(
            f"--arm {arm}: it is untrained: its model is {recipe.model.path} as it is",
            f"give one of: {', '.join(n for n in recipe.arms if not recipe.is_untrained(n)) or 'none'}",
        )
    if recipe.model.trust_remote_code:
        refuse_code(recipe.model.path)
    trains = recipe.models_of(arm)
    (found,) = speakers([str(run)], (trains,), seed)
    adapter = recipe.training(recipe.arms[trains].stages[-1]).adapter
    return FinishedArm(run, arm, f"{recipe.name}-{arm}", Path(found.path), recipe.model, adapter)
