"""The same said in other words, in the same direction (local; arXiv 2505.00661, and the control of many others)."""

from typing import ClassVar, Literal

from ..base import register
from ..prompted import Local


@register
class Rephrase(Local):
    """Other wordings of a sentence."""

    name: ClassVar[str] = "rephrase"
    operation: Literal["rephrase"] = "rephrase"
