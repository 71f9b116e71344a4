"""How far a model looks, as its configuration says: what a short trial of the model cannot show."""

from __future__ import annotations

from typing import Any

ALL = float("inf")


def window(config: Any) -> float:
    """Tokens that every layer can look back."""
    return min((n for n in (_said(config, "sliding_window"), _said(config, "attention_chunk_size")) if n), default=ALL)


def switch(config: Any) -> float:
    """Tokens beyond which rotary embeddings hang on the longest text that is computed at once (longrope, dynamic)."""
    rope = _said(config, "rope_parameters") or {}
    kinds = [rope, *(v for v in rope.values() if isinstance(v, dict))]  # some have one for each kind of layer
    whole = _said(config, "max_position_embeddings") or ALL
    first = _said(config, "original_max_position_embeddings") or whole
    found = [whole for k in kinds if k.get("rope_type") == "dynamic"]
    found += [k.get("original_max_position_embeddings") or first for k in kinds if k.get("rope_type") == "longrope"]
    return min(found, default=ALL)


def _said(config: Any, name: str) -> Any:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    try:
        return getattr(text, name, None)
    except Exception:  # a value of each layer
        return None
