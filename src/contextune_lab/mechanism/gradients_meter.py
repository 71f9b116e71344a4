"""A model's parameter gradients as vectors, whole or projected, a layer a stretch of the vector.

exact     a gradient as it is, one number a parameter
sketch    SIZE numbers a layer: each parameter gets a random sign and a place (its index modulo SIZE), and what falls
          on one place is summed. Inner products are right on average over the signs, for E[s_i s_j] = 0 where i ≠ j;
          the cosine of two gradients is off by about 1/√SIZE. (Charikar, Chen, Farach-Colton 2002, with fixed places.)

A gradient is taken from each parameter the moment it is there, so that a model's gradients never stand together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F

from contextune.core.sequence import DrawKey, Rendered
from contextune.models.lm_head import head_of
from contextune.train.layouts import single
from contextune.train.loss import labelled_logits

GradientForm = Literal["exact", "sketch"]
SIZE = 16381
"""Numbers a layer in a sketch; a prime, so that the columns of a weight do not fall on one place."""
PART = SIZE * 256
"""Parameters whose signs stand at once."""


class Meter:
    """`take(rows)` gives the gradient of the rows' summed loss as a vector, and every target token's loss.

    Of parameters that bear a gradient only: with an adapter, the adapter's. The model is left as it was.
    """

    def __init__(self, model: Any, how: GradientForm = "exact", seed: int = 0, size: int = SIZE) -> None:
        self.model, self.how, self.seed, self.size = model, how, seed, size
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.layers, self.places = self._laid()
        self.width = max(s.stop for s in self.layers.values())

    def _laid(self) -> tuple[dict[str, slice], dict[str, slice]]:
        """Where each layer, and where each parameter, stands in a vector."""
        names = _layers(self.model, list(self.parameters))
        layers: dict[str, slice] = {}
        places: dict[str, slice] = {}
        at = 0
        for layer in dict.fromkeys(names.values()):
            start = at
            for name in (n for n, of in names.items() if of == layer):
                size = self.parameters[name].numel() if self.how == "exact" else self.size
                places[name] = slice(at, at + size) if self.how == "exact" else slice(start, start + size)
                at = places[name].stop
            layers[layer] = slice(start, at)
        return layers, places

    def take(self, rows: Seq[Rendered], pad: int = 0) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The vector (width,) in fp32, and of each row the losses (targets,) of its target tokens, nats."""
        losses = []
        with self._collecting() as into:
            device = next(iter(self.parameters.values())).device
            for row in rows:
                (batch,) = single([row], 0, pad)
                batch = batch.to(device)
                loss = F.cross_entropy(labelled_logits(self.model, batch).float(), batch.targets, reduction="none")
                loss.sum().backward()
                losses.append(loss.detach().cpu())
        return into, losses

    @contextmanager
    def _collecting(self) -> Iterator[torch.Tensor]:
        into = torch.zeros(self.width)
        training = self.model.training
        self.model.eval()  # dropout would give each pass another function
        handles = [
            p.register_post_accumulate_grad_hook(partial(self._add, name, into)) for name, p in self.parameters.items()
        ]
        try:
            with torch.enable_grad():
                yield into
        finally:
            for handle in handles:
                handle.remove()
            self.model.train(training)

    def _add(self, name: str, into: torch.Tensor, parameter: torch.Tensor) -> None:
        assert parameter.grad is not None
        given = parameter.grad.detach().flatten()
        parameter.grad = None
        into[self.places[name]] += (given.float() if self.how == "exact" else self._folded(name, given)).cpu()

    def _folded(self, name: str, given: torch.Tensor) -> torch.Tensor:
        stream = torch.Generator(given.device).manual_seed(DrawKey(self.seed, 0).rng("sketch", name).getrandbits(60))
        total = torch.zeros(self.size, device=given.device)
        for part in torch.split(given, PART // SIZE * self.size):
            signs = torch.randint(0, 2, part.shape, generator=stream, device=given.device, dtype=torch.int8)
            signed = part.float() * (2 * signs - 1)
            total += F.pad(signed, (0, -len(signed) % self.size)).view(-1, self.size).sum(0)
        return total


def _layers(model: Any, names: Seq[str]) -> dict[str, str]:
    """Parameter name to layer: `embeddings`, the blocks by number, `head`; what is between them is `norm`."""
    ends = {id(p): "head" for p in head_of(model).parameters()}
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    ends |= {id(p): "embeddings" for p in inner.get_input_embeddings().parameters()}  # tied: embeddings
    found = {}
    parameters = dict(model.named_parameters())
    for name in names:
        block = re.search(r"\.(\d+)\.", name)
        found[name] = ends.get(id(parameters[name])) or (f"block {block[1]}" if block else "norm")
    return found
