"""What repeats on the pages of a document: running heads and feet, page numbers, navigation.

A line is boilerplate where it stands among the first or last EDGE lines of at least SHARE of the pages (and of three),
digits aside: "Annual Report 2023 · 17" is the same on every page. A line of an edge that is only a number is one too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence as Seq

EDGE = 3
SHARE = 0.5
LEAST = 3
"""Pages below which nothing repeats enough to be told from text."""
LONGEST = 120
"""Characters of a running head at most."""
_ROMAN = r"(?=[ivx])x{0,3}(?:ix|iv|v?i{0,3})"
_NUMBER = re.compile(
    rf"\W*(?:(?:page|seite|p\.|pp\.)\s*)?(?:\d{{1,5}}|{_ROMAN})(?:\s*(?:/|of|von)\s*\d{{1,5}})?\W*", re.IGNORECASE
)


def cleaned(pages: Seq[str]) -> tuple[list[str], Counter[str]]:
    """The pages without what repeats on them, and each line that was taken out (digits as #) with how often."""
    lines = [p.split("\n") for p in pages]
    edges = [_edges(own) for own in lines]
    on = Counter(shape for own, at in zip(lines, edges, strict=True) for shape in {_shape(own[i]) for i in at})
    least = max(LEAST, SHARE * len(pages))
    removed, kept = Counter[str](), list[str]()
    for own, at in zip(lines, edges, strict=True):
        gone = {i for i in at if on[_shape(own[i])] >= least and len(own[i]) <= LONGEST}
        if len(pages) >= LEAST:
            gone |= {i for i in at if _NUMBER.fullmatch(own[i])}
        removed.update(_shape(own[i]) for i in gone)
        kept.append(re.sub(r"\n{3,}", "\n\n", "\n".join(x for i, x in enumerate(own) if i not in gone)).strip())
    return (kept, removed) if any(kept) else ([p.strip() for p in pages], Counter())


def _edges(lines: Seq[str]) -> list[int]:
    """Places of the first and last EDGE lines that are not blank."""
    full = [i for i, line in enumerate(lines) if line.strip()]
    return sorted({*full[:EDGE], *full[-EDGE:]})


def _shape(line: str) -> str:
    """A line with its digits as #: what it shares with those of other pages."""
    return re.sub(r"\d+", "#", " ".join(line.split()).casefold())
