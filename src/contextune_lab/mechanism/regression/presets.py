"""Sizes of the study: `tiny` for a CPU within minutes, `small` for a CPU within hours, `paper` for a GPU."""

from __future__ import annotations

from dataclasses import dataclass

from contextune.core.errors import UserError, nearest


@dataclass(frozen=True, slots=True)
class Preset:
    """One size. Steps count updates, `batch` counts functions, `points` the pairs of one function."""

    name: str
    d: int
    points: int
    layers: int
    heads: int
    width: int
    pretrain_steps: int
    pretrain_batch: int
    pretrain_lr: float
    grow_every: int
    """Pretraining steps, at least, before the curriculum adds one dimension and two points."""
    start_dims: int
    start_points: int
    steps: int
    batch: int
    lr: float
    log_every: int
    save_every: int
    """Steps between checkpoints."""
    aligned: int
    """Functions of the fixed batch on which gradients are compared."""
    tested: int
    """Functions on which errors are measured."""
    bases: int
    """Pretrained models, each from its own seed; the seeds of fine-tuning take them in turn."""
    decay: bool = False
    """Whether the rate of pretraining falls to nothing by a cosine; the papers keep it."""
    grow_below: float = float("inf")
    """Error beyond that of exact regression, over that of answering zero, below which the curriculum may grow; Garg et
    al. do not ask."""
    patience: float = float("inf")
    """Steps that one size of the curriculum may take before a start is given up for another."""
    clip: float = float("inf")
    """Largest norm of a gradient in pretraining."""
    spread: float = 0.02
    """Standard deviation of GPT-2's first weights."""
    position_spread: float = 0.02
    """That of the position table. Narrow models that start as wide ones do (0.02) take thousands of steps to notice
    which value stands beside which point."""
    compiled: bool = False
    """torch.compile, on a GPU only."""


PRESETS = {
    p.name: p
    for p in (
        Preset(
            name="tiny", d=5, points=11, layers=2, heads=2, width=32,
            pretrain_steps=3000, pretrain_batch=64, pretrain_lr=3e-3, grow_every=150, start_dims=1, start_points=11,
            steps=300, batch=32, lr=3e-3, log_every=50, save_every=500, aligned=64, tested=512, bases=5,
            decay=True, spread=0.08, position_spread=0.6, grow_below=0.3, patience=600, clip=1.0,
        ),
        Preset(
            name="small", d=8, points=17, layers=4, heads=4, width=64,
            pretrain_steps=40000, pretrain_batch=64, pretrain_lr=1e-3, grow_every=800, start_dims=1, start_points=17,
            steps=5000, batch=64, lr=3e-4, log_every=100, save_every=500, aligned=256, tested=1280, bases=5,
            decay=True, spread=0.05, position_spread=0.6, grow_below=0.3, clip=1.0,
        ),
        Preset(
            name="paper", d=20, points=41, layers=12, heads=8, width=256,
            pretrain_steps=62500, pretrain_batch=512, pretrain_lr=1e-4, grow_every=2000, start_dims=5,
            start_points=11, steps=50001, batch=64, lr=1e-4, log_every=100, save_every=2500, aligned=256, tested=1280,
            bases=5, compiled=True,
        ),
    )
}  # fmt: skip


def preset(name: str) -> Preset:
    """Raises UserError for a name that is not there."""
    if name not in PRESETS:
        raise UserError(f"unknown scale '{name}'", nearest(name, PRESETS))
    return PRESETS[name]
