"""A recipe made ready: everything that training and evaluation need, checked before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field

from contextune.core.items import Task

from .data import Data
from .stage import PreparedStage


@dataclass(frozen=True)
class Prepared(Data):
    """Data, with each arm's stages ready to train and the tasks loaded."""

    arms: Mapping[str, tuple[PreparedStage, ...]] = field(default_factory=dict)
    tasks: Seq[Task] = ()
