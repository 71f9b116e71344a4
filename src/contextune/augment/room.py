"""How many tokens a prompt may have: what the writer's window leaves beside its answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError

from .options import Augment
from .prompted import Prompted

WINDOW = 8192
"""Tokens that a writer is taken to hold where its configuration cannot be looked at (a server)."""
MARGIN = 64
"""Tokens left for a chat template."""
_NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")


def window_of(config: Mapping[str, Any]) -> int:
    """Tokens that a model holds, by its configuration."""
    inner = config.get("text_config") or {}
    found = next((int(v) for part in (config, inner) for n in _NAMES if (v := part.get(n))), WINDOW)
    return found if found > 0 else WINDOW


def prompt_tokens(options: Augment, folder: Path | None, style: str, window: int) -> int:
    """The window without the longest answer. UserError where nothing is left."""
    asking = [o for o in options.operations if isinstance(o, Prompted)]
    if not asking:
        return window // 2
    answer = max(o.max_tokens or o.prompt_template(folder, style).max_tokens for o in asking)
    left = window - answer - MARGIN
    if left < 1:
        raise UserError(
            f"augment: answers of {answer} tokens leave no room for a prompt, the writer holds {window}",
            "lower max_tokens of the operations",
        )
    return left
