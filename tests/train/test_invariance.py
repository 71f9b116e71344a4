"""What is offered may be combined: every layout x accumulation x adapter x precision x checkpointing, one curve."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from contextune import models
from contextune.models.options import Adapter
from contextune.train.fast_path import FastPath
from contextune.train.layouts import LAYOUTS
from contextune.train.updates import micro_batches

from .shapes import make, update

ROWS = update(1)


def model(adapter: bool, checkpointing: bool = False):
    made = make("llama")
    if adapter:
        torch.manual_seed(1)
        made = models.adapt(made, Adapter(rank=4))
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if "lora_B" in name:  # zero at first: the gradient of A would be zero too
                    parameter.normal_(0, 0.1)
    if checkpointing:
        made.gradient_checkpointing_enable()
    return made.train()


def step(model, engine, layout, tokens, bf16=False):
    """The scale goes into the loss, as the trainer has it; the reference divides behind it."""
    model.zero_grad()
    batches, targets = micro_batches(ROWS, 0, 1, LAYOUTS[layout], tokens, 0)
    total = 0.0
    for batch in batches:
        with engine.around(model, batch):
            with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
                loss = engine.loss(model, batch, 1 / targets) if engine.parts else engine.loss(model, batch) / targets
            loss.backward()
        total += loss.item()
    return total, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).clone()


@pytest.fixture(scope="module")
def reference():
    """One sequence at a time, the plain way, in fp32."""
    return {adapter: step(model(adapter), FastPath(), "single", 1) for adapter in (False, True)}


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointed"])
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("adapter", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("tokens", [70, 10_000], ids=["accumulated", "at_once"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_curve(reference, layout, tokens, adapter, bf16, checkpointing):
    made = model(adapter, checkpointing)
    engine = FastPath.of(made, 96)
    assert engine == FastPath(spans=True, parts=True, last=True)
    loss, gradient = step(made, engine, layout, tokens, bf16)
    expected, slope = reference[adapter]
    # bf16 keeps eight bits of each product
    assert loss == pytest.approx(expected, rel=4e-3 if bf16 else 1e-6)
    assert (gradient - slope).norm() < (4e-2 if bf16 else 2e-6) * slope.norm()


def test_bf16_sums_in_fp32():
    """A loss in parts of one row each is that of all rows at once: what is added up is not rounded in between."""
    from contextune.train import loss

    torch.manual_seed(0)
    hidden, weight = torch.randn(400, 16), torch.randn(50, 16)
    targets = torch.randint(50, (400,))
    found = []
    for logits in (loss.LOGITS, 50):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        before, loss.LOGITS = loss.LOGITS, logits
        try:
            total = loss.LinearCrossEntropy.apply(h, w, None, targets, torch.bfloat16)
        finally:
            loss.LOGITS = before
        total.backward()
        found.append((total.item(), h.grad, w.grad))
    (one, h1, w1), (many, h2, w2) = found
    assert many == pytest.approx(one, rel=1e-6)
    assert torch.equal(h1, h2)
    assert (w1 - w2).norm() < 3e-3 * w1.norm()


@pytest.mark.parametrize("bias", [False, True])
def test_loss_in_parts_is_torchs_cross_entropy(bias):
    from contextune.train import loss

    torch.manual_seed(0)
    values = [torch.randn(30, 8), torch.randn(11, 8), torch.randn(11) if bias else None]
    targets = torch.randint(11, (30,))
    before, loss.LOGITS = loss.LOGITS, 44
    try:
        found = []
        for parts in (True, False):
            h, w, b = (None if v is None else v.clone().requires_grad_() for v in values)
            if parts:
                total = loss.LinearCrossEntropy.apply(h, w, b, targets, torch.float32)
            else:
                total = torch.nn.functional.cross_entropy(torch.nn.functional.linear(h, w, b), targets, reduction="sum")
            (total / 30).backward()
            found.append([total.detach(), *(v.grad for v in (h, w, b) if v is not None)])
    finally:
        loss.LOGITS = before
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_process_without_labels_adds_nothing(dtype):
    """Memory that was never written must not come out as a gradient."""
    from contextune.train.loss import LinearCrossEntropy

    hidden, weight = torch.empty(0, 8, requires_grad=True), torch.randn(5000, 8, requires_grad=True)
    torch.full((5000, 8), float("nan"))  # what the next tensor may find in its place
    loss = LinearCrossEntropy.apply(hidden, weight, None, torch.empty(0, dtype=torch.long), dtype, 0.5)
    loss.backward()
    assert loss.item() == 0
    assert not weight.grad.any()


def test_the_scale_and_what_comes_from_behind_multiply():
    from contextune.train import loss

    torch.manual_seed(0)
    hidden, weight, bias = torch.randn(20, 8), torch.randn(11, 8), torch.randn(11)
    targets, found = torch.randint(11, (20,)), []
    before, loss.LOGITS = loss.LOGITS, 44
    try:
        for scale, behind in ((1.0, 0.06), (0.02, 3.0), (0.06, 1.0)):
            values = [v.clone().requires_grad_() for v in (hidden, weight, bias)]
            (loss.LinearCrossEntropy.apply(*values, targets, torch.float32, scale) * behind).backward()
            found.append([v.grad for v in values])
    finally:
        loss.LOGITS = before
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
