"""Cross-entropy on labelled positions only: the head sees the hidden states that predict a labelled token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensor

from contextune.core import memory
from contextune.models.lm_head import head_of, only_at

from . import liger
from .attention import attending
from .layouts import Batch

LOGITS = 2**23
"""Logits that stand at once on a CPU, where the loss is made in parts (fp32: 32 MiB)."""
ROWS, GPU_LOGITS = 2048, 2**28
"""On a GPU a block has so many rows at least, since narrower products wait for the weights, and so many logits."""
SHARE, LOGIT = 1 / 8, 8
"""Of a GPU's free memory, what a block may take; and bytes of a logit in it (product, log-probability)."""


def labelled_logits(model: Any, batch: Batch) -> torch.Tensor:
    """Logits (n, vocabulary) of the n positions that predict a labelled token."""
    with only_at(head_of(model), batch.keep):
        return _forward(model, batch)[0]


def nll(model: Any, batch: Batch, parts: bool = False, scale: float = 1.0) -> torch.Tensor:
    """Negative log-likelihood of a batch's targets (nats, fp32), each times its weight where the batch has weights,
    summed, times `scale` (one over the update's targets).

    `parts`: the logits are made, used and forgotten a few rows at a time. Only where `FastPath.of` found that a
    model's logits are its head's output, a linear map, and nothing else.
    """
    if not parts:
        logits = labelled_logits(model, batch).float()
        if batch.weights is None:
            return F.cross_entropy(logits, batch.targets, reduction="sum") * scale
        return (F.cross_entropy(logits, batch.targets, reduction="none") * batch.weights).sum() * scale
    with _at_the_head(head_of(model), batch, scale) as found:
        rest = _forward(model, batch)
    return found[0] + rest.sum()  # of no logits, zero: wrappers that watch a model's output see it used


def _forward(model: Any, batch: Batch) -> torch.Tensor:
    # never spans without their attention: the model would isolate by position ids, and tails lose their beginnings
    with attending(model) if batch.spans is not None else nullcontext():
        logits: torch.Tensor = model(**batch.inputs, use_cache=False).logits
    return logits


