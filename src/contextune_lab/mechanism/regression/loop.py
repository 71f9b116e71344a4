"""A training loop that may be killed at any moment and resumes with the same bits (on a CPU)."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from contextune.core.files import Damaged, read_checked, write_checked
from contextune.core.progress import say_once


def train(
    model: nn.Module,
    loss: Callable[[int], Tensor],
    steps: int,
    lr: Callable[[int], float],
    folder: Path,
    save_every: int,
    watch: Callable[[int], dict[str, Any] | None] = lambda step: None,
    tell: Callable[[int], None] = lambda step: None,
    clip: float = float("inf"),
) -> list[dict[str, Any]]:
    """Minimise `loss(step)` with Adam; returns what `watch` saw before each step and at the end.

    `loss` must depend on nothing but the model (with its buffers) and the step. The state lies in
    `folder/checkpoint.pt` until the caller has kept the result and calls `forget`.
    """
    optimiser = torch.optim.Adam(model.parameters(), fused=True)
    seen: list[dict[str, Any]] = []
    first = 0
    place = folder / "checkpoint.pt"
    try:
        kept = read_checked(place)
    except Damaged as e:
        say_once(f"{e}: training begins anew")
        kept = None
    if kept is not None:
        state = torch.load(BytesIO(kept), weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        first, seen = state["step"], state["seen"]
    for step in range(first, steps + 1):
        if step % save_every == 0 and step > first:
            _save(place, {"step": step, "model": model.state_dict(), "optimiser": optimiser.state_dict(), "seen": seen})
        if (found := watch(step)) is not None:
            seen.append({"step": step, **found})
        if step == steps:
            break
        for group in optimiser.param_groups:
            group["lr"] = lr(step)
        optimiser.zero_grad()
        loss(step).backward()
        if clip < float("inf"):
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        tell(step)
    return seen


def _save(place: Path, state: dict[str, Any]) -> None:
    """Whole or absent: written beside its place, then moved there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, content := BytesIO())
    write_checked(place, content.getvalue())


def forget(folder: Path) -> None:
    (folder / "checkpoint.pt").unlink(missing_ok=True)
