"""No setting, however absurd, gets past the check to end a run: each number has its range, wherever it is given."""

from __future__ import annotations

import json
import math
import os
import time
from inspect import isabstract
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel, ValidationError

import contextune
from contextune import models
from contextune.cli import main
from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.options import Options, whole
from contextune.core.world import build_world
from contextune.evaluate.tasks.load import load_task
from contextune.experiment.preflight import look_ahead
from contextune.experiment.prepare import prepare
from contextune.experiment.recipe import Recipe, parse
from contextune.models.from_scratch import make
from tests.registered import own

HOSTILE = {
    "nan": math.nan, "inf": math.inf, "-inf": -math.inf, "true": True, "false": False, "1e300": 1e300, "-1e300": -1e300,
    "10**30": 10**30, "-10**30": -(10**30), "10**5000": 10**5000, "text": "x", "'nan'": "nan", "mapping": {"a": 1},
}  # fmt: skip


RECIPE = {"model": "pocket", "data": {"d": {"path": "x.jsonl"}}, "arms": {"a": {"data": "d"}}}


def option_classes() -> list[type[BaseModel]]:
    """Every class of options that the packages have, wherever it is written."""
    import contextune_lab.mechanism.gradients_watch  # noqa: F401

    for kind in ("policies", "operations", "filters", "similarities", "callbacks"):
        known = getattr(registry, kind)
        assert all(known.find(name) for name in own(known))

    def below(kind: type[BaseModel]) -> list[type[BaseModel]]:
        return [k for sub in kind.__subclasses__() for k in (sub, *below(sub))]

    return [k for k in dict.fromkeys(below(Options)) if k.__module__.startswith("contextune") and not isabstract(k)]


def number_places(annotation: Any) -> list[list[str]]:
    """Where in a value numbers may stand: [] for the value itself; ["list"], ["pair"], ["dict:KEY"] in a container."""
    if annotation in (int, float):
        return [[]]
    kind, inner = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        return number_places(inner[0])
    if kind is dict:
        key = get_args(inner[0])[0] if get_args(inner[0]) else "original"
        return [[f"dict:{key}", *place] for place in number_places(inner[1])]
    if kind is tuple:
        name = "list" if inner[-1] is Ellipsis else "pair"
        return [[name, *place] for place in number_places(inner[0])]
    if kind is Union or str(kind) == "<class 'types.UnionType'>":
        return [place for part in inner for place in number_places(part)]
    return []


def placed(value: object, place: list[str]) -> object:
    for step in reversed(place):
        value = {"list": [value], "pair": [value, value]}.get(step) or {step.removeprefix("dict:"): value}
    return value


NUMBERS = [
    pytest.param(kind, name, place, id=f"{kind.__module__.rsplit('.', 1)[-1]}.{kind.__name__}.{name}")
    for kind in option_classes()
    for name, info in kind.model_fields.items()
    for place in number_places(info.annotation)
]


def test_all_numbers_are_here():
    found = {str(p.id) for p in NUMBERS}
    assert len(found) > 150
    assert {"options.Train.betas", "options.Train.threads", "recipe.Recipe.seeds", "mixing.Mix.weights",
            "specs.Spec.limit", "combine.Mixture.weights", "options.Writer.budget", "options.Adapter.rank",
            "meta_prompt.MetaPrompt.version"} <= found  # fmt: skip


def faults(kind: type[BaseModel], name: str, value: object, as_well: bool = False) -> list[dict[str, Any]]:
    """What pydantic has against one field, others aside; with `as_well` also what the class itself says of it."""
    try:
        kind.__pydantic_validator__.validate_python({**(RECIPE if kind is Recipe else {}), name: value})
    except ValidationError as e:
        return [dict(p) for p in e.errors(include_url=False) if p["loc"][:1] == (name,)] + [
            dict(p) for p in e.errors(include_url=False) if as_well and not p["loc"] and name in p["msg"]
        ]
    except UserError as e:  # a recipe explains its own
        return [{"msg": e.message}] if name in e.message else []
    return []


@pytest.mark.parametrize(("kind", "name", "place"), NUMBERS)
def test_a_number_has_a_range(kind, name, place):
    words = {"text", "'nan'"} if "str" in str(kind.model_fields[name].annotation) else set()  # a name may stand there
    for label, value in HOSTILE.items():
        if label not in words:
            assert faults(kind, name, placed(value, place), as_well=True), f"{name}: {label} is taken"


