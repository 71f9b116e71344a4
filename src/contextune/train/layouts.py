"""How the sequences of one update become tensors. Every layout gives the same loss and gradients.

    single   one row a micro-batch                  the reference
    padded   sorted by length, cut where padding    a a a a .      causal kernel, no mask: padding stands
             would cost more than another pass      b b b b b      behind every real token and is never seen
    packed   several sequences a row, positions     a a a b b c    position_ids alone; transformers derives the
             restart at each                        0 1 2 0 1 0    isolation from them, for many architectures
    shared   one row, no padding; what sequences    a a a b c c    spans tell the attention who sees what
             have in common stands there once       0 1 2 3 3 4    (see spans.py, attention.py)

Never an attention mask *and* position ids: transformers then drops the isolation silently.
The batch carries `keep`, flat indices of the positions that predict a labelled token, and `targets`,
those tokens: the head is computed there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.sequence import IGNORED, Rendered

from . import spans as prefix

PASS = 192
"""What one more forward and backward pass costs, in padded tokens; a matter of speed only."""
GAIN = 1.05
"""How much dearer attention over spans is than a causal kernel, of a whole step; a matter of speed only."""


@dataclass(frozen=True)
class Batch:
    """Tensors of one forward pass.

    `input_ids` (rows, length); `position_ids` the same shape, or None for rows that hold one sequence;
    `keep` (n,) indices into the flattened rows; `targets` (n,) token ids; `spans` of the one row, where it has any;
    `weights` (n,) of the targets in the loss, None: 1 each.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor | None
    keep: torch.Tensor
    targets: torch.Tensor
    spans: tuple[prefix.Span, ...] | None = None
    weights: torch.Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        positions = None if self.position_ids is None else self.position_ids.to(device, non_blocking=True)
        ids, keep, targets = (t.to(device, non_blocking=True) for t in (self.input_ids, self.keep, self.targets))
        weights = None if self.weights is None else self.weights.to(device, non_blocking=True)
        return Batch(ids, positions, keep, targets, self.spans, weights)

    @property
    def inputs(self) -> dict[str, Any]:
        given = {"input_ids": self.input_ids, "position_ids": self.position_ids, "spans": self.spans}
        return {k: v for k, v in given.items() if v is not None}

    def blank(self) -> Batch:
        """Its first token, of which nothing is predicted: a loss of zero."""
        weights = None if self.weights is None else self.weights[:0]
        return Batch(self.input_ids[:1, :1], None, self.keep[:0], self.targets[:0], None, weights)


T = TypeVar("T")


def share_of(shares: Seq[list[T]], rank: int, blank: Callable[[T], T]) -> list[T]:
    """A process's part, filled up with blank ones to the number of the longest: sharded backends need equal passes."""
    mine = shares[rank]
    missing = max(map(len, shares)) - len(mine)
    return [*mine, *([blank(next(share[0] for share in shares if share))] * missing if missing else ())]


Deal = Callable[[Seq[Rendered], int], list[list[Rendered]]]
"""(sequences of an update, processes) -> each process's share; none is empty where there are enough sequences."""


def evenly(rows: Seq[Rendered], ranks: int) -> list[list[Rendered]]:
    """Long sequences dealt evenly."""
    ordered = sorted(rows, key=len, reverse=True)
    return [ordered[r::ranks] for r in range(ranks)]


@dataclass(frozen=True)
class Layout:
    """Called with (sequences, tokens at most, padding id) it gives micro-batches; `deal` spreads over processes."""

    make: Callable[[Seq[Rendered], int, int], list[Batch]]
    deal: Deal = evenly

    def __call__(self, rows: Seq[Rendered], tokens: int, pad: int) -> list[Batch]:
        return self.make(rows, tokens, pad)


def single(rows: Seq[Rendered], tokens: int, pad: int) -> list[Batch]:
    return [_pad([row], pad) for row in rows]


def padded(rows: Seq[Rendered], tokens: int, pad: int) -> list[Batch]:
    rows = sorted(rows, key=len)
    return [_pad(rows[a:b], pad) for a, b in _cuts([len(r) for r in rows], tokens)]


def packed(rows: Seq[Rendered], tokens: int, pad: int) -> list[Batch]:
    """First fit, longest first, into rows no longer than the longest sequence; no token is lost."""
    width = max(map(len, rows))
    bins: list[list[Rendered]] = []
    for row in sorted(rows, key=len, reverse=True):
        fits = next((b for b in bins if sum(map(len, b)) + len(row) <= width), None)
        if fits is None:
            bins.append([row])
        else:
            fits.append(row)
    bins.sort(key=lambda b: sum(map(len, b)))
    lengths = [sum(map(len, b)) for b in bins]
    return [_pad_packs(bins[a:b], pad) for a, b in _cuts(lengths, tokens)]


def shared(rows: Seq[Rendered], tokens: int, pad: int) -> list[Batch]:
    """Groups of one beginning side by side in a row of at most `tokens` tokens, those of like length together."""
    parts = [part for group in prefix.groups(rows) for part in prefix.fitted(group, tokens)]
    bins: list[list[prefix.SpanGroup]] = []
    size = 0
    for part in sorted(parts, key=lambda p: (len(p.span), p.shared), reverse=True):
        if not bins or size + len(part.span) > tokens:
            bins.append([])
            size = 0
        bins[-1].append(part)
        size += len(part.span)
    return [Batch(*prefix.tensors(b), tuple(part.span for part in b)) for b in bins]


