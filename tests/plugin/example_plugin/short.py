"""A filter: texts of a few words say nothing."""

from collections.abc import Sequence

from pydantic import Field

from contextune.augment import Inferred
from contextune.augment.filters import Filter, Judge
from contextune.core import registry
from contextune.core.binding import BindContext


@registry.filters("short")
class Short(Filter):
    """Refuses texts of fewer than `words` words."""

    words: int = Field(4, ge=1)

    def bind(self, context: BindContext) -> Judge:
        def judge(made: Sequence[Inferred]) -> list[str]:
            return ["" if len(m.text.split()) >= self.words else "short" for m in made]

        return judge
