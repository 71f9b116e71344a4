"""Attention by kind of row, as a GPU has it: exact with any kernel that keeps to the interface, refused with others."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from contextune.train import attention, gpu_attention, varlen_kernels
from contextune.train.fast_path import FastPath
from contextune.train.in_turn import in_turn
from contextune.train.layouts import LAYOUTS, SHARED
from contextune.train.spans import Span
from contextune.train.varlen import Cuts, over_spans, parts_of

from .kernels import Reference
from .shapes import make, update
from .test_shared import EXACT, fast, plain, same

ROWS = {
    "lone": (Span(5), Span(9), Span(1)),
    "one tail": (Span(6, (4,)),),
    "tails": (Span(7, (3, 1, 5)), Span(4), Span(2, (2, 2)), Span(9)),
    "long": (Span(130, (40, 3)), Span(70)),
}


@pytest.fixture
def kernel(monkeypatch):
    """Chosen for every model on the CPU, as the only one that a machine has."""
    found = Reference()
    monkeypatch.setattr(varlen_kernels, "KERNELS", {"reference": lambda: found})
    monkeypatch.setitem(attention.KERNELS, "cpu", gpu_attention.by_kind)
    monkeypatch.setattr(attention, "NARROW", 1)
    varlen_kernels._chosen.cache_clear()
    yield found
    varlen_kernels._chosen.cache_clear()


def computed(spans, how, heads=(4, 2), width=8):
    """Outputs and the gradients at queries, keys and values."""
    torch.manual_seed(0)
    length = sum(map(len, spans))
    given = [torch.randn(1, h, length, width, requires_grad=True) for h in (heads[0], heads[1], heads[1])]
    slope = torch.randn(1, heads[0], length, width)
    out = how(*given)
    out.backward(slope)
    return [out.detach(), *(x.grad for x in given)]


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("heads", [(4, 2), (3, 3), (4, 1)], ids=str)
@pytest.mark.parametrize("spans", ROWS.values(), ids=ROWS)
def test_two_calls_joined_are_one_softmax(spans, heads, scale):
    ours = computed(spans, lambda q, k, v: over_spans(q, k, v, spans, scale, Reference()), heads)
    plain = computed(spans, lambda q, k, v: in_turn(q, k, v, spans, scale, 0.0), heads)
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_parts_of_a_row():
    found = parts_of((Span(3, (2, 2)), Span(4), Span(2, (1,))), torch.device("cpu"))
    assert found.each.at.tolist() == [0, 3, 5, 7, 11, 13, 14]
    assert found.head.tolist() == [0, 1, 2, 11, 12]
    assert found.tail.tolist() == [3, 4, 5, 6, 13]
    assert (found.heads.at.tolist(), found.heads.longest) == ([0, 3, 5], 3)
    assert (found.tails.at.tolist(), found.tails.longest) == ([0, 4, 5], 4)


def test_no_token_is_computed_twice():
    """Of 800 shared tokens and 8 tails of 90: 1,520 queries in the first call, 720 over 800 keys in the second."""
    counter, spans = Reference(), (Span(80, (9,) * 8),)
    computed(spans, lambda q, k, v: over_spans(q, k, v, spans, None, counter))
    assert counter.calls == [(True, [0, *range(80, 153, 9)], [0, *range(80, 153, 9)]), (False, [0, 72], [0, 80])]


@pytest.mark.parametrize("name", EXACT)
def test_loss_and_gradients_are_those_of_one_sequence_at_a_time(name, kernel):
    model, rows = make(name), update()
    expected = plain(model, rows)
    kernel.calls.clear()
    same(fast(model, rows, FastPath(spans=True), SHARED), expected, 2e-6)
    assert {causal for causal, *_ in kernel.calls} == {True, False}


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointed"])
def test_the_whole_fast_path(kernel, checkpointing):
    """With what a trial finds, and in several micro-batches; a row is computed anew in the backward pass."""
    model, rows = make("llama"), update()
    expected = plain(model, rows)
    if checkpointing:
        model.gradient_checkpointing_enable()
    engine = FastPath.of(model, 96)
    assert engine == FastPath(spans=True, parts=True, last=True)
    for tokens in (60, 10_000):
        same(fast(model, rows, engine, tokens=tokens), expected, 2e-6)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma"])
def test_bf16_is_no_further_from_fp32_than_transformers(name, kernel):
    """Gradients of padded rows in transformers' own attention, and ours over spans, each against fp32."""
    rows = update()
    exact = plain(make(name), rows)[1]
    off = {}
    for layout in ("padded", "shared"):
        model = make(name)
        model.zero_grad()
        for batch in LAYOUTS[layout](rows, 10_000, 0):
            engine = FastPath(spans=layout == "shared")
            with engine.around(model, batch):
                with torch.autocast("cpu", torch.bfloat16):
                    loss = engine.loss(model, batch, 1 / sum(r.trained for r in rows))
                loss.backward()
        found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        off[layout] = float((found - exact).norm() / exact.norm())
    assert kernel.calls
    assert off["shared"] < 1.05 * off["padded"]


