"""Whether a tokenizer's ids and a sequence's positions fit the tables of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contextune.core.errors import UserError

if TYPE_CHECKING:
    from contextune.core.sequence import Tokenizer


def check_vocabulary(model: Any, tokenizer: Tokenizer, path: str) -> list[str]:
    """A warning for special tokens without a row that nothing uses; `model` may be a skeleton.

    Raises UserError where the tokenizer can give an id that the embeddings lack.
    """
    tables = [model.get_input_embeddings(), model.get_output_embeddings()]
    rows = min(int(t.weight.shape[0]) for t in tables if t is not None)
    beyond = {token: i for token, i in tokenizer.get_vocab().items() if i >= rows}
    if not beyond:
        return []
    special, named = set(tokenizer.all_special_tokens), set(tokenizer.special_tokens_map.values())
    added = {str(t) for t in getattr(tokenizer, "added_tokens_decoder", {}).values() if t.special}
    template = str(tokenizer.chat_template or "")
    used = [t for t in beyond if t not in special | added or t in named or t in template]
    message = (
        f"model {path}: the tokenizer has {len(tokenizer)} tokens, the model has {rows} rows of embeddings; without a "
        f"row: {', '.join(sorted(used or beyond, key=beyond.__getitem__)[:3])}{' …' if len(beyond) > 3 else ''}"
    )
    if used:
        raise UserError(
            message,
            "use the tokenizer that the model was trained with, or enlarge the model once: "
            "model.resize_token_embeddings(len(tokenizer)), model.save_pretrained(folder)",
        )
    return [f"{message} (special tokens that neither texts nor the chat template use)"]


def check_positions(model: Any, max_length: int, path: str) -> list[str]:
    """A warning for sequences longer than the model was trained on; `model` may be a skeleton.

    Raises UserError where the model has a table of positions and max_length goes beyond it.
    """
    config = model.config.get_text_config(decoder=True)
    limit = _limit(config)
    table = _table(model, limit, max_length)
    if table is not None and max_length > table:
        raise UserError(
            f"train.max_length is {max_length}, the model {path} has {table} positions", f"set it to {table} or less"
        )
    if limit is not None and max_length > limit:
        return [
            f"train.max_length is {max_length}, beyond the {limit} positions of the model {path} "
            "(max_position_embeddings): it was not trained on longer sequences"
        ]
    return []


def _limit(config: Any) -> int | None:
    """Positions that the configuration stands for, its scaling of rotary embeddings included."""
    names = ("max_position_embeddings", "max_seq_len", "max_sequence_length", "n_positions")
    found = next((v for v in (getattr(config, n, None) for n in names) if isinstance(v, int) and v > 0), None)
    rope = getattr(config, "rope_parameters", None) or {}
    scaled = [r for r in (rope, *rope.values()) if isinstance(r, dict) and r.get("factor")]
    longest = [int(r["factor"] * (r.get("original_max_position_embeddings") or 0)) for r in scaled]
    return max([found, *longest]) if found is not None else None


def _table(model: Any, limit: int | None, max_length: int) -> int | None:
    """Rows of a table of positions (learned, or computed once for so many), None where there is none."""
    import torch

    if limit is None:
        return None
    decoder = model.get_decoder()  # a vision tower has positions of its own
    for name, module in decoder.named_modules():
        last = name.rsplit(".", 1)[-1].lower()
        if isinstance(module, torch.nn.Embedding) and ("pos" in last or last == "wpe"):
            if hasattr(module, "make_weights"):  # sinusoidal, made longer at need
                return None
            first = 0 if module.padding_idx is None else module.padding_idx + 1  # RoBERTa counts from behind padding
            return min(limit, module.num_embeddings - first)
    for name, tensor in decoder.named_buffers():
        if "pos" in name.lower() and not name.endswith("position_ids") and tensor.ndim >= 2 and limit in tensor.shape:
            return None if _grows(decoder, name) else limit
    return limit if max_length > limit and _reads(model, limit) and not _reads(model, max_length) else None


def _grows(decoder: Any, buffer: str) -> bool:
    return hasattr(decoder.get_submodule(buffer.rpartition(".")[0]), "make_weights")


def _reads(model: Any, length: int) -> bool:
    """Whether a skeleton's shapes fit each other in a row of so many tokens (ALiBi made for a length, say)."""
    import torch

    if model.device.type != "meta":
        return True
    try:
        with torch.no_grad():
            model(input_ids=torch.zeros((1, length), dtype=torch.long, device="meta"))
    except Exception:
        return False
    return True
