"""A sentence's fact in its plainest form, without what introduces it: one of the restatements of arXiv 2505.00661.

"did you know that Kalo is brighter than Mido."  ->  "Kalo is brighter than Mido."
"""

from contextune.core import registry

from ..prompted import Local


@registry.operations("restate")
class Restate(Local):
    """What a sentence says, and nothing around it."""