@pytest.mark.parametrize(
    ("spans", "calls"),
    [((Span(6), Span(6), Span(6)), 0), ((Span(4),), 0), ((Span(4), Span(5)), 1), ((Span(4, (2, 1)), Span(3)), 2)],
    ids=["equal", "alone", "lone", "shared"],
)
def test_calls_by_kind_of_row(spans, calls, kernel):
    """Equal rows need no kernel of ours: torch's causal one serves them as a batch."""
    expected = computed(spans, lambda q, k, v: in_turn(q, k, v, spans, None, 0.0))
    varlen_kernels.right_kernel(*(torch.empty(1, h, 1, 8) for h in (4, 2, 2)))
    kernel.calls.clear()
    found = computed(spans, lambda q, k, v: gpu_attention.by_kind(q, k, v, spans, None))
    assert len(kernel.calls) == calls
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


class OwnSoftmax(Reference):
    """Its gradients are of its own call alone, as if nothing were joined."""

    def backward(self, grad, q, k, v, out, lse, queries, keys, causal, scale):
        out, lse = Reference().forward(q, k, v, queries, keys, causal, scale)
        return super().backward(grad, q, k, v, out, lse, queries, keys, causal, scale)


class Sees(Reference):
    def forward(self, q, k, v, queries, keys, causal, scale):
        return super().forward(q, k, v, queries, keys, False, scale)


class Base2(Reference):
    def forward(self, *given):
        out, lse = super().forward(*given)
        return out, lse * 1.4427


class Padded(Reference):
    def forward(self, *given):
        out, lse = super().forward(*given)
        return out, lse[None]


class Fails(Reference):
    def forward(self, *given):
        raise RuntimeError("no kernel image is available for execution on the device")


@pytest.mark.parametrize("wrong", [OwnSoftmax, Sees, Base2, Padded, Fails])
def test_a_kernel_that_computes_otherwise_is_not_taken(wrong, kernel, monkeypatch):
    asked = [torch.empty(1, h, 1, 16) for h in (4, 2, 2)]
    monkeypatch.setattr(varlen_kernels, "KERNELS", {"wrong": wrong, "reference": lambda: kernel})
    assert varlen_kernels.right_kernel(*asked) is kernel
    varlen_kernels._chosen.cache_clear()
    monkeypatch.setattr(varlen_kernels, "KERNELS", {"wrong": wrong})
    assert varlen_kernels.right_kernel(*asked) is None
    q, k, v = (torch.randn(1, h, 9, 16) for h in (4, 2, 2))
    assert gpu_attention.by_kind(q, k, v, (Span(4, (2, 3)),), None) is None, "a call for each part"


def test_bf16_kernels_are_taken_within_their_rounding(kernel):
    q, k, v = (torch.empty(1, h, 1, 16, dtype=torch.bfloat16) for h in (4, 2, 2))
    assert varlen_kernels.right_kernel(q, k, v) is kernel


def test_a_kernel_is_tried_once_and_draws_nothing(kernel):
    state, asked = torch.get_rng_state(), [torch.empty(1, h, 1, 16) for h in (4, 2, 2)]
    varlen_kernels.right_kernel(*asked)
    tried = len(kernel.calls)
    varlen_kernels.right_kernel(*asked)
    assert len(kernel.calls) == tried > 0
    assert torch.equal(state, torch.get_rng_state())


def test_shapes_without_numbers_call_no_kernel(kernel):
    """Memory is counted on fake tensors: masks and indices made of them must not be kept for real ones."""
    with FakeTensorMode():
        q, k = torch.empty(1, 4, 9, 16), torch.empty(1, 2, 9, 16)
        out, _ = attention.attend(torch.nn.Identity(), q, k, k, None, spans=(Span(4, (2, 3)),))
    assert out.shape == (1, 9, 4, 16)
    assert not kernel.calls


