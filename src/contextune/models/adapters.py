"""Adapters by peft: put on a model, loaded again, trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core import patterns
from contextune.core.errors import UserError, first_line, nearest

from . import osf
from .load import load_full
from .options import Adapter
from .resolve import base_of, is_adapter, read_config
from .weights import shapes, skeleton

if TYPE_CHECKING:
    from .options import Model

WEIGHTS = "adapter_model.safetensors"
PEFT_WORDS = ("all-linear", "dummy-target-modules")
"""Words for targets that are no regular expressions."""


def check_adapter(adapter: Adapter | None, model: Any = None) -> list[str]:
    """What an adapter leaves out of a model, in words; `model` may be a skeleton.

    Raises UserError where the adapter needs a library that is not there, or one of its targets fits no layer.
    """
    import importlib.util

    if adapter is None:
        return []
    if adapter.kind == "qlora" and importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            "train.adapter.kind: qlora needs bitsandbytes, which is not installed",
            "pip install contextune[qlora], or use lora",
        )
    if model is None:
        return []
    layers, _ = _targets(model, adapter)
    if adapter.kind == "osf":
        osf.refuse_layers(adapter, _adapted(model, layers))
    else:
        _refuse_rank(adapter, _adapted(model, layers))
    return _left_out(model, adapter) if layers == "all-linear" else []


def _adapted(model: Any, targets: str | list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of the linear layers that are adapted."""
    import torch

    head = model.get_output_embeddings()
    return {
        name: tuple(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
        if isinstance(targets, str) or any(_fits(target, name) for target in targets)
    }


def _refuse_rank(adapter: Adapter, adapted: Mapping[str, tuple[int, ...]]) -> None:
    """UserError for a rank beyond both sides of every layer that is adapted: memory for nothing."""
    sides = [max(shape) for shape in adapted.values()]
    if sides and adapter.rank > max(sides):
        raise UserError(
            f"train.adapter.rank is {adapter.rank:,}, the largest side of an adapted layer is {max(sides):,}",
            "typical ranks are 8 to 64",
        )


def _left_out(model: Any, adapter: Adapter) -> list[str]:
    names = sorted(expert_parameters(model))
    if not names:
        return []
    shown = f"targets: [{', '.join([*_linear_names(model), *names])}]"
    return [
        f"train.adapter.targets: all-linear leaves out this mixture's experts ({', '.join(names)}), which are no "
        f"linear layers; to train them too give {shown}"
        + ("" if adapter.kind == "lora" and not adapter.dropout else " with kind: lora and dropout: 0")
    ]


def expert_parameters(model: Any) -> set[str]:
    """Fused weights of a mixture's experts, (experts, in, out), as `experts.gate_up_proj`."""
    import torch

    return {
        ".".join(name.split(".")[-2:])
        for name, weight in model.named_parameters()
        if weight.ndim == 3 and "expert" in name and not isinstance(_owner(model, name), torch.nn.Linear)
    }


def _owner(model: Any, parameter: str) -> Any:
    return model.get_submodule(parameter.rpartition(".")[0])


def _linear_names(model: Any) -> list[str]:
    import torch

    head = model.get_output_embeddings()
    found = {n.rsplit(".", 1)[-1] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m is not head}
    return sorted(found)


def _targets(model: Any, adapter: Adapter) -> tuple[str | list[str], list[str]]:
    """peft's target_modules and target_parameters. Raises UserError for a name that fits nothing."""
    if isinstance(adapter.targets, str):
        return _pattern(adapter.targets, model, "train.adapter.targets"), []
    modules = [name for name, _ in model.named_modules() if name]
    parameters = [name for name, _ in model.named_parameters()]
    layers, weights = [], []
    for target in adapter.targets:
        if any(_fits(target, name) for name in modules):
            layers.append(target)
        elif any(_fits(target, name) and not name.endswith((".weight", ".bias")) for name in parameters):
            weights.append(target)
        else:
            known = {part for name in modules for part in (name.rsplit(".", 1)[-1],) if not part.isdigit()}
            raise UserError(
                f"train.adapter.targets: {target} fits no layer",
                nearest(target, known | expert_parameters(model)),
            )
    if weights and (adapter.kind != "lora" or adapter.dropout):
        raise UserError(
            f"train.adapter: {weights[0]} is a fused weight of experts, for which there is only lora without dropout",
            "set kind: lora and dropout: 0, or leave it out of targets",
        )
    return layers, weights


def _resolve_patterns(base: Any, path: str, config: Any) -> None:
    """Regular expressions of an adapter's configuration become the names that they fit: peft gives them any time."""
    names = [name for name, _ in base.named_modules() if name]
    where = f"adapter {path}: adapter_config.json"
    for key in ("target_modules", "exclude_modules"):
        if isinstance(value := getattr(config, key, None), str) and value not in PEFT_WORDS:
            setattr(config, key, set(patterns.matching(value, names, f"{where}: {key}", whole=True)))
    for key in ("rank_pattern", "alpha_pattern"):
        value = getattr(config, key, None)
        if isinstance(value, dict) and any(set(str(p)) & set("*+{(") for p in value):
            fit = {p: patterns.matching(rf"(.*\.)?({p})", names, f"{where}: {key}", whole=True) for p in value}
            setattr(config, key, {name: value[p] for p in reversed(value) for name in fit[p]})
    if any(set(str(p)) & set("*+{(") for p in getattr(config, "layers_pattern", None) or ()):
        raise UserError(f"{where}: layers_pattern holds a regular expression", "write the name of the list of layers")


def _pattern(targets: str, model: Any, where: str) -> str | list[str]:
    """peft's own word as it is; the names of all layers that a regular expression fits."""
    if targets in PEFT_WORDS:
        return targets
    names = [name for name, _ in model.named_modules() if name]
    found = sorted(patterns.matching(targets, names, where, whole=True))
    if not found:
        parts = {name.rsplit(".", 1)[-1] for name in names}
        raise UserError(f"{where}: {targets[:60]} fits no layer", nearest(targets[:60], {"all-linear", *parts}))
    return found


def _fits(target: str, name: str) -> bool:
    return name == target or name.endswith(f".{target}")


def adapt(model: Any, adapter: Adapter) -> Any:
    """The model with a fresh adapter; the adapter alone is trained. Raises UserError where a target fits no layer."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    modules, parameters = _targets(model, adapter)
    if adapter.kind == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # the recipe decides that
    if adapter.kind == "osf":
        osf.refuse_layers(adapter, _adapted(model, modules))
        return osf.adapt(model, adapter, modules)
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=modules,
        target_parameters=parameters or None,
        use_dora=adapter.kind == "dora",
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as e:
        raise UserError(f"train.adapter.targets: {first_line(e)}", "all-linear fits every model") from None


def check_start(path: str, adapter: Adapter | None) -> None:
    """UserError where training starts from an adapter that is not the one that the recipe describes."""
    if adapter is None:
        return
    config = _config(path)
    if osf.is_osf(config) and adapter.kind == "osf":
        return osf.check_start(path, config, adapter)
    kind = "dora" if getattr(config, "use_dora", False) else str(getattr(config.peft_type, "value", config.peft_type))
    asked: dict[str, tuple[object, object]] = {
        "kind": (adapter.kind.replace("qlora", "lora"), kind.lower()),
        "rank": (adapter.rank, getattr(config, "r", None)),
        "alpha": (adapter.alpha, getattr(config, "lora_alpha", None)),
    }
    for key, (wanted, found) in asked.items():
        if wanted != found:
            raise UserError(
                f"train.adapter.{key} is {wanted}, the adapter {path} that training starts from has {found}",
                f"set {key}: {found}; an adapter is trained further as it is",
            )


def check_saved(path: str, model: Model | None = None) -> Any:
    """The skeleton of an adapter's base with the adapter on it; None where it cannot be known before loading.

    Raises UserError where base and adapter do not fit each other, or where peft's method cannot be trained or scored.
    """
    config = _config(path)
    base = skeleton(base_of(Path(path)), model)
    if base is None:
        return None
    resize(base, path)
    return _attached(base, path, config, trainable=False, empty=True)


def load_model(path: str, model: Model | None = None, bf16: bool = False, quantized: bool = False) -> Any:
    """The causal language model of a folder or hub id, in fp32, or bf16 for inference; an adapter on its base.

    Raises UserError where the weights are not those of the configuration, are not finite, or see later tokens.
    """
    if is_adapter(path):
        adapted = load_adapted(path, trainable=False, quantized=quantized, model=model)
        return osf.merged(adapted, bf16) if osf.is_osf(_config(path)) else adapted.get_base_model()
    return load_full(path, model, bf16, quantized)


def load_adapted(
    path: str, trainable: bool, quantized: bool = False, model: Model | None = None, bf16: bool = False
) -> Any:
    """An adapter folder on top of its base model, to train it further or to use it. Raises UserError."""
    config = _config(path)
    model = model and model.model_copy(update={"revision": None})  # which is the adapter's
    base = load_full(base_of(Path(path)), model, bf16 and not osf.is_osf(config), quantized)
    resize(base, path)
    return _attached(base, path, config, trainable)


def _config(path: str) -> Any:
    """peft's configuration. Raises UserError for methods that change the input, and for other tasks."""
    from peft import PeftConfig

    read_config(Path(path))
    try:
        config = PeftConfig.from_pretrained(path)
    except Exception as e:
        raise UserError(
            f"adapter {path}: its adapter_config.json is not understood ({first_line(e)})", "copy the file again"
        ) from None
    method = getattr(config.peft_type, "value", config.peft_type)
    if config.is_prompt_learning or method in ("ADAPTION_PROMPT", "CARTRIDGE"):
        raise UserError(
            f"adapter {path}: {method} puts learnt vectors before the tokens; Contextune trains and scores adapters of "
            "layers (LoRA, DoRA, IA3 …)",
            "start from its base model, or from an adapter of layers",
        )
    if getattr(config, "task_type", None) not in (None, "CAUSAL_LM"):
        raise UserError(f"adapter {path}: it was made for {config.task_type}, expected CAUSAL_LM", "give another")
    return config


def _attached(base: Any, path: str, config: Any, trainable: bool, empty: bool = False) -> Any:
    from peft import PeftModel, get_peft_model, get_peft_model_state_dict

    there = shapes(Path(path), WEIGHTS)
    _resolve_patterns(base, path, config)
    try:
        adapted = (
            get_peft_model(base, config, low_cpu_mem_usage=True)
            if empty
            else PeftModel.from_pretrained(base, path, is_trainable=trainable, config=config)
        )
    except Exception as e:
        raise UserError(
            f"adapter {path}: it does not fit its base model {base.name_or_path} ({first_line(e)})", BASE
        ) from None
    expected = {k: tuple(w.shape) for k, w in get_peft_model_state_dict(adapted, save_embedding_layers=False).items()}
    prefix = getattr(adapted.base_model, "prefix", "lora_")
    own = {k for k in there if prefix in k}
    missing, more = sorted(expected.keys() - there.keys()), sorted(own - expected.keys())
    other = sorted(k for k in expected.keys() & there.keys() if expected[k] != there[k])
    for keys, what in ((missing, "missing"), (more, "not in the model"), (other, "of another shape")):
        if keys:
            raise UserError(
                f"adapter {path}: {len(keys)} of its tensors are {what}, with base model {base.name_or_path}: "
                f"{', '.join(keys[:3])}{' …' if len(keys) > 3 else ''}",
                BASE,
            )
    return adapted


BASE = "set base_model_name_or_path in adapter_config.json to the model that it was trained on"


def resize(base: Any, path: str) -> None:
    """Give the base the rows of embeddings that the adapter brings. Raises UserError where it brings only one side."""
    there = shapes(Path(path), WEIGHTS)
    modules = dict(base.named_modules())
    sides = {}
    for side, layer in (("input", base.get_input_embeddings()), ("output", base.get_output_embeddings())):
        name = next((n for n, m in modules.items() if m is layer), "")
        saved = (there.get(f"base_model.model.{name}{k}.weight") for k in ("", ".modules_to_save", ".base_layer"))
        sides[side] = next((s[0] for s in saved if s is not None), None)
    rows = base.get_input_embeddings().weight.shape[0]
    wanted = {n for n in sides.values() if n is not None and n != rows}
    if not wanted:
        return
    tied = base.get_input_embeddings().weight is base.get_output_embeddings().weight
    if len(wanted) > 1 or (None in sides.values() and not tied):
        raise UserError(
            f"adapter {path}: it enlarges the embeddings ({sides['input']} input rows, {sides['output']} output rows, "
            f"base model {rows}) on one side only",
            "save it with both: modules_to_save of the input and the output embeddings",
        )
    base.resize_token_embeddings(wanted.pop(), mean_resizing=False)
