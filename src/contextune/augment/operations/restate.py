"""A sentence's fact in its plainest form, without what introduces it: one of the restatements of arXiv 2505.00661.

"did you know that Kalo is brighter than Mido."  ->  "Kalo is brighter than Mido."
"""

from typing import ClassVar, Literal

from ..base import register
from ..prompted import Local


@register
class Restate(Local):
    """What a sentence says, and nothing around it."""

    name: ClassVar[str] = "restate"
    operation: Literal["restate"] = "restate"
