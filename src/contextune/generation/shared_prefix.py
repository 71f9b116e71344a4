"""Which prompts begin alike, so that what they share is computed once.

doc A + q1, doc A + q2, doc A + q3, doc B + q1   ->   [doc A: q1 q2 q3], [q1 after doc B, alone]
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from itertools import takewhile

PASS = 32
"""A forward pass costs about as much as this many positions of a prompt, whatever it computes."""


@dataclass
class PrefixGroup:
    """Prompts `low` to `high` (in sorted order) that share their first `size` tokens."""

    low: int
    high: int
    size: int
    parts: list[PrefixGroup] = field(default_factory=list)
    """Groups within it that share more."""
    saved: int = 0

    def choose(self, passes: int) -> None:
        """Keeps its parts if they save more positions than it does itself; each group costs `passes` of its own."""
        own, inner = (self.high - self.low) * self.size - PASS * passes, sum(p.saved for p in self.parts)
        if own >= inner:
            self.parts, self.saved = [], max(own, 0)
        else:
            self.saved = inner

    def chosen(self) -> list[PrefixGroup]:
        """The groups kept, from its innermost parts out (a walk, as the parts may lie thousands deep)."""
        left, found = [self], list[PrefixGroup]()
        while left:
            group = left.pop()
            left += group.parts
            found += [group] if not group.parts and group.saved > 0 else []
        return found


def shared(prompts: Seq[Seq[int]], passes: int) -> list[tuple[int, list[int]]]:
    """(size, places) of the groups that are worth computing their first `size` tokens once, and (0, all the rest).

    `passes` is how many forward passes a batch needs. At least one token of each prompt is left to be computed.
    The groups are the nodes of the tree of common beginnings: one walk over the sorted prompts with a stack.
    """
    order = sorted(range(len(prompts)), key=lambda i: list(prompts[i]))
    stack = [PrefixGroup(0, 0, 0)]
    for at in range(1, len(order) + 1):
        size = _common(prompts[order[at - 1]], prompts[order[at]]) if at < len(order) else 0
        low, inner = at - 1, list[PrefixGroup]()
        while stack[-1].size > size:
            done = stack.pop()
            done.high, done.parts = at - 1, [*done.parts, *inner]
            done.choose(passes)
            low, inner = done.low, [done] if done.saved else []
        if stack[-1].size == size:
            stack[-1].parts += inner
        else:
            stack.append(PrefixGroup(low, at, size, inner))
    chosen = [g for part in stack[0].parts for g in part.chosen()]
    groups = [(g.size, [order[i] for i in range(g.low, g.high + 1)]) for g in chosen]
    taken = {i for _, places in groups for i in places}
    rest = [i for i in range(len(prompts)) if i not in taken]
    return [*groups, (0, rest)] if rest else groups


def _common(a: Seq[int], b: Seq[int]) -> int:
    """Tokens that two prompts share, less than either has."""
    size = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
    return min(size, len(a) - 1, len(b) - 1)
