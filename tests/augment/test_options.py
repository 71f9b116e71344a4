"""The key `augment` of a stage: short forms, and every mistake named with its place."""

from __future__ import annotations

import json

import pytest

from contextune.core.errors import UserError
from contextune.experiment.recipe import parse
from contextune.experiment.schema import recipe_schema


def recipe(augment: object, **stage: object) -> dict:
    return {"model": "pocket", "data": {"d": {"path": "x.jsonl"}, "e": {"path": "y.jsonl"}},
            "arms": {"a": {"data": "d", "augment": augment, **stage}}}  # fmt: skip


def options(augment: object):
    return parse(recipe(augment)).arms["a"].stages[0].augment


def test_short_forms():
    assert [o.name for o in options("reversal").operations] == ["reversal"]
    assert [o.name for o in options(["rephrase", "reversal"]).operations] == ["rephrase", "reversal"]
    long = options({"operations": [{"operation": "reversal", "samples": 2, "temperature": 1.0}], "split": "cumulative"})
    assert (long.operations[0].samples, long.split, long.keep, long.failures) == (2, "cumulative", True, None)
    assert parse({**recipe("repeat"), "arms": {"a": {"data": "d"}}}).arms["a"].stages[0].augment is None


def test_it_is_written_out_and_read_back():
    whole = {"operations": ["rephrase", {"operation": "link", "budget": 50, "context": "sample"}], "keep": False,
             "filters": [{"filter": "near_copy"}, "malformed"], "mix": {"total": 100}}  # fmt: skip
    made = parse(recipe(whole))
    plain = json.loads(made.model_dump_json(exclude_defaults=True))
    assert plain["arms"]["a"]["stages"][0]["augment"]["operations"][1] == {
        "operation": "link", "budget": 50, "context": "sample",
    }  # fmt: skip
    assert parse(plain) == made


@pytest.mark.parametrize(
    ("augment", "said", "hint"),
    [
        ("reversl", "unknown operation 'reversl'", "did you mean 'reversal'?"),
        (["rephrase", "x"], "unknown operation 'x'", "known:"),
        ({"operations": ["reversal"], "splitt": "none"}, "unknown key 'arms.a.augment.splitt'", "'split'"),
        ({"operations": [{"operation": "link", "budgte": 3}]}, "'arms.a.augment.operations.0.budgte'", "'budget'"),
        ({"operations": [{"operation": "repeat", "temperature": 1}]}, "operations.0.temperature'", "samples"),
        ({"operations": [{"name": "link"}]}, "an operation is a name or a mapping with the key 'operation'", ""),
        ({"operations": ["link"], "filters": ["malfromed"]}, "unknown filter 'malfromed'", "'malformed'"),
        (
            {"operations": ["link"], "filters": [{"filter": "near_copy", "x": 1}]},
            "'arms.a.augment.filters.0.x'",
            "filter",
        ),
        ({"operations": ["link"], "filters": [3]}, "a filter is a name or a mapping with the key 'filter'", ""),
        ({"operations": ["link"], "split": "words"}, "arms.a.augment.split: Input should be 'none'", ""),
        ({"operations": [{"operation": "reversal", "samples": 3}]}, "samples is 3 with temperature 0", ""),
        ({"operations": [{"operation": "reversal", "samples": 0}]}, "operations.0.samples", ""),
        ({}, "augment names no operation", ""),
        ({"split": "independent", "filters": ["near_copy"]}, "augment.filters has no effect without operations", ""),
        ({"split": "independent", "keep": False}, "augment.keep has no effect without operations", ""),
        ({"operations": ["link"], "data": ["e"]}, "augment.data: 'e' is not a source of this stage", ""),
        ({"operations": ["link"], "failures": 2}, "arms.a.augment.failures", ""),
        ({"operations": ["link"], "mix": {"share": {}}}, "unknown key 'arms.a.augment.mix.share'", "'shares'"),
        ({"operations": ["link"], "mix": {"replay": {"data": "z"}}}, "uses data 'z'", ""),
        (7, "arms.a.augment", ""),
    ],
)
def test_mistakes(augment, said, hint):
    with pytest.raises(UserError) as e:
        parse(recipe(augment), "r.yaml")
    assert e.value.message.startswith("r.yaml: ")
    assert said in e.value.message
    assert hint in e.value.hint


def test_no_torch_is_loaded_to_read_it():
    import subprocess
    import sys

    code = f"""
import sys
from contextune.experiment.recipe import parse
parse({recipe(["reversal", "relations"])!r})
print([m for m in ("torch", "transformers", "bm25s", "scipy", "sklearn", "pyarrow") if m in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_schema_knows_it():
    assert "augment" in recipe_schema()["$defs"]["Stage"]["properties"]
