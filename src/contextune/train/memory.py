"""How much memory training takes, and how many tokens fit at once, before anything is loaded.

A model's own forward and backward pass are run on fake tensors, which have shapes, types and lifetimes but no numbers:
what stands in memory at the same time is counted, and next to no memory or time is taken. Peak memory is linear in the
tokens computed at once, so two lengths give it for all.
"""

from __future__ import annotations

import copy
import logging
import math
import os
import weakref
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from contextune import models
from contextune.models import frozen
from contextune.models.options import Adapter, Model
from contextune.models.resolve import base_of
from contextune.train.options import AT_ONCE, Train

from .attention import Unsupported, attending
from .fast_path import FastPath
from .launch import sharded
from .layouts import Batch
from .loss import LOGITS, workspace
from .optimizer import state_bytes, step_bytes
from .precision import wants_bf16

SHORT = 16
"""Tokens of the shorter of the two rows whose memory is counted."""
LONG = 1024
"""Tokens that an update is taken to hold, however short its rows."""
MARGIN, RESERVE = 1.1, 256 << 20
"""What allocators and kernels take beside the tensors: a factor (measured: 0.95 to 1.05 on a CPU), and bytes."""


@dataclass(frozen=True)
class Footprint:
    """A model in training: sizes in parameters, memory in bytes."""

    parameters: int
    trainable: int
    fixed: int
    """Weights, gradients and optimizer states, and what is needed once beside them."""
    token: float
    """What each token computed at once adds."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Of `fixed`: weights, gradients, optimizer."""
    least: int = 0
    """What the peak is at least, however few tokens: where a trained head's gradient is made."""

    def peak(self, tokens: int) -> int:
        """What is expected with that many tokens at once, without a margin."""
        return round(max(self.least, self.fixed + self.token * tokens))

    def need(self, tokens: int) -> int:
        """Peak with that many tokens at once."""
        return round(self.peak(tokens) * MARGIN) + RESERVE

    def fits(self, free: int) -> int:
        """Tokens at once that `free` bytes hold; 0 or less where not even the model fits."""
        room = (free - RESERVE) / MARGIN
        return int((room - self.fixed) // max(self.token, 1e-9)) if room >= self.least else 0

    def at_once(self, free: int, most: int = AT_ONCE) -> int:
        """The largest power of two of tokens, up to `most`, that fits."""
        room = self.fits(free)
        return min(most, 1 << (room.bit_length() - 1)) if room > 0 else 0


def footprint(start: str, model: Model | None, train: Train, longest: int, gpu: bool = False) -> Footprint:
    """The footprint of a folder or hub id trained on rows of up to `longest` tokens.

    `gpu`: on a GPU that is not here.
    """
    found = _counted(
        start, model, train.adapter, train.precision, train.recomputes, max(longest, 4 * SHORT), gpu
    )  # fmt: skip
    count = sum(map(math.prod, found.trained))
    here = {"weights": found.weights, "gradients": count * 4, "optimizer": state_bytes(train.optimizer, found.trained)}
    on_cpu = not (gpu or torch.cuda.is_available())
    # not at the same time as the tokens of an update
    after = 2 * found.size * 4 if train.weight_interpolation < 1 and on_cpu else 0
    after = max(after, step_bytes(train.optimizer, found.trained))
    buckets = count * 4 if int(os.environ.get("WORLD_SIZE", 1)) > 1 else 0
    fixed = sum(here.values()) + max(found.low, after) + buckets
    return Footprint(found.size, count, fixed, found.token, here, sum(here.values()) + found.least + buckets)


@dataclass(frozen=True)
class _Counted:
    """What no optimizer changes: parameters, shapes of the trained ones, bytes of weights, of a pass, of a token."""

    size: int
    trained: tuple[tuple[int, ...], ...]
    weights: int
    low: int
    token: float
    least: int = 0


@lru_cache(maxsize=64)
def _counted(
    start: str,
    source: Model | None,
    adapter: Adapter | None,
    precision: str,
    checkpointing: bool,
    longest: int,
    gpu: bool,
) -> _Counted:
    config = config_of(start, source)
    quantized = adapter is not None and adapter.kind == "qlora"
    try:
        model = weightless(config, source, adapter)
        size = sum(p.numel() for p in model.parameters())
        bf16, parts = wants_bf16(precision, size, gpu), not logits_are_changed(config)
        halved = bf16 and adapter is not None and not quantized and not sharded()
        if halved:
            frozen.halve(model)
        weights = sum(p.numel() * p.element_size() for p in model.parameters())
        trained = tuple(tuple(p.shape) for p in model.parameters() if p.requires_grad)
        low, token, least = _by_depth(config, source, adapter, model, checkpointing, bf16, parts, longest, halved)
        on_gpu = gpu or torch.cuda.is_available()
        block = workspace(config.get_text_config().vocab_size) if parts and on_gpu else 0
        low, least = low + block, least + block
    except Exception as e:  # an architecture that fake tensors do not carry
        logging.getLogger(__name__).info("memory by formula: %r", e)
        size = models.parameters(config.to_dict())
        trained, weights = ((size,),), size * 4
        low, token, least = 0, by_formula(config.to_dict()), 0
    if quantized:
        weights = _four_bits(size, sum(map(math.prod, trained)))
    return _Counted(size, trained, weights, low, token, least)


DEPTHS = (2, 4)
"""Layers of the two shallow models whose memory is counted in the place of a deep one's."""


def _by_depth(
    config: Any,
    source: Model | None,
    adapter: Adapter | None,
    model: Any,
    checkpointing: bool,
    bf16: bool,
    parts: bool,
    longest: int,
    halved: bool = False,
) -> tuple[int, float, int]:
    """(bytes beside those of each token, bytes a token, bytes at least) of `model`.

    Where every layer is as large as every other, memory is linear in their number too: two shallow models give it.
    """

    def line(made: Any) -> tuple[int, float, int]:
        if checkpointing:
            made.activation_checkpointing_enable()
        with FakeTensorMode():
            _to_fake(made, "cuda" if torch.cuda.is_available() else "cpu")
            # on fake tensors the loss takes a CPU's blocks, on every device
            block = LOGITS // max(1, int(config.get_text_config().vocab_size)) if parts else 0
            return _attended(made, partial(_peak, made, bf16, parts), longest, block)

    layers, (few, more) = depth(config), DEPTHS
    if layers <= 2 * more:
        return line(model)
    shallow_ones = [weightless(shallow(config, n), source, adapter) for n in DEPTHS]
    for made in shallow_ones if halved else ():
        frozen.halve(made)
    low, high = (sum(p.numel() for p in m.parameters()) for m in shallow_ones)
    if sum(p.numel() for p in model.parameters()) - low != (layers - few) * (high - low) // (more - few):
        return line(model)  # its layers differ
    (fixed, token, least), (fixed_more, token_more, least_more) = map(line, shallow_ones)
    steps = (layers - few) / (more - few)
    return (
        round(fixed + steps * (fixed_more - fixed)), token + steps * (token_more - token),
        round(least + steps * (least_more - least)),
    )  # fmt: skip


def depth(config: Any) -> int:
    """Layers of a model; 0 where its configuration calls them otherwise."""
    return int(getattr(config.get_text_config(), "num_hidden_layers", 0) or 0)


def shallow(config: Any, layers: int) -> Any:
    """A configuration of the same shapes with the first layers alone."""
    made = copy.deepcopy(config)
    text = made.get_text_config()
    text.num_hidden_layers = layers
    if isinstance(getattr(text, "layer_types", None), list):
        text.layer_types = text.layer_types[:layers]
    return made


def weightless(config: Any, source: Model | None, adapter: Adapter | None) -> Any:
    """The model of a configuration with its adapter, on the meta device: shapes only."""
    from transformers import AutoModelForCausalLM

    remote = source.trust_remote_code if source is not None else False
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=remote)
        if adapter is not None:
            model = models.adapt(model, adapter.model_copy(update={"kind": adapter.kind.replace("qlora", "lora")}))
    model.config.use_cache = False
    return model.train()


