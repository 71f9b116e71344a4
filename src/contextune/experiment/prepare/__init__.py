"""From a recipe to everything that training needs, in four steps that build one frozen `Prepared`.

1 data           the model is found; sources are read and cut for all arms alike
2 augmentation   texts are inferred, through the store
3 contexts       each stage's records are chosen and its policy is bound; updates are matched
4 tasks          what arms are judged on is loaded
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from contextune.core import clock

from ..recipe import RecipeLike, as_recipe, folder_of
from .augmentation import augment_stage, warn_of_unused
from .contexts import draws_from_options, prepare_stage
from .data import Data, Say, began, chosen_arms, read_data
from .matching import matched
from .prepared import Prepared
from .retrieval import retrieve
from .stage import PreparedStage
from .tasks import load_general, load_tasks

__all__ = ["Data", "Prepared", "PreparedStage", "prepare", "prepare_stage"]


def prepare(
    recipe: RecipeLike,
    base: Path | str | None = None,
    out: Path | str | None = None,
    only: Iterable[str] | str = (),
    say: Say = lambda text: None,
    plan: bool = False,
    insist: bool = False,
    first: int | None = None,
) -> Prepared:
    """Read, infer, bind and load. `base` is the recipe's folder and `out` the run's, `only` names the arms wanted (all
    where empty).

    Texts that arms train on are inferred here, through the store; with `plan` only those that it has are taken, and
    what would be asked is counted; with `insist` what has failed in earlier runs is asked anew, and no share of
    failures is an error. With `first` so many records of a large source are enough, where policies draw from their
    options and the record alone: what is shown of these is what it is of all, and counts are not. Templates write the
    date on which the run in `out` began. Raises UserError.
    """
    recipe, base = as_recipe(recipe, base)
    out = folder_of(recipe) if out is None else Path(out)
    with clock.fixed(began(out)):
        arms = chosen_arms(recipe, [only] if isinstance(only, str) else only)
        data = read_data(recipe, base, out, arms, say, weights=not plan, first=first)
        if data.partial and not all(draws_from_options(data, stage) for stages in arms.values() for stage in stages):
            data = read_data(recipe, base, out, arms, say, weights=not plan)
        say("loading the tasks")
        tasks = load_tasks(data)
        ready = {
            arm: tuple(prepare_stage(data, stage, augment_stage(data, stage, arm, plan, insist)) for stage in stages)
            for arm, stages in arms.items()
        }
        if set(arms) == set(recipe.arms):
            warn_of_unused(data, [s.augmented for stages in ready.values() for s in stages if s.augmented is not None])
        return Prepared(
            **{f.name: getattr(data, f.name) for f in fields(data)},
            arms=ready if data.partial else matched(data, ready),
            tasks=tasks,
            general=load_general(data, tasks),
            retrieved=retrieve(data, arms, tasks),
        )
