"""What a text implies, one statement a line (after SEAL, arXiv 2506.10943, and deductive closure, arXiv 2401.08574)."""

from typing import ClassVar, Literal

from ..base import register
from ..prompted import Local


@register
class Implications(Local):
    """Statements that hold if a text does."""

    name: ClassVar[str] = "implications"
    reads: ClassVar[Literal["sentence", "document"]] = "document"
    operation: Literal["implications"] = "implications"
