"""The finished arm of a run that is taken elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contextune.core.commands import refuse_code
from contextune.core.errors import UserError
from contextune.core.files import Damaged, faults, sealed
from contextune.core.ownership import listed
from contextune.experiment.finished_model import require_model
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
    """An arm with its weights, of the seed named or the first that is finished; they are what the run wrote.

    Raises UserError where `run` is no run's folder, for an arm that is not there, untrained, not finished or damaged.
    """
    if not (run / "recipe.yaml").is_file():
        what = "no such folder" if not run.exists() else "not a run's folder (no recipe.yaml)"
        raise UserError(f"{run}: {what}", "contextune run makes one, in runs/NAME")
    recipe = recipe_of(run)
    if arm in recipe.arms and recipe.is_untrained(arm):
        raise UserError(
            f"--arm {arm}: it is untrained: its model is {recipe.model.path} as it is",
            f"give one of: {', '.join(n for n in recipe.arms if not recipe.is_untrained(n)) or 'none'}",
        )
    path = require_model(run, recipe, arm, seed)
    _refuse_damaged(path.parent)
    if recipe.model.trust_remote_code:
        refuse_code(recipe.model.path)
    adapter = recipe.training(recipe.arms[recipe.models_of(arm)].stages[-1]).adapter
    return FinishedArm(run, arm, f"{recipe.name}-{arm}", path, recipe.model, adapter)


def _refuse_damaged(stage: Path) -> None:
    """UserError where a finished model is not as it was written; one without checksums is taken as it is."""
    again = "give the same contextune run again: what is damaged it writes or trains anew"
    try:
        made = sealed(stage)
    except Damaged as e:
        raise UserError(str(e), again) from None
    sums = made["sums"] if made else {}
    if wrong := faults(stage, {name: sum for name, sum in sums.items() if name.startswith("model/")}):
        raise UserError(f"{stage}: damaged or gone: {listed(wrong)}", again)
