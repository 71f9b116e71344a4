"""What follows in several steps from a document and the others together (global; arXiv 2505.00661)."""

from typing import ClassVar, Literal

from ..base import register
from ..prompted import Global


@register
class Deductions(Global):
    """Conclusions for which a document alone is not enough."""

    name: ClassVar[str] = "deductions"
    operation: Literal["deductions"] = "deductions"
