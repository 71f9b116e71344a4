"""How the things in a text hang together: its entities, then a text on every pair and on drawn triples.

EntiGraph (Yang et al. 2024, arXiv 2409.07431). Pairs grow with the square of the entities, triples with the cube,
so both are capped; which are kept is drawn from the seed. Corpora tell one relation again and again: with `once` it is
asked in the first document that names the group and in no other, so that what is drawn is spread over all relations.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from itertools import combinations
from typing import ClassVar, Literal, TypeVar

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey
from contextune.generation.protocol import Failure
from contextune.prompts import templates as jinja

from ..base import Passage
from ..demonstrations import copied
from ..entity_names import names
from ..prompt_template import PromptTemplate, load
from ..prompted import Local, PromptRequest
from ..replies import lines
from ..sentence_split import sentences

T = TypeVar("T")


@registry.operations("relations")
class Relations(Local):
    """Texts on how entities of a document relate to each other within it."""

    reads: ClassVar[Literal["sentence", "document"]] = "document"
    entities: Literal["asked", "rule", "auto"] = Field(
        "auto", description="who names them; auto: asked where it can be"
    )
    most: int = Field(12, ge=2, le=1000, description="entities of a document at most")
    pairs: int = Field(20, ge=0, le=1000, description="pairs of a document at most")
    triples: int = Field(10, ge=0, le=1000, description="triples of a document at most")
    once: bool = Field(False, description="each pair and triple in the first document alone that names it")

    def content(self, folder: object, style: str = "plain") -> object:
        first = self._entities_template(style)
        return [super().content(folder, style), first.hash if first else None]  # type: ignore[arg-type]

    def asks(self, passages: Seq[Passage], context: BindContext, template: PromptTemplate) -> Iterable[PromptRequest]:
        used = frozenset[str]().union(*map(jinja.variables, template.prompts))
        known = set[frozenset[str]]()
        for passage, found in zip(passages, self._found(passages, context), strict=True):
            rng = DrawKey(context.seed, self.seed).rng("relations", passage.id)
            fresh = [
                [g for g in combinations(found, n) if not (self.once and frozenset(g) in known)]
                for n in ((2, 3) if "names" in used else (2,))
            ]
            if template.each == "sentence":
                fresh = [[g for g in groups if told(passage.text, g)] for groups in fresh]
            most = (self.pairs, self.triples)[: len(fresh)]
            chosen = [g for groups, n in zip(fresh, most, strict=True) for g in capped(rng, groups, n)]
            known.update(frozenset(g) for groups in fresh for g in groups)
            for group in chosen:
                text = told(passage.text, group) if template.each == "sentence" else passage.text.strip()
                row = {"text": text, "names": ", ".join(group), "first": group[0], "second": group[1]}
                yield from (PromptRequest(passage, prompt, row) for prompt in template.prompts)

    def _found(self, passages: Seq[Passage], context: BindContext) -> list[list[str]]:
        """The entities of each passage; none where the request failed."""
        template = self._entities_template(context.prompt_style)
        if template is None:
            return [names(p.text)[: self.most] for p in passages]
        requests = [
            self.request(template, PromptRequest(p, template.prompts[0], {"text": p.text.strip()})) for p in passages
        ]
        return [
            []
            if isinstance(a, Failure)
            else [n for n in lines(a) if not copied(n, p.text, template.shown)][: self.most]
            for p, a in zip(passages, context.writer_for(f"operation {self.name}")(requests), strict=True)
        ]

    def _entities_template(self, style: str) -> PromptTemplate | None:
        if self.entities == "rule":
            return None
        try:
            return load("entities", style)
        except UserError:
            if self.entities == "asked":
                raise
            return None


def told(text: str, group: Iterable[str]) -> str:
    """The first sentence that names all of a group; "" where none does."""
    wanted = set(group)
    return next((s.strip() for s in sentences(text) if wanted <= set(names(s))), "")


def capped(rng: random.Random, groups: Iterable[T], most: int) -> list[T]:
    """At most so many, drawn, in their own order."""
    known = list(groups)
    kept = sorted(rng.sample(range(len(known)), min(most, len(known))))
    return [known[i] for i in kept]
