"""What a filter is: options that a recipe writes, and a judge of inferred texts.

Filters run in the order in which a recipe lists them; each sees what the ones before it kept.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

from ...registry import Registry
from ..base import Made

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ...sequence import Record, Tokenizer


@dataclass(frozen=True, slots=True)
class Bench:
    """What a filter may use."""

    records: Seq[Record]
    """The records that were augmented."""
    tokenizer: Tokenizer
    model: Callable[[], PreTrainedModel] | None = None
    """Loads the recipe's untrained model, for filters that ask it how likely a text is."""
    ask: Callable[[Seq[Made], str], Seq[str | None]] | None = None
    """Applies an operation (by name) to made texts: round trips. None for a text that got no answer."""
    tokens: int = 8192
    """Tokens computed at once at most."""


Judge = Callable[[Seq[Made]], list[str]]
"""For each text the reason to leave it out, "" where it stays."""


class Filter(BaseModel):
    """Options of a filter; subclasses add fields and `bind`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: ClassVar[str]

    filter: str

    def bind(self, bench: Bench) -> Judge:
        raise NotImplementedError


_filters: Registry[type[Filter]] = Registry("filter")
register, names, find = _filters.register, _filters.names, _filters.find
