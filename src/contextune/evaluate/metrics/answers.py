"""What was answered, as each metric reads it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from typing import Any


def answers(outcomes: Mapping[str, Seq[Any]], metric: str) -> list[str | None]:
    """The answer of each item as this metric reads it; None where there is none."""
    columns = ("options", "sums", "tokens", "bytes", "output", "gold")
    rows = zip(*(outcomes[c] for c in columns), strict=True)
    if outcomes["kind"][0] == "choice":
        return [options[choose(metric, sums, tokens, bytes)] for options, sums, tokens, bytes, _, _ in rows]
    return [read_output(metric, output, gold, options) for options, _, _, _, output, gold in rows]


def choose(metric: str, sums: Seq[float], tokens: Seq[int], bytes: Seq[int]) -> int:
    """Index of the most likely option: by summed log-likelihood, or by its mean over tokens or bytes."""
    lengths = {"accuracy_token": tokens, "accuracy_byte": bytes}.get(metric, [1] * len(sums))
    means = [s / max(n, 1) for s, n in zip(sums, lengths, strict=True)]
    return means.index(max(means))


def composed(text: str) -> str:
    """Unicode's composed form (NFC), in which texts are compared: many tokenizers can write no other."""
    return unicodedata.normalize("NFC", text)


def read_output(metric: str, output: str, gold: str, options: Seq[str]) -> str | None:
    """What a generated text answers, in the gold answer's own spelling where it is that one.

    exact_match: the text without the space around it. starts_with: the same, and right where it begins with the gold
    answer as whole words, whatever the case. All others, where there are options: the first option that stands
    anywhere in the lower-cased text, else None (PIXIU's rule).
    """
    said, right = composed(output.strip()), composed(gold.strip())
    if options and metric not in ("exact_match", "starts_with"):
        found = next((o for o in (composed(o.strip()) for o in options) if o.lower() in said.lower()), None)
        return gold if found is not None and found.lower() == right.lower() else found
    end = r"(?!\w)" if right[-1:].isalnum() else ""
    if metric == "starts_with" and re.match(re.escape(right) + end, said, re.IGNORECASE):
        return gold
    return gold if said == right else said
