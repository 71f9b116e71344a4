"""The same said in other words, in the same direction (local; arXiv 2505.00661, and the control of many others)."""

from contextune.core import registry

from ..prompted import Local


@registry.operations("rephrase")
class Rephrase(Local):
    """Other wordings of a sentence."""
