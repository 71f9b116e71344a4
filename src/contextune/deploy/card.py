"""The model card of an arm that leaves its run: the run's own card, with the verdict and how to use it."""

from __future__ import annotations

import json
import re
from typing import Any

from contextune.core.errors import UserError
from contextune.core.files import signed
from contextune.core.reading import read_text

from .arm import FinishedArm

FILE = "README.md"
SIGNED = re.compile(r"\n?<!-- written by contextune [0-9a-f]{32} -->\s*$")


def card(arm: FinishedArm, dtype: str) -> str:
    """Markdown: data, method and scores as the run wrote them, its verdict, limits, and the code that uses it."""
    own = arm.path / FILE
    try:
        text = SIGNED.sub("\n", read_text(own, "a model card"))
    except FileNotFoundError:
        raise UserError(f"{own}: gone", "give the same contextune run again: it writes the card anew") from None
    before, limits, after = text.rpartition("\n## Limits\n")
    if not limits:  # edited by its reader: what is added goes to its end
        before, after = text, ""
    added = "\n".join(["", "## Verdict of the run", "", *_verdict(arm), ""])
    return signed(f"{before.rstrip()}\n{added}{limits}{after.rstrip()}\n\n{_use(arm, dtype)}", "<!-- {} -->")


def _verdict(arm: FinishedArm) -> list[str]:
    file = arm.run / "results.json"
    if not file.is_file():
        return ["The run has no results yet."]
    try:
        results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return _lines(results["verdict"], results["arms"].get(arm.arm, {}), arm.arm)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UserError(f"{file}: not the results of a run", f"contextune report {arm.run} writes them anew") from None


def _lines(verdict: dict[str, Any], mine: dict[str, Any], arm: str) -> list[str]:
    lines = [str(verdict["sentence"])]
    if mine.get("score") is not None:
        lines += ["", f"- Score of this arm: {mine['score']:.4f}{_between(mine.get('interval'))}"]
    if mine.get("difference"):
        difference = mine["difference"]
        lines.append(
            f"- Difference from the baseline {verdict['baseline']}: {difference['value']:+.4f}"
            f"{_between(difference.get('interval'))}"
        )
    if verdict.get("winner") and verdict["winner"] != arm:
        lines.append(f"- Ahead in this run is {verdict['winner']}, not this arm.")
    if not verdict.get("enough_seeds", True):
        lines.append("- There were too few seeds to tell arms apart.")
    return lines


def _between(interval: Any) -> str:
    return f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else ""


def _use(arm: FinishedArm, dtype: str) -> str:
    made = f"The adapter ({arm.adapter.kind}) is merged into these weights. " if arm.is_adapter and arm.adapter else ""
    return "\n".join(
        [
            "## Use",
            "",
            f"{made}Weights are safetensors in {dtype}.",
            "",
            "```python",
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            'model = AutoModelForCausalLM.from_pretrained(".")  # this folder, or its name on the hub',
            'tokenizer = AutoTokenizer.from_pretrained(".")',
            "```",
            "",
        ]
    )
