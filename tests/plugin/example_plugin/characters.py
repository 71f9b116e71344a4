"""A similarity: the share of character trigrams in common, which needs no words."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.retrieval import Similarity, Space


@registry.similarities("characters")
class Characters(Similarity):
    """Cosine of the sets of character n-grams."""

    n: int = Field(3, ge=1, description="characters of a gram")

    def fit(self, queries: Sequence[str], documents: Sequence[str], context: BindContext) -> Space:
        grams = [[{t[i : i + self.n] for i in range(len(t))} for t in texts] for texts in (queries, documents)]
        columns = {gram: i for i, gram in enumerate(sorted(set().union(*grams[0], *grams[1])))}

        def vectors(texts: list[set[str]]) -> np.ndarray:
            made = np.zeros((len(texts), len(columns)), np.float32)
            for row, text in enumerate(texts):
                made[row, [columns[gram] for gram in text]] = 1 / max(1, len(text)) ** 0.5
            return made

        return Space(vectors(grams[0]), vectors(grams[1]))
