"""What follows from the statements of one text taken together (local; arXiv 2505.00661, its syllogisms).

"all Kalo are Mido. no Mido are Rune."  ->  "no Kalo are Rune."
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from contextune.core import registry

from ..prompt_template import PromptTemplate, fill
from ..prompted import Local, PromptRequest


@registry.operations("conclusions")
class Conclusions(Local):
    """Statements that no sentence of a text holds and that follow from several of them."""

    reads: ClassVar[Literal["sentence", "document"]] = "document"
    form: Literal["statement", "asked", "both"] = Field(
        "both", description="the conclusion alone, after what asks for it (where the template has `asked`), or both"
    )

    def texts(self, template: PromptTemplate, ask: PromptRequest, answer: str) -> Iterator[tuple[str, str]]:
        for prompt, text in super().texts(template, ask, answer):
            asked = fill(template.asked, **ask.values)
            if self.form != "asked" or not asked:
                yield prompt, text
            if self.form != "statement" and asked:
                yield asked, f" {text}"
