"""What can be seen of a written question without a model: why it cannot be asked."""

from __future__ import annotations

import re
from collections.abc import Sequence as Seq

from contextune.augment.entity_names import names

SHORTEST, LONGEST, ANSWER = 4, 40, 10
"""Words of a question, and of an answer at most."""
WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+")
ARTICLES = frozenset({"a", "an", "the"})


def words(text: str) -> list[str]:
    """The words that answers are compared by: without case, punctuation and articles."""
    return [w for w in WORD.findall(text.casefold()) if w not in ARTICLES]


def holds(text: str, part: str) -> bool:
    """Whether the words of a part stand in a text one after the other."""
    said, sought = words(text), words(part)
    return bool(sought) and any(said[i : i + len(sought)] == sought for i in range(len(said) - len(sought) + 1))


def right(said: str, gold: str) -> bool:
    """Whether an answer is the right one: it holds it, or is a part of it that is more than half of its words."""
    return holds(said, gold) or (holds(gold, said) and 2 * len(words(said)) > len(words(gold)))


def question(text: str, answer: str, read: Seq[str], refers: Seq[str], free: bool = False) -> str:
    """Why a question about passages cannot be asked by itself; "" where it can. `free`: nothing answers it there."""
    passage, low = "\n".join(read), text.casefold()
    if not text.endswith("?") or not SHORTEST <= len(words(text)) <= LONGEST:
        return f"the question is no question of {SHORTEST} to {LONGEST} words"
    if any(re.search(rf"(?<!\w){re.escape(r)}(?!\w)", low) for r in refers):
        return "the question refers to a text"
    named = names(text)
    if not named and not re.search(r"\d", text):
        return "the question names nothing"
    if odd := next((n for n in named if not holds(passage, n)), None):
        return f"the question names '{odd}', which its passage does not"
    if free:
        return ""
    if not answer or len(words(answer)) > ANSWER or not words(answer):
        return f"the answer has none or more than {ANSWER} words"
    if not any(holds(p, answer) for p in read):
        return "the answer does not stand in the passage"
    return "the question holds its answer" if holds(text, answer) else ""


def options(found: Seq[str], answer: str, passage: str) -> str:
    """Why three wrong answers are none."""
    if len(found) < 3:
        return "fewer than three wrong answers"
    if len({" ".join(words(o)) for o in (*found, answer)}) < len(found) + 1:
        return "the wrong answers are not different"
    if any(holds(o, answer) or holds(answer, o) or len(words(o)) > ANSWER for o in found):
        return "a wrong answer holds the right one, or is long"
    return "a wrong answer stands in the passage" if any(holds(passage, o) for o in found) else ""
