"""Who answers: the arms of a run's folder, or models by name."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path

from contextune.core.errors import UserError
from contextune.experiment.rebuild import recipe_of
from contextune.experiment.recipe import Recipe
from contextune.experiment.run_dir import stage_folder
from contextune.experiment.weights import refuse_released
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
    found, missing, known = dict[str, Speaker](), set(arms), list[str]()
    for source in sources:
        run = Path(source)
        is_run = (run / "recipe.yaml").is_file() and not (run / "config.json").is_file()
        if is_run:
            known += recipe_of(run).arms
        there = list(_of_run(run, arms, seed)) if is_run else [_model(source)]
        for one in there:
            name = one.name if one.name not in found else f"{one.name} ({Path(source).name})"
            found[name] = Speaker(name, one.path, one.model)
        missing -= {one.name for one in there}
    if missing:
        raise UserError(f"--arm {min(missing)}: no arm of that name", f"there are: {', '.join(known) or 'none'}")
    return list(found.values())


def _model(source: str) -> Speaker:
    model = Model(path=source)
    path = resolve(model, Path())
    check(path)
    return Speaker(Path(source).name if Path(source).is_dir() else source, path, model)


def _of_run(run: Path, arms: Seq[str], seed: int | None) -> Iterator[Speaker]:
    recipe = recipe_of(run)
    base = resolve(recipe.model, Path())
    if seed is not None and seed not in recipe.seeds:
        raise UserError(f"--seed {seed}: {run} has the seeds {', '.join(map(str, recipe.seeds))}", "give one of these")
    plain = (n for n, arm in recipe.arms.items() if recipe.is_untrained(n) and arm.before is None)
    untrained = next(plain, "untrained")
    if not arms or untrained in arms:
        yield Speaker(untrained, base, recipe.model)
    trained = [name for name, arm in recipe.arms.items() if arm.stages and (not arms or name in arms)]
    ready = 0
    for name in trained:
        path = _finished(run, recipe, name, seed)
        if path is None:
            if arms:
                _refuse_released(run, recipe, name, seed)
                raise UserError(
                    f"{run}: the weights of arm {name} are not there", "the same contextune run trains what is missing"
                )
            continue
        ready += 1
        yield Speaker(name, str(path.resolve()), recipe.model)
    if trained and not ready:
        for name in trained:
            _refuse_released(run, recipe, name, seed)
        raise UserError(f"{run}: no arm is trained yet", "the same contextune run trains what is missing")


def _refuse_released(run: Path, recipe: Recipe, arm: str, seed: int | None) -> None:
    """UserError where an arm was trained and its weights were not kept."""
    for each in recipe.seeds if seed is None else (seed,):
        refuse_released(stage_folder(run, arm, each, len(recipe.arms[arm].stages) - 1), arm)


def _finished(run: Path, recipe: Recipe, arm: str, seed: int | None) -> Path | None:
    last = len(recipe.arms[arm].stages) - 1
    for each in recipe.seeds if seed is None else (seed,):
        stage = stage_folder(run, arm, each, last)
        if (stage / "stage.json").is_file() and (stage / "model" / "config.json").is_file():
            return stage / "model"
        if (stage / "stage.json").is_file() and (stage / "model" / "adapter_config.json").is_file():
            return stage / "model"
    return None
