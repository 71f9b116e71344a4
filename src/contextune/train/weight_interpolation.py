"""Weights between those a stage began with and those it ended with (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903).

What was learned moves the weights a long way in few directions; what was forgotten is many small steps. A tenth of the
way back loses little of the first and returns much of the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from contextune.core.errors import UserError
from contextune.train.options import Train

ADDED = ".lora_B."
"""An adapter adds B A, and B begins at zero: a part of the way is that part of B."""


def refuse(train: Train) -> None:
    """Raises UserError where a stage that continues with an adapter is to interpolate, or to freeze parts."""
    if train.weight_interpolation < 1:
        raise UserError(
            f"train.weight_interpolation: {train.weight_interpolation:g} with an adapter that an earlier "
            "stage began, whose weights are products",
            "interpolate full weights or a fresh lora or qlora adapter; set train.weight_interpolation: 1 here",
        )
    if train.freeze:
        raise UserError(
            "train.freeze with an adapter that an earlier stage began: that alone is trained",
            "leave train.freeze out here",
        )


def part_of_the_way(folder: Path, began: Mapping[str, torch.Tensor] | None, share: float) -> None:
    """Rewrites the weights in `folder`: began + share (ended - began), in fp32, stored as they were stored.

    `began` holds full weights by name; None for an adapter, whose B began at zero. Raises UserError, with the folder as
    it was, where a weight has no beginning.
    """
    files = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as stored:
            ended = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  # it is no dictionary
            files[file] = {name: _between(name, t, began, share) for name, t in ended.items()}, stored.metadata()
    for file, (tensors, metadata) in files.items():
        save_file(tensors, file, metadata)


def _between(name: str, ended: torch.Tensor, began: Mapping[str, torch.Tensor] | None, share: float) -> torch.Tensor:
    if began is None:
        return (ended.float() * share).to(ended.dtype) if ADDED in name else ended
    if name not in began:
        raise UserError(
            f"train.weight_interpolation: the finished weight '{name}' is not in the model that the stage began with",
            "set train.weight_interpolation: 1, and say so in an issue",
        )
    return torch.lerp(began[name].detach().float(), ended.float(), share).to(ended.dtype)
