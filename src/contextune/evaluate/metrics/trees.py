"""Bracketed parse trees as MTOP has them: read, written in one form, compared.

    [IN:GET_EVENT [SL:CATEGORY music festivals ] [SL:DATE_TIME in 2018 ] ]

Space around brackets does not matter. Li et al. 2021 (MTOP) count a tree as right where it is equal as a whole; where
a task does not care for the order of the slots of a node, siblings are sorted first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from contextune.core import registry

from .metric import ItemMetric, Outcomes

if TYPE_CHECKING:
    from .metric import Estimator

_TOKEN = re.compile(r"\[|\]|[^\s\[\]]+")


@dataclass(frozen=True, slots=True)
class Node:
    """`children` are words and nodes in their order."""

    label: str
    children: tuple[str | Node, ...] = ()

    def __str__(self) -> str:
        return " ".join([f"[{self.label}", *map(str, self.children), "]"])

    @property
    def words(self) -> tuple[str, ...]:
        """The words below it, in order."""
        return tuple(w for c in self.children for w in (c.words if isinstance(c, Node) else (c,)))

    def nodes(self) -> Iterator[Node]:
        """Itself and all below."""
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.nodes()

    def sorted(self) -> Node:
        """Child nodes in one order, whatever theirs was; words stay before them, in their own order."""
        words = [c for c in self.children if not isinstance(c, Node)]
        nodes = sorted((c.sorted() for c in self.children if isinstance(c, Node)), key=str)
        return Node(self.label, (*words, *nodes))


DEEPEST = 64
"""Brackets within brackets; a model that repeats itself opens more."""


def parse(text: str) -> Node:
    """The one tree of a text. ValueError says what is wrong and at which character."""
    open_: list[tuple[str, list[str | Node]]] = []
    tokens = list(_TOKEN.finditer(text))
    for i, token in enumerate(tokens):
        at = f"at character {token.start() + 1}"
        if token[0] == "[":
            if len(open_) == DEEPEST:
                raise ValueError(f"more than {DEEPEST} brackets within each other {at}")
            open_.append(("", []))
        elif not open_:
            raise ValueError(f"{token[0]!r} is outside of the brackets {at}")
        elif token[0] == "]":
            label, children = open_.pop()
            if not label:
                raise ValueError(f"a bracket without a label ends {at}")
            made = Node(label, tuple(children))
            if open_:
                if not open_[-1][0]:
                    raise ValueError(f"a bracket without a label holds another {at}")
                open_[-1][1].append(made)
            elif i + 1 < len(tokens):
                raise ValueError(f"text after the tree, at character {tokens[i + 1].start() + 1}")
            else:
                return made
        elif not open_[-1][0] and not open_[-1][1]:
            open_[-1] = (token[0], [])
        else:
            open_[-1][1].append(token[0])
    raise ValueError(f"{len(open_)} bracket{'s' * (len(open_) > 1)} not closed" if open_ else "no bracket")


def read(text: str) -> Node | None:
    """The tree, or None where the text is none."""
    try:
        return parse(text)
    except ValueError:
        return None


def equal(output: str, gold: str, ordered: bool = True) -> bool:
    """Whether two texts are the same tree."""
    said, right = read(output), read(gold)
    if said is None or right is None:
        return False
    return said == right if ordered else said.sorted() == right.sorted()


def shared(output: str, gold: str) -> tuple[int, int, int]:
    """Nodes in both trees, in the output, in the gold; a node is its label and the words below it."""
    said, right = (
        Counter((n.label, n.words) for n in tree.nodes()) if tree else Counter[Any]()
        for tree in (read(output), read(gold))
    )
    return (said & right).total(), said.total(), right.total()


def f1(output: str, gold: str) -> float:
    both, said, right = shared(output, gold)
    return 2 * both / max(said + right, 1)


def _f1(counts: Any) -> Any:
    return 2 * counts[..., 0] / (counts[..., 1] + counts[..., 2]).clip(min=1e-300)


class _OfTrees(ItemMetric):
    special: ClassVar[bool] = True


@registry.metrics("tree_match")
class TreeMatch(_OfTrees):
    """The tree is equal as a whole."""

    beside: ClassVar[tuple[str, ...]] = ("tree_match_unordered", "tree_f1")

    def worth(self, output: str, gold: str) -> float:
        return float(equal(output, gold))


@registry.metrics("tree_match_unordered")
class TreeMatchUnordered(_OfTrees):
    """The tree is equal but for the order of siblings."""

    beside: ClassVar[tuple[str, ...]] = ("tree_match", "tree_f1")

    def worth(self, output: str, gold: str) -> float:
        return float(equal(output, gold, ordered=False))


@registry.metrics("tree_f1")
class TreeF1(_OfTrees):
    """F1 over the nodes of all items together."""

    beside: ClassVar[tuple[str, ...]] = ("tree_match", "tree_match_unordered")
    has_majority: ClassVar[bool] = False

    def worth(self, output: str, gold: str) -> float:
        return f1(output, gold)

    def of(self, outcomes: Outcomes) -> Estimator:
        import numpy as np

        pairs = zip(outcomes["output"], outcomes["gold"], strict=True)
        counts = np.array([shared(o, g) for o, g in pairs], dtype=float)
        return lambda weights: _f1(weights @ counts)
