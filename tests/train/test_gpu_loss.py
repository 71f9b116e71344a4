"""The head's loss as a GPU has it: blocks by its memory, fewer passes over the logits, Liger's kernel where it is."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from contextune.core.progress import say_once
from contextune.train import liger, loss
from contextune.train.fast_path import FastPath
from contextune.train.layouts import LAYOUTS

from . import fake_liger
from .shapes import make, update
from .test_shared import fast, plain, same


@pytest.fixture
def as_gpu(monkeypatch):
    """Blocks and passes of a GPU, on this processor."""
    monkeypatch.setattr(loss, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(loss.memory, "free", lambda: 80 << 30)
    monkeypatch.setattr(
        loss, "_product", lambda a, b, scale: torch.addmm(b.new_empty(1, b.shape[1]), a, b, beta=0, alpha=scale)
    )


@pytest.mark.parametrize(
    ("vocabulary", "gib", "rows"),
    [
        (128_256, 40, 2092),  # 2^28 logits
        (32_000, 40, 8388),
        (262_144, 40, 2048),  # never fewer, where memory allows
        (128_256, 8, 1046),  # an eighth of 8 GiB holds 1,046 rows
        (128_256, 2, 261),
        (128_256, 0, 1),
    ],
)
def test_rows_of_a_block(vocabulary, gib, rows, as_gpu, monkeypatch):
    monkeypatch.setattr(loss.memory, "free", lambda: gib << 30)
    found = loss.rows_at_once(vocabulary, torch.empty(1))
    assert found == rows
    assert found == 1 or found * vocabulary * loss.LOGIT <= gib * 2**30 * loss.SHARE


def test_a_processor_keeps_its_blocks():
    assert loss.rows_at_once(128_256, torch.empty(1)) == 65
    assert loss.rows_at_once(2**24, torch.empty(1)) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_fewer_passes_compute_the_same(bias, dtype, as_gpu, monkeypatch):
    """Blocks of eight rows; scaled, as the trainer has it."""
    torch.manual_seed(0)
    values = [torch.randn(30, 8), torch.randn(11, 8), torch.randn(11) if bias else None]
    targets = torch.randint(11, (30,))
    monkeypatch.setattr(loss, "rows_at_once", lambda vocabulary, hidden: 8)
    h, w, b = (None if v is None else v.clone().requires_grad_() for v in values)
    ours = loss.LinearCrossEntropy.apply(h, w, b, targets, dtype, 1 / 30)
    (ours * 3).backward()
    leaves = [v.clone().requires_grad_() for v in values if v is not None]
    plain = F.cross_entropy(F.linear(*leaves), targets)
    (plain * 3).backward()
    near = 1e-5 if dtype == torch.float32 else 2e-2
    assert ours.item() == pytest.approx(plain.item(), rel=near)
    for a, leaf in zip((h, w, b), leaves, strict=False):
        assert (a.grad - leaf.grad).norm() < near * leaf.grad.norm()


def test_bf16_is_rounded_no_more_than_before(as_gpu, monkeypatch):
    """Of 400 rows, against fp32: the gradients of few passes are as near as those of the processor's way."""
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(400, 32), torch.randn(500, 32), torch.randint(500, (400,))
    off = {}
    for name, block in (("exact", None), ("before", loss._in_place), ("now", loss._fewest_passes)):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        if block is not None:
            monkeypatch.setattr(loss, "_fewest_passes", block)
        kind = torch.float32 if block is None else torch.bfloat16
        loss.LinearCrossEntropy.apply(h, w, None, targets, kind, 1 / 400).backward()
        off[name] = torch.cat([h.grad.flatten(), w.grad.flatten()])
    far = {k: float((v - off["exact"]).norm()) for k, v in off.items()}
    assert 0 < far["now"] < 1.1 * far["before"]


def test_a_process_without_labels_adds_nothing(as_gpu, monkeypatch):
    fake_liger.install(monkeypatch)
    model = make("llama")
    (batch,) = LAYOUTS["padded"](update()[:1], 10_000, 0)
    none = torch.empty(0, dtype=torch.long)
    empty = type(batch)(batch.input_ids[:1, :1], None, none, none)
    FastPath(parts=True).loss(model, empty, 0.5).backward()
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma"])
def test_ligers_loss_is_that_of_transformers(name, monkeypatch):
    fake_liger.install(monkeypatch)
    model, rows = make(name), update()
    expected = plain(model, rows)
    same(fast(model, rows, FastPath(spans=True, parts=True, last=True)), expected, 2e-6)
    assert len(fake_liger.Fused.blocks) > 1, "one trial, then the batches"


def test_ligers_blocks_are_as_large_as_ours(monkeypatch):
    """By default 512 rows of a vocabulary of 128,256 at width 2,048, and the weight's gradient 63 times moved."""
    meta = lambda *shape: torch.empty(*shape, device="meta")  # noqa: E731
    hidden, weight = meta(32_128, 2048), meta(128_256, 2048)
    budget = liger._budget(hidden, weight, 2092)
    times = -(-128_256 // (budget * 2048))
    assert budget == 5
    assert 1 << (-(-32_128 // times) - 1).bit_length() >= 2048
    assert liger._budget(meta(100, 2048), weight, 2092) == 63, "few rows stand in one block"


class Half(fake_liger.Fused):
    @staticmethod
    def backward(ctx, grad, *rest):
        return fake_liger.Fused.backward(ctx, grad * 0.9, *rest)


class Fails(fake_liger.Fused):
    @staticmethod
    def forward(ctx, _input, weight, target, bias=None):
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")


@pytest.mark.parametrize(("wrong", "said"), [(Half, "off by 10"), (Fails, "Failed to find C compiler")])
def test_a_kernel_that_fails_or_is_wrong_is_not_taken(wrong, said, monkeypatch, caplog):
    say_once.cache_clear()
    fake_liger.install(monkeypatch, wrong)
    model, rows = make("llama"), update()
    expected = plain(model, rows)
    same(fast(model, rows, FastPath(parts=True), LAYOUTS["padded"]), expected, 2e-6)
    (message,) = caplog.messages
    assert said in message
    assert "the head's loss is made in parts by torch" in message


def test_a_head_that_is_trained_alone_gets_its_gradient(monkeypatch):
    fake_liger.install(monkeypatch)
    hidden, weight = torch.randn(5, 8), torch.randn(11, 8, requires_grad=True)
    assert liger.linear_cross_entropy(hidden, weight, None, torch.arange(5), 4) is None


@pytest.mark.gpu
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_on_a_gpu_the_loss_in_parts_is_torchs(bf16, monkeypatch):
    """With Liger where it is installed, and without."""
    torch.manual_seed(0)
    hidden, weight = torch.randn(5000, 64).cuda(), torch.randn(3000, 64).mul(0.3).cuda()
    targets = torch.randint(3000, (5000,)).cuda()
    h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    F.cross_entropy(F.linear(h, w), targets).backward()
    for kernel in ("ours", "liger"):
        a, b = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        with torch.autocast("cuda", torch.bfloat16, enabled=bf16):
            if kernel == "ours":
                kind = torch.bfloat16 if bf16 else torch.float32
                found = loss.LinearCrossEntropy.apply(a, b, None, targets, kind, 1 / 5000)
            else:
                found = liger.linear_cross_entropy(a, b, None, targets, 2048)
                if found is None:
                    continue
                found = found / 5000
        found.backward()
        for x, y in ((a, h), (b, w)):
            assert (x.grad - y.grad).norm() < (2e-2 if bf16 else 1e-5) * y.grad.norm()
