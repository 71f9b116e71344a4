"""What follows in several steps from a document and the others together (global; arXiv 2505.00661)."""

from contextune.core import registry

from ..prompted import Global


@registry.operations("deductions")
class Deductions(Global):
    """Conclusions for which a document alone is not enough."""
