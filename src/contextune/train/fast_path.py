"""What of the fast path a model allows, found by trying it on a few tokens against the plain way.

An architecture is not looked up in a list: what it computes is compared. One that fails a trial, or that cannot make
it (a recurrent state, a soft cap, a window shorter than the rows), is trained the plain way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from contextune.core.sequence import IGNORED, Rendered
from contextune.models.lm_head import head_of

from .attention import attending
from .layouts import SHARED, Batch, single
from .loss import labelled_logits, nll

_EXPECTED = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError, IndexError, LookupError)


@dataclass(frozen=True)
class FastPath:
    """Which of the fast ways are taken. Each gives the loss and gradients of the plain way."""

    spans: bool = False
    """Attention over spans, for rows that share their beginnings."""
    parts: bool = False
    """The head's loss made in parts, so that the logits never stand whole."""
    last: bool = False
    """The last block's feed-forward layer at labelled positions only."""

    @classmethod
    def of(cls, model: Any, longest: int) -> FastPath:
        """What `model`, not yet wrapped for several processes, allows for rows of up to `longest` tokens."""
        training = model.training
        model.eval()
        try:
            with torch.no_grad():
                found = cls(parts=_head_is_all(model))
                if window(model.config) >= longest and _same(replace(found, spans=True), model):
                    found = replace(found, spans=True)
                if _same(replace(found, last=True), model):
                    found = replace(found, last=True)
        finally:
            model.train(training)
        return found

    @contextmanager
    def around(self, model: Any, batch: Batch) -> Iterator[None]:
        """The model made ready for one micro-batch, forward and backward."""
        with ExitStack() as stack:
            if batch.spans is not None:
                stack.enter_context(attending(model))
            if self.last:
                stack.enter_context(_only_rows(_last_feed_forward(model), batch.keep))
            yield

    def loss(self, model: Any, batch: Batch, scale: float = 1.0) -> torch.Tensor:
        return nll(model, batch, self.parts, scale)


def window(config: Any) -> float:
    """Tokens that every layer can look back, as far as a configuration says."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    sizes = [getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min((n for n in sizes if n), default=float("inf"))


def _rows() -> list[Rendered]:
    """Three sequences of which two begin alike; ids that every vocabulary has."""
    ids = [(5, 6, 7, 8, 9, 5, 7, 9, 6, 4, 8), (5, 6, 7, 8, 9, 5, 7, 9, 6, 7, 5, 6), (8, 5, 9, 6)]
    return [Rendered(i, (IGNORED, *i[1:-3], IGNORED, *i[-2:])) for i in ids]


def _same(engine: FastPath, model: Any) -> bool:
    """Whether the labelled tokens' losses, one by one, are those of one sequence at a time."""
    try:
        plain = torch.cat([_losses(FastPath(), model, b) for b in single(_rows(), 0, 0)])
        layout = SHARED if engine.spans else single
        fast = torch.cat([_losses(engine, model, b) for b in layout(_rows(), 1000, 0)])
    except _EXPECTED:
        return False
    near = 1e-4 if next(model.parameters()).dtype == torch.float32 else 2e-2
    return len(fast) == len(plain) and torch.allclose(fast.sort().values, plain.sort().values, rtol=near, atol=near)


def _losses(engine: FastPath, model: Any, batch: Batch) -> torch.Tensor:
    batch = batch.to(next(model.parameters()).device)
    with engine.around(model, batch):
        logits = labelled_logits(model, batch).float()
    return torch.nn.functional.cross_entropy(logits, batch.targets, reduction="none").cpu()


def _head_is_all(model: Any) -> bool:
    """Whether the logits are what a linear head gives, not scaled or capped behind it."""
    head = head_of(model)
    if type(head) is not torch.nn.Linear:
        return False
    given: list[torch.Tensor] = []
    handle = head.register_forward_hook(lambda _, args, output: given.append(output))
    try:
        ids = torch.tensor([_rows()[0].ids], device=next(model.parameters()).device)
        logits = model(input_ids=ids, use_cache=False).logits
    except _EXPECTED:
        return False
    finally:
        handle.remove()
    return len(given) == 1 and given[0].shape == logits.shape and torch.equal(given[0].float(), logits.float())


def _last_feed_forward(model: Any) -> torch.nn.Module:
    """`mlp` of the last block, as all decoders of transformers name it. Raises LookupError where there is none."""
    while hasattr(model, "module"):  # DistributedDataParallel
        model = model.module
    if hasattr(model, "get_base_model"):  # peft
        model = model.get_base_model()
    lists = [m for m in model.get_decoder().modules() if isinstance(m, torch.nn.ModuleList) and len(m)]
    found = getattr(max(lists, key=len)[-1], "mlp", None) if lists else None
    if not isinstance(found, torch.nn.Module):
        raise LookupError("mlp")
    return found


@contextmanager
def _only_rows(layer: torch.nn.Module, keep: torch.Tensor) -> Iterator[None]:
    """Within: `layer` works at flat positions `keep` only, and gives zeros elsewhere, where nobody looks."""
    at, back = torch.unique(keep), []

    def select(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        back.append(args[0].shape)
        return (args[0].flatten(0, 1).index_select(0, at).unsqueeze(0), *args[1:])

    def spread(_: torch.nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        whole = output.new_zeros(back[-1]).flatten(0, 1)
        return whole.index_copy(0, at, output[0]).view(back[-1])

    handles = layer.register_forward_pre_hook(select), layer.register_forward_hook(spread)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
