"""The smallest transformer that mixes what its context says with what its weights know.

Its first layer turns each example into (x_i, y_i, f̂(x_i)) and the target into (x, f̂(x)), f̂ being what was learned in
weights. Its second is one softmax over the k examples and the target's own token:

    a_i = exp(θ1 s_i)/Z,  a_0 = exp(θ2)/Z,  ŷ = Σ a_i [y_i + θ3 (f̂(x) − f̂(x_i))] + a_0 f̂(x)

θ1 is the use of relevance, θ2 the trust in weights, θ3 the correction of a copied label. Labels have variance 1 and
y_i = s_i y + √(1 − s_i²) ξ_i; the weights know f̂ = φ (y + σ η), with maturity φ = logistic(ψ) that is trained beside θ.
A formalisation of ours; the paper (arXiv 2604.01601) gives its model in words. All is float64.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SIGMA = 0.5
"""Standard deviation of the error that f̂ never loses."""


class Weights(NamedTuple):
    """Attention of the second layer: to the examples (..., k) and to the target's own token (...)."""

    examples: Tensor
    own: Tensor


def attention(theta: Tensor, s: Tensor) -> Weights:
    """`theta` (..., 4) holds θ1, θ2, θ3, ψ; `s` (..., k) the similarities of the examples to the target."""
    relevance = theta[..., 0:1] * s
    weights = torch.cat((relevance, theta[..., 1:2].expand(*relevance.shape[:-1], 1)), dim=-1).softmax(-1)
    return Weights(weights[..., :-1], weights[..., -1])


def predict(theta: Tensor, s: Tensor, y: Tensor, known: Tensor, known_i: Tensor) -> Tensor:
    """ŷ for labels `y` (..., k) of the examples, f̂ at the target (...) and at the examples (..., k)."""
    a, own = attention(theta, s)
    values = y + theta[..., 2:3] * (known[..., None] - known_i)
    return (a * values).sum(-1) + own * known


def risk(theta: Tensor, s: Tensor, sigma: float = SIGMA) -> Tensor:
    """E (ŷ − y)² given the similarities, exactly: (..., 4), (..., k) -> (...).

    The squared bias is that of the weight on y; the variance has a part each from the labels' own noise, from f̂'s error
    at the examples and from its error at the target.
    """
    a, own = attention(theta, s)
    correction, mature = theta[..., 2], torch.sigmoid(theta[..., 3])
    kept = 1 - correction * mature
    trust = correction * (1 - own) + own
    on_y = kept * (a * s).sum(-1) + mature * trust
    labels = kept**2 * (a**2 * (1 - s**2)).sum(-1)
    at_examples = (correction * mature * sigma) ** 2 * (a**2).sum(-1)
    at_target = (mature * sigma * trust) ** 2
    return (on_y - 1) ** 2 + labels + at_examples + at_target


# What follows from the model with θ3 = 0 and a mature learner (φ = 1); the tests check each against autograd.


def distance(s: Tensor) -> Tensor:
    """D(s) = E (y_i − y)² = 2 (1 − s): how wrong a label of similarity s is."""
    return 2 * (1 - s)


def random_share(k: int, sigma: float = SIGMA) -> float:
    """The best total weight on k examples that all have s = 0; it vanishes as the weights learn (fact 2)."""
    return sigma**2 / (sigma**2 + 1 + 1 / k)


def best_share(s: Tensor, sigma: float = SIGMA) -> Tensor:
    """The best weight on the one example that attention can see, of similarity s (fact 4)."""
    return sigma**2 / (sigma**2 + distance(s))


def best_risk(s: Tensor, sigma: float = SIGMA) -> Tensor:
    """The risk at that weight: below both σ² and D(s)."""
    return best_share(s, sigma) * distance(s)


def switch(sigma: float = SIGMA) -> float:
    """The similarity at which context and weights weigh the same: θ2/θ1, where D(s) = σ²."""
    return 1 - sigma**2 / 2


def identified(low: Tensor, high: Tensor, sigma: float = SIGMA) -> tuple[Tensor, Tensor]:
    """θ1 and θ2 that two distinct grades of similarity fix; one grade fixes θ1 s − θ2 only (fact 5)."""
    theta1 = torch.log(distance(low) / distance(high)) / (high - low)
    return theta1, theta1 * high + torch.log(distance(high) / sigma**2)
