"""Another set of the trained weights: those of the stage's beginning, or an average that follows the training.

Of an adapter that is the adapter alone. They change places with the current ones while they are asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError

FILE = "reference.safetensors"


class Reference:
    """The trained weights of `model` as they are now, kept once more."""

    def __init__(self, model: Any) -> None:
        self.kept = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    @contextmanager
    def in_place(self, model: Any) -> Iterator[None]:
        """Within: the model has the kept weights. They and the trained ones change places, without being copied."""
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    def follow(self, model: Any, share: float) -> None:
        """kept ← kept + share · (trained − kept)."""
        for name, p in model.named_parameters():
            if name in self.kept:
                self.kept[name].lerp_(p.detach(), share)

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        save_file({name: weight.contiguous() for name, weight in self.kept.items()}, folder / FILE)

    def load(self, folder: Path) -> None:
        """Raises UserError where the checkpoint has other weights than the model, or none."""
        from safetensors.torch import load_file

        stored = load_file(folder / FILE) if (folder / FILE).is_file() else {}
        if {k: w.shape for k, w in stored.items()} != {k: w.shape for k, w in self.kept.items()}:
            raise UserError(
                f"{folder / FILE}: not the weights that the objective kept",
                "remove the checkpoint to train from before",
            )
        for name, weight in stored.items():
            self.kept[name].copy_(weight)

    def _swap(self, model: Any) -> None:
        for name, p in model.named_parameters():
            if name in self.kept:
                p.data, self.kept[name] = self.kept[name], p.data
