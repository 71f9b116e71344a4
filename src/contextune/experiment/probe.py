"""What a token costs on this machine, in seconds: a few hundred tokens forward and backward.

A small model is tried whole. Of a large one, whose weights may not even be there, a model of the same shapes with its
first layers alone is, and what it takes is scaled by multiplications: those of a layer times their number, and the
head's at the positions that are predicted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from contextune import models
from contextune.core.sequence import Rendered
from contextune.train.options import Train

from .prepare import Prepared

WHOLE = 200_000_000
"""Parameters up to which a model is tried whole."""
PART = 100_000_000
"""Parameters of the layers that are tried of a larger one; at least one layer."""
SHORT = 30_000_000
"""Parameters of the layers that passes over given tokens are timed on; what a model writes asks for all of them."""
PIECE = 256
"""Tokens of the first piece that is measured."""
PATIENCE = 1.5
"""Seconds for one measurement."""
FEW = 32
"""Tokens of a pass that costs little but its start."""


@dataclass
class Probe:
    """A model that is tried, and the whole one in multiplications a token."""

    model: Any
    layers: float
    """Parameters of all layers of the whole model, and `head` of its head."""
    head: float
    attention: float
    """What one more token in the context adds to `layers`: L h (causal)."""
    share: float = 1.0
    """The part of the layers that is tried."""
    opening: float = 0.0
    """Seconds to load the whole model."""
    trained: dict[str, Rates] = field(default_factory=dict)

    def work(self, tokens: float, length: float, predicted: float) -> float:
        """Multiplications of the whole model for tokens in rows of this length, some of which are predicted."""
        return tokens * (self.layers + self.attention * length) + predicted * self.head

    def tried(self, tokens: float, length: float, predicted: float) -> float:
        """Those of the part that is tried."""
        return self.share * tokens * (self.layers + self.attention * length) + predicted * self.head

    @property
    def scale(self) -> float:
        """Seconds of the whole for each of the part, where one token is read for each that is predicted."""
        return self.work(1, 0, 0.25) / self.tried(1, 0, 0.25)


@dataclass(frozen=True)
class Rates:
    """Seconds of a multiplication (forward and backward), of an optimizer's step, of a pass that computes little."""

    work: float
    step: float
    start: float


def open_probe(prepared: Prepared) -> Probe:
    """The model that is tried, on the device that trains, in evaluation mode."""
    from .scoring import open_for_scoring

    plain = prepared.config.get("text_config") or prepared.config
    width, layers = int(plain.get("hidden_size") or 0), int(plain.get("num_hidden_layers") or 1)
    head = float(width * int(plain.get("vocab_size") or 0))
    tables = head * (1 if plain.get("tie_word_embeddings", prepared.config.get("tie_word_embeddings")) else 2)
    own = max(prepared.parameters - tables, prepared.parameters / 10)
    began = time.perf_counter()
    if prepared.parameters <= WHOLE and models.has_weights(prepared.model):
        model = open_for_scoring(prepared.recipe.model, prepared.model)
        if prepared.parameters < models.SMALL:  # most of the first time is spent on imports
            began = time.perf_counter()
            model = open_for_scoring(prepared.recipe.model, prepared.model)
        return Probe(model, own, head, layers * width, opening=time.perf_counter() - began)
    few = max(1, min(layers, int(PART * layers / own)))
    model = _part(prepared, few)
    return Probe(model, own, head, layers * width, few / layers, prepared.parameters * 4 / DISK)


DISK = 1e9
"""Bytes a second at which large weights are taken to be read."""


def _part(prepared: Prepared, layers: int) -> Any:
    """Random weights: what is computed has no effect on how long it takes."""
    import torch
    from transformers import AutoModelForCausalLM

    from contextune.train.memory import config_of, shallow

    remote = prepared.recipe.model.trust_remote_code
    config = shallow(config_of(prepared.model, prepared.recipe.model), layers)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=remote)
    model = model.to_empty(device=device)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.fill_(0.01)
    model.tie_weights()
    return model.eval()


@contextmanager
def shortened(probe: Probe) -> Iterator[None]:
    """Within: of a model that is tried whole its first layers alone, scaled as those of a large one are."""
    import torch

    found = [
        (module, name, child)
        for module in (probe.model.modules() if probe.model is not None and probe.share == 1 else ())
        for name, child in module.named_children()
        if isinstance(child, torch.nn.ModuleList)
        and len(child) == probe.model.config.get_text_config().num_hidden_layers
    ]
    few = max(2, math.ceil(len(found[0][2]) * SHORT / probe.layers)) if len(found) == 1 else 0
    if not few or few >= len(found[0][2]):
        yield
        return
    module, name, layers = found[0]
    setattr(module, name, layers[:few])
    probe.share = few / len(layers)
    try:
        yield
    finally:
        setattr(module, name, layers)
        probe.share = 1.0