@pytest.mark.parametrize(("kind", "name", "place"), NUMBERS)
def test_a_number_may_be_what_it_is_by_default_or_its_bound(kind, name, place):
    info = kind.model_fields[name]
    if not place:
        bounds = [getattr(m, k) for m in info.metadata for k in ("ge", "le") if hasattr(m, k)]
        for value in bounds:
            assert not faults(kind, name, value), f"{name}: {value} is refused"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seeds", [2**32], r"seeds\.0: .*4294967295, found 4294967296"),
        ("seeds", [-1], r"seeds\.0"),
        ("seeds", [10**5000], r"seeds\.0: .*found a number of thousands of digits"),
        ("seeds", [True], r"seeds: a number is expected"),
        ("seeds", [0.5], r"seeds\.0"),
        ("train.threads", 100_000, r"train\.threads"),
        ("train.betas", [0.9, 1], r"train\.betas\.1: .*less than 1, found 1"),
        ("train.betas", [-0.1, 0.9], r"train\.betas\.0"),
        ("train.betas", [0.9], r"train\.betas"),
        ("train.clip", math.inf, r"train\.clip: .*finite"),
        ("train.clip", 0, r"train\.clip"),
        ("train.lr", 0, r"train\.lr"),
        ("train.lr", 1e9, r"train\.lr"),
        ("train.lr", math.nan, r"train\.lr"),
        ("train.weight_decay", 60_000, r"train\.weight_decay"),
        ("train", {"lr": 0.5, "weight_decay": 2}, r"takes away whole weights at each update"),
        ("train.epochs", math.inf, r"train\.epochs"),
        ("train.epochs", 1e12, r"train\.epochs"),
        ("train.steps", 10**12, r"train\.steps"),
        ("train.batch", 10**9, r"train\.batch"),
        ("train.batch", True, r"train\.batch: a number is expected"),
        ("train.warmup", 1, r"train\.warmup"),
        ("train.weight_interpolation", 1.1, r"train\.weight_interpolation"),
        ("train.max_length", 10**12, r"train\.max_length"),
        ("train.share", 0, r"train\.share"),
        ("train.adapter", {"rank": 0}, r"train\.adapter\.rank"),
        ("train.adapter", {"dropout": 1}, r"train\.adapter\.dropout"),
        ("train.adapter", {"alpha": 10**12}, r"train\.adapter\.alpha"),
        ("arms.a.train", {"betas": [1, 1]}, r"arms\.a\.train\.betas\.0"),
        ("arms.a.context", {"policy": "random", "k": 0}, r"arms\.a\.context\.k"),
        ("arms.a.context", {"policy": "random", "pool": True}, r"arms\.a\.context\.pool: a number"),
        ("arms.a.context", {"policy": "mixture", "policies": ["none"], "weights": [0]}, r"not all 0"),
        ("arms.a.context", {"policy": "mixture", "policies": ["none"], "weights": [math.inf]}, r"finite"),
        ("arms.a.augment", {"mix": {"weights": {"original": -1}}}, r"mix: weights and shares are finite"),
        ("arms.a.augment", {"mix": {"weights": {"original": 10**9}}}, r"mix\.weights\.original"),
        ("arms.a.augment", {"mix": {"total": 0}}, r"mix\.total"),
        ("arms.a.augment", {"mix": {"shares": {"original": 0}}}, r"sum to 0, expected 1"),
        ("arms.a.augment", [{"operation": "rephrase", "temperature": 1e-9}], r"temperature is 1e-09"),
        ("data.d.held_out", 1, r"data\.d\.held_out"),
        ("data.d.chunk", 10**12, r"data\.d\.chunk"),
        ("evaluate.limit", 10**30, r"evaluate\.limit"),
        ("evaluate.samples", 10**6, r"evaluate\.samples"),
        ("evaluate.callbacks", {"probes": {"every": 0}}, r"probes\.every"),
        ("compare.resamples", 10**9, r"compare\.resamples"),
        ("compare.confidence", 1, r"compare\.confidence"),
        ("writer.tokens", 0, r"writer\.tokens"),
        ("writer", {"server": "http://h/v1", "name": "m", "timeout": math.inf}, r"writer\.timeout"),
    ],
)  # fmt: skip
def test_a_recipe_is_refused_in_one_sentence(key, value, said):
    recipe: dict[str, Any] = json.loads(json.dumps(RECIPE))
    *keys, last = key.split(".")
    at = recipe
    for k in keys:
        at = at.setdefault(k, {})
    at[last] = value
    with pytest.raises(UserError, match=said) as e:
        parse(recipe)
    assert "\n" not in e.value.message
    assert len(e.value.message) < 300


