"""Tokens computed at once, chosen from free memory before the first step and kept with the run.

How many tokens are computed at once has no effect on what is learned but for the order of sums. A run that is resumed
keeps the number it began with, wherever it goes on, so that it stays the same run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contextune import models
from contextune.core import memory
from contextune.core.errors import UserError
from contextune.core.files import write_sealed
from contextune.core.memory import gib
from contextune.core.progress import read_or_say
from contextune.models.options import Adapter
from contextune.train.options import AT_ONCE

from . import fingerprint
from .accounting import longest
from .prepare import Prepared, PreparedStage
from .run_dir import stage_folder

FILE = "memory.json"
PLENTY = 4
"""Where so many times a generous guess is free, nothing is counted: small models."""


@dataclass(frozen=True)
class Chosen:
    """Of one stage: tokens at once, and bytes at the peak (None where there was plenty and nothing was counted)."""

    tokens: int
    need: int | None = None


def settle(prepared: Prepared, beside: int = 1, count: bool = False) -> tuple[Prepared, dict[str, Chosen]]:
    """The run with a number in the place of every `tokens: auto`, and what was chosen for "ARM/stage-K".

    `beside` trainings share the memory; with `count` peaks are counted also where there is plenty. Raises UserError
    where a stage does not fit.
    """
    spare, kept = memory.free() // beside, read(prepared.out)
    chosen = {
        name(arm, i): _choose(prepared, arm, i, ready, spare, kept, count)
        for arm, stages in prepared.arms.items()
        for i, ready in enumerate(stages)
    }
    return with_tokens(prepared, {k: c.tokens for k, c in chosen.items()}), chosen


def name(arm: str, index: int) -> str:
    return f"{arm}/stage-{index}"


def read(out: Path) -> dict[str, int]:
    """What an earlier beginning of the run has chosen."""
    noted = {k: v["tokens"] for k, v in fingerprint.notes(out).items() if "tokens" in v}
    return noted | {k: v["tokens"] for k, v in _kept(out).items()}


def _kept(out: Path) -> dict[str, Any]:
    then = "tokens at once are those that the stages were begun with, or chosen anew"
    return read_or_say(out / FILE, then, older=True) or {}


def write(prepared: Prepared, chosen: dict[str, Chosen]) -> None:
    """Keep the choice beside those of arms that are not in this call."""
    made = {k: {"tokens": c.tokens, "need": c.need} for k, c in chosen.items()}
    write_sealed(prepared.out / FILE, _kept(prepared.out) | made)


def with_tokens(prepared: Prepared, tokens: dict[str, int]) -> Prepared:
    """The run with these numbers of tokens at once, by "ARM/stage-K"; others stay."""

    def changed(arm: str, i: int, ready: PreparedStage) -> PreparedStage:
        number = tokens.get(name(arm, i), ready.train.tokens)
        return replace(ready, train=ready.train.model_copy(update={"tokens": number}))

    arms = {arm: tuple(changed(arm, i, r) for i, r in enumerate(stages)) for arm, stages in prepared.arms.items()}
    return replace(prepared, arms=arms)


def _choose(
    prepared: Prepared, arm: str, index: int, ready: PreparedStage, spare: int, kept: dict[str, int], count: bool
) -> Chosen:
    from contextune.train.memory import RESERVE, by_formula, footprint  # imports torch

    asked: int | None = None if ready.train.tokens == "auto" else ready.train.tokens
    folders = [stage_folder(prepared.out, arm, seed, index) for seed in prepared.recipe.seeds]
    if asked is None and any((f / fingerprint.FILE).exists() for f in folders):
        asked = kept.get(name(arm, index))
    row = longest(prepared, arm, index)
    most = max(row, min(asked or AT_ONCE, row * ready.train.batch))  # computed at once in truth
    guess = RESERVE + prepared.parameters * 16 + by_formula(prepared.config) * most
    if not count and PLENTY * guess < spare:
        return Chosen(asked or AT_ONCE)
    sizes = [longest(prepared, a, i) for a, stages in prepared.arms.items() for i in range(len(stages))]
    taken = footprint(prepared.model, prepared.recipe.model, ready.train, max(sizes))
    if taken.need(row) > spare:
        raise UserError(
            f"arm {arm}: to train the {human(taken.parameters)} parameters on one row of {row:,} tokens takes about "
            f"{gib(taken.need(row))} of memory ({gib(taken.need(0))} for weights, gradients and optimizer), and "
            f"{gib(spare)} are free",
            _fixes(prepared, ready, taken.fits(spare), row),
        )
    if taken.need(most) <= spare:
        return Chosen(asked or AT_ONCE, taken.need(most))
    fits = max(row, taken.at_once(spare))
    if asked is not None:
        begun = "train.tokens is" if ready.train.tokens != "auto" else "the run was begun with"
        raise UserError(
            f"arm {arm}: {begun} {asked:,} tokens at once, which take about {gib(taken.need(most))} of memory, and "
            f"{gib(spare)} are free",
            f"set train.tokens: {fits} or less (no effect on the result but rounding), or free some memory",
        )
    return Chosen(taken.at_once(spare) or row, taken.need(fits))


def human(parameters: int) -> str:
    """8.03 B, 134.5 M."""
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.1f} M"


LORA = Adapter()
"""The adapter that is proposed where a whole model does not fit."""


def _fixes(prepared: Prepared, ready: PreparedStage, fits: int, row: int) -> str:
    from contextune.train.memory import footprint  # imports torch

    train = ready.train
    ways = [f"lower train.max_length ({fits:,} tokens fit)"] if fits >= 16 else []
    if train.adapter is None and not models.is_adapter(prepared.model):
        lora = footprint(prepared.model, prepared.recipe.model, train.model_copy(update={"adapter": LORA}), row)
        ways += [f"train an adapter (train.adapter: {{kind: lora}} takes about {gib(lora.need(row))})"]
    ways += ["set train.checkpointing: true"] if fits > 0 and not train.checkpointing else []
    ways += ["set train.precision: bf16"] if fits > 0 and train.precision != "bf16" else []
    return ", ".join([*ways, "free some memory, or take a smaller model"])
