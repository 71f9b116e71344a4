"""Mutated recipes, data, tasks, prompt sets, model folders and command lines end with 0 or 2, a hint, and soon."""

from __future__ import annotations

import os
import time

import pytest

from .fuzz import KINDS, fuzz

LONG, WITHIN = 10_000, 300.0
"""Trials, and the seconds that they may take."""


def test_two_hundred(tiny):
    ends, faults = fuzz(tiny, 200)
    assert not faults, "\n".join(map(str, faults))
    assert {kind for kind, _ in ends} == set(KINDS)
    assert sum(n for (_, ended), n in ends.items() if ended == "refused") > 80
    assert sum(n for (_, ended), n in ends.items() if ended == "accepted") > 20


@pytest.mark.slow
def test_ten_thousand(tiny):
    count, _, first = os.environ.get("FUZZ", f"{LONG}:1000").partition(":")
    began = time.monotonic()
    ends, faults = fuzz(tiny, int(count), int(first or 0))
    seconds = time.monotonic() - began
    print(*(f"{kind:14} {ended:9} {n}" for (kind, ended), n in sorted(ends.items())), sep="\n")
    print(f"{sum(ends.values())} trials, {len(faults)} faults, {seconds:.0f} s")
    assert not faults, "\n".join(map(str, faults))
    assert seconds < WITHIN or "FUZZ" in os.environ
