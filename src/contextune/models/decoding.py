"""How a model may be asked to write: what it says in batches and from its cache is held against plain forward passes.

    <pad> <pad> prompt ─▶ a b c      several prompts at once, padded on the left, from a cache
                prompt ─▶ a b c      one prompt at a time, from a cache
                prompt ─▶ a b c      one at a time, everything read anew for each token

An architecture is not looked up in a list: a few tokens are written each way, and the first way whose logits are those
of a plain pass over what was written is taken (a recurrent state may count padding; not every cache can be continued).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from contextune.core.progress import say_once

from .lm_head import head_of, only_at
from .reach import ALL, switch

NEW = 4
"""Tokens that a trial writes."""
SHARED = 24
"""Tokens that the prompts of a trial have in common."""

_tried: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Decoding:
    """Whether prompts may be written after in batches, and from a cache."""

    batch: bool = True
    cache: bool = True


WAYS = (Decoding(), Decoding(batch=False), Decoding(batch=False, cache=False))


def decoding_of(model: Any, pad: int) -> Decoding:
    """The first way that gives what plain forward passes give; tried once a model, in evaluation mode."""
    known = _tried.setdefault(model, {})
    if "way" not in known:
        plain = WAYS[-1]
        ways = WAYS[switch(model.config) < ALL : -1]  # of which a short trial says nothing
        known["way"] = next((way for way in ways if _holds(model, pad, way)), plain)
        if known["way"] != WAYS[0]:
            how = "one prompt at a time" + ("" if known["way"].cache else ", without its cache")
            say_once(f"{type(model).__name__} writes {how}, as it would write something else in a padded batch")
    found: Decoding = known["way"]
    return found


def continues(model: Any, pad: int) -> bool:
    """Whether prompts that begin alike may go on from the keys and values of what they share."""
    known = _tried.setdefault(model, {})
    if "shares" not in known:
        known["shares"] = decoding_of(model, pad) == WAYS[0] and _holds(model, pad, WAYS[0], SHARED)
    return bool(known["shares"])


def keeps_all(model: Any) -> bool:
    """Whether all layers keep all keys and values: in a sliding window, padding after a beginning would count."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def read_prefix(model: Any, ids: Seq[int]) -> DynamicCache:
    """Keys and values of a beginning, for one row."""
    found, last = DynamicCache(config=model.config), torch.tensor([len(ids) - 1], device=model.device)
    with only_at(head_of(model), last):
        model(input_ids=torch.tensor([list(ids)], device=model.device), past_key_values=found, use_cache=True)
    return found


def inputs(prompts: Seq[Seq[int]], pad: int, past: Any = None, size: int = 0, device: Any = None) -> dict[str, Any]:
    """What `generate` takes: ids and mask (prompts, width), filled up after the first `size` tokens.

    Of `past`, which holds those for one row, every prompt gets a copy.
    """
    width = max(map(len, prompts))
    rows = [[*p[:size], *[pad] * (width - len(p)), *p[size:]] for p in prompts]
    mask = [[1] * size + [0] * (width - len(p)) + [1] * (len(p) - size) for p in prompts]
    found: dict[str, Any] = {
        "input_ids": torch.tensor(rows, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }
    if past is not None:
        found["past_key_values"] = copy.deepcopy(past)
        found["past_key_values"].batch_repeat_interleave(len(prompts))
    return found


@torch.no_grad()
def _holds(model: Any, pad: int, way: Decoding, size: int = 0) -> bool:
    """Whether the logits of what is written this way are those of a forward pass over each row alone."""
    prompts = trial_prompts(model)
    try:
        past = read_prefix(model, prompts[0][:size]) if size else None
        for batch in [prompts] if way.batch else [[p] for p in prompts]:
            out = model.generate(
                **inputs(batch, pad, past, size, model.device),
                max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, use_cache=way.cache,
                output_logits=True, return_dict_in_generate=True,
            )  # fmt: skip
            said = torch.stack(out.logits, 1).float()
            for prompt, written, logits in zip(batch, out.sequences[:, -NEW:].tolist(), said, strict=True):
                if _differ(logits, plain_logits(model, [*prompt, *written]), next(model.parameters()).dtype):
                    return False
    except Exception:  # whatever an architecture makes of padding or of a cache that it does not know
        return False
    return True


def plain_logits(model: Any, ids: list[int]) -> torch.Tensor:
    """(NEW, vocabulary): the logits of the last tokens, read from nothing."""
    logits: torch.Tensor = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits
    return logits[0, -NEW - 1 : -1].float()


def _differ(found: torch.Tensor, plain: torch.Tensor, dtype: torch.dtype) -> bool:
    """By more than rounding, as a share of how far the logits of a position lie apart. NaN is told where it is used."""
    near = 1e-3 if dtype == torch.float32 else 0.05
    return bool(((found - plain).square().mean(-1).sqrt() > near * plain.std(-1)).any())


def trial_prompts(model: Any) -> list[list[int]]:
    """Three lengths after one beginning."""
    rng, high = random.Random(0), min(int(model.config.get_text_config().vocab_size), 256)
    draw = lambda n: [rng.randrange(4, high) for _ in range(n)]  # noqa: E731
    begin = draw(SHARED)
    return [begin + draw(n) for n in (3, 9, 6)]
