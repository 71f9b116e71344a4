"""What launchers and accelerate's variables may decide (processes, sharding), and what the recipe decides alone."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from contextune.core.errors import UserError

from .options import Train

SHARDING = {"FSDP": "ACCELERATE_USE_FSDP", "DeepSpeed": "ACCELERATE_USE_DEEPSPEED"}
UNKNOWN = ("ACCELERATE_USE_MEGATRON_LM", "ACCELERATE_USE_SAGEMAKER", "ACCELERATE_USE_PARALLELISM_CONFIG")
"""Ways of running that Contextune does not know."""
DECIDED = ("ACCELERATE_MIXED_PRECISION", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "ACCELERATE_GRADIENT_CLIPPING")
"""Set by launch flags and default_config.yaml, but train.precision, train.tokens and train.clip decide."""
COMPILE = "ACCELERATE_DYNAMO_"
TF32 = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")


@atexit.register
def leave() -> None:
    """Take down the process group before the interpreter goes: left to itself, a thread of gloo now and then aborts."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def is_set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in ("1", "true", "yes", "y", "on", "t")


def sharded() -> bool:
    """Whether a launcher asks for FSDP or DeepSpeed."""
    return any(is_set(key) for key in SHARDING.values())


@contextmanager
def recipe_decides(options: Train, bf16: bool) -> Iterator[None]:
    """Within: what accelerate's variables say of precision, accumulation, clipping and compilation does not count.

    DeepSpeed reads them later too, so there they must agree with the recipe. Raises UserError that names both.
    """
    for name in UNKNOWN:
        if is_set(name):
            raise UserError(f"{name} is set, which Contextune cannot train with", f"unset {name}")
    if options.precision == "fp32" and torch.cuda.is_available():
        for name in filter(is_set, TF32):
            raise UserError(
                f"train.precision is fp32, and {name}=1 makes products of fp32 less precise", f"unset {name}"
            )
    if is_set(SHARDING["DeepSpeed"]):
        _agree(options, bf16)
        yield
        return
    hidden = {k: v for k, v in os.environ.items() if k in DECIDED or k.startswith(COMPILE)}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def _agree(options: Train, bf16: bool) -> None:
    steps, clip = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "ACCELERATE_GRADIENT_CLIPPING"
    said = {name: os.environ.get(name) for name in DECIDED}
    precision = "bf16" if bf16 else "no"
    for name, key, recipe, wrong in (
        (DECIDED[0], "train.precision", options.precision, said[DECIDED[0]] not in (None, precision)),
        (steps, "train.tokens", "what cuts an update", said[steps] not in (None, "1", "auto")),
        (clip, "train.clip", options.clip, said[clip] not in (None, "auto") and _number(said[clip]) != options.clip),
    ):
        if wrong:
            raise UserError(
                f"{name} is {said[name]} (accelerate's configuration), {key} is {recipe}; DeepSpeed needs both alike",
                f"set them alike, or leave {name} out",
            )


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def refuse_unsharded(trainer: Any) -> None:
    """accelerate passes over FSDP and DeepSpeed where there is no GPU, and copies the model to every process."""
    there = {"FSDP": trainer.is_fsdp_enabled, "DeepSpeed": trainer.is_deepspeed_enabled}
    for name, key in SHARDING.items():
        if is_set(key) and not there[name]:
            raise UserError(
                f"{name} was asked of accelerate, which shards a model on GPUs only; this is a CPU"
                if not torch.cuda.is_available()
                else f"{key} is set, but accelerate did not take up {name}",
                "launch with accelerate/ddp_cpu2.yaml, or torchrun --nproc-per-node 2",
            )
