"""Pretraining on linear functions, with a curriculum over dimensions and points (Garg et al., section 3).

Garg et al. grow by the clock. Small models grown so may lose all they had learned, and never find it again: here a
preset may ask that what was set has been learned before more is set.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import count
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from contextune.core.files import replacing, write_text

from . import loop
from .data import Draw, along, turned
from .model import Regressor
from .presets import Preset


class Pupil(nn.Module):
    """The model with where it stands in the curriculum, so that a checkpoint holds both."""

    grown: Tensor
    since: Tensor
    average: Tensor

    def __init__(self, model: nn.Module, preset: Preset) -> None:
        super().__init__()
        self.model, self.preset = model, preset
        self.register_buffer("grown", torch.tensor(0))
        self.register_buffer("since", torch.tensor(0))
        self.register_buffer("average", torch.tensor(float("inf")))

    @property
    def size(self) -> tuple[int, int]:
        return curriculum(self.preset, int(self.grown))

    def saw(self, loss: float) -> None:
        """Count a step. Grow when the time has come and, where the preset says so, what was set has been learned."""
        self.since += 1
        dims, points = self.size
        exact = (dims + 1) / (2 * points)  # least squares lacks d - i directions after i pairs, and none after d
        share = loss / dims - exact
        self.average.fill_(share if torch.isinf(self.average) else 0.98 * float(self.average) + 0.02 * share)
        if self.since >= self.preset.grow_every and float(self.average) < self.preset.grow_below:
            self.grown += 1
            self.since.zero_()
            self.average.fill_(float("inf"))


def curriculum(preset: Preset, grown: int) -> tuple[int, int]:
    """Dimensions that are not zero, and points: after each growth one and two more, up to their full size."""
    return min(preset.d, preset.start_dims + grown), min(preset.points, preset.start_points + 2 * grown)


def batch(preset: Preset, size: tuple[int, int], seed: int, step: int, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """x (batch, points, d), with dimensions beyond the curriculum's set to zero, and f(x)."""
    dims, points = size
    draw = Draw.fresh(preset.pretrain_batch, points, preset.d, (1, seed, step), device)
    x = draw.x
    x[..., dims:] = 0
    return x, along(draw.w, x)


def rate(preset: Preset, step: int) -> float:
    """A hundred steps of warm-up, then constant or, where the preset decays, a cosine to a tenth."""
    warm = min(1.0, (step + 1) / 100)
    fall = 0.1 + 0.45 * (1 + math.cos(math.pi * step / preset.pretrain_steps)) if preset.decay else 1.0
    return preset.pretrain_lr * warm * fall


class Stuck(Exception):
    """The curriculum does not go on."""


def base(
    preset: Preset,
    seed: int,
    folder: Path,
    device: str = "cpu",
    tell: Callable[[int], None] = lambda step: None,
    rounding: int = 0,
) -> Regressor:
    """The pretrained model of a seed, taken from `folder` where it is finished, trained (further) where not. With
    `rounding` 1 every batch is summed in the opposite order.

    Whether a narrow model finds out that values belong to the points before them is a matter of luck. One that has
    not within the preset's `patience` is given up for another start; the folder keeps a file for each that was.
    """
    place = folder / "model.safetensors"
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        start = next(k for k in count() if not (folder / f"stuck-{k}").exists())
        try:
            model = _pretrained(preset, seed + 1000 * start, folder, device, tell, rounding)
        except Stuck:
            (folder / f"stuck-{start}").touch()
            loop.forget(folder)
            return base(preset, seed, folder, device, tell, rounding)
        with replacing(place) as part:
            save_file(model.state_dict(), part)
        loop.forget(folder)
    model = Regressor(preset, seed).to(device)
    model.load_state_dict(load_file(place, device=device))
    return model


def _pretrained(
    preset: Preset, seed: int, folder: Path, device: str, tell: Callable[[int], None], rounding: int = 0
) -> Regressor:
    model = Regressor(preset, seed).to(device)
    run, pupil = compiled(model, preset, device), Pupil(model, preset).to(device)

    def loss(step: int) -> Tensor:
        x, y = (turned(t, rounding) for t in batch(preset, pupil.size, seed, step, device))
        made = (run(x, y) - y).square().mean()
        pupil.saw(float(made.detach()))
        return made

    def watch(step: int) -> dict[str, float] | None:
        if pupil.since > preset.patience and pupil.size != (preset.d, preset.points):
            raise Stuck
        seen = {"loss": float(pupil.average), "dimensions": pupil.size[0]}
        return seen if step and step % preset.log_every == 0 else None

    seen = loop.train(
        pupil, loss, preset.pretrain_steps, lambda s: rate(preset, s), folder, preset.save_every, watch, tell,
        preset.clip,
    )  # fmt: skip
    write_text(folder / "losses.json", json.dumps(seen))
    return model


def compiled(model: Regressor, preset: Preset, device: str) -> Callable[..., Tensor]:
    """The model's forward pass, compiled where the preset asks for it and there is a GPU."""
    if not (preset.compiled and device == "cuda"):
        return model
    torch.set_float32_matmul_precision("high")
    made: Callable[..., Tensor] = torch.compile(model, dynamic=False)
    return made
