"""How the two-layer model learns from each way of choosing contexts: all ways and seeds in one batch, in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import mixture

K = 4
RANDOM, NEIGHBOUR, PARAPHRASE = (0.0, 0.15), (0.65, 0.95), (0.95, 1.0)
"""Ranges of similarity of a random example, a neighbour and a paraphrase."""

START = (2.0, 0.0, 0.0, -1.9924)
"""θ1, θ2, θ3, ψ; the last makes the maturity .12."""

Shares = tuple[float, float, float]
"""Probabilities that the first example is a paraphrase, a neighbour, random; the rest are random."""


@dataclass(frozen=True, slots=True)
class Strategy:
    name: str
    about: str
    shares: Shares = (0.0, 0.0, 1.0)
    similar: float = 0.0
    """Share of contexts in which all examples are neighbours."""


def reading_a(epsilon: float, p: float) -> Shares:
    """A paraphrase with probability ε, else a neighbour with probability p, else a random example."""
    return epsilon, (1 - epsilon) * p, (1 - epsilon) * (1 - p)


STRATEGIES = (
    Strategy("random", "k random examples"),
    Strategy("similar", "k neighbours", similar=1.0),
    Strategy("contrastive", "ε = .1, p = .5: one graded example, the rest random", reading_a(0.1, 0.5)),
    Strategy("batch mix", "half the contexts random, half similar", similar=0.5),
    Strategy("p = 1", "always a neighbour or a paraphrase, the rest random", reading_a(0.1, 1.0)),
    Strategy("neighbour", "always one neighbour, the rest random", (0.0, 1.0, 0.0)),
    Strategy("paraphrase", "always one paraphrase, the rest random", (1.0, 0.0, 0.0)),
    Strategy("ε = 0", "contrastive without paraphrases", reading_a(0.0, 0.5)),
    Strategy("p = 0", "contrastive without neighbours", reading_a(0.1, 0.0)),
    Strategy("ε = .5", "contrastive with many paraphrases", reading_a(0.5, 0.5)),
)


@dataclass(frozen=True, slots=True)
class MixtureOptions:
    seeds: int = 3
    steps: int = 15_000
    batch: int = 32
    lr: float = 0.5
    decay: float = 1e-4
    every: int = 100
    """Steps between readings."""


@dataclass(frozen=True, slots=True)
class MixtureResult:
    """Readings by time, form (two parameters, three), strategy and seed: shape (times, 2, strategies, seeds)."""

    steps: list[int]
    theta: Tensor
    """(..., 4): θ1, θ2, θ3 and the maturity φ."""
    risk: Tensor
    """(..., 3): on random contexts, with one neighbour, with one paraphrase."""
    copied: Tensor
    """Weight on the examples of random contexts."""
    options: MixtureOptions
    seconds: float

    def rows(self) -> list[dict[str, Any]]:
        """The end of training, one row a form and strategy, each value with its standard deviation over seeds."""
        return [self._row(form, i) for form in (0, 1) for i in range(len(STRATEGIES))]

    def _row(self, form: int, i: int) -> dict[str, Any]:
        theta, risk, copied = self.theta[-1, form, i], self.risk[-1, form, i], self.copied[-1, form, i]
        columns = {
            "theta1": theta[:, 0], "theta2": theta[:, 1], "theta3": theta[:, 2], "maturity": theta[:, 3],
            "random": risk[:, 0], "neighbour": risk[:, 1], "paraphrase": risk[:, 2], "copied": copied,
        }  # fmt: skip
        values = {name: float(v.mean()) for name, v in columns.items()}
        spread = {name: float(v.std()) if len(v) > 1 else 0.0 for name, v in columns.items()}
        return {"strategy": STRATEGIES[i].name, "parameters": 2 + form, **values, "sd": spread}


def study(options: MixtureOptions = MixtureOptions(), tell: Callable[[int], None] = lambda step: None) -> MixtureResult:
    """Train every strategy with two and with three parameters, by SGD on the exact risk of drawn similarities."""
    began = time.monotonic()
    stream = torch.Generator().manual_seed(0)
    shape = (2, len(STRATEGIES), options.seeds)
    theta = torch.tensor(START, dtype=torch.float64).expand(*shape, 4).clone()
    free = torch.ones(*shape, 4, dtype=torch.float64)
    free[0, ..., 2] = 0  # two parameters: θ3 stays where it is
    decayed = free * torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    fixed = probes(512)
    seen: list[tuple[int, tuple[Tensor, Tensor, Tensor]]] = []
    for step in range(options.steps + 1):
        if step % options.every == 0 or step == options.steps:
            seen.append((step, _read(theta, fixed)))
            tell(step)
        if step % 100 == 0:
            ready = contexts(100 * options.batch, options.seeds, stream).unflatten(2, (100, options.batch))
        slope = gradient(theta, ready[:, :, step % 100])
        theta = theta - options.lr * (free * slope + options.decay * decayed * theta)
    seconds = time.monotonic() - began
    thetas, risks, copies = (torch.stack([reading[i] for _, reading in seen]) for i in range(3))
    return MixtureResult([step for step, _ in seen], thetas, risks, copies, options, seconds)


def gradient(theta: Tensor, s: Tensor) -> Tensor:
    """That of the mean risk of each run: `theta` (2, strategies, seeds, 4), `s` (strategies, seeds, batch, k)."""
    leaf = theta.detach().requires_grad_()
    total = mixture.risk(leaf[..., None, :], s[None]).mean(-1).sum()
    return torch.autograd.grad(total, leaf)[0]


def contexts(n: int, seeds: int, stream: torch.Generator) -> Tensor:
    """Similarities (strategies, seeds, n, k). Order does not matter to the model, so the graded example is first."""

    def drawn(low: float, high: float) -> Tensor:
        made = torch.rand(len(STRATEGIES), seeds, n, K, generator=stream, dtype=torch.float64)
        return low + (high - low) * made

    s, near, same = drawn(*RANDOM), drawn(*NEIGHBOUR), drawn(*PARAPHRASE)[..., 0]
    shares = torch.tensor([strategy.shares for strategy in STRATEGIES], dtype=torch.float64)[:, None, None]
    u = torch.rand(s.shape[:-1], generator=stream, dtype=torch.float64)
    is_same, is_near = u < shares[..., 0], u >= shares[..., 0]
    is_near &= u < shares[..., 0] + shares[..., 1]
    s[..., 0] = torch.where(is_same, same, torch.where(is_near, near[..., 0], s[..., 0]))
    whole = torch.tensor([strategy.similar for strategy in STRATEGIES], dtype=torch.float64)[:, None, None]
    similar = torch.rand(s.shape[:-1], generator=stream, dtype=torch.float64) < whole
    return torch.where(similar[..., None], near, s)


def probes(n: int) -> Tensor:
    """Fixed contexts (3, n, k): all random; one neighbour; one paraphrase."""
    stream = torch.Generator().manual_seed(1)
    u = torch.rand(n, K + 2, generator=stream, dtype=torch.float64)
    s = (RANDOM[0] + (RANDOM[1] - RANDOM[0]) * u[:, :K]).repeat(3, 1, 1)
    for i, (low, high) in enumerate((NEIGHBOUR, PARAPHRASE), start=1):
        s[i, :, 0] = low + (high - low) * u[:, K + i - 1]
    return s


def _read(theta: Tensor, fixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    wide = theta[..., None, None, :]
    risks = mixture.risk(wide, fixed).mean(-1)
    copied = 1 - mixture.attention(wide[..., 0, :, :], fixed[0]).own.mean(-1)
    return torch.cat((theta[..., :3], torch.sigmoid(theta[..., 3:])), -1), risks, copied