@lru_cache(maxsize=64)
def adapter_size(start: str, source: Model | None, adapter: Adapter) -> int:
    """Parameters that a fresh adapter adds."""
    model = weightless(config_of(start, source), source, adapter)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _to_fake(model: Any, device: str) -> None:
    """Within a FakeTensorMode: its tensors as if they were on a device; tied ones stay tied."""
    kept: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, old in tensors.items():
                if old is None:
                    continue
                if id(old) not in kept:
                    new = torch.empty(old.shape, dtype=old.dtype, device=device)
                    kept[id(old)] = torch.nn.Parameter(new, old.requires_grad) if tensors is module._parameters else new
                tensors[name] = kept[id(old)]


def _line(
    peak: Callable[..., tuple[int, int]], longest: int, block: int, linear: bool = True
) -> tuple[int, float, int]:
    """(bytes beside those of each token, bytes a token, bytes at least).

    A peak is the highest of several lines: of few tokens it lies where a trained head's gradient is made, of many where
    activations stand. `block`: tokens whose logits stand at once; beyond so many they grow no more. `linear`: whether
    attention of a row longer than `longest` costs no more a token.
    """
    least, operations = peak(SHORT)
    _, twice = peak(2 * SHORT, forward_only=True)
    few, many = SHORT, longest
    if twice != operations:  # token by token, of which a long row would take too many
        many = 4 * SHORT
    elif block < max(longest, LONG if linear else 0):
        few = max(longest, LONG, 2 * block) if linear else max(SHORT, 2 * block)
        many = 2 * few if linear else max(longest, 2 * few)
    short, _ = (least, 0) if few == SHORT else peak(few)
    long, _ = peak(many)
    token = max(0.0, (long - short) / (many - few))
    return max(0, round(short - token * few)), token, least


