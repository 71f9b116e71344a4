"""Paragraphs that documents have in common, word for word or nearly so."""

from __future__ import annotations

import re
from collections.abc import Sequence as Seq

from contextune.core.text import units

ALIKE = 0.8
"""Jaccard similarity of runs of RUN words from which a paragraph repeats another."""
RUN = 5
SHORTEST = 8
"""Words of a paragraph below which only its exact repeats count: "Yes." is no copy of another text."""


def paragraphs(text: str) -> list[str]:
    return [p.strip() for p in re.split(r"\n[ \t]*\n", text) if p.strip()]


def repeats(texts: Seq[str]) -> dict[int, int]:
    """For each paragraph that says an earlier one again, that earlier one (by place).

    MinHash finds candidates, the exact Jaccard similarity of their runs of five words decides. Texts shorter than eight
    words repeat only word for word.
    """
    from datasketch import MinHash, MinHashLSH

    found, first, runs = dict[int, int](), dict[str, int](), dict[int, set[bytes]]()
    index = MinHashLSH(threshold=ALIKE - 0.2, num_perm=64)  # candidates alone: few are missed
    for i, text in enumerate(texts):
        words = units(text)
        flat = " ".join(words)
        if (same := first.setdefault(flat, i)) != i:
            found[i] = same
            continue
        if len(words) < SHORTEST:
            continue
        own = {" ".join(words[j : j + RUN]).encode() for j in range(len(words) - RUN + 1)}
        sketch = MinHash(64)
        sketch.update_batch(list(own))
        near = sorted(int(k) for k in index.query(sketch))
        alike = next((j for j in near if len(own & runs[j]) >= ALIKE * len(own | runs[j])), None)
        if alike is None:
            runs[i] = own
            index.insert(str(i), sketch)
        else:
            found[i] = alike
    return found
