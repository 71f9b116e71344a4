"""Errors by number of in-context examples beside simple estimators, and how gradients align."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .data import Draw, Target, gradient


def squared(predicted: Tensor, wanted: Tensor) -> Tensor:
    """(n, points): the squared error at point i, which i pairs precede."""
    return (predicted - wanted).square()


def band(errors: Tensor, resamples: int = 1000, confidence: float = 0.95, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Percentile bootstrap of the mean over seeds and functions, both drawn anew: (seeds, n, points) -> 2 x (points,).

    All seeds were measured on the same n functions.
    """
    stream = torch.Generator().manual_seed(seed)
    by_function = _weights(resamples, errors.shape[1], stream).to(errors.dtype) @ errors  # (seeds, resamples, points)
    by_seed = _weights(resamples, errors.shape[0], stream).to(errors.dtype)
    means = torch.einsum("rs,srp->rp", by_seed, by_function)
    tail = (1 - confidence) / 2
    low, high = torch.quantile(means, torch.tensor([tail, 1 - tail], dtype=errors.dtype), dim=0)
    return low, high


def _weights(resamples: int, n: int, stream: torch.Generator) -> Tensor:
    """How often each of n was drawn, over n."""
    picked = torch.randint(n, (resamples, n), generator=stream)
    return torch.zeros(resamples, n).scatter_add_(1, picked, torch.ones(resamples, n)) / n


def least_squares(x: Tensor, y: Tensor) -> Tensor:
    """Minimum-norm linear fit to the pairs before each point: (n, points, d), (n, points) -> (n, points)."""
    made = torch.zeros_like(y)
    for i in range(1, x.shape[1]):
        w = torch.linalg.pinv(x[:, :i]) @ y[:, :i, None]
        made[:, i] = (x[:, i, None] @ w)[:, 0, 0]
    return made


def neighbours(x: Tensor, y: Tensor, k: int = 3) -> Tensor:
    """The mean value of the k pairs nearest to each point, of all pairs while there are fewer."""
    made = torch.zeros_like(y)
    for i in range(1, x.shape[1]):
        far = (x[:, :i] - x[:, i, None]).square().sum(-1)
        nearest = far.topk(min(i, k), largest=False).indices
        made[:, i] = y[:, :i].gather(1, nearest).mean(1)
    return made


def averaging(x: Tensor, y: Tensor) -> Tensor:
    """w = mean of y_i x_i over the pairs before each point."""
    sums = (x * y[..., None]).cumsum(1)
    counts = torch.arange(1, x.shape[1], device=x.device)[None, :, None]
    made = torch.zeros_like(y)
    made[:, 1:] = (sums[:, :-1] / counts * x[:, 1:]).sum(-1)
    return made


ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "least squares": least_squares,
    "3 nearest": neighbours,
    "averaging": averaging,
}
"""Each sees the pairs (x, g(x)) before the point and nothing else; none at the first point, where all answer zero."""


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """(n, d), (n, d) -> (n,); zero where either vanishes."""
    return torch.cosine_similarity(a, b, dim=-1, eps=1e-12)


def alignment(predict: Callable[[Tensor], Tensor], target: Target, draw: Draw) -> Tensor:
    """Cosine of ∂(prediction at the last point)/∂(that point) with ∇g there, (n,).

    `predict` maps x (n, points, d) to predictions (n, points) with all values in the prompt held fixed; wherever a
    point stands more than once, all its copies move.
    """
    x = draw.x.detach().requires_grad_()
    slope = torch.autograd.grad(predict(x)[:, -1].sum(), x)[0]
    return cosines(slope[:, -1], gradient(target, draw)[:, -1])


def interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Student's t around the mean over seeds; None for a single one."""
    from scipy import stats

    n = len(values)
    if n < 2:
        return None
    mean, error = sum(values) / n, float(torch.tensor(values, dtype=torch.float64).std()) / n**0.5
    reach = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    return mean - reach, mean + reach
