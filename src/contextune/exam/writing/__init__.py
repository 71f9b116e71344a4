"""Items that a model writes and answers itself with the passage before it; nothing here imports torch."""

from .items import identity, rows
from .opened import open_writing, writer_options
from .prompts import Prompts, load
from .writer import KINDS, Draft, Outcome, Writing, write

__all__ = [
    "KINDS",
    "Draft",
    "Outcome",
    "Prompts",
    "Writing",
    "identity",
    "load",
    "open_writing",
    "rows",
    "write",
    "writer_options",
]
