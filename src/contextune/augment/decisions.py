"""What a person decided of made texts, in their page: a JSON Lines file in the run's folder.

{"id": "note-3/0+reversal/1#0", "sum": "2f0c91a7be54", "decision": "reject"}

A rejected text is left out, an accepted one is kept whatever the filters say of it. `sum` tells whether the text of
that id is still the one that was decided upon; without it any text of that id is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contextune.core import decisions
from contextune.core.decisions import FILE as FILE
from contextune.core.decisions import sum_of

from .base import Inferred

ACCEPT, REJECT = "accept", "reject"


@dataclass(frozen=True)
class Decisions:
    """(id, sum) of a text, or (id, ""), and what was decided."""

    said: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def of(self, id: str, made: Inferred) -> str:
        """accept, reject, or "" where nothing was decided."""
        return self.said.get((id, sum_of(made.prompt, made.text))) or self.said.get((id, ""), "")

    def unused(self, made: Iterable[tuple[Inferred, str]]) -> list[str]:
        """Ids of texts that are made no longer."""
        there = {key for m, id in made for key in ((id, ""), (id, sum_of(m.prompt, m.text)))}
        return [id for id, sum in self.said if (id, sum) not in there]


def read(file: Path) -> Decisions:
    """The decisions of a file, none where there is no file; later lines overrule earlier ones. Raises UserError."""
    found: dict[tuple[str, str], str] = {}
    for said in decisions.read(file, ("sum", "note"), (ACCEPT, REJECT)):
        id, sum = said["id"], str(said.get("sum") or "")
        if not sum:
            for key in [k for k in found if k[0] == id]:
                del found[key]
        found[id, sum] = said["decision"]
    return Decisions(found)
