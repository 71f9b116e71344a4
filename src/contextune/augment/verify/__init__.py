"""Filters that judge what was made, one file each: `run` passes texts through them and accounts for each.

kept, accounts = run(made, [find("malformed")(filter="malformed"), find("duplicate")(filter="duplicate")], bench)

`exact.measure` says of a world what of the made is right, and how much of what was wanted is there.
"""

from __future__ import annotations

from . import agreed, contradiction, drift, duplicate, echo, entailment, exact, malformed, round_trip  # noqa: F401  they register themselves
from .base import Bench, Filter, Judge, find, names, register
from .running import run

__all__ = ["Bench", "Filter", "Judge", "find", "names", "register", "run"]
