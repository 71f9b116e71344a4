"""How original, inferred and general texts are mixed: by weights or by shares of the tokens.

    mix: {shares: {original: 0.5, augmented: 0.4, replay: 0.1}, replay: {data: general}}
    mix: {weights: {original: 2}}            each original twice, all else once
    mix: {total: original}                   as many tokens as the originals alone have

A group gets its tokens by whole repeats and, for the rest, a subset drawn by the seed. A group whose
part is at least what it holds therefore never loses a record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from collections.abc import Sequence as Seq
from dataclasses import replace
from itertools import accumulate
from random import Random
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from contextune.core.errors import UserError, nearest
from contextune.core.options import Options
from contextune.core.sequence import DrawKey, Record

ORIGINAL, AUGMENTED, REPLAY = "original", "augmented", "replay"
REPEATS = 1000
"""How often a group is repeated at most."""


class Replay(Options):
    """General text among what is learned, against forgetting."""

    data: str = Field(description="a source of the recipe")
    share: float = Field(0.1, gt=0, lt=1, description="of all tokens, where neither shares nor weights name replay")


class Mix(Options):
    """Options of a mixture; by default everything once."""

    weights: dict[str, Annotated[float, Field(le=REPEATS)]] = Field(
        {}, description="how often each group is repeated, 1 where none is given"
    )
    shares: dict[str, Annotated[float, Field(le=1)]] = Field(
        {}, description="the part of the tokens that each group gets; they sum to 1"
    )
    total: Annotated[int, Field(le=10**15)] | Literal["original"] | None = Field(
        None, description="tokens in all: a number, or as many as the originals have; by default as many as there are"
    )
    replay: Replay | None = None

    @model_validator(mode="after")
    def _sound(self) -> Mix:
        if self.weights and self.shares:
            raise ValueError("mix: weights and shares exclude each other")
        if any(v < 0 for v in (*self.weights.values(), *self.shares.values())):
            raise ValueError("mix: weights and shares are finite numbers, 0 or more")
        if self.shares and abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ValueError(f"mix.shares sum to {sum(self.shares.values()):g}, expected 1")
        if isinstance(self.total, int) and self.total < 1:
            raise ValueError("mix.total is a number of tokens from 1 up, or 'original'")
        if REPLAY in {**self.weights, **self.shares} and self.replay is None:
            raise ValueError("mix names replay but no text for it; add replay: {data: SOURCE}")
        if self.replay and self.shares and REPLAY not in self.shares:
            raise ValueError("mix.shares say nothing of replay; give it a share")
        if self.replay and "share" in self.replay.model_fields_set and REPLAY in {**self.weights, **self.shares}:
            raise ValueError("mix.replay.share and a weight or share of replay exclude each other")
        return self

    def among(self, names: Collection[str]) -> Mix:
        """The mixture of these groups alone, as long as the others' texts are not written yet."""
        shares, weights = ({n: v for n, v in d.items() if n in names} for d in (self.shares, self.weights))
        whole = sum(shares.values())
        return self.model_copy(update={"shares": {n: v / whole for n, v in shares.items()}, "weights": weights})


def mix(
    groups: Mapping[str, Seq[Record]], tokens: Callable[[Record], int], options: Mix, seed: int = 0
) -> list[Record]:
    """The records of all groups in their order; a repeat's id has "+2", "+3" … behind it.

    `tokens` counts those of a record that are trained on. A pure function of its arguments.
    Raises UserError where a group that is named is not there, or one that is to give tokens has none.
    """
    return [r for records in portions(groups, tokens, options, seed).values() for r in records]