def sparing(rows: Seq[Rendered], tokens: int, pad: int) -> list[Batch]:
    """Shared beginnings, unless padded rows are hardly more positions: then one causal kernel for all is quicker."""
    flat, area = shared(rows, tokens, pad), padded(rows, tokens, pad)
    return area if _cost(area) <= GAIN * _cost(flat) else flat


def _cost(batches: Seq[Batch]) -> int:
    return sum(batch.input_ids.numel() + PASS for batch in batches)


SHARED = Layout(shared, prefix.neighbours)
SPARING = Layout(sparing, prefix.neighbours)
SINGLE, PADDED, PACKED = Layout(single), Layout(padded), Layout(packed)
_TAKEN = {"single": (SINGLE,), "padded": (PADDED,), "packed": (PACKED,), "shared": (SHARED, SPARING)}
LAYOUTS = registry.layouts
OWN = {"single": SINGLE, "padded": PADDED, "packed": PACKED, "shared": SHARED}
for _name, _layout in OWN.items():
    LAYOUTS(_name)(_layout)


def choose(
    name: str, attention: str | None, device: str, spans: bool = False, refused: Mapping[str, str] | None = None
) -> Layout:
    """The layout of a name, of those that the model's trial did not refuse (layout -> reason).

    `auto` packs where the kernel isolates sequences by itself (flash attention); elsewhere it shares what sequences
    have in common where the model attends over `spans` and an update gains by it, and pads where not. Raises UserError
    where a refused layout is asked for by name, and for a model that is refused in every layout.
    """
    refused = refused or {}
    if "single" in refused:
        raise UserError(
            f"this model cannot be trained on texts: {refused['single']}",
            "give a causal language model; with an adapter, other train.adapter.targets",
        )
    if name in refused or (name == "shared" and not spans):
        raise UserError(f"train.layout is {name}, but {_wrong(name, refused)}", "use layout: auto")
    if name != "auto":
        named: Layout = LAYOUTS.find(name)
        return named
    padded = "padded" not in refused
    if _preferred(attention, device) == "packed" and "packed" not in refused:
        return PACKED
    if spans:
        return SPARING if padded else SHARED
    return PADDED if padded else SINGLE


def fallback(attention: str | None, device: str, refused: Mapping[str, str]) -> str:
    """Where `auto` does not take what it would: a sentence that says why. Else empty."""
    wanted = _preferred(attention, device)
    if wanted not in refused and "padded" not in refused:
        return ""
    taken = choose("auto", attention, device, "shared" not in refused, refused)
    name = next(n for n, layouts in _TAKEN.items() if taken in layouts)
    return f"layout: {name}; {_wrong('padded' if 'padded' in refused else wanted, refused)}"


def _preferred(attention: str | None, device: str) -> str:
    return "packed" if device != "cpu" and "flash" in (attention or "") else "shared"


def _wrong(name: str, refused: Mapping[str, str]) -> str:
    what = {"shared": "shared beginnings", "padded": "padded rows", "packed": "packed rows"}.get(name, f"layout {name}")
    reason = refused.get(name, "a state, a soft cap, or a window shorter than max_length")
    return f"this model does not compute {what} as it computes texts alone ({reason})"


def _cuts(lengths: list[int], tokens: int) -> list[tuple[int, int]]:
    """Where to cut rows, sorted by length, so that padding plus passes costs least (dynamic programme)."""
    best: list[tuple[int, int]] = [(0, 0)]  # cost of the first j rows, where their last batch begins
    for j in range(1, len(lengths) + 1):
        options = []
        for i in range(j - 1, -1, -1):
            area = (j - i) * lengths[j - 1]
            if area > tokens and i < j - 1:
                break
            options.append((best[i][0] + area + PASS, i))
        best.append(min(options))
    cuts, j = [], len(lengths)
    while j:
        cuts.append((best[j][1], j))
        j = best[j][1]
    return cuts[::-1]


def _pad(rows: Seq[Rendered], pad: int) -> Batch:
    return _tensors([(list(r.ids), list(r.labels), None) for r in rows], pad)


def _pad_packs(packs: Seq[Seq[Rendered]], pad: int) -> Batch:
    joined: list[tuple[list[int], list[int], list[int] | None]] = []
    for pack in packs:
        ids = [i for row in pack for i in row.ids]
        labels = [label for row in pack for label in (IGNORED, *row.labels[1:])]  # no sequence predicts the next one
        joined.append((ids, labels, [p for row in pack for p in range(len(row))]))
    return _tensors(joined, pad)


def _tensors(rows: list[tuple[list[int], list[int], list[int] | None]], pad: int) -> Batch:
    width = max(len(ids) for ids, _, _ in rows)
    fill = lambda values, value: values + [value] * (width - len(values))  # noqa: E731
    labels = torch.tensor([fill(labels, IGNORED) for _, labels, _ in rows])
    follows = torch.full_like(labels, IGNORED)
    follows[:, :-1] = labels[:, 1:]
    follows = follows.flatten()
    keep = (follows != IGNORED).nonzero().squeeze(1)
    positions = None
    if rows[0][2] is not None:
        # padding counts up from zero: to the kernel it is one more sequence of its own
        positions = torch.tensor([p + list(range(width - len(p))) for _, _, p in rows if p is not None])
    return Batch(torch.tensor([fill(ids, pad) for ids, _, _ in rows]), positions, keep, follows[keep])
