"""`retrieval.json`: how each arm is asked that has other questions than its training says.

{ARM: {weights_of: the arm whose models it asks or null, untrained: bool, oracle, source, k,
       tasks: {TASK: {items, behind_passages, tokens: of passages, a question; passages; right: share or null}}}}
"""

from __future__ import annotations

from typing import Any

from contextune.core.files import write_json

from .prepare import Prepared

FILE = "retrieval.json"


def account(prepared: Prepared) -> dict[str, Any]:
    """What the file holds; empty where no arm has `before`."""
    found: dict[str, Any] = {}
    for arm, retrieved in prepared.retrieved.items():
        spec = prepared.recipe.arms[arm]
        assert spec.before is not None
        found[arm] = {
            "weights_of": spec.weights_of,
            "untrained": prepared.recipe.is_untrained(arm),
            "oracle": spec.before.oracle,
            "source": spec.before.retrieve,
            "k": spec.before.k,
            "tasks": retrieved.account,
        }
    return found


def write(prepared: Prepared) -> None:
    """Write the file, or remove that of an earlier recipe."""
    if found := account(prepared):
        write_json(prepared.out / FILE, found)
    else:
        (prepared.out / FILE).unlink(missing_ok=True)
