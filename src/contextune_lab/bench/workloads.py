"""Updates of the shapes that methods of this project train on, made of random ids, and what they must cost.

contextual    a prompt of 40 tokens, then a text of 472 that is trained on; two an update, each with a prompt of its own
in_context    five examples of 60, then an input of 40 and an answer of 20; eight targets after the same examples
mixed         sixteen rows, lengths log-normal with mean 120; half of each row is trained on

On a GPU rows and updates are larger: contextual 16 rows of 40 and 2,008; in_context 8 times 8 targets of 60 and 30
after 800 tokens; in_context_own 64 of them, each after tokens of its own; mixed 128 rows of mean 400, up to 2,048.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from collections.abc import Sequence as Seq
from functools import partial
from typing import Any

from contextune.core.sequence import IGNORED, Rendered
from contextune.train.spans import groups, useful

FIRST = 8
"""Ids below are special in the vocabularies used here."""


def contextual(vocabulary: int, seed: int = 0, rows: int = 2, target: int = 472) -> list[Rendered]:
    ids = _ids(vocabulary, seed)
    return [_row(ids(40), ids(target)) for _ in range(rows)]


def in_context(
    vocabulary: int, seed: int = 0, targets: int = 8, sizes: tuple[int, int, int] = (300, 40, 20), groups: int = 1
) -> list[Rendered]:
    """`sizes`: tokens of what a group shares, of an input, of an answer."""
    ids, (shared, asked, answer) = _ids(vocabulary, seed), sizes
    found = []
    for _ in range(groups):
        examples = ids(shared)
        found += [_row(examples + ids(asked), ids(answer)) for _ in range(targets)]
    return found


def mixed(
    vocabulary: int, seed: int = 0, rows: int = 16, mean: float = 120.0, sigma: float = 0.7, longest: int = 500
) -> list[Rendered]:
    """exp(N(mu, sigma²)) has the mean exp(mu + sigma²/2)."""
    ids, rng = _ids(vocabulary, seed), random.Random(seed)
    mu = math.log(mean) - sigma**2 / 2
    sizes = [min(longest, max(8, round(rng.lognormvariate(mu, sigma)))) for _ in range(rows)]
    return [_row(ids(n // 2), ids(n - n // 2)) for n in sizes]


WORKLOADS: dict[str, Callable[[int], list[Rendered]]] = {
    "contextual": contextual,
    "in_context": in_context,
    "mixed": mixed,
}


LARGE = (800, 60, 30)
GPU_WORKLOADS: dict[str, Callable[[int], list[Rendered]]] = {
    "contextual": partial(contextual, rows=16, target=2008),
    "in_context": partial(in_context, targets=8, sizes=LARGE, groups=8),
    "in_context_own": partial(in_context, targets=1, sizes=LARGE, groups=64),
    "mixed": partial(mixed, rows=128, mean=400.0, longest=2048),
}


def floor(rows: Seq[Rendered], config: Any, frozen: bool = False) -> float:
    """GFLOP of a step that none can leave out: forward, and twice that backward; once, where weights are frozen (LoRA).

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
    head_work = labelled * 2 * width * config.vocab_size
    return float(1e-9 * (3 * attention + (2 if frozen else 3) * (dense + head_work)))


def _pairs(begin: int, end: int) -> int:
    """Tokens that those at positions begin..end see, themselves among them."""
    return (end * (end + 1) - begin * (begin + 1)) // 2


def _ids(vocabulary: int, seed: int) -> Callable[[int], tuple[int, ...]]:
    rng = random.Random(seed)
    return lambda n: tuple(rng.randrange(FIRST, vocabulary) for _ in range(n))


def _row(context: tuple[int, ...], target: tuple[int, ...]) -> Rendered:
    return Rendered(context + target, (IGNORED,) * len(context) + target)
