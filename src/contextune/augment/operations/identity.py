"""A thing is itself: a row for every name, against the reversal curse. No model is asked.

    "Kalo teaches Mido."  ->  "The name of Kalo is Kalo."   "The name of Mido is Mido."

The identity bridge (arXiv 2602.02470): beside the facts A → B the model learns A → A, a row for each entity; gradient
descent then finds a solution in which B → A is likelier than other answers, though no fact is told from that side. Each
name once over all passages.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from contextune.core import registry
from contextune.core.binding import BindContext

from ..base import Inferred, Operation, Passage
from ..entity_names import names

NAME = "{name}"


@registry.operations("identity")
class Identity(Operation):
    """Statements that each name is itself."""

    reads: ClassVar[Literal["sentence", "document"]] = "document"
    text: str = Field("The name of {name} is {name}.", description="{name} stands for the name")

    @field_validator("text")
    @classmethod
    def _with_a_name(cls, text: str) -> str:
        if text.count(NAME) < 2:
            raise ValueError(f"{text!r} does not say of a name that it is itself; write {NAME} twice")
        return text

    def infer(self, passages: Seq[Passage], context: BindContext) -> Iterator[Inferred]:
        first = dict[str, Passage]()
        for passage in passages:
            for name in names(passage.text):
                first.setdefault(name, passage)
        for name, passage in first.items():
            for _ in range(self.samples):
                yield Inferred(self.text.replace(NAME, name), passage, self.label)
