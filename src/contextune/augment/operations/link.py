"""Every fact of a document, restated and linked with the other documents (global; arXiv 2505.00661)."""

from typing import ClassVar, Literal

from ..base import register
from ..prompted import Global


@register
class Link(Global):
    """What a document says, in other words and from the other side, and how it hangs together with the rest."""

    name: ClassVar[str] = "link"
    operation: Literal["link"] = "link"