@contextmanager
def _at_the_head(head: torch.nn.Module, batch: Batch, scale: float) -> Iterator[list[torch.Tensor]]:
    """Within: the loss is computed where the head stands, while its weights are whole; the head is given no rows."""
    found: list[torch.Tensor] = []

    def instead(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        hidden = args[0].flatten(0, 1).index_select(0, batch.keep)
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        weight, bias = cast(torch.Tensor, head.weight), cast("torch.Tensor | None", head.bias)
        fused = None
        if batch.weights is None:  # the fused kernel weighs all rows alike
            rows = rows_at_once(len(weight), hidden)
            fused = liger.linear_cross_entropy(hidden, weight, bias, batch.targets, rows)
        if fused is not None:
            found.append(fused * scale)
        else:
            found.append(LinearCrossEntropy.apply(hidden, weight, bias, batch.targets, dtype, scale, batch.weights))
        return (args[0][:1, :0], *args[1:])

    handle = head.register_forward_pre_hook(instead)
    try:
        yield found
    finally:
        handle.remove()


def on_gpu(tensor: torch.Tensor) -> bool:
    return tensor.device.type != "cpu" and not isinstance(tensor, FakeTensor)


def rows_at_once(vocabulary: int, hidden: torch.Tensor) -> int:
    """Rows of hidden states whose logits stand at the same time. Halved until they fit, so that little changes it."""
    if not on_gpu(hidden):
        return max(1, LOGITS // vocabulary)
    rows, room = max(ROWS, GPU_LOGITS // vocabulary), int(memory.free() * SHARE) // (LOGIT * vocabulary)
    while rows > max(1, room):
        rows //= 2
    return rows


def workspace(vocabulary: int) -> int:
    """Bytes of a block on a GPU with plenty of memory; where memory is counted, blocks are a CPU's."""
    return max(ROWS * vocabulary, GPU_LOGITS) * LOGIT


class LinearCrossEntropy(torch.autograd.Function):
    """Summed cross-entropy of a linear head, made with its gradients in the forward pass, a block of rows at a time.

    With p = softmax(h Wᵀ + b) the gradient at the logits is p - onehot(target); from it follow those of h, W and b, and
    no (n, vocabulary) tensor is kept. Products are in `dtype`; softmax, loss and the sums over blocks in fp32. `scale`
    goes into the narrow factor of each product, so that the weight's gradient, the widest of all, is written once.
    With `weights` each row's loss is multiplied by its own.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,  # (n, width)
        weight: torch.Tensor,  # (vocabulary, width)
        bias: torch.Tensor | None,  # (vocabulary,)
        targets: torch.Tensor,  # (n,)
        dtype: torch.dtype,
        scale: float = 1.0,
        weights: torch.Tensor | None = None,  # (n,)
    ) -> torch.Tensor:
        wants = ctx.needs_input_grad
        h, w = hidden.to(dtype), weight.to(dtype)
        d_hidden = torch.empty_like(hidden) if wants[0] else None
        make = torch.empty_like if len(hidden) else torch.zeros_like  # a process may be left without a label
        d_weight = make(weight, dtype=torch.float32) if wants[1] else None
        d_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and wants[2] else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        rows, block = rows_at_once(len(weight), hidden), _fewest_passes if on_gpu(hidden) else _in_place
        with torch.autocast(hidden.device.type, enabled=False):
            for begin in range(0, len(h), rows):
                part, wanted = h[begin : begin + rows], targets[begin : begin + rows, None]
                logits = F.linear(part, w, bias if bias is None else bias.to(dtype))
                own = None if weights is None else weights[begin : begin + rows, None].float()
                loss, slope, after = block(logits, wanted, own, scale, any(wants[:3]))
                total += loss
                del logits, loss  # before the next block's are made
                if slope is None:
                    continue
                if d_bias is not None:
                    d_bias += slope.sum(0, dtype=torch.float32) * after
                if d_hidden is not None:
                    d_hidden[begin : begin + rows] = _product(slope, w, after)
                if d_weight is not None:
                    _add(d_weight, slope.T, part, after, begin == 0)
                del slope
        made = (d_hidden, d_weight, d_bias)
        inputs = (hidden, weight, bias)
        # saved as autograd saves: freed before they are accumulated, so that a sum may be made in the weight's place
        ctx.save_for_backward(
            *(g if g is None or x is None else g.to(x.dtype) for g, x in zip(made, inputs, strict=True))
        )
        return total * scale

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        known = grads[0].device.type == "cpu" and not isinstance(grads[0], FakeTensor)
        one = known and grads[0].item() == 1
        return (*(g if g is None or one else g.mul_(grads[0]) for g in ctx.saved_tensors), None, None, None, None)


_Block = tuple[torch.Tensor, torch.Tensor | None, float]
"""Summed loss of some rows; the gradient at their logits, in the type of products; a factor still to be applied."""


def _in_place(
    logits: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor | None, scale: float, slopes: bool
) -> _Block:
    """For CPUs: everything in the logits' place, in fp32."""
    dtype, logits = logits.dtype, logits.float()
    norm = logits.logsumexp(1, keepdim=True)
    losses = norm - logits.gather(1, wanted)
    loss = (losses if weights is None else losses * weights).sum()
    if not slopes:
        return loss, None, scale
    slope = logits.sub_(norm).exp_()  # the softmax
    slope.scatter_add_(1, wanted, torch.full_like(norm, -1.0).expand_as(wanted))
    if weights is not None:
        slope.mul_(weights)
    if dtype != torch.float32:  # there a narrow factor would be rounded once more
        return loss, slope.mul_(scale).to(dtype), 1.0
    return loss, slope, scale


def _fewest_passes(
    logits: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor | None, scale: float, slopes: bool
) -> _Block:
    """For GPUs, where it costs what memory it moves: a softmax is written once, in the logits' type."""
    logs = logits.log_softmax(1, dtype=torch.float32)
    at = logs.gather(1, wanted)
    loss = -(at if weights is None else at * weights).sum()
    if not slopes:
        return loss, None, scale
    slope = torch.exp(logs, out=logits)
    slope.scatter_(1, wanted, torch.expm1(at).to(slope.dtype))  # p - 1, before p is rounded
    if weights is not None:
        slope.mul_(weights.to(slope.dtype))
    return loss, slope, scale


def _product(a: torch.Tensor, b: torch.Tensor, scale: float) -> torch.Tensor:
    """scale a b, rounded once."""
    if a.device.type == "cpu":
        return (a @ b).mul_(scale)
    return torch.addmm(b.new_empty(1, b.shape[1]), a, b, beta=0, alpha=scale)


def _add(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float, first: bool) -> None:
    """total += scale a b, in fp32; the first product is written over what stood there."""
    beta = 0 if first else 1  # with beta 0 not even a NaN is kept
    if a.device.type == "cuda" and not isinstance(a, FakeTensor):
        if a.dtype == torch.float32:
            total.addmm_(a, b, beta=beta, alpha=scale)
        elif torch.cuda.get_device_capability(a.device)[0] >= 8:
            torch.addmm(total, a, b, out_dtype=torch.float32, beta=beta, alpha=scale, out=total)
        else:
            total.mul_(beta) if beta else total.zero_()
            total.add_(a @ b, alpha=scale)
    elif a.dtype == torch.float32:
        total.addmm_(a, b * scale, beta=beta)
    elif first:
        total.copy_(a @ (b * scale))
    else:
        total += a @ (b * scale)
