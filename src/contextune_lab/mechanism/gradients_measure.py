"""What contexts do to the gradients of one model, on target tokens that are the same with and without them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from contextune.core.errors import UserError
from contextune.core.sequence import IGNORED, Rendered

from . import gradients_stats as stats
from .gradients_meter import SIZE, GradientForm, Meter
from .gradients_stats import Array, Resamples

BASE = "nothing"
TOGETHER = "deciding"
"""The loss of all deciding tasks together, each task's mean with the same weight."""
SMALL = 50_000_000
"""Parameters below which gradients are kept whole."""
MEMORY = 8 << 30
"""Bytes that kept gradients take at most (and never more than half of what is free)."""
FEWEST = 8
"""Blocks below which the bootstrap says little; with less room than that, gradients are projected."""


@dataclass(frozen=True)
class MeasureOptions:
    """`how` None chooses by the model's size; `blocks` is how many gradients the records are parted into at most."""

    how: GradientForm | None = None
    blocks: int = 32
    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0
    size: int = SIZE


@dataclass(frozen=True)
class Taken:
    """Gradients of blocks of rows, (blocks, width), and the losses of each row's target tokens."""

    blocks: torch.Tensor
    losses: list[Array]


Tell = Callable[[str, int], None]
"""(what, rows more that are done)."""


def measure(
    model: Any,
    contexts: Mapping[str, Seq[Rendered]],
    asked: Mapping[str, Seq[Rendered]],
    deciding: Seq[str] = (),
    options: MeasureOptions = MeasureOptions(),
    pad: int = 0,
    tell: Tell = lambda what, by: None,
) -> dict[str, Any]:
    """The values of `docs/gradients.md` as plain JSON.

    `contexts` holds, under BASE, the records with nothing before them, and under other names the same records after a
    context; `asked` holds downstream rows by task, of which `deciding` are also taken together. Raises UserError where
    target tokens differ between contexts.
    """
    identical(contexts)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    how, blocks = chosen(options, trained, len(contexts))
    meter = Meter(model, how, options.seed, options.size)
    taken = {name: take(meter, rows, blocks, pad, lambda by, n=name: tell(n, by)) for name, rows in contexts.items()}  # type: ignore[misc]
    study = _Study(meter, taken, options)
    downstream = study.downstream(asked, deciding, blocks, pad, tell)
    return {
        "parameters": trained,
        "how": how if how == "exact" else f"sketch, {options.size} numbers a layer, cosines ± {options.size**-0.5:.3f}",
        "records": len(contexts[BASE]),
        "blocks": len(taken[BASE].blocks),
        "target_tokens": sum(len(x) for x in taken[BASE].losses),
        "confidence": options.confidence,
        "layers": list(meter.layers),
        "reference": study.reference(downstream),
        "contexts": {name: study.context(name, contexts[name], downstream) for name in contexts if name != BASE},
        "downstream": {name: {"items": d.items, "loss": d.loss} for name, d in downstream.items()},
    }


def identical(contexts: Mapping[str, Seq[Rendered]]) -> None:
    """UserError where a context changes what is trained on: then gradients are not of the same tokens."""
    plain = [targets(r) for r in contexts[BASE]]
    for name, rows in contexts.items():
        if [targets(r) for r in rows] != plain:
            raise UserError(
                f"context {name}: it changes which tokens are trained on, so its gradient is not of the same tokens",
                "leave it out with --arm, or set loss: target",
            )


def targets(row: Rendered) -> tuple[int, ...]:
    return tuple(label for label in row.labels[1:] if label != IGNORED)


