"""What a model computes rightly, found by trying it on a few tokens: which layouts, and which parts of the fast path.

An architecture is not looked up in a list: what it computes is compared. Four short texts are computed one at a time
and in each layout. Losses must be equal, and so must the gradients at the embeddings of their tokens; a token that no
loss may depend on (of another text, of padding, of what follows) has a gradient of zero there, in every precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from contextune.core.errors import first_line
from contextune.core.sequence import IGNORED, Rendered
from contextune.models.frozen import upcast
from contextune.models.lm_head import head_of, unwrapped
from contextune.models.reach import switch, window

from .attention import attending
from .layouts import LAYOUTS, OWN, Batch, Layout
from .loss import labelled_logits, nll
from .standing_in import in_place_of

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
    layers: Mapping[str, Any] = field(default_factory=dict)
    """What stands in the place of functions of the architecture's module while it trains (`fused_layers`)."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Layouts that do not give the loss and gradients of one text at a time, each with the reason."""

    @classmethod
    def of(cls, model: Any, longest: int, bf16: bool = False, layout: str = "auto") -> FastPath:
        """What `model`, not yet wrapped for several processes, allows for rows of up to `longest` tokens.

        `bf16`: the precision of the run, for kernels that have no other. `layout`: a plug-in's, to be tried as well.
        The model's mode, weights and gradients and the generators of random numbers are left as they are.
        """
        layouts = {name: LAYOUTS.find(name) for name in (*OWN, layout) if name != "auto"}
        with _kept(model):
            return _tried(model, layouts, longest, bf16 and "flash" in (model.config._attn_implementation or ""))

    @contextmanager
    def around(self, model: Any, batch: Batch) -> Iterator[None]:
        """The model made ready for one micro-batch, forward and backward."""
        with ExitStack() as stack:
            stack.enter_context(in_place_of(model, self.layers))
            if batch.spans is not None:
                stack.enter_context(attending(model))
            if self.last:
                stack.enter_context(_only_rows(_last_feed_forward(model), batch.keep))
            yield

    def loss(self, model: Any, batch: Batch, scale: float = 1.0) -> torch.Tensor:
        return nll(model, batch, self.parts, scale)


def of_short_texts(model: Any, layers: Mapping[str, Any]) -> Outcome | str:
    """What a model computes of the trial's texts, one at a time and without dropout; or why it fails."""
    with _kept(model):
        return _outcome(FastPath(layers=layers), model.eval(), OWN["single"], False)


def refusal(model: Any, layout: Layout) -> str:
    """Why `model` does not compute `layout` as it computes texts alone; empty where it does."""
    with _kept(model):
        return _compared(model, {"single": OWN["single"], "asked": layout}, False)[1].get("asked", "")


def _tried(model: Any, layouts: Mapping[str, Layout], longest: int, bf16: bool) -> FastPath:
    if any(hasattr(p, "ds_id") for p in model.parameters()):  # DeepSpeed has parted the weights: nothing can be tried
        others = (name for name in layouts if name not in ("single", "padded"))
        return FastPath(refused=dict.fromkeys(others, "with ZeRO-3 it cannot be tried"))
    found, refused = _compared(model, layouts, bf16)
    if "single" in refused:
        return FastPath(refused=refused)
    refused |= _too_long(model.config, layouts, longest)
    usual = "single" if "padded" in refused else "padded"
    fast, same = _outcome(FastPath(last=True), model, layouts[usual], bf16), found[usual]
    last = not isinstance(same, str) and not differs(fast, same, 0.1)  # of one shape: hardly a rounding apart
    return FastPath("shared" not in refused, _head_is_all(model), last, refused=refused)


