"""What each item asks, kept once for the report: outcomes hold a hash of it, since every arm and seed has them."""

from __future__ import annotations

from contextune.core.files import write_json
from contextune.core.items import Item

from .prepare import Prepared

FILE = "questions.json"
LONGEST = 1500
"""Characters of a question; what precedes them is left out, since a question ends what is read."""


def write(prepared: Prepared) -> None:
    """`questions.json`: {TASK: {ITEM: text}} of the tasks that have answers."""
    found = {
        task.name: {item.id: question(item) for item in task.items}
        for task in prepared.tasks
        if task.kind != "perplexity"
    }
    write_json(prepared.out / FILE, found)


def question(item: Item) -> str:
    """What an item asks: earlier turns, each with its role, and the prompt, without what an arm puts before it."""
    text = "\n".join([*(f"{role}: {said}" for role, said in item.turns), item.prompt.strip()])
    return text if len(text) <= LONGEST else f"… {text[-LONGEST:]}"
