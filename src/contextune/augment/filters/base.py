"""What a filter is: options that a recipe writes, and a judge of inferred texts.

Filters run in the order in which a recipe lists them; each sees what the ones before it kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import ClassVar

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.options import Named, named, parse_named

from ..base import Inferred

Judge = Callable[[Seq[Inferred]], list[str]]
"""For each text the reason to leave it out, "" where it stays."""


class Filter(Named, ABC):
    """Options of a filter; subclasses add fields and `bind`."""

    key: ClassVar[str] = "filter"

    @abstractmethod
    def bind(self, context: BindContext) -> Judge:
        """The judge. `context.records` are the records that were augmented."""


FilterOption = named(registry.filters, Filter.key)
"""A filter among the options of something: its name, or a mapping with the key `filter`."""


def parse_filter(value: object) -> Filter:
    """A filter as a recipe writes it."""
    filter: Filter = parse_named(value, registry.filters, Filter.key)
    return filter