def _compared(model: Any, layouts: Mapping[str, Layout], bf16: bool) -> tuple[dict[str, Outcome | str], dict[str, str]]:
    """Outcomes by layout, and the reasons of those that differ from `single`; all do where that itself is wrong."""
    for training in (True, False):  # as it is trained; without dropout where it has any
        model.train(training)
        before = _generators(model)
        plain = _outcome(FastPath(), model, layouts["single"], bf16)
        if not isinstance(plain, str) and _generators(model) == before:
            break
    if isinstance(plain, str):
        return {}, dict.fromkeys(layouts, f"on a short text {plain}")
    if plain.leaks:
        return {}, dict.fromkeys(layouts, "a token sees those that follow")
    others = {name: layout for name, layout in layouts.items() if name != "single"}
    found = {"single": plain} | {name: _outcome(FastPath(), model, layout, bf16) for name, layout in others.items()}
    reasons = {name: differs(found[name], plain) for name in others}
    return found, {name: reason for name, reason in reasons.items() if reason}


def _too_long(config: Any, layouts: Iterable[str], longest: int) -> dict[str, str]:
    """Layouts that differ in rows longer than those of the trial, by what the configuration says."""
    found = {}
    if window(config) < longest:
        found["shared"] = f"a window of {window(config)} tokens, shorter than max_length {longest}"
    if (most := switch(config)) < longest:
        reason = f"beyond {most} tokens its positions are scaled by the longest text computed at once"
        found |= dict.fromkeys((name for name in layouts if name != "single"), reason)
    return found


_IDS = 16
"""Different tokens of the trial, counted from `_first`."""
_OURS = (8, 9, 14)
"""The targets whose gradient is taken: of the second text and of the last."""
_UNSEEN = (0, 6, 7, 10, 11, 12, 15)
"""What these must not depend on: padding, other texts, a token that follows."""