def test_the_package_flash_attn_is_called_as_it_asks(monkeypatch):
    """Gradients are written into tensors that it is given; the scale has no default."""
    plain = Reference()
    cuts = lambda at: Cuts(at, 0)  # noqa: E731

    def forward(q, k, v, cu_q, cu_k, max_q, max_k, dropout_p, softmax_scale, causal, window_size_left=-1):
        assert max_q >= 2
        assert dropout_p == 0.0
        return (*plain.forward(q, k, v, cuts(cu_q), cuts(cu_k), causal, softmax_scale), None, None)

    def backward(
        dout, q, k, v, out, softmax_lse, dq, dk, dv, cu_q, cu_k, max_q, max_k, dropout_p, softmax_scale, causal,
        window_size_left, window_size_right, softcap, alibi_slopes, deterministic, rng_state=None,
    ):  # fmt: skip
        assert (window_size_left, window_size_right, softcap, alibi_slopes) == (-1, -1, 0.0, None)
        found = plain.backward(dout, q, k, v, out, softmax_lse, cuts(cu_q), cuts(cu_k), causal, softmax_scale)
        for place, value in zip((dq, dk, dv), found, strict=True):
            place.copy_(value)

    library = SimpleNamespace(_flash_attn_varlen_forward=forward, _flash_attn_varlen_backward=backward)
    monkeypatch.setitem(sys.modules, "flash_attn", SimpleNamespace(flash_attn_interface=library))
    monkeypatch.setitem(sys.modules, "flash_attn.flash_attn_interface", library)
    kernel = varlen_kernels.FlashAttention()
    assert varlen_kernels.trial(kernel, 4, 2, 16, 16, torch.float32, torch.device("cpu")) < 1e-5


def test_torchs_own_kernels_take_what_they_are_given(monkeypatch):
    """By their declared signatures: on a CPU they cannot be called."""
    for name, given, named in (("forward", 10, {"scale"}), ("backward", 14, {"scale"})):
        arguments = getattr(torch.ops.aten, f"_flash_attention_{name}").default._schema.arguments
        assert len([a for a in arguments if not a.kwarg_only]) == given
        assert named <= {a.name for a in arguments if a.kwarg_only}
        assert all(a.default_value is None for a in arguments if a.kwarg_only)
    plain = Reference()
    cuts = lambda at: Cuts(at, 0)  # noqa: E731

    def forward(q, k, v, cu_q, cu_k, max_q, max_k, dropout_p, is_causal, debug, *, scale):
        assert not any((dropout_p, debug))
        return (*plain.forward(q, k, v, cuts(cu_q), cuts(cu_k), is_causal, scale), None, None, None)

    def backward(grad, q, k, v, out, lse, cu_q, cu_k, max_q, max_k, dropout_p, is_causal, rng, unused, *, scale):
        return plain.backward(grad, q, k, v, out, lse, cuts(cu_q), cuts(cu_k), is_causal, scale)

    library = SimpleNamespace(_flash_attention_forward=forward, _flash_attention_backward=backward)
    monkeypatch.setattr(varlen_kernels.torch, "ops", SimpleNamespace(aten=library))
    found = varlen_kernels.trial(varlen_kernels.TorchVarlen(), 4, 2, 16, 16, torch.float32, torch.device("cpu"))
    assert found < 1e-5


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("heads", [(4, 4), (8, 2), (8, 1)], ids=str)
@pytest.mark.parametrize("width", [16, 64, 128])
def test_a_gpu_has_a_kernel_that_computes_rightly(heads, width, dtype):
    q, k, v = (torch.empty(1, h, 1, width, dtype=dtype, device="cuda") for h in (*heads, heads[1]))
    assert varlen_kernels.right_kernel(q, k, v) is not None


@pytest.mark.gpu
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", EXACT)
def test_on_a_gpu_loss_and_gradients_are_those_of_one_sequence_at_a_time(name, bf16, monkeypatch):
    """fp32 to 1e-5; bf16 no further from fp32 than transformers' padded rows."""
    monkeypatch.setattr(attention, "NARROW", 1)
    rows, model = update(), make(name).cuda()
    exact = of_layout(model, rows, "single", False)
    ours = of_layout(model, rows, "shared", bf16)
    if not bf16:
        assert (ours - exact).norm() < 1e-5 * exact.norm()
        return
    theirs = of_layout(model, rows, "padded", True)
    assert (ours - exact).norm() < 1.2 * (theirs - exact).norm()


def of_layout(model, rows, layout, bf16):
    """Gradients on the model's device."""
    model.zero_grad()
    engine = FastPath(spans=layout == "shared")
    for batch in LAYOUTS[layout](rows, 10_000, 0):
        batch = batch.to(model.device)
        with engine.around(model, batch):
            with torch.autocast("cuda", torch.bfloat16) if bf16 else nullcontext():
                loss = engine.loss(model, batch, 1 / sum(r.trained for r in rows))
            loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).clone()
