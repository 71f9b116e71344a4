"""What follows from the statements of one text taken together (local; arXiv 2505.00661, its syllogisms).

"all Kalo are Mido. no Mido are Rune."  ->  "no Kalo are Rune."
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from ..base import register
from ..prompted import Ask, Local
from ..wording import Wording, fill


@register
class Conclusions(Local):
    """Statements that no sentence of a text holds and that follow from several of them."""

    name: ClassVar[str] = "conclusions"
    reads: ClassVar[Literal["sentence", "document"]] = "document"
    operation: Literal["conclusions"] = "conclusions"
    form: Literal["statement", "asked", "both"] = Field(
        "both", description="the conclusion alone, after what asks for it (where the wording has `asked`), or both"
    )

    def texts(self, wording: Wording, ask: Ask, answer: str) -> Iterator[tuple[str, str]]:
        for prompt, text in super().texts(wording, ask, answer):
            asked = fill(wording.asked, **ask.values)
            if self.form != "asked" or not asked:
                yield prompt, text
            if self.form != "statement" and asked:
                yield asked, f" {text}"
