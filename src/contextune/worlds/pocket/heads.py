"""Initial weights of the pocket model with induction heads: able to look back and to match before training.

Picking one fact among several needs two heads in a row: one that writes the tokens just passed into
a position, and one that finds the position whose past matches the present (an induction head; Olsson
et al. 2022). From a usual random start the pair forms late, if at all, in the time there is. Here the
residual stream starts out in three parts,

    0          a constant, which the looking-back heads read
    1 .. 71    the token
    72 .. 99   the token one before,  100 .. 127   the token two before

so that a match can be read off without crosstalk. Everything stays trainable; nothing is frozen.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

TOKEN, PAST = 71, 28
"""Dimensions for the token itself and for each of the two tokens before it."""

THETA = 100_000.0
"""Base of RoPE: large, so that three fifths of a head's planes hardly turn within a document."""

SIZE, LOOK, MATCH, COPY = 0.1, 20.0, 2.5, 0.5
"""Size of embeddings; peak logit of looking back; strength of matching; strength of copying."""


@torch.no_grad()
def init_induction_heads(model: LlamaForCausalLM, seed: int) -> None:
    """Set all weights in place: two looking-back heads in layer 0, matching heads above, the rest small and random."""
    torch.manual_seed(seed)
    c = model.config
    wide, inner = c.hidden_size, c.intermediate_size
    embedding = model.model.embed_tokens.weight
    embedding.normal_(0, SIZE)
    embedding[:, TOKEN + 1 :] = 0
    embedding[:, 0] = 4 * SIZE
    for layer in model.model.layers:
        a, m = layer.self_attn, layer.mlp
        for linear in (a.q_proj, a.k_proj, a.v_proj, m.gate_proj, m.up_proj):
            linear.weight.normal_(0, wide**-0.5)
            linear.weight[:, 0] = 0
        a.o_proj.weight.normal_(0, 0.5 * SIZE * wide**-0.5)
        m.down_proj.weight.normal_(0, 0.5 * SIZE * inner**-0.5)
        a.o_proj.weight[0] = m.down_proj.weight[0] = 0
    reader = torch.zeros(PAST, wide)
    reader[:, 1 : TOKEN + 1] = torch.linalg.qr(torch.randn(TOKEN, PAST))[0].T
    _look_back(model, reader)
    for layer in model.model.layers[1:]:
        _match(layer.self_attn, reader, wide // c.num_attention_heads)


def _turns(width: int) -> torch.Tensor:
    """Radians a position turns each of the width/2 planes of a head by (RoPE; Su et al. 2021)."""
    return THETA ** -(torch.arange(0, width, 2) / width)


def _look_back(model: LlamaForCausalLM, reader: torch.Tensor) -> None:
    """Heads 0 and 1 of layer 0 attend one and two positions back, by the fast planes of RoPE alone."""
    c, a = model.config, model.model.layers[0].self_attn
    width = c.hidden_size // c.num_attention_heads
    turns = _turns(width)
    norm = math.sqrt((SIZE**2 * TOKEN + (4 * SIZE) ** 2) / c.hidden_size)
    fast = (turns > 0.03).float()
    v = fast * math.sqrt(LOOK * math.sqrt(width) / fast.sum().item())
    for head, back in enumerate((1, 2)):
        rows = slice(head * width, (head + 1) * width)
        for linear in (a.q_proj, a.k_proj, a.v_proj):
            linear.weight[rows] = 0
        # q . k = |v|^2 cos(turn * (distance - back)), largest where the distance is `back`
        query = torch.cat([v * torch.cos(back * turns), -v * torch.sin(back * turns)])
        a.q_proj.weight[rows, 0] = query * norm / (4 * SIZE)
        a.k_proj.weight[rows, 0] = torch.cat([v, torch.zeros_like(v)]) * norm / (4 * SIZE)
        a.v_proj.weight[head * width : head * width + PAST] = reader * norm / SIZE
        a.o_proj.weight[:, rows] = 0
        start = TOKEN + 1 + head * PAST
        a.o_proj.weight[start : start + PAST, head * width : head * width + PAST] = SIZE * torch.eye(PAST)


def _match(attention: torch.nn.Module, reader: torch.Tensor, width: int) -> None:
    """Heads that find where the past matches the present, in the planes that RoPE hardly turns, and copy from there.

    Head 0 matches one token, head 1 two, head 2 finds the same name again; the others are random.
    """
    q_proj, k_proj, v_proj, o_proj = (getattr(attention, n) for n in ("q_proj", "k_proj", "v_proj", "o_proj"))
    wide = reader.shape[1]
    one, two = torch.eye(wide)[TOKEN + 1 :].split(PAST)
    slow = [i for i in range(width) if _turns(width)[i % (width // 2)] < 0.02]
    for head in range(q_proj.weight.shape[0] // width):
        rows = slice(head * width, (head + 1) * width)
        q, k = torch.zeros(width, wide), torch.zeros(width, wide)
        for n, (row, i) in enumerate(zip(slow, torch.randperm(PAST).tolist(), strict=False)):
            first = n < len(slow) // 2
            if head == 0 or (head == 1 and first):
                q[row], k[row] = reader[i], one[i]
            elif head == 1:
                q[row], k[row] = one[i], two[i]
            elif head == 2:
                q[row] = k[row] = reader[i] if first else one[i]
        noise = wide**-0.5 * (0.3 if head < 3 else 1.0)
        q_proj.weight[rows] = MATCH * q + noise * torch.randn(width, wide)
        k_proj.weight[rows] = MATCH * k + noise * torch.randn(width, wide)
        value = torch.randn(width, wide) * wide**-0.5
        v_proj.weight[rows], o_proj.weight[:, rows] = value, COPY * SIZE * value.T
    for linear in (q_proj, k_proj, v_proj):
        linear.weight[:, 0] = 0
    o_proj.weight[0] = 0
    o_proj.weight[TOKEN + 1 :] = 0
