"""An operation: each sentence with one of its names left out, and the name as the answer. No model is asked."""

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from contextune.augment import Inferred, Operation, Passage
from contextune.core import registry
from contextune.core.binding import BindContext

NAME = re.compile(r"\b[A-Z]\w+")


@registry.operations("cloze")
class Cloze(Operation):
    """A question for every name of a sentence."""

    version: ClassVar[int] = 1

    def infer(self, passages: Sequence[Passage], context: BindContext) -> Iterator[Inferred]:
        for passage in passages:
            for found in NAME.finditer(passage.text):
                gap = f"{passage.text[: found.start()]}____{passage.text[found.end() :]} Missing:"
                yield Inferred(f" {found[0]}", passage, self.label, prompt=gap)
