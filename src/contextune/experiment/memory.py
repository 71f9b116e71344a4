"""Tokens computed at once, chosen from free memory before the first step and kept with the run.

How many tokens are computed at once has no effect on what is learned but for the order of sums. A run that is resumed
keeps the number it began with, wherever it goes on, so that it stays the same run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune import models
from contextune.core import memory
from contextune.core.errors import UserError
from contextune.core.files import write_sealed
from contextune.core.memory import gib
from contextune.core.progress import read_or_say
from contextune.models.options import Adapter
from contextune.train.options import NEEDED, most_at_once

from . import fingerprint
from .accounting import longest
from .prepare import Prepared, PreparedStage
from .run_dir import stage_folder

if TYPE_CHECKING:
    from contextune.train.memory import Footprint

FILE = "memory.json"
PLENTY = 4
"""Where so many times a generous guess is free, nothing is counted: small models."""


@dataclass(frozen=True)
class Chosen:
    """Of one stage: tokens at once, bytes that must be free for it, whether activations are recomputed for want of
    memory, and what it was counted by (None where there was plenty and nothing was counted).
    """

    tokens: int
    need: int | None = None
    recomputes: bool = False
    counted: Footprint | None = None
    at_once: int = 0
    """Of `tokens`, those that an update holds."""


def settle(
    prepared: Prepared, beside: int = 1, count: bool = False, stated: int | None = None
) -> tuple[Prepared, dict[str, Chosen]]:
    """The run with a number in the place of every `tokens: auto`, and what was chosen for "ARM/stage-K".

    `beside` trainings share the memory; with `count` peaks are counted also where there is plenty. `stated`: bytes of a
    GPU that is not here. Raises UserError where a stage does not fit.
    """
    spare, kept = stated or memory.free() // beside, {} if stated else read(prepared.out)
    chosen = {
        name(arm, i): _choose(prepared, arm, i, ready, spare, kept, count, stated is not None)
        for arm, stages in prepared.arms.items()
        for i, ready in enumerate(stages)
    }
    return with_tokens(prepared, chosen), chosen


def name(arm: str, index: int) -> str:
    return f"{arm}/stage-{index}"


def read(out: Path) -> dict[str, Chosen]:
    """What an earlier beginning of the run has chosen."""
    noted = {k: v for k, v in fingerprint.notes(out).items() if "tokens" in v} | _kept(out)
    return {k: Chosen(v["tokens"], recomputes=bool(v.get("recomputes"))) for k, v in noted.items()}


def _kept(out: Path) -> dict[str, Any]:
    then = "tokens at once are those that the stages were begun with, or chosen anew"
    return read_or_say(out / FILE, then, older=True) or {}


def write(prepared: Prepared, chosen: dict[str, Chosen]) -> None:
    """Keep the choice beside those of arms that are not in this call."""
    made = {k: {"tokens": c.tokens, "need": c.need, "recomputes": c.recomputes} for k, c in chosen.items()}
    write_sealed(prepared.out / FILE, _kept(prepared.out) | made)


def with_tokens(prepared: Prepared, chosen: Mapping[str, Chosen]) -> Prepared:
    """The run with what was chosen for "ARM/stage-K"; other stages stay."""

    def changed(ready: PreparedStage, found: Chosen | None) -> PreparedStage:
        if found is None:
            return ready
        more = {"checkpointing": NEEDED} if found.recomputes and ready.train.checkpointing == "auto" else {}
        return replace(ready, train=ready.train.model_copy(update={"tokens": found.tokens, **more}))

    arms = {
        arm: tuple(changed(ready, chosen.get(name(arm, i))) for i, ready in enumerate(stages))
        for arm, stages in prepared.arms.items()
    }
    return replace(prepared, arms=arms)


def _choose(
    prepared: Prepared,
    arm: str,
    index: int,
    ready: PreparedStage,
    spare: int,
    kept: dict[str, Chosen],
    count: bool,
    gpu: bool,
) -> Chosen:
    from contextune.train.memory import RESERVE, by_formula, footprint  # imports torch

    asked: int | None = None if ready.train.tokens == "auto" else ready.train.tokens
    folders = [stage_folder(prepared.out, arm, seed, index) for seed in prepared.recipe.seeds]
    begun = kept.get(name(arm, index)) if any((f / fingerprint.FILE).exists() for f in folders) else None
    if asked is None and begun is not None:
        asked = begun.tokens
    row, largest = longest(prepared, arm, index), most_at_once(gpu)
    most = max(row, min(asked or largest, row * ready.train.batch))  # computed at once in truth
    ways = [ready.train]
    if ready.train.checkpointing == "auto":
        again = ready.train.model_copy(update={"checkpointing": NEEDED})
        ways = [again] if begun is not None and begun.recomputes else [ready.train, again]
    guess = RESERVE + prepared.parameters * 16 + by_formula(prepared.config) * most
    if not count and PLENTY * guess < spare:
        return Chosen(asked or largest, recomputes=ways[0].recomputes)
    sizes = [longest(prepared, a, i) for a, stages in prepared.arms.items() for i in range(len(stages))]
    needed = most if asked is not None else row
    for train in ways:
        taken = footprint(prepared.model, prepared.recipe.model, train, max(sizes), gpu)
        if taken.need(needed) <= spare:
            if taken.need(most) <= spare:
                return Chosen(asked or largest, taken.need(most), train.recomputes, taken, most)
            tokens = taken.at_once(spare, largest) or row
            held = max(row, tokens)
            return Chosen(tokens, taken.need(held), train.recomputes, taken, held)
    if taken.need(row) <= spare:
        began = "train.tokens is" if ready.train.tokens != "auto" else "the run was begun with"
        raise UserError(
            f"arm {arm}: {began} {asked:,} tokens at once, which take about {gib(taken.need(most))} of memory, and "
            f"{gib(spare)} are free",
            f"set train.tokens: {max(row, taken.at_once(spare, largest))} or less (no effect on the result but "
            "rounding), or free some memory",
        )
    raise UserError(
        f"arm {arm}: to train the {human(taken.parameters)} parameters on one row of {row:,} tokens takes about "
        f"{gib(taken.need(row))} of memory ({gib(taken.need(0))} for weights, gradients and optimizer), and "
        f"{gib(spare)} are free",
        _fixes(prepared, ready, taken.fits(spare), row, gpu),
    )


def rows(chosen: Mapping[str, Chosen], free: int) -> list[dict[str, Any]]:
    """What each counted stage holds at its peak: [{stage, parameters, trained, tokens, recomputes, peak, need, free,
    parts: {weights, gradients, optimizer, rest}}], in bytes; `tokens` are those that are in truth computed at once.
    """
    found = []
    for stage, one in chosen.items():
        if (by := one.counted) is not None:
            peak = by.peak(one.at_once)
            parts = {**by.parts, "rest": peak - sum(by.parts.values())}
            found.append({
                "stage": stage, "parameters": by.parameters, "trained": by.trainable, "tokens": one.at_once,
                "recomputes": one.recomputes, "peak": peak, "need": one.need, "free": free, "parts": parts,
            })  # fmt: skip
    return found


def memory_line(row: Mapping[str, Any]) -> str:
    """What `check` prints of a row of `rows`."""
    parts = ", ".join(f"{what} {gib(size)}" for what, size in row["parts"].items() if size >= 1 << 20)
    how = ", activations recomputed" if row["recomputes"] else ""
    return (
        f"{row['stage']}: {gib(row['peak'])} at the peak ({parts}) with {row['tokens']:,} tokens at once{how}; "
        f"{gib(row['need'])} with a margin, {gib(row['free'])} free"
    )


def human(parameters: int) -> str:
    """8.03 B, 134.5 M."""
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.1f} M"


LORA = Adapter()
"""The adapter that is proposed where a whole model does not fit."""


def _fixes(prepared: Prepared, ready: PreparedStage, fits: int, row: int, gpu: bool) -> str:
    from contextune.train.memory import footprint  # imports torch

    train = ready.train

    def takes(**changed: Any) -> str:
        counted = footprint(prepared.model, prepared.recipe.model, train.model_copy(update=changed), row, gpu)
        return gib(counted.need(row))

    ways = [f"lower train.max_length ({fits:,} tokens fit)"] if fits >= 16 else []
    if train.adapter is None and not models.is_adapter(prepared.model):
        lora = takes(adapter=LORA)
        ways += [f"train an adapter (train.adapter: {{kind: lora}} takes about {lora})"]
        if train.optimizer == "adamw":
            kinds = ("adamw8bit", "adafactor")
            ways += ["set train.optimizer (" + ", ".join(f"{k} takes about {takes(optimizer=k)}" for k in kinds) + ")"]
    ways += ["set train.checkpointing: true"] if fits > 0 and train.checkpointing is False else []
    ways += ["set train.precision: bf16"] if fits > 0 and train.precision == "fp32" else []
    return ", ".join([*ways, "free some memory, or take a smaller model"])
