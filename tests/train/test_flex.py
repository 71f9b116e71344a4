"""One kernel for a row of spans, as GPUs have it: here in plain torch, which is the same computation, not compiled."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import flex_attention as library

from contextune.train import attention
from contextune.train import flex_attention as flex
from contextune.train.fast_path import FastPath
from contextune.train.in_turn import in_turn
from contextune.train.layouts import SHARED
from contextune.train.spans import Span

from .shapes import make, update
from .test_shared import EXACT, fast, plain, same


@pytest.fixture
def kernel(monkeypatch):
    """Its calls. The library refuses gradients on a CPU for want of a kernel only: that check is taken away."""
    calls = []

    def eager(query, key, value, **options):
        calls.append(query.shape)
        return library.flex_attention(query, key, value, **options)

    monkeypatch.setattr(library, "_validate_device", lambda *tensors: None)
    monkeypatch.setattr(flex, "compiled", lambda: eager)
    monkeypatch.setitem(attention.KERNELS, "cpu", flex.one_kernel)
    monkeypatch.setattr(attention, "NARROW", 1)
    return calls


def seen_by(spans):
    """The mask of a row, a line a query."""
    mask = flex.seen(spans, torch.device("cpu"))
    n = sum(map(len, spans))
    at = torch.arange(n)
    zero = torch.zeros((), dtype=torch.int)
    return ["".join(".x"[int(mask.mask_mod(zero, zero, q, k))] for k in at) for q in at]


def test_what_a_token_sees():
    assert seen_by((Span(2, (1, 2)), Span(2))) == [
        "x......",
        "xx.....",
        "xxx....",
        "xx.x...",
        "xx.xx..",
        ".....x.",
        ".....xx",
    ]


def test_blocks_that_nobody_sees_are_left_out():
    sparse = flex.seen((Span(512), Span(512)), torch.device("cpu"))
    assert sparse.sparsity() > 60


@pytest.mark.parametrize("name", EXACT)
def test_loss_and_gradients_are_those_of_one_sequence_at_a_time(name, kernel):
    model, rows = make(name), update()
    expected = plain(model, rows)
    assert not kernel
    same(fast(model, rows, FastPath(spans=True), SHARED), expected, 2e-6)
    assert kernel
    assert all(shape[0] == 1 for shape in kernel)


def test_queries_that_a_norm_left_in_fp32(kernel):
    q, k = torch.randn(1, 4, 6, 16), torch.randn(1, 2, 6, 16)
    v = torch.randn(1, 2, 6, 16, dtype=torch.bfloat16)
    assert flex.one_kernel(q, k, v, (Span(3, (1, 2)),), None).dtype == torch.bfloat16


@pytest.mark.parametrize("why", ["dropout", "narrow heads"])
def test_what_the_kernel_cannot_is_done_in_turn(why, kernel, monkeypatch):
    monkeypatch.setattr(attention, "NARROW", 17 if why == "narrow heads" else 16)
    q = torch.randn(1, 2, 6, 16)
    module = torch.nn.Identity()
    options = {"dropout": 0.5 if why == "dropout" else 0.0, "spans": (Span(3, (1, 2)),)}
    out, _ = attention.attend(module, q, q, q, None, **options)
    assert out.shape == (1, 6, 2, 16)
    assert not kernel


@pytest.mark.slow
def test_compiled_once_for_all_rows():
    """Forward alone, as a CPU can: the kernel is not compiled anew for each row's own mask."""
    from torch._dynamo.utils import counters

    counters.clear()
    with torch.no_grad():
        for n in range(20, 100, 8):
            spans = (Span(n, (7, n // 2)), Span(n // 3))
            q, k = torch.randn(1, 4, sum(map(len, spans)), 16), torch.randn(1, 2, sum(map(len, spans)), 16)
            found = flex.one_kernel(q, k, k, spans, None)
            torch.testing.assert_close(found, in_turn(q, k, k, spans, None, 0.0))
    assert counters["stats"]["unique_graphs"] < 5  # of ten rows: one of fixed sizes, then one block or several
