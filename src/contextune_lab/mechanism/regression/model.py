"""GPT-2 as transformers has it, on vectors: a linear read-in, a scalar read-out, no token table."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .data import interleave
from .presets import Preset


class Regressor(nn.Module):
    """Predicts the value at each x token from all tokens before it. Its position table has room for a prefix."""

    def __init__(self, preset: Preset, seed: int = 0) -> None:
        from transformers import GPT2Config, GPT2Model

        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.read_in = nn.Linear(preset.d, preset.width)
            self.backbone = GPT2Model(
                GPT2Config(
                    vocab_size=1, bos_token_id=None, eos_token_id=None, n_positions=4 * preset.points,
                    n_embd=preset.width, n_layer=preset.layers, n_head=preset.heads, use_cache=False,
                    initializer_range=preset.spread, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                    activation_function="gelu_pytorch_tanh",  # the same function as gelu_new, in one operation
                )
            )  # fmt: skip
            self.read_out = nn.Linear(preset.width, 1)
            nn.init.normal_(self.backbone.wpe.weight, std=preset.position_spread)
        self.backbone.set_input_embeddings(None)

    def forward(self, x: Tensor, y: Tensor, prefix: tuple[Tensor, Tensor] | None = None, start: int = 0) -> Tensor:
        """Predictions (n, points) for `y` at `x`; with `prefix`, pairs that precede them.

        Without one, `start` is the position of the first token. Tokens that attention cannot see weigh nothing, so a
        masked prefix of 2 `points` tokens and `start` = 2 `points` are the same.
        """
        tokens = interleave(x, y)
        if prefix is not None:
            tokens = torch.cat((interleave(*prefix), tokens), dim=1)
        positions = torch.arange(start, start + tokens.shape[1], device=x.device)[None]
        hidden = self.backbone(inputs_embeds=self.read_in(tokens), position_ids=positions).last_hidden_state
        main: Tensor = self.read_out(hidden[:, -2 * x.shape[1] :: 2])[..., 0]
        return main


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
