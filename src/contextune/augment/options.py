"""What a recipe may say about augmentation: the stage key `augment`.

augment: [rephrase, reversal]                      names of operations, or
augment:
  operations: [rephrase, {operation: reversal, temperature: 0.7, samples: 2}]
  split: independent
  filters: [malformed, duplicate]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from contextune.core import registry
from contextune.core.options import Named, Options

from .base import OperationOption
from .filters.base import FilterOption, parse_filter
from .mixing import Mix, Replay
from .prompted import Prompted
from .sentence_split import Split


class Augment(Options):
    """What is inferred from a stage's records and trained on with them."""

    renamed: ClassVar[dict[str, str]] = {"verify": "filters", "style": "prompt_style"}

    operations: tuple[OperationOption, ...] = Field(
        (), description="what is inferred: names of operations, or mappings with their options"
    )
    split: Split = Field(
        "none", description="a text's sentences as records of their own; independent: alone; cumulative: after the rest"
    )
    keep: bool = Field(True, description="the originals are trained on as well")
    filters: tuple[FilterOption, ...] | None = Field(
        None,
        description="filters that judge the inferred texts, in this order; default: those of what is certainly no text "
        "and duplicates, none for the pocket model; []: none",
    )
    mix: Mix | None = Field(None, description="weights or shares of original, made and general text")
    prompt_style: Literal["auto", "plain", "pocket"] = Field(
        "auto", description="how the writer is asked; auto: pocket where the pocket model writes, else plain"
    )
    data: tuple[str, ...] = Field((), description="sources of the stage that are augmented; default: all")
    atleast: int = Field(
        0, ge=0, le=1000, description="texts that each record should have; more are asked for, then it is said"
    )
    retries: int | None = Field(
        None,
        ge=0,
        le=10,
        description="how often a request whose answer was cut or of no use is asked again, with more tokens or another "
        "seed; default: 2, 0 for the pocket model",
    )
    failures: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="share of requests that may fail before it is an error; default: 0.05, where what the writer "
        "cannot answer in any run (cut, empty) is listed and does not count",
    )

    @model_validator(mode="after")
    def _does_something(self) -> Augment:
        if not self.operations and self.split == "none" and self.mix is None:
            raise ValueError("augment names no operation; contextune augment --list shows them")
        if not self.operations:
            unused = [k for k in ("filters", "atleast", "data") if getattr(self, k)] + ["keep"] * (not self.keep)
            if unused:
                raise ValueError(f"augment.{unused[0]} has no effect without operations")
        return self


SAFE = (
    {"filter": "malformed", "ends": False, "markup": False},
    {"filter": "duplicate", "originals": False},
)
"""Filters by default: an answer of any form passes them."""
RETRIES = 2


def with_defaults(options: Augment, prompt_style: str) -> Augment:
    """What is left to the writer's sort is settled: the pocket model's texts are taken as they are."""
    bare = prompt_style == "pocket" or not any(isinstance(o, Prompted) for o in options.operations)
    values: dict[str, Any] = {
        "filters": () if bare else tuple(map(parse_filter, SAFE)),
        "retries": 0 if bare else RETRIES,
    }
    return options.model_copy(update={k: v for k, v in values.items() if getattr(options, k) is None})


def shorthand(value: object) -> object:
    """A name or a list of operations stands for the mapping that holds them."""
    if isinstance(value, str):
        value = [value]
    return {"operations": value} if isinstance(value, list | tuple) else value


def parts(options: Augment, folder: Path | None, prompt_style: str) -> dict[str, Any]:
    """What decides the texts of a stage, beside its records: part of a run's identity."""
    said = options.model_dump(mode="json", exclude={"failures"})
    if not said["retries"]:
        del said["retries"]  # runs from before it was an option keep their identity
    return {
        "options": said,
        "prompt_style": prompt_style,
        "content": [o.content(folder, prompt_style) for o in options.operations],
    }


def keys_of(path: list[str], written: dict[str, Any] | None) -> list[str]:
    """The keys that may stand below `augment`, for errors: at [], ["operations", "0"] or ["mix", "replay"]."""
    if path[:1] in (["operations"], ["filters"]) and len(path) > 1 and written:
        entry = written[path[0]][int(path[1])]
        known, key = {"operations": (registry.operations, "operation"), "filters": (registry.filters, "filter")}[
            path[0]
        ]
        options: type[Named] = known.find(str(entry.get(key)))
        return options.option_names()
    if path[:1] == ["mix"]:
        return list((Replay if path[1:] else Mix).model_fields)
    return list(Augment.model_fields)
