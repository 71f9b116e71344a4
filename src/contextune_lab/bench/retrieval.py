"""Exact nearest neighbours by blocked matrix products: seconds a query and memory, against one whole product."""

from __future__ import annotations

from typing import Any

import numpy as np

from contextune.retrieval import Space, exact

from . import race


def measure(
    documents: int, queries: int, rounds: int, told: race.RaceProgress, width: int = 384, k: int = 8
) -> dict[str, Any]:
    """Seconds and peak memory of both; the neighbours must be the same."""
    rng = np.random.default_rng(0)
    unit = lambda n: _unit(rng.standard_normal((n, width), dtype=np.float32))  # noqa: E731
    space, found = Space(unit(queries), unit(documents)), dict[str, Any]()

    def ours() -> None:
        found["ours"] = exact(space, k, lambda row, places, scores: np.zeros(len(places), bool)).ids

    def whole() -> None:
        found["whole"] = np.argsort(-(space.queries @ space.documents.T), axis=1)[:, :k]

    runners = {"ours": ours, "whole": whole}
    times, peaks = race.race(runners, rounds, lambda text: told(f"retrieval: {text}"))
    return {
        "documents": documents, "queries": queries, "rounds": rounds,
        "same": float((np.sort(found["ours"], 1) == np.sort(found["whole"], 1)).mean()),
        "runners": race.results(times, peaks),
    }  # fmt: skip


def _unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
