"""What may precede the pairs (x, g(x)), one arm each; the loss is on the values g(x) alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .data import Draw, along, moments

Pairs = tuple[Tensor, Tensor]
Prefix = Callable[[Draw, torch.Generator], Pairs]


def _noise(draw: Draw, stream: torch.Generator) -> Tensor:
    return torch.randn(draw.x.shape[:2], generator=stream, device=draw.x.device)


def own_pairs(draw: Draw, stream: torch.Generator) -> Pairs:
    """(x, f(x)) at the very points that are asked for: the value of f is given, and w too."""
    return draw.x, draw.f


def plain_noise(draw: Draw, stream: torch.Generator) -> Pairs:
    """As released: N(0, 1) in the place of f(x), whose variance is d."""
    return draw.x, _noise(draw, stream)


def matched_noise(draw: Draw, stream: torch.Generator) -> Pairs:
    """Noise with the variance of f(x)."""
    return draw.x, _noise(draw, stream) * draw.x.shape[-1] ** 0.5


def other_points(draw: Draw, stream: torch.Generator) -> Pairs:
    """(x', f(x')) at points of their own: w is given, the values at the points that are asked for are not."""
    x = torch.randn(draw.x.shape, generator=stream, device=draw.x.device)
    return x, along(draw.w, x)


def other_function(draw: Draw, stream: torch.Generator) -> Pairs:
    """The same points with the values of another linear function."""
    w = torch.randn(draw.w.shape, generator=stream, device=draw.w.device)
    return draw.x, along(w, draw.x)


def shuffled(draw: Draw, stream: torch.Generator) -> Pairs:
    """The right values at the wrong points."""
    order = torch.rand(draw.x.shape[:2], generator=stream, device=draw.x.device).argsort(1)
    return draw.x, draw.f.gather(1, order)


@dataclass(frozen=True, slots=True)
class RegressionArm:
    name: str
    about: str
    prefix: Prefix | None = None
    shifted: bool = True
    """Whether the pairs without a prefix stand where a prefix would have put them, at positions never pretrained."""
    scaled: bool = False
    """Whether values of g are brought to the variance of f."""

    def scale(self, target: str, d: int) -> float:
        """What values of g are divided by."""
        return (moments(target, d)[1] / d) ** 0.5 if self.scaled else 1.0

    def start(self, points: int) -> int:
        return 2 * points if self.shifted else 0


ARMS = {
    arm.name: arm
    for arm in (
        RegressionArm("cft", "the pairs (x, f(x)) at the same points", own_pairs),
        RegressionArm("cpt", "nothing, at positions never pretrained (as released)"),
        RegressionArm("neg", "N(0, 1) noise for values (as released)", plain_noise),
        RegressionArm("cpt-positions", "nothing, at the pretrained positions", shifted=False),
        RegressionArm(
            "cpt-scaled", "nothing, at the pretrained positions, g scaled to the variance of f", None, False, True
        ),
        RegressionArm("cft-scaled", "as cft, g scaled to the variance of f", own_pairs, scaled=True),
        RegressionArm("other-points", "the pairs (x', f(x')) at other points", other_points),
        RegressionArm("other-function", "the values of an unrelated linear function", other_function),
        RegressionArm("shuffled", "the values of f in another order", shuffled),
        RegressionArm("matched-noise", "noise with the variance of f", matched_noise),
    )
}