@pytest.fixture
def recipe(tmp_path, tiny):
    """Twelve rows, eight items; the model reads 512 tokens."""
    rows = [{"text": " ".join(f"w{(i * 7 + j) % 92}" for j in range(12))} for i in range(12)]
    (tmp_path / "docs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    items = [{"q": f"w{i} w{i + 1} w{i}", "a": "w1"} for i in range(8)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    return {
        "name": "settings", "model": str(tiny), "output": str(tmp_path / "out"),
        "data": {"docs": {"path": "docs.jsonl", "chunk": "none"}}, "arms": {"cpt": {"data": "docs"}},
        "train": {"max_length": 32, "batch": 4, "steps": 5}, "evaluate": {"tasks": [], "samples": 0},
    }  # fmt: skip


def generating(**keys: object) -> dict[str, Any]:
    return {"name": "t", "kind": "generate", "path": "items.jsonl", "prompt": "{{ q }}", "answer": "{{ a }}", **keys}


def ready(recipe, tmp_path):
    (tmp_path / "out").mkdir(exist_ok=True)
    return prepare(parse(recipe), tmp_path, tmp_path / "out", plan=True)


def refused(recipe, tmp_path) -> UserError:
    """What both the check and the beginning of a run say, before anything is trained."""
    with pytest.raises(UserError) as checked:
        contextune.check(recipe, base=tmp_path, measure=False)
    with pytest.raises(UserError) as ran:
        contextune.run(recipe, base=tmp_path)
    assert checked.value.message == ran.value.message
    assert not (tmp_path / "out" / "arms").exists()
    return checked.value


@pytest.mark.parametrize("most", [512, 513, 10**6])
def test_answers_longer_than_the_model_are_found_before_training(recipe, tmp_path, most):
    recipe["evaluate"]["tasks"] = [generating(max_tokens=most)]
    said = refused(recipe, tmp_path)
    assert said.message.startswith(f"task t: max_tokens is {most:,}, the model ")
    assert "reads 512 tokens in all" in said.message
    assert said.hint == "lower the task's max_tokens"


def test_an_option_longer_than_the_model_is_found_before_training(recipe, tmp_path):
    long = " " + " ".join(["w1"] * 513)
    recipe["evaluate"]["tasks"] = [
        {"name": "t", "path": "items.jsonl", "prompt": "{{ q }}", "options": [long, " w2"], "answer": "0"}
    ]
    assert "task t: item 0: an option has 513 tokens" in refused(recipe, tmp_path).message


def test_a_rank_beyond_every_layer_is_found_before_training(recipe, tmp_path):
    recipe["train"]["adapter"] = {"rank": 65}
    assert "train.adapter.rank is 65, the largest side of an adapted layer is 64" in refused(recipe, tmp_path).message
    recipe["train"]["adapter"] = {"rank": 33, "targets": ["q_proj"]}
    assert "is 33, the largest side of an adapted layer is 32" in refused(recipe, tmp_path).message


def test_what_a_callback_refuses_the_check_refuses(recipe, tmp_path):
    recipe["evaluate"] |= {"tasks": [generating()], "callbacks": {"probes": {"tasks": ["nowhere"]}}}
    assert "nowhere" in refused(recipe, tmp_path).message


def test_the_most_is_allowed(recipe, tmp_path):
    recipe["evaluate"]["tasks"] = [generating(max_tokens=511)]
    recipe["train"] |= {"adapter": {"rank": 64}, "clip": 1e9, "betas": [0, 0], "threads": 1024}
    prepared = ready(recipe, tmp_path)
    look_ahead(prepared)
    cores = os.cpu_count()
    assert any(f"train.threads is 1024, this machine has {cores} cores" in w for w in prepared.warnings) or cores == 1
    with models.threads(1024, 1) as chosen:
        assert chosen == cores


