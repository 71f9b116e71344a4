"""Who answers: the arms of a run's folder, or models by name."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path

from contextune.core.errors import UserError
from contextune.experiment.finished_model import finished_model, refuse_released, refuse_seed, require_model
from contextune.experiment.rebuild import recipe_of
from contextune.experiment.recipe import Recipe
from contextune.models.options import Model
from contextune.models.resolve import check, resolve


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model with the name under which it answers; `path` is its folder or hub id."""

    name: str
    path: str
    model: Model


def speakers(sources: Seq[str], arms: Seq[str] = (), seed: int | None = None) -> list[Speaker]:
    """Those behind the folders of runs and the names of models, in the order given.

    Of a run all arms that are trained answer, the untrained model first; `arms` names those wanted, `seed`
    the training (the recipe's first that is finished by default). Raises UserError for what is neither a run nor a
    model, for arms that are not there, and where an arm's weights are not.
    """
    found, missing, recipes = dict[str, Speaker](), set(arms), list[Recipe]()
    for source in sources:
        run = Path(source)
        is_run = (run / "recipe.yaml").is_file() and not (run / "config.json").is_file()
        if is_run:
            recipes.append(recipe_of(run))
        there = list(_of_run(run, arms, seed)) if is_run else [_model(source)]
        for one in there:
            name = one.name if one.name not in found else f"{one.name} ({Path(source).name})"
            found[name] = Speaker(name, one.path, one.model)
        missing -= {one.name for one in there}
    if missing:
        _refuse_missing(min(missing), recipes)
    return list(found.values())


def _model(source: str) -> Speaker:
    model = Model(path=source)
    path = resolve(model, Path())
    check(path)
    return Speaker(Path(source).name if Path(source).is_dir() else source, path, model)


def _of_run(run: Path, arms: Seq[str], seed: int | None) -> Iterator[Speaker]:
    recipe = recipe_of(run)
    base = resolve(recipe.model, Path())
    refuse_seed(run, recipe, seed)
    plain = (n for n, arm in recipe.arms.items() if recipe.is_untrained(n) and arm.before is None)
    untrained = next(plain, "untrained")
    if not arms or untrained in arms:
        yield Speaker(untrained, base, recipe.model)
    trained = [name for name, arm in recipe.arms.items() if arm.stages and (not arms or name in arms)]
    found = {name: (require_model if arms else finished_model)(run, recipe, name, seed) for name in trained}
    if trained and not any(found.values()):
        for name in trained:
            refuse_released(run, recipe, name, seed)
        raise UserError(f"{run}: no arm is trained yet", "the same contextune run trains what is missing")
    yield from (Speaker(name, str(path), recipe.model) for name, path in found.items() if path is not None)


def _refuse_missing(name: str, recipes: Seq[Recipe]) -> None:
    """UserError for an arm that no run has, or that asks the model of another with passages before its questions."""
    for recipe in recipes:
        if name in recipe.arms:
            asks = recipe.models_of(name)
            instead = (
                f"--arm {asks}" if recipe.arms[asks].stages else "leave --arm out: the untrained model answers first"
            )
            raise UserError(
                f"--arm {name}: it has no model of its own", f"{instead}; --documents retrieves passages for it"
            )
    known = [arm for recipe in recipes for arm in recipe.arms]
    raise UserError(f"--arm {name}: no arm of that name", f"there are: {', '.join(known) or 'none'}")
