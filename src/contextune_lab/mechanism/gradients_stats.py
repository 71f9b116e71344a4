"""From gradients of blocks of records to ratios and cosines with intervals.

g_c = Σ_b g_c,b over blocks b; all that is asked of it is in the inner products of blocks, one matrix a layer:

    |g_c| / |g_0| = √(w'G_cc w / w'G_00 w)        cos(g_c, g_0) = w'G_c0 w / √(w'G_cc w · w'G_00 w)

with w = 1. Drawn anew with replacement, blocks come w times; the same draw serves all contexts, so that differences are
paired, and the blocks of a downstream loss are drawn by themselves. An interval is the value ± z bootstrap standard
errors: percentiles of a cosine of noisy means lie beside the value, since a resampled mean is noisier than the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import torch

Array = np.ndarray[Any, np.dtype[np.float64]]
Gram = Array
"""(layers, blocks of one, blocks of the other): inner products."""


@dataclass(frozen=True)
class Resamples:
    """How often each of n blocks (or records) comes: the first row once each, the others resampled."""

    counts: Array

    @classmethod
    def of(cls, n: int, resamples: int, seed: int) -> Resamples:
        rng = np.random.default_rng((seed, n))
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
        return cls(np.vstack([np.ones((1, n)), drawn]).astype(np.float64))


def gram(a: torch.Tensor, b: torch.Tensor, layers: dict[str, slice]) -> Gram:
    """Inner products of blocks a (n, width) and b (m, width), layer by layer."""
    return np.stack([(a[:, s] @ b[:, s].T).double().numpy() for s in layers.values()])


def product(g: Gram, left: Resamples, right: Resamples) -> Array:
    """w'Gv for every draw, (draws, layers + 1); the last column is that of all layers together."""
    each = np.einsum("rb,lbc,rc->rl", left.counts, g, right.counts, optimize=True)
    return np.concatenate([each, each.sum(1, keepdims=True)], axis=1)


def cosine(cross: Array, one: Array, other: Array) -> Array:
    """Of products; NaN where a gradient is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(cross / np.sqrt(one * other))


def ratio(one: Array, other: Array) -> Array:
    """Of squared norms, the ratio of norms."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(one / other))


def pooled(sums: Array, sizes: Array, draws: Resamples) -> Array:
    """Token-weighted means over records: sums (records, k) and sizes alike to (draws, k)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((draws.counts @ sums) / (draws.counts @ sizes))


def value(draws: Array, confidence: float) -> dict[str, Any]:
    """`{"value", "interval"}` of (draws,), the first of them the value; None where it is no number or cannot vary."""
    first, rest = float(draws[0]), draws[1:][np.isfinite(draws[1:])]
    if not np.isfinite(first):
        return {"value": None, "interval": None}
    if len(rest) < 2:
        return {"value": first, "interval": None}
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * float(rest.std(ddof=1))
    return {"value": first, "interval": [first - half, first + half]}
