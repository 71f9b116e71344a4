"""The model card of an arm that leaves its run: the run's own card, with the verdict and how to use it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError
from contextune.core.files import signed

from .arm import FinishedArm

SIGNED = re.compile(r"\n?<!-- written by contextune [0-9a-f]{32} -->\s*$")


def card(arm: FinishedArm, dtype: str) -> str:
    """Markdown: data, method and scores as the run wrote them, its verdict, limits, and the code that uses it."""
    own = arm.path / "README.md"
    if not own.is_file():
        raise UserError(f"{own}: gone", "give the same contextune run again: it writes the card anew")
    text = SIGNED.sub("\n", own.read_text(encoding="utf-8"))
    before, limits, after = text.rpartition("\n## Limits\n")
    if not limits:  # edited by its reader: what is ours stands at the end
        before, after = text, ""
    added = "\n".join(["", "## Verdict of the run", "", *_verdict(arm), ""])
    return signed(f"{before.rstrip()}\n{added}{limits}{after.rstrip()}\n\n{_use(arm, dtype)}", "<!-- {} -->")


def _verdict(arm: FinishedArm) -> list[str]:
    file = arm.run / "results.json"
    if not file.is_file():
        return ["The run has no results yet."]
    try:
        results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        verdict, mine = results["verdict"], results["arms"].get(arm.arm, {})
        lines = [verdict["sentence"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{file}: not the results of a run", f"contextune report {arm.run} writes them anew") from None
    if mine.get("score") is not None:
        lines += ["", f"- Score of this arm: {mine['score']:.4f}{_between(mine.get('interval'))}"]
    if mine.get("difference"):
        difference = mine["difference"]
        lines.append(
            f"- Difference from the baseline {verdict['baseline']}: {difference['value']:+.4f}"
            f"{_between(difference.get('interval'))}"
        )
    if verdict.get("winner") and verdict["winner"] != arm.arm:
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


def write(arm: FinishedArm, out: Path, dtype: str) -> None:
    (out / "README.md").write_text(card(arm, dtype), encoding="utf-8")