def _first(model: Any) -> int:
    """Ids from the middle of the vocabulary, where no control tokens are; every vocabulary has 16."""
    sizes = (
        getattr(model.get_input_embeddings(), "num_embeddings", None),
        getattr(model.config.get_text_config(), "vocab_size", None),
    )
    return max(0, min((n for n in sizes if n), default=0) // 2 - _IDS // 2)


def _rows(lowest: int) -> list[Rendered]:
    """Four texts: two begin alike, and each ends in ids of its own."""
    begin, none = (3, 4, 5, 4, 3, 3, 5, 5, 4), (IGNORED,)
    first, second, third = (6, 7, 7, 6, 7, 6, 6, 7, 6, 6, 7, 7), (8, 9, 8), (10, 11, 12, 10, 12)
    rows = [((*begin, *tail), (*none * len(begin), *tail)) for tail in (first, second)]
    rows += [(third, (*none, *third[1:])), ((13, 14, 15), (*none, 14, *none))]
    return [
        Rendered(tuple(i + lowest for i in ids), tuple(i + lowest if i > 0 else i for i in labels))
        for ids, labels in rows
    ]


@dataclass(frozen=True)
class Outcome:
    """Losses by target (ids,), and gradients at embeddings by token (ids, width), the same in every layout."""

    losses: torch.Tensor
    slopes: torch.Tensor
    exact: bool
    """Computed in fp32 throughout."""

    @property
    def leaks(self) -> bool:
        return not bool(self.slopes[list(_UNSEEN)].abs().max() <= 1e-6 * self.slopes.abs().max())


def _outcome(engine: FastPath, model: Any, layout: Layout, bf16: bool) -> Outcome | str:
    """Of the trial's rows in a layout; or, where they cannot be computed, why."""
    device, ours = next(model.parameters()).device, torch.tensor(_OURS)
    losses, slopes, exact = torch.zeros(_IDS), torch.zeros(_IDS, 1), not bf16
    try:
        first = _first(model)
        for batch in layout(_rows(first), 1000, first):
            batch = batch.to(device)
            with torch.enable_grad(), engine.around(model, batch), _embeddings(model) as kept:
                with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
                    logits = labelled_logits(model, batch)
                found = torch.nn.functional.cross_entropy(logits.float(), batch.targets, reduction="none")
                losses.index_add_(0, batch.targets.cpu() - first, found.detach().cpu())
                wanted = torch.isin(batch.targets - first, ours.to(device))
                if wanted.any():
                    got = torch.autograd.grad(found[wanted].sum(), [e for _, e in kept])
                    slopes = sum((_by_id(ids - first, g) for (ids, _), g in zip(kept, got, strict=True)), slopes)
            exact = exact and logits.dtype == torch.float32
    except _EXPECTED as e:
        return f"it fails: {first_line(e)}"
    if not (losses.isfinite().all() and slopes.isfinite().all()):
        return "its loss or its gradient is not a number"
    exact = exact and all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
    return Outcome(losses, slopes, exact)


def differs(found: Outcome | str, plain: Outcome, slack: float = 1.0) -> str:
    """Why an outcome is not that of one text at a time; empty where it is.

    In bf16 the gradients of a large model differ by half from rounding alone: there only leaks and losses tell.
    """
    if isinstance(found, str):
        return found
    if found.leaks:
        return "texts computed together see each other, or padding"
    off = float((found.slopes - plain.slopes).norm() / plain.slopes.norm())
    near, steep = (slack * 1e-4, slack * 1e-3) if plain.exact else (slack * 2e-2, slack)
    if torch.allclose(found.losses, plain.losses, rtol=near, atol=near) and off <= steep:
        return ""
    return f"loss and gradients are others (gradients by {off:.2%})"


@contextmanager
def _embeddings(model: Any) -> Iterator[list[tuple[torch.Tensor, torch.Tensor]]]:
    """Within: gradients end at the embeddings of tokens; (ids, embeddings) of each lookup are kept."""
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(_: torch.nn.Module, args: Any, named: Any, output: torch.Tensor) -> torch.Tensor:
        ids: torch.Tensor = args[0] if args else next(iter(named.values()))
        kept.append((ids, output.detach().requires_grad_()))
        return kept[-1][1].clone()

    handle = model.get_input_embeddings().register_forward_hook(keep, with_kwargs=True)
    try:
        yield kept
    finally:
        handle.remove()


def _by_id(ids: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Gradients at embeddings, summed over the places of each of the trial's ids: (ids, width)."""
    ids, slope = ids.flatten().cpu(), slope.float().flatten(0, -2).cpu()
    known = (ids >= 0) & (ids < _IDS)
    return torch.zeros(_IDS, slope.shape[1]).index_add(0, ids[known], slope[known])


@contextmanager
def _kept(model: Any) -> Iterator[None]:
    """Afterwards the model's mode and the generators of random numbers are as they were."""
    training = model.training
    with torch.random.fork_rng(_gpus(model)), upcast(model):  # whatever its frozen weights are kept in
        try:
            yield
        finally:
            model.train(training)


def _gpus(model: Any) -> list[torch.device]:
    return [d for d in {p.device for p in model.parameters()} if d.type == "cuda"]


def _generators(model: Any) -> list[bytes]:
    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state(d) for d in _gpus(model))]
    return [s.numpy().tobytes() for s in states]


def _head_is_all(model: Any) -> bool:
    """Whether the logits are what a linear head gives, not scaled or capped behind it."""
    head = head_of(model)
    if type(head) is not torch.nn.Linear:
        return False
    given: list[torch.Tensor] = []
    handle = head.register_forward_hook(lambda _, args, output: given.append(output))
    try:
        ids = torch.tensor([_rows(_first(model))[0].ids], device=next(model.parameters()).device)
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits
    except _EXPECTED:
        return False
    finally:
        handle.remove()
    return len(given) == 1 and given[0].shape == logits.shape and torch.equal(given[0].float(), logits.float())


def _last_feed_forward(model: Any) -> torch.nn.Module:
    """`mlp` of the last block, as all decoders of transformers name it. Raises LookupError where there is none."""
    lists = [m for m in unwrapped(model).get_decoder().modules() if isinstance(m, torch.nn.ModuleList) and len(m)]
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
