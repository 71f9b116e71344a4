"""The same told from its other side: what was named last is named first (local; arXiv 2505.00661)."""

from typing import ClassVar, Literal

from ..base import register
from ..prompted import Local


@register
class Reversal(Local):
    """Statements that follow from a sentence and begin with what it ends with."""

    name: ClassVar[str] = "reversal"
    operation: Literal["reversal"] = "reversal"
