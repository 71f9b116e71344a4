"""What is the same in every arm of a comparison (`compare.match`): rows, target tokens, or passes over its own rows.

The arm that others are held against keeps its plan. Stage i of any other arm is given as many updates as make it equal
to stage i of that one, to within one update:

rows      as many sequences: what an arm adds takes the place of rows that it then sees less often
tokens    as many target tokens: an arm with longer targets makes fewer updates
passes    each row as often: an arm with more rows makes more updates

A stage with `steps` or `epochs` of its own keeps them, and an arm may have a `match` of its own, as a control. Without
`match` every arm keeps what `train` says, which is rows with `steps` and passes with `epochs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import replace
from itertools import accumulate

from contextune.contexts import compose
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, render
from contextune.train.schedule import order

from ..recipe import Recipe
from .data import Data
from .stage import PreparedStage

Arms = Mapping[str, tuple[PreparedStage, ...]]


def matched(data: Data, arms: Arms) -> Arms:
    """The arms with their updates matched. UserError where the arm that they follow from is left out of the run."""
    name, found = held_against(data.recipe), dict(arms)
    for arm, stages in arms.items():
        match = match_of(data.recipe, arm)
        if match is None or name is None or arm == name or not stages:
            continue
        if name not in arms:
            what = f"match: {match}: the updates of '{arm}' follow from those of '{name}'"
            raise UserError(f"{what}, which is left out", f"add --arm {name}")
        of = arms[name]
        found[arm] = (*map(_Matching(data, match).as_many, stages, of), *stages[len(of) :])
    return found


def match_of(recipe: Recipe, arm: str) -> str | None:
    """What an arm trains on as often as the one that it is held against."""
    return recipe.arms[arm].match or recipe.compare.match


def held_against(recipe: Recipe) -> str | None:
    """The baseline, or the first trained arm where that is untrained or not named."""
    trained = [arm for arm, spec in recipe.arms.items() if spec.stages]
    baseline = recipe.compare.baseline
    return baseline if baseline in trained else next(iter(trained), None)


class _Matching:
    def __init__(self, data: Data, match: str) -> None:
        self.data, self.match, self.seed = data, match, data.recipe.seeds[0]

    def as_many(self, stage: PreparedStage, like: PreparedStage) -> PreparedStage:
        """The stage with its updates matched to those of `like`."""
        if {"steps", "epochs"} & set(stage.stage.train):
            return stage
        plan, own = like.plan(self.seed), stage.plan(self.seed)
        if self.match == "passes":
            return stage if own.rows == plan.rows else _trained(stage, steps=None, epochs=plan.draws / plan.rows)
        if self.match == "tokens" and (tokens := self._learned(like)) != self._learned(stage):
            draws = self._draws(stage, tokens)
        else:
            draws = own.draws if self.match == "tokens" else plan.draws
        return stage if draws == own.draws else _trained(stage, steps=max(1, round(draws / stage.train.batch)))

    def _learned(self, stage: PreparedStage) -> int:
        """Target tokens over all updates."""
        times = stage.plan(self.seed).times()
        return sum(n * m for n, m in zip(times, self._targets(stage), strict=True))

    def _draws(self, stage: PreparedStage, tokens: int) -> int:
        """Rows, in the order of training, that have so many target tokens."""
        targets = self._targets(stage)
        whole, rest = divmod(tokens, sum(targets))
        seen = accumulate(targets[row] for row in order(self.seed, whole, len(targets)))
        return whole * len(targets) + sum(n <= rest for n in seen)

    def _targets(self, stage: PreparedStage) -> Seq[int]:
        """Tokens that are trained on, by row, with the contexts of the first epoch."""
        key = DrawKey(self.seed, 0)
        return [render(compose(r, stage.context, key), self.data.tokenizer).trained for r in stage.records]


def _trained(stage: PreparedStage, **options: float | None) -> PreparedStage:
    return replace(stage, train=stage.train.model_copy(update=options))
