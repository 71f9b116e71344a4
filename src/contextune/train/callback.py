"""Callbacks: what looks at a model while it trains and leaves it, and every random generator, as they were.

A recipe names them below `evaluate.callbacks`. Probes come with the package; the lab hands in gradients.
"""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError, WithJsonSchema

from contextune.core import registry
from contextune.core.errors import nearest, shown
from contextune.core.files import write_text
from contextune.core.options import MARK, MOST, Named

SCORES = "scores.json"
"""In a callback's folder, what is made anew at each look from all the other files."""
Look = Callable[[int, Any], None]
"""Is called with the update and the model."""


@dataclass(frozen=True)
class Training:
    """The training that is looked at. `run` is the prepared run (`experiment.prepare.Prepared`)."""

    run: Any
    arm: str = ""
    stage: Any = None
    """Its `PreparedStage`."""
    folder: Path = Path()
    """The stage's folder, where a callback keeps what it saw below its own name."""


class Callback(Named):
    """Options of a callback; subclasses add fields, `check` and `bind`."""

    key: ClassVar[str] = "callback"
    every: int = Field(
        50, gt=0, le=MOST, description="updates between two looks; also before the first and after the last"
    )

    @abstractmethod
    def check(self, training: Training) -> None:
        """UserError, before anything is trained, where the options ask for what cannot be had."""

    @abstractmethod
    def bind(self, training: Training) -> Look:
        """What is called during training."""


def begin(folder: Path, key: str) -> None:
    """A callback's folder for what `key` stands for; what it holds of anything else is thrown away."""
    mark = folder / "key"
    if mark.exists() and mark.read_text(errors="replace") == key:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_text(mark, key)


def _parse(value: object) -> dict[str, Callback]:
    if not isinstance(value, Mapping):
        raise ValueError("callbacks are a mapping of their names to their options, e.g. {probes: {every: 50}}")
    return {name: _options(name, options) for name, options in value.items()}


def _options(name: str, given: object) -> Callback:
    if isinstance(given, Callback):
        return given
    kind: type[Callback] = registry.callbacks.find(name)
    try:
        return kind.model_validate(given or {})
    except ValidationError as e:
        problem = e.errors(include_url=False)[0]
        key = ".".join([name, *map(str, problem["loc"])])
        if problem["type"] == "extra_forbidden":
            raise ValueError(f"{key}: unknown key; {nearest(str(problem['loc'][-1]), kind.model_fields)}") from None
        raise ValueError(
            f"{key}: {problem['msg'].removeprefix('Value error, ')}, found {shown(problem['input'])}"
        ) from None


def _plain(value: Mapping[str, Callback]) -> dict[str, Any]:
    return {name: c.model_dump(mode="json", exclude_defaults=True) for name, c in value.items()}


CallbacksOption = Annotated[
    Any, BeforeValidator(_parse), PlainSerializer(_plain), WithJsonSchema({MARK: registry.callbacks.kind})
]
"""Callbacks by name, each with its options."""
