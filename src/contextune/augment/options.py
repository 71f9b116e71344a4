"""What a recipe may say about augmentation: the stage key `augment`.

augment: [rephrase, reversal]                      names of operations, or
augment:
  operations: [rephrase, {operation: reversal, temperature: 0.7, samples: 2}]
  split: independent
  verify: [malformed, duplicate]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_serializer, model_validator

from .base import Operation
from .base import find as find_operation
from .mix import Mix, Replay
from .split import Split
from .verify import Filter
from .verify import find as find_filter


def _operation(value: object) -> Operation:
    if isinstance(value, Operation):
        return value
    value = {"operation": value} if isinstance(value, str) else value
    if not isinstance(value, dict) or "operation" not in value:
        raise ValueError("an operation is a name or a mapping with the key 'operation'")
    return find_operation(str(value["operation"])).model_validate(value)


def _filter(value: object) -> Filter:
    if isinstance(value, Filter):
        return value
    value = {"filter": value} if isinstance(value, str) else value
    if not isinstance(value, dict) or "filter" not in value:
        raise ValueError("a filter is a name or a mapping with the key 'filter'")
    return find_filter(str(value["filter"])).model_validate(value)


class Augment(BaseModel):
    """What is inferred from a stage's records and trained on with them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operations: tuple[Annotated[Any, BeforeValidator(_operation)], ...] = Field(
        (), description="what is inferred: names of operations, or mappings with their options"
    )
    split: Split = Field(
        "none", description="a text's sentences as records of their own; independent: alone; cumulative: after the rest"
    )
    keep: bool = Field(True, description="the originals are trained on as well")
    verify: tuple[Annotated[Any, BeforeValidator(_filter)], ...] = Field(
        (), description="filters that judge what was made, in this order"
    )
    mix: Mix | None = Field(None, description="weights or shares of original, made and general text")
    style: Literal["auto", "plain", "pocket"] = Field(
        "auto", description="how the writer is asked; auto: pocket where the pocket model writes, else plain"
    )
    data: tuple[str, ...] = Field((), description="sources of the stage that are augmented; default: all")
    atleast: int = Field(0, ge=0, description="texts that each record should have; more are asked for, then it is said")
    failures: float = Field(0.05, ge=0.0, le=1.0, description="share of requests that may fail before it is an error")

    @model_validator(mode="after")
    def _does_something(self) -> Augment:
        if not self.operations and self.split == "none" and self.mix is None:
            raise ValueError("augment names no operation; contextune augment --list shows them")
        if not self.operations:
            unused = [k for k in ("verify", "atleast", "data") if getattr(self, k)] + ["keep"] * (not self.keep)
            if unused:
                raise ValueError(f"augment.{unused[0]} has no effect without operations")
        return self

    @field_serializer("operations")
    def _operations(self, operations: tuple[Operation, ...]) -> list[dict[str, Any]]:
        return [{"operation": o.name, **o.model_dump(mode="json", exclude_defaults=True)} for o in operations]

    @field_serializer("verify")
    def _verify(self, filters: tuple[Filter, ...]) -> list[dict[str, Any]]:
        return [{"filter": f.name, **f.model_dump(mode="json", exclude_defaults=True)} for f in filters]


def shorthand(value: object) -> object:
    """A name or a list of operations stands for the mapping that holds them."""
    if isinstance(value, str):
        value = [value]
    return {"operations": value} if isinstance(value, list | tuple) else value


def parts(options: Augment, folder: Path | None, style: str) -> dict[str, Any]:
    """What decides the texts of a stage, beside its records: part of a run's identity."""
    said = options.model_dump(mode="json", exclude={"failures"})
    return {"options": said, "style": style, "content": [o.content(folder, style) for o in options.operations]}


def keys_of(path: list[str], written: dict[str, Any] | None) -> list[str]:
    """The keys that may stand below `augment`, for errors: at [], ["operations", "0"] or ["mix", "replay"]."""
    if path[:1] in (["operations"], ["verify"]) and len(path) > 1 and written:
        entry = written[path[0]][int(path[1])]
        name = str(entry.get("operation" if path[0] == "operations" else "filter"))
        return list((find_operation(name) if path[0] == "operations" else find_filter(name)).model_fields)
    if path[:1] == ["mix"]:
        return list((Replay if path[1:] else Mix).model_fields)
    return list(Augment.model_fields)
