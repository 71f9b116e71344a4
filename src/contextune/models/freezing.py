"""Parts of a model that are not trained, by names that hold for every architecture.

    embeddings   tokens and positions; a head that shares them too      queries  keys  values  outputs
    head         output embeddings                                          of attention, where they have weights of
    attention    all of it                                                  their own (q_proj, k_proj …)
    mlp          feed-forward layers, experts and their router          norms    biases

`all-but-values` (or any other part): everything but that. Which weight belongs to which part is read from its module's
name and class, as transformers' decoders name them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence as Seq
from typing import Any

from contextune.core.errors import UserError

from .options import ALL_BUT, PARTS

_ATTENTION = re.compile(r"^(self_?|cross_?)?(attn|attention)$")
_MLP = re.compile(r"^(mlp|ffn|feed_?forward|block_sparse_moe|moe|experts|shared_experts?|fc[12])$")
_OF_ATTENTION = {
    "queries": re.compile(r"^(q|wq|query|q_proj|q_a_proj|q_b_proj|q_lin)$"),
    "keys": re.compile(r"^(k|wk|key|k_proj|k_lin)$"),
    "values": re.compile(r"^(v|wv|value|v_proj|v_lin)$"),
    "outputs": re.compile(r"^(o|wo|o_proj|out_proj|c_proj|dense|out_lin)$"),
}
"""Names of the layers. What holds two of them in one weight (c_attn, qkv_proj, kv_b_proj) is attention alone."""


def parts_of(model: Any) -> dict[str, set[str]]:
    """Parameters' names to the parts that each belongs to; none for what has no name here."""
    import torch

    modules = dict(model.named_modules())
    head = model.get_output_embeddings()
    tables = {id(m.weight) for m in modules.values() if isinstance(m, torch.nn.Embedding)}
    found: dict[str, set[str]] = {}
    for name, parameter in model.named_parameters():
        owner, _, own = name.rpartition(".")
        path = owner.split(".")
        parts = set()
        if id(parameter) in tables:
            parts.add("embeddings")
        if head is not None and any(parameter is p for p in head.parameters()):
            parts.add("head")
        if any(_ATTENTION.match(step) for step in path):
            parts |= {"attention", *(part for part, layer in _OF_ATTENTION.items() if layer.match(path[-1]))}
        elif any(_MLP.match(step) for step in path):
            parts.add("mlp")
        if "norm" in type(modules[owner]).__name__.lower():
            parts.add("norms")
        if own == "bias":
            parts.add("biases")
        found[name] = parts
    return found


def frozen_parts(model: Any, names: Seq[str]) -> set[str]:
    """The parameters that `names` freeze. Raises UserError where one of them matches no weight, or nothing is left."""
    parts = parts_of(model)
    there = {part for own in parts.values() for part in own}
    chosen: set[str] = set()
    for name in names:
        part = name.removeprefix(ALL_BUT)
        if part not in there:
            raise UserError(f"train.freeze: {name} matches no weight of this model", _way_out(part, there))
        chosen |= {p for p, own in parts.items() if (part in own) != name.startswith(ALL_BUT)}
    if names and len(chosen) == len(parts):
        raise UserError(f"train.freeze: [{', '.join(names)}] leaves no weight to train", "freeze less")
    return chosen


def _way_out(part: str, there: set[str]) -> str:
    has = f"it has {', '.join(p for p in PARTS if p in there)}"
    if part in _OF_ATTENTION and "attention" in there:
        return f"its {part} are in one weight with others, which can be frozen as attention; {has}"
    return has


def freeze(model: Any, names: Seq[str]) -> None:
    """Takes what `names` say from what is trained. Raises UserError as `frozen_parts` does."""
    chosen = frozen_parts(model, names)
    for name, parameter in model.named_parameters():
        if name in chosen:
            parameter.requires_grad_(False)