def training_rates(probe: Probe, prepared: Prepared, train: Train, rows: Seq[Rendered]) -> Rates:
    """What training in this way takes; measured once for stages that train alike. `rows` are some of one stage."""
    how = f"{train.model_dump(exclude={'steps', 'epochs', 'lr', 'save', 'schedule', 'warmup', 'batch'})}"
    if how not in probe.trained:
        with models.threads(train.threads, prepared.parameters):
            probe.trained[how] = _measured(probe, prepared, train, rows)
    return probe.trained[how]


def _measured(probe: Probe, prepared: Prepared, train: Train, rows: Seq[Rendered]) -> Rates:
    from contextune.train.layouts import PADDED
    from contextune.train.precision import wants_bf16

    asked = [p.requires_grad for p in probe.model.parameters()]
    model = probe.model
    fresh = train.adapter is not None and not hasattr(model, "peft_config")
    if fresh:
        assert train.adapter is not None
        plain = train.adapter.model_copy(update={"kind": train.adapter.kind.replace("qlora", "lora")})
        model = models.adapt(model, plain)
    elif not hasattr(model, "peft_config"):
        model.requires_grad_(True)
    if train.recomputes:
        model.gradient_checkpointing_enable()
    pad = prepared.tokenizer.pad_token_id or 0

    def batch(of: Seq[Rendered]) -> Any:
        return PADDED(of, 1 << 30, pad)[0]

    go = _passes(model, wants_bf16(train.precision, prepared.parameters))
    longest = max(rows, key=len)
    try:
        go([batch([_short(longest, FEW)])])
        start = go([batch([_short(longest, FEW)])])
        piece: list[Rendered] = []
        for row in sorted(rows, key=len, reverse=True):
            if piece and sum(map(len, piece)) + len(row) > PIECE:
                break
            piece.append(_short(row, PIECE))
        some = batch(piece)
        rate = min(go([some]), go([some])) / _of_batch(probe.tried, some)
        whole = batch(rows)
        if whole.input_ids.numel() > some.input_ids.numel() and rate * _of_batch(probe.tried, whole) < PATIENCE / 2:
            rate = min(go([whole]), go([whole])) / _of_batch(probe.tried, whole)
        step = _step(model)
    finally:
        model.zero_grad(set_to_none=True)
        if train.recomputes:
            model.gradient_checkpointing_disable()
        if fresh:
            probe.model = model.unload()
        for p, wanted in zip(probe.model.parameters(), asked, strict=True):
            p.requires_grad_(wanted)
        probe.model.eval()
    grown = (probe.layers + probe.head) / (probe.share * probe.layers + probe.head)
    return Rates(rate, step * grown, start * grown)


def _of_batch(work: Callable[[float, float, float], float], batch: Any) -> float:
    positions = batch.position_ids  # of rows that stand one behind the other, each has its own
    length = batch.input_ids.shape[1] if positions is None else int(positions.max()) + 1
    return work(batch.input_ids.numel(), length, len(batch.targets))


def update_work(probe: Probe, batches: Seq[Any]) -> float:
    """Multiplications of an update's micro-batches."""
    return sum(_of_batch(probe.work, b) for b in batches)


def _short(row: Rendered, most: int) -> Rendered:
    """A row's last tokens, which are trained on."""
    return replace(row, ids=row.ids[-most:], labels=row.labels[-most:])


def _passes(model: Any, bf16: bool) -> Callable[[Seq[Any]], float]:
    """Seconds of the forward and backward passes of some micro-batches."""
    import torch

    from contextune.train.fast_path import FastPath
    from contextune.train.memory import logits_are_changed

    engine, device = FastPath(parts=not logits_are_changed(model.config)), model.device

    def go(batches: Seq[Any]) -> float:
        began = time.perf_counter()
        model.train()
        for batch in (b.to(device) for b in batches):
            with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
                loss = engine.loss(model, batch, 1e-3)
            loss.backward()
        wait()
        return time.perf_counter() - began

    return go


def _step(model: Any) -> float:
    """Seconds of clipping, one optimizer's step and clearing, after a step that makes the states; weights stay."""
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0, fused=True)
    seconds = 0.0
    for _ in range(2):
        for p in trained:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        began = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        seconds = time.perf_counter() - began
    wait()
    return seconds


def wait() -> None:
    """A GPU works on after a call returns."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
