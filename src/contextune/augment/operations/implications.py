"""What a text implies, one statement a line (after SEAL, arXiv 2506.10943, and deductive closure, arXiv 2401.08574)."""

from typing import ClassVar, Literal

from contextune.core import registry

from ..prompted import Local


@registry.operations("implications")
class Implications(Local):
    """Statements that hold if a text does."""

    reads: ClassVar[Literal["sentence", "document"]] = "document"
