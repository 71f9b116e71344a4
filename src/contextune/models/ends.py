"""The tokens at which a model stops writing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from contextune.core.special_tokens import text_ends

from .lm_head import unwrapped

if TYPE_CHECKING:
    from contextune.core.sequence import Tokenizer


def add_ends(model: Any, ids: Iterable[int]) -> None:
    """Name `ids` among the end tokens of a model's configuration and generation configuration.

    What is named already stays as it is, a single id or a list.
    """
    for config in (c for owner in _owners(model) for c in (owner.config, owner.generation_config) if c is not None):
        named = _named(config)
        more = [i for i in ids if i not in named]
        if more:
            config.eos_token_id = [*named, *more] if len(named) + len(more) > 1 else more[0]


def ends_of(model: Any, tokenizer: Tokenizer) -> list[int]:
    """Ids that end a text: those that the model names, and the tokenizer's."""
    return list(dict.fromkeys([*_named(unwrapped(model).generation_config), *text_ends(tokenizer)]))


@contextmanager
def writing(model: Any, tokenizer: Tokenizer) -> Iterator[int]:
    """Within: `generate` is greedy up to `ends_of`, without the model's own sampling defaults. Gives the padding id."""
    from transformers import GenerationConfig

    owners, ends = _owners(model), ends_of(model, tokenizer)
    pad = next(i for i in (tokenizer.pad_token_id, *ends, 0) if i is not None)
    before = [owner.generation_config for owner in owners]
    for owner in owners:
        owner.generation_config = GenerationConfig(do_sample=False, eos_token_id=ends or None, pad_token_id=pad)
    try:
        yield pad
    finally:
        for owner, config in zip(owners, before, strict=True):
            owner.generation_config = config


def _owners(model: Any) -> list[Any]:
    """A model; under an adapter, which copies the generation configuration, its base too."""
    return [model, model.get_base_model()] if hasattr(model, "get_base_model") else [model]


def _named(config: Any) -> list[int]:
    own = config.eos_token_id
    return [] if own is None else [own] if isinstance(own, int) else list(own)
