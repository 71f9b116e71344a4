"""Pretraining on linear functions, with the curriculum over dimensions and points (Garg et al., section 3)."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from . import loop
from .data import Draw, along
from .model import Regressor
from .presets import Preset


def curriculum(preset: Preset, step: int) -> tuple[int, int]:
    """Dimensions that are not zero, and points, at a step: both grow with time to their full size."""
    grown = step // preset.grow_every
    return min(preset.d, preset.start_dims + grown), min(preset.points, preset.start_points + 2 * grown)


def batch(preset: Preset, seed: int, step: int, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """x (batch, points, d), with dimensions beyond the curriculum's set to zero, and f(x)."""
    dims, points = curriculum(preset, step)
    draw = Draw.fresh(preset.pretrain_batch, points, preset.d, (1, seed, step), device)
    x = draw.x
    x[..., dims:] = 0
    return x, along(draw.w, x)


def rate(preset: Preset, step: int) -> float:
    """A hundred steps of warm-up, then constant or, where the preset decays, a cosine to a tenth."""
    warm = min(1.0, (step + 1) / 100)
    fall = 0.1 + 0.45 * (1 + math.cos(math.pi * step / preset.pretrain_steps)) if preset.decay else 1.0
    return preset.pretrain_lr * warm * fall


def base(
    preset: Preset,
    seed: int,
    folder: Path,
    device: str = "cpu",
    tell: Callable[[int], None] = lambda step: None,
) -> Regressor:
    """The pretrained model of a seed, taken from `folder` where it is finished, trained (further) where not."""
    model = Regressor(preset, seed).to(device)
    place = folder / "model.safetensors"
    if not place.exists():
        run = compiled(model, preset, device)

        def loss(step: int) -> Tensor:
            x, y = batch(preset, seed, step, device)
            return (run(x, y) - y).square().mean()

        def watch(step: int) -> dict[str, float] | None:
            return {"loss": float(loss(step).detach())} if step % preset.log_every == 0 else None

        folder.mkdir(parents=True, exist_ok=True)
        seen = loop.train(
            model, loss, preset.pretrain_steps, lambda s: rate(preset, s), folder, preset.save_every, watch, tell
        )
        (folder / "losses.json").write_text(json.dumps(seen))
        save_file(model.state_dict(), folder / "model.part")
        os.replace(folder / "model.part", place)
        loop.forget(folder)
    model.load_state_dict(load_file(place, device=device))
    return model


def compiled(model: Regressor, preset: Preset, device: str) -> Callable[..., Tensor]:
    """The model's forward pass, compiled where the preset asks for it and there is a GPU."""
    if not (preset.compiled and device == "cuda"):
        return model
    torch.set_float32_matmul_precision("high")
    made: Callable[..., Tensor] = torch.compile(model, dynamic=False)
    return made
