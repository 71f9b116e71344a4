"""Filters one after another, each with its account: how many came in, how many stayed, and why the others went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Seq
from typing import Any

from contextune.core.binding import BindContext
from contextune.core.errors import UserError

from ..base import Inferred
from .base import Filter
from .text import whole

SAMPLES = 5
"""Refused texts that an account shows of each reason: the first ones."""


def run_filters(
    made: Seq[Inferred], filters: Seq[Filter], context: BindContext
) -> tuple[list[Inferred], list[dict[str, Any]]]:
    """The texts that every filter keeps, in their order, and one account a filter.

    An account is {filter, in, out, reasons: {reason: n}, samples: [{text, source, operation, reason}]}. A reason may go
    into detail after a colon; it is counted by what precedes it.
    """
    kept, accounts = list(made), []
    for filter in filters:
        reasons = filter.bind(context)(kept) if kept else []
        if len(reasons) != len(kept):
            raise UserError(f"filter '{filter.name}' judged {len(reasons)} of {len(kept)} texts", "fix the filter")
        accounts.append(_account(filter.name, kept, reasons))
        kept = [m for m, reason in zip(kept, reasons, strict=True) if not reason]
    return kept, accounts


def _account(name: str, made: list[Inferred], reasons: list[str]) -> dict[str, Any]:
    counts, samples = Counter[str](), []
    for m, reason in zip(made, reasons, strict=True):
        if not reason:
            continue
        sort = reason.partition(": ")[0]
        counts[sort] += 1
        if counts[sort] <= SAMPLES:
            said = {"text": whole(m), "source": m.passage.text, "operation": m.operation, "reason": reason}
            samples.append(said)
    return {
        "filter": name,
        "in": len(made),
        "out": len(made) - counts.total(),
        "reasons": dict(counts.most_common()),
        "samples": samples,
    }
