"""The grammar of recipes as JSON Schema, for editors."""

from __future__ import annotations

from typing import Any

from contextune.core import registry
from contextune.core.options import MARK, Named
from contextune.train.track_options import Track

from .recipe import Recipe, Stage


def recipe_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) with everything registered written out, and with the short forms that recipes may use."""
    schema = Recipe.model_json_schema(mode="validation")
    defs = schema.pop("$defs")
    stage = Stage.model_json_schema()
    defs["Stage"] = {k: v for k, v in stage.items() if k != "$defs"}
    defs["Stage"]["properties"]["augment"] = {
        "anyOf": [{"type": "string"}, {"type": "array"}, *defs["Stage"]["properties"]["augment"]["anyOf"]]
    }
    arm = {**defs["Stage"], "properties": {**defs["Stage"]["properties"], "about": {"type": "string"}}}
    named = schema["properties"]["arms"]
    (pattern,) = named["patternProperties"]
    named["patternProperties"] = {pattern: {"anyOf": [{"$ref": "#/$defs/Arm"}, arm, {"type": "null"}]}}
    schema["properties"]["model"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Model"}]}
    trackers = {"enum": [name for name in Track.model_fields if name != "project"]}
    schema["properties"]["track"] = {
        "anyOf": [trackers, {"type": "array", "items": trackers}, {"$ref": "#/$defs/Track"}]
    }
    written: dict[str, Any] = _written({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, defs)
    done: dict[str, Any] = {}
    while left := [name for name in defs if name not in done]:  # what is written out may name more
        done |= {name: _written(defs[name], defs) for name in left}
    return {**written, "$defs": done}


def _written(part: Any, defs: dict[str, Any]) -> Any:
    """The schema with each mark of something registered replaced by all that is registered; adds to `defs`."""
    if isinstance(part, list):
        return [_written(p, defs) for p in part]
    if not isinstance(part, dict):
        return part
    if MARK in part:
        rest = {k: v for k, v in part.items() if k != MARK}
        return {**rest, **_choices(getattr(registry, part[MARK]), defs)}
    return {key: _written(value, defs) for key, value in part.items()}


def _choices(known: registry.Registry, defs: dict[str, Any]) -> dict[str, Any]:
    if known.kind == "callbacks":
        return {"type": "object", "additionalProperties": False, "properties": _refs(known, defs)}
    return {"anyOf": [{"enum": known.names()}, *_refs(known, defs).values()]}


def _refs(known: registry.Registry, defs: dict[str, Any]) -> dict[str, Any]:
    for name in known.names():
        place = f"{known.kind}.{name}"
        if place not in defs:
            options: type[Named] = known.find(name)
            own = options.model_json_schema()
            inner = own.pop("$defs", {})
            if known.kind != "callbacks":
                own["properties"] = {options.key: {"const": name}, **own.get("properties", {})}
                own["required"] = [options.key, *own.get("required", [])]
            defs[place] = own  # before what it holds, which may hold it
            for inner_name, value in inner.items():
                defs.setdefault(inner_name, _written(value, defs))
            defs[place] = _written(own, defs)
    return {name: {"$ref": f"#/$defs/{known.kind}.{name}"} for name in known.names()}
