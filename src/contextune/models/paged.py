"""Writing by transformers' continuous batching: a cache in pages, shared beginnings, no wait for the longest text.

A text that is done makes room for the next at once, and pages of equal beginnings are kept once. It is taken where a
GPU writes greedily and a trial shows that the model says so what it says without (other ways: `models.decoding`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from importlib.util import find_spec
from typing import Any
from weakref import WeakKeyDictionary

import torch
from transformers import GenerationConfig

from .decoding import NEW, keeps_all, plain_logits, trial_prompts
from .lm_head import unwrapped

DEVICES = ("cuda",)
"""Where it is taken; a CPU gains nothing by it."""
PAGE = 256
"""Tokens of a page; equal beginnings are shared by whole pages."""
SMALL_PAGE = 16
"""The same of a trial and on a CPU."""
PATIENCE = 1.0
"""Seconds after which it is looked whether the writing thread still lives."""

Stopped = Callable[[int, list[int]], bool]
_tried: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def allowed(model: Any, pad: int) -> bool:
    """Whether a model writes in pages what it writes without; tried once a model, in evaluation mode."""
    model = unwrapped(model)
    if model.device.type not in DEVICES or not hasattr(model, "continuous_batching_context_manager"):
        return False
    if model not in _tried:
        _tried[model] = keeps_all(model) and _holds(model, pad)
    return _tried[model]


@torch.no_grad()
def _holds(model: Any, pad: int) -> bool:
    """Whether each token of a trial is one that a forward pass over what precedes it prefers, but for rounding."""
    prompts = trial_prompts(model)
    near = 1e-3 if next(model.parameters()).dtype == torch.float32 else 0.05
    try:
        found = dict(write(model, prompts, [NEW] * len(prompts), (), pad))
        for i, prompt in enumerate(prompts):
            logits = plain_logits(model, [*prompt, *found[i]])
            said = logits.gather(1, torch.tensor(found[i], device=logits.device)[:, None])[:, 0]
            if bool((logits.max(-1).values - said > near * logits.std(-1)).any()):
                return False
    except Exception:  # whatever an architecture makes of pages
        return False
    return True


def write(
    model: Any,
    prompts: Seq[list[int]],
    most: Seq[int],
    ends: Seq[int],
    pad: int,
    stopped: Stopped | None = None,
) -> Iterator[tuple[int, list[int]]]:
    """(index, greedy tokens) of each prompt when it is done: after one of `ends`, its number `most`, or `stopped`.

    `stopped(index, tokens so far)` ends a text. Raises RuntimeError where the writing thread fails.
    """
    model = unwrapped(model)
    config = GenerationConfig(
        do_sample=False, eos_token_id=list(ends) or -1, pad_token_id=pad, max_new_tokens=max(most)
    )
    options = _options(model, max(len(p) + n for p, n in zip(prompts, most, strict=True)), len(prompts))
    warm = model.device.type == "cuda" and len(prompts) > 64
    left = set(range(len(prompts)))
    with model.continuous_batching_context_manager(
        generation_config=config, continuous_batching_config=options, warmup=warm
    ) as manager:
        for i in sorted(left, key=lambda i: prompts[i], reverse=True):  # equal beginnings one after the other
            manager.add_request(
                prompts[i], str(i), most[i], streaming=stopped is not None, eos_token_id=list(ends) or -1
            )
        while left:
            result = manager.get_result(timeout=PATIENCE)
            if result is None:
                if not manager.is_running():
                    raise RuntimeError(f"continuous batching ended: {manager.background_thread_status.fatal_error}")
                continue
            i, tokens = int(result.request_id), list(result.generated_tokens)
            if i not in left:
                continue
            if result.error is not None:
                raise RuntimeError(f"continuous batching failed: {result.error}")
            if not result.is_finished():
                if stopped is None or not stopped(i, tokens):
                    continue
                manager.cancel_request(result.request_id)
            left.remove(i)
            yield i, tokens


def _options(model: Any, longest: int, rows: int) -> Any:
    """On a GPU sizes follow from free memory; elsewhere as much as the texts need."""
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    flash = find_spec("flash_attn") is not None and find_spec("kernels") is None  # kernels would ask the hub
    if model.device.type == "cuda" and rows > 4:
        return ContinuousBatchingConfig(page_size=PAGE, max_memory_percent=0.8, auto_switch_to_flash=flash)
    pages = min(rows, 64) * (1 + -(-longest // SMALL_PAGE)) + 8
    return ContinuousBatchingConfig(
        page_size=SMALL_PAGE, num_blocks=pages, max_batch_tokens=max(64, longest), auto_switch_to_flash=flash
    )
