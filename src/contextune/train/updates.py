"""The updates of a stage: what each one trains on, rendered when it is asked for, and cut into micro-batches."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import replace

from torch.utils.data import Dataset

from contextune.contexts import BoundPolicy, compose
from contextune.core.sequence import DrawKey, Record, Rendered, Sequence, Tokenizer, render

from .layouts import Batch, Layout, share_of
from .schedule import Plan


class Updates(Dataset[list[Rendered]]):
    """Update t: its rendered sequences. Access has no state and draws from no global generator."""

    def __init__(
        self, records: Seq[Record], context: BoundPolicy, tokenizer: Tokenizer, plan: Plan, max_length: int,
        pairs: bool = False, bare: bool = False,
    ) -> None:  # fmt: skip
        self.records, self.context, self.tokenizer = records, context, tokenizer
        self.plan, self.max_length, self.pairs, self.bare = plan, max_length, pairs, bare

    def __len__(self) -> int:
        return self.plan.updates

    def __getitem__(self, step: int) -> list[Rendered]:
        first = step * self.plan.batch
        places = enumerate(self.plan.update(step), first)
        return [self.sequence(epoch, row, place / self.plan.draws) for place, (epoch, row) in places]

    def sequence(self, epoch: int, row: int, done: float = 0.0) -> Rendered:
        """`done`: the share of all draws that come before this one."""
        return self.rendered(compose(self.records[row], self.context, DrawKey(self.plan.seed, epoch, done)))

    def rendered(self, drawn: Sequence) -> Rendered:
        """With what it is compared to, where the objective compares two, and what may take its place."""
        made = render(drawn, self.tokenizer, self.max_length)
        if self.pairs and drawn.rejected:
            other = replace(drawn, segments=drawn.rejected)
            made = replace(made, rejected=render(other, self.tokenizer, self.max_length))
        if self.bare and drawn.drawn:
            alone = replace(drawn, segments=drawn.segments[drawn.drawn :], drawn=0, limit=None)
            made = replace(made, bare=render(alone, self.tokenizer, self.max_length))
        return replace(made, alternatives=tuple(map(self.rendered, drawn.alternatives))) if drawn.alternatives else made


def micro_batches(
    rows: Seq[Rendered], rank: int, ranks: int, layout: Layout, tokens: int, pad: int
) -> tuple[list[Batch], int]:
    """This process's micro-batches, as many as any other's, and the labelled tokens of the whole update."""
    shares = [layout(share, tokens, pad) for share in layout.deal(rows, ranks)]
    return share_of(shares, rank, Batch.blank), sum(row.trained for row in rows)
