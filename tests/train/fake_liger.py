"""What liger-kernel offers, in plain torch: the same names and signatures, the same computation; no Triton.

Written against liger-kernel 0.8.5 (ops/fused_linear_cross_entropy.py, transformers/monkey_patch.py).
"""

from __future__ import annotations

import sys
from types import MethodType, ModuleType, SimpleNamespace
from typing import ClassVar

import torch
import torch.nn.functional as F

from contextune.train import liger


class Fused(torch.autograd.Function):
    blocks: ClassVar[list[int]] = []

    @staticmethod
    def forward(
        ctx, _input, weight, target, bias=None, ce_weight=None, ignore_index=-100, lse_square_scale=0.0,
        label_smoothing=0.0, reduction="mean", softcap=None, return_z_loss=False, accum_dtype=None,
        use_token_scaling=False, return_token_accuracy=False, return_predicted_tokens=False, ce_impl=None,
        ce_mode=None, chunk_mem_const=1,
    ):  # fmt: skip
        assert (reduction, accum_dtype, ce_weight, softcap) == ("sum", torch.float32, None, None)
        n, width = _input.shape
        times = -(-len(weight) // (chunk_mem_const * width))
        Fused.blocks.append(min(n, 1 << (-(-n // times) - 1).bit_length()))
        leaves = [x.detach().float().requires_grad_() for x in (_input, weight, *([] if bias is None else [bias]))]
        with torch.enable_grad(), torch.autocast("cpu", enabled=False):
            loss = F.cross_entropy(F.linear(*leaves), target, reduction="sum")
        made = torch.autograd.grad(loss, leaves)
        kept = [g.to(x.dtype) for g, x in zip(made, (_input, weight, bias), strict=False)]
        ctx.made = [*kept, None][:3] if bias is None else kept
        return loss.detach(), None, None, None

    @staticmethod
    def backward(ctx, grad, *_):
        h, w, b = (g if g is None else g * grad for g in ctx.made)
        return (h, w, None, b, *[None] * 14)


def rms_norm(self, x):
    wide = x.float()
    return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)).to(x.dtype)


def rope(q, k, cos, sin, position_ids=None, unsqueeze_dim=1):
    called["rope"] += 1
    turn = lambda x: torch.cat((-x[..., x.shape[-1] // 2 :], x[..., : x.shape[-1] // 2]), -1)  # noqa: E731
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return q * cos + turn(q) * sin, k * cos + turn(k) * sin


called = {"rope": 0, "applied": 0}


def apply_to_instance(model, **options):
    """As for Llama: functions and classes of transformers' module, and the layers of this model."""
    assert options == {"fused_linear_cross_entropy": False, "cross_entropy": False}
    from transformers.models.llama import modeling_llama

    called["applied"] += 1
    modeling_llama.apply_rotary_pos_emb = rope
    modeling_llama.LlamaRMSNorm = type("LigerRMSNorm", (), {})
    for module in model.modules():
        if "RMSNorm" in type(module).__name__:
            module.forward = MethodType(rms_norm, module)
            module.in_place = True


def install(monkeypatch, fused=Fused, apply=apply_to_instance):
    """As if it were installed, and this processor a GPU to it."""
    parts = {
        "liger_kernel": ModuleType("liger_kernel"),
        "liger_kernel.ops": ModuleType("liger_kernel.ops"),
        "liger_kernel.ops.fused_linear_cross_entropy": SimpleNamespace(LigerFusedLinearCrossEntropyFunction=fused),
        "liger_kernel.transformers": SimpleNamespace(_apply_liger_kernel_to_instance=apply),
        "liger_kernel.transformers.monkey_patch": SimpleNamespace(MODEL_TYPE_TO_APPLY_LIGER_FN={"llama": apply}),
    }
    for name, module in parts.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(liger, "find_spec", lambda name: True)
    monkeypatch.setattr(liger, "DEVICES", {"cpu"})
    liger._right.cache_clear()
    Fused.blocks.clear()
    called.update(rope=0, applied=0)
