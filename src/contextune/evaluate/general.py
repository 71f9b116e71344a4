"""General text, on which it is measured how far an arm's model has moved from the first one.

It ships with the package (general.yaml), one for each prompt style; a recipe may name held-out documents of its own.
A few thousand tokens are read: the number is to be cheap, and is a mean over distributions, not over outcomes.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from functools import cache
from pathlib import Path
from typing import Any

from contextune.core.encoding import encode
from contextune.core.items import Item, Task
from contextune.core.sequence import Tokenizer
from contextune.core.world import build_world
from contextune.core.yaml_files import read_yaml

METRIC = "first_kl"
TOKENS, ROW = 2048, 512
"""Tokens that are read in all, and of one text, at most."""
LOGITS = 2**26
"""Log-probabilities of the first model that stand at once (fp32: 256 MiB): a large vocabulary reads fewer tokens."""
UNKNOWN = 0.05
"""Share of tokens unknown to a tokenizer from which the shipped text says nothing of its model."""


@cache
def shipped(style: str) -> tuple[str, ...]:
    """The texts that ship for models of a prompt style."""
    found: dict[str, Any] = read_yaml(Path(__file__).with_suffix(".yaml"))
    own = found.get(style, found["plain"])
    if "world" not in own:
        return tuple(own["texts"])
    return tuple(r.text for r in build_world(own["world"], **own["options"]).records[own["split"]])


def readable(texts: Seq[str], tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer knows nearly all of what stands in the texts."""
    ids = [i for text in texts for i in encode(text, tokenizer)]
    unknown = tokenizer.unk_token_id
    return unknown is None or ids.count(unknown) < UNKNOWN * len(ids)


def first_kl(name: str, items: Iterable[Item], tokenizer: Tokenizer) -> Task:
    """The first items, of about `TOKENS` tokens together."""
    left, taken = min(TOKENS, LOGITS // len(tokenizer)), list[Item]()
    for item in items:
        if left <= 0:
            break
        taken.append(item)
        left -= min(ROW, len(encode(item.gold, tokenizer)))
    return Task(f"{METRIC}.{name}", "perplexity", tuple(taken), METRIC, "retain", about=f"general text: {name}")
