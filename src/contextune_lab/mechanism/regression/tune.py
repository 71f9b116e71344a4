"""One arm on one class of functions at one seed: trained from a base, then measured with its prefix and without."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from contextune.core.files import replacing, write_text

from . import loop
from .arms import ARMS, RegressionArm
from .data import CLASSES, Draw, generator, moments, turned
from .measure import alignment, squared
from .model import Regressor
from .presets import Preset
from .pretrain import compiled


@dataclass(frozen=True, slots=True)
class TuneRun:
    """Which of the study's trainings this is."""

    target: str
    arm: str
    seed: int
    rounding: int = 0
    """1: the same training, from its base on, with every batch summed in the opposite order."""

    @property
    def name(self) -> str:
        return f"{self.target}/{self.arm}/seed-{self.seed}" + f"-rounding-{self.rounding}" * bool(self.rounding)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished run left in its folder."""

    log: list[dict[str, float]]
    """[{step, alignment, through, without}]: mean cosines on the fixed batch. See `aligned`."""
    errors: dict[str, Tensor]
    """`with`, `without`: squared errors over the variance of g, (functions, points); the same functions in all runs."""


def prompt(arm: RegressionArm, draw: Draw, target: str, key: tuple[int, ...]) -> tuple[Any, Tensor, float]:
    """The arm's prefix, the values of g as it is shown them, and what they were divided by."""
    stream = generator(3, *key, device=str(draw.x.device))
    scale = arm.scale(target, draw.x.shape[-1])
    return arm.prefix and arm.prefix(draw, stream), CLASSES[target](draw) / scale, scale


def loss(run: Callable[..., Tensor], preset: Preset, which: TuneRun, device: str, step: int) -> Tensor:
    """Mean squared error of a fresh batch. All arms of a seed see the same functions at the same step."""
    arm = ARMS[which.arm]
    draw = Draw.fresh(preset.batch, preset.points, preset.d, (2, which.seed, step), device)
    prefix, y, _ = prompt(arm, draw, which.target, (which.seed, step))
    x, y, *rest = (turned(t, which.rounding) for t in (draw.x, y, *(prefix or ())))
    return (run(x, y, tuple(rest) or None, 0 if prefix else arm.start(preset.points)) - y).square().mean()


def tune(base: Regressor, preset: Preset, which: TuneRun, folder: Path, device: str = "cpu") -> None:
    """Train and measure, unless the folder holds the outcome; an interrupted run resumes."""
    if (folder / "log.json").exists():
        return
    model = deepcopy(base)
    fixed = Draw.fresh(preset.aligned, preset.points, preset.d, (4,), device)

    def watch(step: int) -> dict[str, float] | None:
        if step % preset.log_every and step != preset.steps:
            return None
        return {mode: float(aligned(model, preset, which, fixed, mode).mean()) for mode in MODES}

    step_loss = partial(loss, compiled(model, preset, device), preset, which, device)
    log = loop.train(model, step_loss, preset.steps, lambda step: preset.lr, folder, preset.save_every, watch)
    folder.mkdir(parents=True, exist_ok=True)
    tested = Draw.fresh(preset.tested, preset.points, preset.d, (5,), device)
    with torch.no_grad():
        errors = {name: tested_on(model, preset, which, tested, name == "with").cpu() for name in ("with", "without")}
    with replacing(folder / "errors.safetensors") as part:
        save_file(errors, part)
    write_text(folder / "log.json", json.dumps(log))  # the last to appear: its presence means finished
    loop.forget(folder)


def read(folder: Path) -> Outcome:
    return Outcome(json.loads((folder / "log.json").read_text()), load_file(folder / "errors.safetensors"))


MODES = ("alignment", "through", "without")


def aligned(model: Regressor, preset: Preset, which: TuneRun, draw: Draw, mode: str) -> Tensor:
    """Cosines on a batch, (n,).

    `alignment`: points of the prefix move with the main part's, the values beside them stay (as released).
    `through`: the values move too, where they are computed from the points; a model that reads f(x) off the prefix
    shows its gradient only so. `without`: no prefix.
    """
    arm = ARMS[which.arm]
    prefix, y, _ = prompt(arm, draw, which.target, (0, 0))
    copied = prefix is not None and prefix[0] is draw.x

    def predict(x: Tensor) -> Tensor:
        if prefix is None or mode == "without":
            return _call(model, x, y, None, arm.start(preset.points))
        if mode == "through":
            return _call(model, x, y, prompt(arm, draw.at(x), which.target, (0, 0))[0], 0)
        return _call(model, x, y, (x if copied else prefix[0], prefix[1]), 0)

    return alignment(predict, CLASSES[which.target], draw)


def tested_on(model: Regressor, preset: Preset, which: TuneRun, draw: Draw, prefixed: bool) -> Tensor:
    """Squared errors in the units of g's variance, (functions, points)."""
    arm = ARMS[which.arm]
    prefix, y, scale = prompt(arm, draw, which.target, (1, 0))
    if not prefixed:
        prefix = None
    made = _call(model, draw.x, y, prefix, 0 if prefix else arm.start(preset.points))
    return squared(made * scale, y * scale) / moments(which.target, preset.d)[1]


def _call(model: Regressor, x: Tensor, y: Tensor, prefix: Any, start: int) -> Tensor:
    made: Tensor = model(x, y, prefix, start)
    return made
