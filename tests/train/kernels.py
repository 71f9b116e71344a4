"""Kernels for variable lengths in plain torch, as GPUs have them: the same interface, the same computation."""

from __future__ import annotations

import torch


def pairs(queries, keys):
    """(queries, keys) of each sequence, as slices."""
    cut = [[slice(a, b) for a, b in zip(c.at[:-1].tolist(), c.at[1:].tolist(), strict=True)] for c in (queries, keys)]
    assert len(cut[0]) == len(cut[1])
    return list(zip(*cut, strict=True))


def scores(q, k, causal, scale):
    """(heads, queries, keys), fp32; causal masks end at the last query and the last key."""
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    found = torch.einsum("qhd,khd->hqk", q.float(), k.float()) * scale
    if causal:
        n, m = found.shape[1:]
        found = found.masked_fill(~torch.ones(n, m, dtype=torch.bool).tril(m - n), -torch.inf)
    return found


class Reference:
    """Flash attention's formulas, a sequence at a time; inputs are rounded as they come, sums are in fp32."""

    def __init__(self):
        self.calls = []

    @torch.autocast("cpu", enabled=False)  # which does not reach into a kernel
    def forward(self, q, k, v, queries, keys, causal, scale):
        self.calls.append((causal, queries.at.tolist(), keys.at.tolist()))
        out, lse = torch.empty(*q.shape[:2], v.shape[2], dtype=q.dtype), torch.empty(q.shape[1], q.shape[0])
        for a, b in pairs(queries, keys):
            s = scores(q[a], k[b], causal, scale)
            lse[:, a] = s.logsumexp(2)
            wide = v[b].float().repeat_interleave(q.shape[1] // v.shape[1], 1)
            out[a] = torch.einsum("hqk,khd->qhd", s.softmax(2), wide).to(q.dtype)
        return out, lse

    def backward(self, grad, q, k, v, out, lse, queries, keys, causal, scale):
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        times = q.shape[1] // k.shape[1]
        for a, b in pairs(queries, keys):
            p = (scores(q[a], k[b], causal, scale) - lse[:, a, None]).exp()
            g, wide_k, wide_v = (x.float() for x in (grad[a], k[b], v[b]))
            wide_k, wide_v = (x.repeat_interleave(times, 1) for x in (wide_k, wide_v))
            dp = torch.einsum("qhd,khd->hqk", g, wide_v)
            ds = p * (dp - (g * out[a].float()).sum(2).T[..., None]) * scale
            dq[a] = torch.einsum("hqk,khd->qhd", ds, wide_k).to(q.dtype)
            dk[b] = torch.einsum("hqk,qhd->khd", ds, q[a].float()).unflatten(1, (-1, times)).sum(2).to(k.dtype)
            dv[b] = torch.einsum("hqk,qhd->khd", p, g).unflatten(1, (-1, times)).sum(2).to(v.dtype)
        return dq, dk, dv
