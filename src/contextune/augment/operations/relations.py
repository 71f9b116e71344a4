"""How the things in a text hang together: its entities, then a text on every pair and on drawn triples.

EntiGraph (Yang et al. 2024, arXiv 2409.07431). Pairs grow with the square of the entities, triples with the cube,
so both are capped; which are kept is drawn from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from itertools import combinations
from typing import ClassVar, Literal, TypeVar

from pydantic import Field

from ...errors import UserError
from ...generate.base import Failure
from ...prompts import template as jinja
from ...sequence import Moment
from ..base import Desk, Passage, register
from ..names import names
from ..prompted import Ask, Local
from ..reading import lines
from ..wording import Wording, load

T = TypeVar("T")


@register
class Relations(Local):
    """Texts on how entities of a document relate to each other within it."""

    name: ClassVar[str] = "relations"
    reads: ClassVar[Literal["sentence", "document"]] = "document"
    operation: Literal["relations"] = "relations"
    entities: Literal["asked", "rule", "auto"] = Field(
        "auto", description="who names them; auto: asked where it can be"
    )
    most: int = Field(12, ge=2, description="entities of a document at most")
    pairs: int = Field(20, ge=0, description="pairs of a document at most")
    triples: int = Field(10, ge=0, description="triples of a document at most")

    def content(self, folder: object, style: str = "plain") -> object:
        first = self._entities_wording(style)
        return [super().content(folder, style), first.hash if first else None]  # type: ignore[arg-type]

    def asks(self, passages: Seq[Passage], desk: Desk, wording: Wording) -> Iterable[Ask]:
        used = frozenset[str]().union(*map(jinja.variables, wording.prompts))
        for passage, found in zip(passages, self._found(passages, desk), strict=True):
            rng = Moment(desk.seed, self.seed).rng("relations", passage.id)
            groups: list[tuple[str, ...]] = [*capped(rng, combinations(found, 2), self.pairs)]
            if "names" in used:
                groups += capped(rng, combinations(found, 3), self.triples)
            for group in groups:
                row = {"text": passage.text.strip(), "names": ", ".join(group), "first": group[0], "second": group[1]}
                yield from (Ask(passage, template, row) for template in wording.prompts)

    def _found(self, passages: Seq[Passage], desk: Desk) -> list[list[str]]:
        """The entities of each passage; none where the request failed."""
        wording = self._entities_wording(desk.style)
        if wording is None:
            return [names(p.text)[: self.most] for p in passages]
        requests = [self.request(wording, Ask(p, wording.prompts[0], {"text": p.text.strip()})) for p in passages]
        return [[] if isinstance(a, Failure) else lines(a)[: self.most] for a in desk.ask(requests)]

    def _entities_wording(self, style: str) -> Wording | None:
        if self.entities == "rule":
            return None
        try:
            return load("entities", style)
        except UserError:
            if self.entities == "asked":
                raise
            return None


def capped(rng: random.Random, groups: Iterable[T], most: int) -> list[T]:
    """At most so many, drawn, in their own order."""
    known = list(groups)
    kept = sorted(rng.sample(range(len(known)), min(most, len(known))))
    return [known[i] for i in kept]
