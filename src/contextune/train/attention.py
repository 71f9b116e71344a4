"""Attention over a row of spans, as a function that transformers' own modules call; no model code is copied.

    span            query            sees
    a b c           a b c            itself, causally
    a b c │ d e     d e              a b c and itself, causally: one call a tail, the keys of a b c in front of its own

No mask over the whole row is ever made: cost and memory grow with what each token may see. Written against
transformers' AttentionInterface, so that it serves every architecture whose attention goes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from transformers import AttentionInterface, PreTrainedModel

from .gpu_attention import by_kind
from .in_turn import in_turn
from .spans import Span

NAME = "contextune_spans"
KERNELS: dict[str, Callable[..., torch.Tensor | None]] = {"cuda": by_kind}
"""By kind of device: computes a whole row of spans, or returns None where it has no kernel for that row."""
NARROW = 16
"""Width of a head below which no kernel is compiled."""


class Unsupported(NotImplementedError):
    """This architecture asks for something that attention over spans does not do."""


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    spans: tuple[Span, ...] | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """(1, heads, length, width), keys and values (1, key-value heads, length, width) -> (1, length, heads, width).

    Without `spans`: rows of one sequence each, causal. Raises Unsupported for soft caps, sinks, position biases and
    windows shorter than a sequence.
    """
    asked = [k for k in ("softcap", "s_aux", "position_bias") if more.get(k) is not None]
    if attention_mask is not None or asked:
        raise Unsupported(f"{type(module).__name__} asks for {', '.join(asked) or 'a mask'}")
    spans = spans or (Span(query.shape[2]),)
    if sliding_window is not None and sliding_window < max(s.shared + max(s.tails, default=0) for s in spans):
        raise Unsupported(f"a window of {sliding_window} tokens")
    kernel, out = KERNELS.get(query.device.type), None
    real = not isinstance(query, FakeTensor)  # kernels are tried, and masks kept, with numbers alone
    if kernel is not None and real and query.shape[0] == 1 and query.shape[3] >= NARROW and not dropout:
        out = kernel(query, key, value, spans, scaling)
    if out is None:
        out = in_turn(query, key, value, spans, scaling, dropout)
    return out.transpose(1, 2).contiguous(), None


@contextmanager
def attending(model: Any) -> Iterator[None]:
    """Within: the model attends over spans. It must last through the backward pass, which may compute anew.

    Outside of it the model is as it was: what is evaluated between updates, or saved, knows nothing of this.
    """
    AttentionInterface.register(NAME, attend)
    configs = {id(m.config): m.config for m in model.modules() if isinstance(m, PreTrainedModel)}
    before = [(c, c._attn_implementation) for c in configs.values()]
    try:
        for config, _ in before:
            config._attn_implementation = NAME
        yield
    finally:
        for config, name in before:
            config._attn_implementation = name
