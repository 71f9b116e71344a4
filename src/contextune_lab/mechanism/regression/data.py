"""Functions, drawn fresh: f(x) = wᵀx, and what is learned after it, g, made from f.

>>> draw = Draw.fresh(2, points=3, d=5, key=(0, 7))      # two functions, three points of each
>>> draw.x.shape, draw.f.shape, CLASSES["polynomial"](draw).shape
(torch.Size([2, 3, 5]), torch.Size([2, 3]), torch.Size([2, 3]))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor


def generator(*key: int, device: str = "cpu") -> torch.Generator:
    """A stream of its own for every key: a step's batch needs nothing from the steps before it."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state) >> 1)


@dataclass(frozen=True, slots=True)
class Draw:
    """Points `x` (n, points, d) and two weight vectors a function, `w` and `w2`, (n, d); all N(0, I)."""

    x: Tensor
    w: Tensor
    w2: Tensor

    @classmethod
    def fresh(cls, n: int, points: int, d: int, key: tuple[int, ...], device: str = "cpu") -> Draw:
        stream = generator(*key, device=device)
        made = torch.randn(n, points + 2, d, generator=stream, device=device)
        return cls(made[:, 2:].contiguous(), made[:, 0], made[:, 1])

    @property
    def f(self) -> Tensor:
        """wᵀx, (n, points)."""
        return along(self.w, self.x)

    def at(self, x: Tensor) -> Draw:
        return replace(self, x=x)


def along(w: Tensor, x: Tensor) -> Tensor:
    """wᵀx for each point: (n, d), (n, points, d) -> (n, points)."""
    return (x * w[:, None]).sum(-1)


def turned(batch: Tensor, rounding: int) -> Tensor:
    """The same functions (n, …), with `rounding` in the opposite order: sums over them are rounded otherwise."""
    return batch.flip(0) if rounding else batch


Target = Callable[[Draw], Tensor]

CLASSES: dict[str, Target] = {
    "polynomial": lambda draw: draw.f + draw.f**2,
    "linear": lambda draw: draw.f + along(draw.w2, draw.x),
    "relu": lambda draw: draw.f.relu(),
    "product": lambda draw: draw.f * along(draw.w2, draw.x),
    "sigmoid": lambda draw: draw.f.sigmoid(),
    "tanh": lambda draw: draw.f.tanh(),
}


def gradient(target: Target, draw: Draw) -> Tensor:
    """∇g at every point, (n, points, d), by autograd of g itself.

    Each value depends on its own point only, so the gradient of their sum holds them all.
    """
    x = draw.x.detach().requires_grad_()
    return torch.autograd.grad(target(draw.at(x)).sum(), x)[0]


@cache
def moments(name: str, d: int) -> tuple[float, float]:
    """Mean and variance of g over points and functions, from 200,000 of them (exact forms are in the tests).

    Given the point, wᵀx is normal with variance |x|²; so one point a function is enough.
    """
    values = CLASSES[name](Draw.fresh(200_000, 1, d, key=(90_210,)))
    return float(values.mean()), float(values.var())


def interleave(x: Tensor, y: Tensor) -> Tensor:
    """Tokens x1, y1, x2, y2, …: (n, points, d), (n, points) -> (n, 2 points, d); y is padded with zeros to d."""
    padded = torch.zeros_like(x)
    padded[..., 0] = y
    return torch.stack((x, padded), dim=2).flatten(1, 2)
