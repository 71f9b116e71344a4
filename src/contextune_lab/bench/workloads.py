"""Updates of the shapes that methods of this project train on, made of random ids, and what they must cost.

contextual    a prompt of 40 tokens, then a text of 472 that is trained on; two an update, each with a prompt of its own
in_context    five examples of 60, then an input of 40 and an answer of 20; eight targets after the same examples
mixed         sixteen rows, lengths log-normal with mean 120; half of each row is trained on
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import Any

from contextune.core.sequence import IGNORED, Rendered
from contextune.train.spans import groups, useful

FIRST = 8
"""Ids below are special in the vocabularies used here."""


def contextual(vocabulary: int, seed: int = 0) -> list[Rendered]:
    ids = _ids(vocabulary, seed)
    return [_row(ids(40), ids(472)) for _ in range(2)]


def in_context(vocabulary: int, seed: int = 0, targets: int = 8) -> list[Rendered]:
    ids = _ids(vocabulary, seed)
    examples = ids(5 * 60)
    return [_row(examples + ids(40), ids(20)) for _ in range(targets)]


def mixed(vocabulary: int, seed: int = 0, rows: int = 16, mean: float = 120.0, sigma: float = 0.7) -> list[Rendered]:
    """exp(N(mu, sigma²)) has the mean exp(mu + sigma²/2)."""
    ids, rng = _ids(vocabulary, seed), random.Random(seed)
    mu = math.log(mean) - sigma**2 / 2
    sizes = [min(500, max(8, round(rng.lognormvariate(mu, sigma)))) for _ in range(rows)]
    return [_row(ids(n // 2), ids(n - n // 2)) for n in sizes]


WORKLOADS: dict[str, Callable[[int], list[Rendered]]] = {
    "contextual": contextual,
    "in_context": in_context,
    "mixed": mixed,
}


def floor(rows: Seq[Rendered], config: Any) -> float:
    """GFLOP of a step that none can leave out: forward, and twice that backward.

    Each different beginning once, pairs of a token and one it may see, the head at labelled positions, and in the
    last layer query, output and feed-forward where a label needs them.
    """
    width, layers = config.hidden_size, config.num_hidden_layers
    head = getattr(config, "head_dim", None) or width // config.num_attention_heads
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    found = groups(rows)
    tokens = sum(len(g.span) for g in found)
    labelled = sum(r.trained for r in rows)
    seeing = len({(r.ids[:i]) for r in rows for i in range(1, len(r)) if r.labels[i] != IGNORED})
    pairs = sum(_pairs(0, g.shared) + sum(_pairs(g.shared, useful(r)) for r in g.rows) for g in found)
    rest = 2 * width * queries * 2 + 3 * 2 * width * config.intermediate_size  # a token: query, output, feed-forward
    dense = (layers - 1) * tokens * rest + seeing * rest + layers * tokens * 2 * 2 * width * keys
    attention = layers * pairs * 2 * 2 * queries
    return float(3e-9 * (dense + attention + labelled * 2 * width * config.vocab_size))


def _pairs(begin: int, end: int) -> int:
    """Tokens that those at positions begin..end see, themselves among them."""
    return (end * (end + 1) - begin * (begin + 1)) // 2


def _ids(vocabulary: int, seed: int) -> Callable[[int], tuple[int, ...]]:
    rng = random.Random(seed)
    return lambda n: tuple(rng.randrange(FIRST, vocabulary) for _ in range(n))


def _row(context: tuple[int, ...], target: tuple[int, ...]) -> Rendered:
    return Rendered(context + target, (IGNORED,) * len(context) + target)
