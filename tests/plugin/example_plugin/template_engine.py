"""An engine: answers with the last line of the prompt. A stand-in for a model, for dry runs."""

from collections.abc import Callable, Iterator, Sequence

from contextune.core import registry
from contextune.generation import Failure, Request
from contextune.generation.options import Writer


@registry.engines("last_line")
class LastLine:
    """Reads nothing and costs nothing."""

    identity = "last_line/1"

    @classmethod
    def open(cls, writer: Writer, path: str, say: Callable[[str], None]) -> "LastLine":
        return cls()

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[int, str | Failure]]:
        for place, request in enumerate(requests):
            said = request.prompt.strip().splitlines()
            yield place, said[-1] if said else Failure("the prompt is empty")
