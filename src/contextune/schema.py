"""The grammar of recipes as JSON Schema, for editors."""

from __future__ import annotations

from typing import Any

from . import contexts
from .recipe import Recipe, Stage


def recipe_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) with every context policy written out, and with the short forms that recipes may use."""
    schema = Recipe.model_json_schema(mode="validation")
    defs = schema["$defs"]
    for name in contexts.names():
        policy = contexts.find(name).model_json_schema()
        defs |= policy.pop("$defs", {})
        if "similarity" in policy["properties"]:  # a name will do
            policy["properties"]["similarity"] = {"anyOf": [{"type": "string"}, policy["properties"]["similarity"]]}
        defs[name] = policy
    policies = [{"$ref": f"#/$defs/{n}"} for n in contexts.names()]
    stage = Stage.model_json_schema()
    defs["Stage"] = {k: v for k, v in stage.items() if k != "$defs"}
    defs["Stage"]["properties"]["context"] = {"anyOf": [{"enum": contexts.names()}, *policies]}
    defs["Gradients"]["properties"]["context"] |= defs["Stage"]["properties"]["context"]
    defs["Stage"]["properties"]["augment"] = {
        "anyOf": [{"type": "string"}, {"type": "array"}, *defs["Stage"]["properties"]["augment"]["anyOf"]]
    }
    arm = {**defs["Stage"], "properties": {**defs["Stage"]["properties"], "about": {"type": "string"}}}
    named = schema["properties"]["arms"]
    (pattern,) = named["patternProperties"]
    named["patternProperties"] = {pattern: {"anyOf": [{"$ref": "#/$defs/Arm"}, arm, {"type": "null"}]}}
    schema["properties"]["model"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Model"}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
