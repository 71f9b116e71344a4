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
from functools import lru_cache
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention as sdpa
from transformers import AttentionInterface, PreTrainedModel

from .flex_attention import one_kernel
from .spans import Span

NAME = "contextune_spans"
KERNELS: dict[str, Callable[..., torch.Tensor]] = {"cuda": one_kernel}
"""Kinds of devices on which one kernel serves a whole row of spans."""
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
    kernel = KERNELS.get(query.device.type)
    if kernel is not None and query.shape[0] == 1 and query.shape[3] >= NARROW and not dropout:
        out = kernel(query, key, value, spans, scaling)
    else:
        out = _in_turn(query, key, value, spans, scaling, dropout)
    return out.transpose(1, 2).contiguous(), None


def _in_turn(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    spans: tuple[Span, ...],
    scale: float | None,
    dropout: float,
) -> torch.Tensor:
    """A call for each part of a span: on CPUs the quickest, since nothing is computed that nobody sees."""
    options: dict[str, Any] = {"scale": scale, "dropout_p": dropout, "enable_gqa": key.shape[1] != query.shape[1]}
    sizes = [n for s in spans for n in (s.shared, *s.tails)]
    q, k, v = (iter(x.split(sizes, dim=2)) for x in (query, key, value))
    out = []
    for span in spans:
        shared_k, shared_v = next(k), next(v)
        out.append(sdpa(next(q), shared_k, shared_v, is_causal=True, **options))
        for tail in span.tails:
            keys, values = torch.cat([shared_k, next(k)], 2), torch.cat([shared_v, next(v)], 2)
            mask = _causal(tail, span.shared, query.device)
            out.append(sdpa(next(q), keys, values, attn_mask=mask, **options))
    return torch.cat(out, 2)


@lru_cache(maxsize=64)
def _causal(tail: int, shared: int, device: torch.device) -> torch.Tensor:
    """(tail, shared + tail): all that is shared, and the tail up to the token itself."""
    return torch.ones(tail, shared + tail, dtype=torch.bool, device=device).tril(shared)


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
