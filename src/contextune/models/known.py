"""Models that recipes call by name: each says where its folder is and how it is asked for texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from contextune.core.errors import UserError


class KnownModel(ABC):
    """A model with a name, registered by `@registry.models`; an instance is made at each look-up."""

    name: ClassVar[str]
    prompt_style: ClassVar[str] = "plain"
    """The style of prompts that it is asked with."""

    @abstractmethod
    def path(self) -> Path:
        """The folder of the model. Raises UserError that says how to get it where it is not there."""

    def get(self, source: Path | None = None) -> Path:
        """Fetch the model, or take it from a file, unless it is there; returns its folder. Raises UserError."""
        if source is not None:
            raise UserError(f"model {self.name}: it comes with its package, not from {source}", "leave --from out")
        return self.path()

    def recognises(self, model: str) -> bool:
        """Whether the model in a folder is this one or made from it."""
        return Path(model) == self.path()