def _peak(model: Any, bf16: bool, parts: bool, width: int, forward_only: bool = False) -> tuple[int, int]:
    """Peak bytes beside the weights and gradients of one row, and how many operations its forward pass took."""
    for p in model.parameters():
        p.grad = torch.zeros_like(p) if p.requires_grad else None
    device = next(model.parameters()).device
    ids = torch.zeros((1, width), dtype=torch.long, device=device)
    batch = Batch(ids, None, torch.arange(width, device=device), ids[0])
    cast = torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()
    with Live(model) as live:
        with cast:
            loss = FastPath(parts=parts).loss(model, batch, 1.0)
        operations = live.operations
        if not forward_only:
            loss.backward()
    return live.peak, operations


def _attended(model: Any, count: Callable[..., tuple[int, int]], longest: int, block: int) -> tuple[int, float, int]:
    """With a causal kernel, as it is trained; where the model's attention is another one, with its own."""
    try:
        with attending(model):  # its own would make a mask, since transformers takes fake tensors for tracing
            return _line(count, longest, block)
    except Unsupported:
        return _line(count, longest, block, linear=False)


class Live(TorchDispatchMode):
    """Counts the bytes of tensors that stand at the same time, beside a model's own."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.now = self.peak = self.operations = 0
        own = [*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters() if p.grad is not None)]
        self.sizes = {t.untyped_storage()._cdata: 0 for t in own}

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = operation(*args, **(kwargs or {}))
        self.operations += 1
        for tensor in tree_iter(made):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self.sizes:
            return
        self.sizes[key] = storage.nbytes()
        self.now += self.sizes[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now -= self.sizes.pop(key)


def by_formula(config: Mapping[str, Any]) -> float:
    """Bytes a token, as decoders of the Llama kind take them in fp32; measured on SmolLM2 and rounded up."""
    plain = config.get("text_config") or config
    width, layers = int(plain.get("hidden_size") or 0), int(plain.get("num_hidden_layers") or 0)
    return 4.0 * layers * (12 * width + 4 * int(plain.get("intermediate_size") or 4 * width))


def _four_bits(size: int, trained: int) -> int:
    """What is trained in fp32, the rest in half a byte a parameter with its scales."""
    return trained * 4 + (size - trained) * 5 // 8


def config_of(start: str, source: Model | None) -> Any:
    """The configuration of a folder or hub id; of an adapter's folder that of its base."""
    from transformers import AutoConfig

    if models.is_adapter(start):
        start = base_of(Path(start))
    remote = {"trust_remote_code": source.trust_remote_code, "revision": source.revision} if source is not None else {}
    return AutoConfig.from_pretrained(start, **remote)


def logits_are_changed(config: Any) -> bool:
    """Whether a configuration scales or caps the head's output, so that the logits stand whole."""
    plain = config.get_text_config().to_dict()
    return any("logit" in key and value not in (None, 0, 1) for key, value in plain.items())
