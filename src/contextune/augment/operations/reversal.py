"""The same told from its other side: what was named last is named first (local; arXiv 2505.00661)."""

from contextune.core import registry

from ..prompted import Local


@registry.operations("reversal")
class Reversal(Local):
    """Statements that follow from a sentence and begin with what it ends with."""