def chosen(options: MeasureOptions, parameters: int, contexts: int) -> tuple[GradientForm, int]:
    """Whole gradients or sketches, and into how many blocks, so that they fit into memory."""
    free = min(MEMORY, os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    fit = free // (4 * max(parameters, 1) * (contexts + 2))  # and one task's, and those of all tasks
    how = options.how or ("exact" if parameters < SMALL and fit >= FEWEST else "sketch")
    return how, options.blocks if how == "sketch" else max(2, min(options.blocks, fit))


def take(meter: Meter, rows: Seq[Rendered], blocks: int, pad: int, tell: Callable[[int], None]) -> Taken:
    parts = [part for part in np.array_split(np.arange(len(rows)), min(blocks, len(rows))) if len(part)]
    vectors = torch.empty(len(parts), meter.width)
    losses: list[Array] = []
    for place, part in enumerate(parts):
        vectors[place], found = meter.take([rows[i] for i in part], pad)
        losses += [loss.double().numpy() for loss in found]
        tell(len(part))
    return Taken(vectors, losses)


@dataclass(frozen=True)
class _Downstream:
    """`products` with each context and `square` with itself, (draws, layers + 1)."""

    items: int
    loss: float | None
    products: dict[str, Array]
    square: Array


class _Study:
    """Products of all contexts' gradients, drawn together."""

    def __init__(self, meter: Meter, taken: Mapping[str, Taken], options: MeasureOptions) -> None:
        self.meter, self.taken, self.options = meter, taken, options
        base = taken[BASE]
        self.draws = Resamples.of(len(base.blocks), options.resamples, options.seed)
        self.rows = Resamples.of(len(base.losses), options.resamples, options.seed)
        self.squares = {name: self._product(t.blocks, t.blocks, self.draws, self.draws) for name, t in taken.items()}

    def _product(self, a: torch.Tensor, b: torch.Tensor, left: Resamples, right: Resamples) -> Array:
        return stats.product(stats.gram(a, b, self.meter.layers), left, right)

    def _value(self, draws: Array) -> dict[str, Any]:
        return stats.value(draws, self.options.confidence)

    def downstream(
        self, asked: Mapping[str, Seq[Rendered]], deciding: Seq[str], blocks: int, pad: int, tell: Tell
    ) -> dict[str, _Downstream]:
        """One task's gradients at a time; only their products are kept."""
        found, parts = dict[str, _Downstream](), dict[str, int]()
        together = [name for name in deciding if name in asked] if len(deciding) > 1 else []
        fewest = min((min(blocks, len(asked[name])) for name in together), default=0)
        summed = torch.zeros(fewest, self.meter.width)
        for name, rows in asked.items():
            taken = take(self.meter, rows, blocks, pad, lambda by, n=name: tell(n, by))  # type: ignore[misc]
            mean = float(np.mean([loss.sum() for loss in taken.losses]))
            found[name], parts[name] = self._against(taken.blocks, len(rows), mean), len(rows)
            if name in together:
                for place, block in enumerate(taken.blocks):
                    summed[place % fewest] += block / len(rows)
        if len(together) > 1:
            losses = [found[name].loss or 0.0 for name in together]
            items = sum(parts[name] for name in together)
            found = {TOGETHER: self._against(summed, items, float(np.mean(losses))), **found}
        return found

    def _against(self, vectors: torch.Tensor, items: int, loss: float) -> _Downstream:
        draws = Resamples.of(len(vectors), self.options.resamples, self.options.seed + 1)
        products = {name: self._product(t.blocks, vectors, self.draws, draws) for name, t in self.taken.items()}
        return _Downstream(items, loss, products, self._product(vectors, vectors, draws, draws))

    def _toward(self, name: str, of: _Downstream) -> Array:
        return stats.cosine(of.products[name][:, -1], self.squares[name][:, -1], of.square[:, -1])

    def reference(self, downstream: Mapping[str, _Downstream]) -> dict[str, Any]:
        """The gradient without a context: its loss a token, its cosine with each downstream gradient."""
        losses = self.taken[BASE].losses
        sums, sizes = np.array([[x.sum()] for x in losses]), np.array([[len(x)] for x in losses])
        return {
            "loss": self._value(stats.pooled(sums, sizes, self.rows)[:, 0]),
            "downstream": {task: {"cosine": self._value(self._toward(BASE, d))} for task, d in downstream.items()},
        }

    def context(self, name: str, rows: Seq[Rendered], downstream: Mapping[str, _Downstream]) -> dict[str, Any]:
        cross = self._product(self.taken[name].blocks, self.taken[BASE].blocks, self.draws, self.draws)
        own, base = self.squares[name], self.squares[BASE]
        ratios, cosines = stats.ratio(own, base), stats.cosine(cross, own, base)
        layers = [
            {"layer": layer, "ratio": self._value(ratios[:, i]), "cosine": self._value(cosines[:, i])}
            for i, layer in enumerate(self.meter.layers)
        ]
        return {
            "context_tokens": float(np.mean([len(r) - r.trained for r in rows])),
            "cut": sum(r.cut for r in rows),
            **self._shifts(name),
            "ratio": self._value(ratios[:, -1]),
            "cosine": self._value(cosines[:, -1]),
            "layers": layers,
            "downstream": {task: self._direction(name, d) for task, d in downstream.items()},
        }

    def _direction(self, name: str, of: _Downstream) -> dict[str, Any]:
        cosine, plain = self._toward(name, of), self._toward(BASE, of)
        return {"cosine": self._value(cosine), "difference": self._value(cosine - plain)}

    def _shifts(self, name: str) -> dict[str, Any]:
        """Loss a token after the context less loss without it: of all target tokens, and by place in the target."""
        pairs = list(zip(self.taken[name].losses, self.taken[BASE].losses, strict=True))
        longest = max(len(x) for x, _ in pairs)
        ends = [0, *(2**k - 1 for k in range(1, longest.bit_length() + 1))]
        sums, sizes = np.zeros((len(pairs), len(ends))), np.zeros((len(pairs), len(ends)))
        for i, (with_, without) in enumerate(pairs):
            for k, (begin, end) in enumerate([*pairwise(ends), (0, longest)]):
                sums[i, k], sizes[i, k] = (with_ - without)[begin:end].sum(), len(with_[begin:end])
        shift = stats.pooled(sums, sizes, self.rows)
        places = [
            {"from": begin + 1, "to": min(end, longest), "tokens": int(sizes[:, k].sum()), **self._value(shift[:, k])}
            for k, (begin, end) in enumerate(pairwise(ends))
        ]
        return {"shift": self._value(shift[:, -1]), "by_place": places}