def portions(
    groups: Mapping[str, Seq[Record]], tokens: Callable[[Record], int], options: Mix, seed: int = 0
) -> dict[str, list[Record]]:
    """What each group gives to the mixture."""
    sizes = {name: [tokens(r) for r in records] for name, records in groups.items()}
    have = {name: sum(s) for name, s in sizes.items()}
    wanted = targets(have, options)
    for name, tokens_ in wanted.items():
        if have[name] and tokens_ > REPEATS * have[name]:
            raise UserError(
                f"mix: '{name}' has {have[name]:,} tokens and is to give {tokens_:,.0f}: {REPEATS} repeats at most",
                "lower mix.total, or its share or weight",
            )
    return {
        name: _portion(records, sizes[name], wanted[name], DrawKey(seed, 0).rng("mix", name))
        for name, records in groups.items()
    }


def achieved(
    mixed: Mapping[str, Seq[Record]], tokens: Callable[[Record], int], groups: Mapping[str, Seq[Record]]
) -> dict[str, dict[str, Any]]:
    """Of each group of `portions`: {records, tokens, share, repeats}; repeats are tokens used by tokens there."""
    used = {name: sum(map(tokens, records)) for name, records in mixed.items()}
    there = {name: sum(map(tokens, records)) for name, records in groups.items()}
    total = sum(used.values()) or 1
    return {
        name: {
            "records": len(records),
            "tokens": used[name],
            "share": used[name] / total,
            "repeats": used[name] / there[name] if there[name] else 0.0,
        }
        for name, records in mixed.items()
    }


def targets(have: Mapping[str, int], options: Mix) -> dict[str, float]:
    """Tokens that each group is to give, from those that it has."""
    _refuse_missing(have, options)
    if options.shares:
        asked = _total(have, options)
        return {name: options.shares[name] * (asked or sum(have.values())) for name in have}
    weighted = {name: options.weights.get(name, 1.0) * n for name, n in have.items()}
    if options.replay is not None and REPLAY not in options.weights:
        rest = sum(n for name, n in weighted.items() if name != REPLAY)
        weighted[REPLAY] = rest * options.replay.share / (1 - options.replay.share)
    total = _total(have, options)
    scale = total / sum(weighted.values()) if total is not None and any(weighted.values()) else 1.0
    return {name: n * scale for name, n in weighted.items()}


def _total(have: Mapping[str, int], options: Mix) -> int | None:
    return have[ORIGINAL] if options.total == "original" else options.total


def _refuse_missing(have: Mapping[str, int], options: Mix) -> None:
    named = options.shares or options.weights
    for name in named:
        if name not in have:
            raise UserError(f"mix: no group '{name}'", nearest(name, have))
    for name, n in have.items():
        if options.shares and name not in options.shares:
            raise UserError(f"mix: shares say nothing of '{name}'", f"add it: shares: {{…, {name}: 0.1}}")
        if not n and options.shares.get(name, 0) > 0:
            raise UserError(
                f"mix: '{name}' is to give {options.shares[name]:g} of the tokens and has none",
                "were all its texts refused by a filter?",
            )
    if options.replay is not None and not have.get(REPLAY):
        raise UserError(
            f"mix: the source '{options.replay.data}' that is to be replayed has no text",
            "give that source texts, or name another",
        )
    if options.total == "original" and ORIGINAL not in have:
        raise UserError("mix: total is 'original', but there is no group of that name", "give a number of tokens")


def _portion(records: Seq[Record], sizes: list[int], target: float, rng: Random) -> list[Record]:
    """Whole repeats, then the seeded subset that comes nearest to the rest: half a record off at most."""
    if not sum(sizes) or target <= 0:
        return []
    rounds, rest = divmod(target, sum(sizes))
    order = rng.sample(range(len(records)), len(records))
    sums = list(accumulate((sizes[i] for i in order), initial=0))
    taken = min(range(len(sums)), key=lambda n: (abs(sums[n] - rest), -n))
    repeats = [_again(r, n) for n in range(int(rounds)) for r in records]
    return repeats + [_again(records[i], int(rounds)) for i in sorted(order[:taken])]


def _again(record: Record, n: int) -> Record:
    """The record's nth repeat under an id of its own, so that a context is drawn for it anew."""
    return replace(record, id=f"{record.id}+{n + 1}") if n else record