def test_a_model_that_reads_little_still_writes_samples(recipe, tmp_path, tokenizer):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    small = LlamaConfig(vocab_size=100, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                        num_attention_heads=2, max_position_embeddings=32, pad_token_id=0)  # fmt: skip
    LlamaForCausalLM(small).save_pretrained(tmp_path / "small")
    tokenizer.save_pretrained(tmp_path / "small")
    recipe["evaluate"]["samples"] = 1
    contextune.run({**recipe, "model": str(tmp_path / "small")}, base=tmp_path)
    assert len(json.loads((tmp_path / "out" / "samples.json").read_text())) == 1


def test_a_mixture_does_not_fill_the_memory(recipe, tmp_path):
    recipe["arms"]["cpt"] = {"data": "docs", "augment": {"mix": {"total": 10**15}}}
    began = time.monotonic()
    assert "1000 repeats at most" in refused(recipe, tmp_path).message
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("mix", [{"weights": {"original": 0}}, {"total": 1}])
def test_a_mixture_of_nothing(recipe, tmp_path, mix):
    recipe["arms"]["cpt"] = {"data": "docs", "augment": {"mix": mix}}
    assert refused(recipe, tmp_path).message == "arm cpt: augmentation leaves nothing to train on"


@pytest.mark.parametrize("name", own(registry.worlds))
def test_sizes_of_a_world(name):
    sizes = build_world(name, size="small").facts["sizes"]
    for key in ("seed", *sizes):
        for value in (-1, True, 2.5, math.nan, "3", 10**30, [1]):
            with pytest.raises(UserError, match=f"world '{name}': {key} is"):
                build_world(name, size="small", **{key: value})


def test_more_than_a_world_has_is_one_sentence():
    with pytest.raises(UserError, match="world 'slots' cannot be made with size: small, templates: 1000"):
        build_world("slots", size="small", templates=1000)


@pytest.mark.parametrize("limit", [-1, 0, True, "x", 2.5, math.nan, 10**30])
def test_the_limit_of_a_worlds_tasks(tmp_path, limit):
    with pytest.raises(UserError, match=r"world 'reversals'\.limit: "):
        load_task({"world": "reversals", "options": {"size": "small"}, "limit": limit}, tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "run r.yaml --workers -1", "run r.yaml --workers 100000", "preview r.yaml --row -1", "preview r.yaml --rows 0",
        f"preview r.yaml --epochs {10**9}", "adapt pocket --task t --k 0", "adapt pocket --task t --near nan",
        "adapt pocket --task t --near 2", f"adapt pocket --task t --seed {2**32}", "scratch m --text t --width 0",
        f"scratch m --text t --vocabulary {10**12}", f"scratch m --text t --seed {2**32}", "pocket build p --seed -1",
        f"evaluate pocket --task t --limit {10**30}", "evaluate pocket --task t --limit 0",
        "augment t --operation rephrase --retries 11", "lab gradients r.yaml --items 1", "bench --threads 100000",
    ],
)  # fmt: skip
def test_numbers_on_the_command_line(tmp_path, monkeypatch, capsys, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(RECIPE))
    monkeypatch.setattr("sys.argv", ["contextune", *line.split()])
    with pytest.raises(SystemExit) as e:
        main()
    assert e.value.code == 2, capsys.readouterr()
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_calls_of_the_library(tokenizer, tmp_path):
    for options in ({"max_length": 0}, {"max_length": True}, {"max_length": 10**30}, {"seed": -1}, {"seed": 2**32}):
        with pytest.raises(UserError, match=rf"ContextDataset: {next(iter(options))} is"):
            contextune.ContextDataset(["w1 w2"], tokenizer=tokenizer, **options)
    with pytest.raises(UserError, match="ContextDataset: max_length"):
        contextune.ContextDataset(["w1 w2"], tokenizer=tokenizer, max_length=math.nan)
    with pytest.raises(UserError, match=r"score\.resamples"):
        contextune.score(None, tokenizer, "x", resamples=0)
    with pytest.raises(UserError, match="score: limit is -1"):
        contextune.score(None, tokenizer, "x", limit=-1)
    with pytest.raises(UserError, match="layers of width"):
        make(tmp_path / "m", ["some text"], 300, 65_536, 1000)
    assert not (tmp_path / "m").exists()
    assert whole(7, "it", 7, 7) == 7
