"""Rows of a preview as `contextune preview` hands them over."""

from __future__ import annotations

from typing import Any

BEGIN, END = "<s>", "</s>"


def row(arm: str, contexts: list[list[str]], target: list[str], record: str = "golgi.txt:3") -> dict[str, Any]:
    """One record in as many epochs as there are contexts; the target's tokens and the end bear labels."""
    return {
        "arm": arm,
        "stage": 0,
        "row": 3,
        "record": record,
        "epochs": [epoch(i, c, target) for i, c in enumerate(contexts)],
    }


def epoch(number: int, context: list[str], target: list[str]) -> dict[str, Any]:
    spelled = [(BEGIN, "special", False), *((t, "context", False) for t in context)]
    spelled += [*((t, "target", True) for t in target), (END, "special", True)]
    tokens = []
    for position, (text, role, labelled) in enumerate(spelled):
        i = {BEGIN: 1, END: 2}.get(text, 100 + sum(map(ord, text)) % 4900)
        tokens.append(
            {
                "id": i,
                "text": text,
                "label": i if labelled else -100,
                "position": position,
                "special": role == "special",
                "role": role,
            }
        )
    return {
        "epoch": number,
        "tokens": tokens,
        "provenance": {
            "record": "golgi.txt:3",
            "origin": "notes/golgi.txt",
            "epoch": number,
            "seed": 0,
            "policy": "prompts",
            "prompt": "".join(context).strip(),
        },
        "counts": {"tokens": len(tokens), "trained": len(target) + 1, "context": len(context) + 1, "cut": 0},
    }


TARGET = [
    "The",
    " Gol",
    "gi",
    " apparatus",
    " modifies",
    ",",
    " sorts",
    " and",
    " packs",
    " proteins",
    ".",
    "\n",
    "\n",
    "Ves",
    "icles",
    " bud",
    " from",
    " its",
    " trans",
    " face",
    " (",
    "see",
    " <",
    "script",
    ">",
    "alert",
    "(",
    "1",
    ")</",
    "script",
    ">",
    " 🧬",
    ")",
    ".",
]
FOCUS = [
    "As",
    " you",
    " read",
    ",",
    " focus",
    " on",
    " the",
    " key",
    " terms",
    " and",
    " how",
    " they",
    " depend",
    " on",
    " each",
    " other",
    ".",
    "\n",
]
ASK = [
    "Ask",
    " yourself",
    " what",
    " you",
    " already",
    " know",
    " of",
    " this",
    ",",
    "  ",
    "\t",
    "then",
    " read",
    " on",
    ".",
    "\n",
]


def rows() -> list[dict[str, Any]]:
    return [row("cft", [FOCUS, ASK], TARGET), row("cpt", [[], []], TARGET)]


if __name__ == "__main__":
    import sys
    from pathlib import Path

    from rich.console import Console

    from contextune.report.preview import preview_html, preview_text

    Path(sys.argv[1]).write_text(preview_html(rows()), encoding="utf-8")
    preview_text(rows(), Console(), ids="--ids" in sys.argv)
