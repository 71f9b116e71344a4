"""Every fact of a document, restated and linked with the other documents (global; arXiv 2505.00661)."""

from contextune.core import registry

from ..prompted import Global


@registry.operations("link")
class Link(Global):
    """What a document says, in other words and from the other side, and how it hangs together with the rest."""
