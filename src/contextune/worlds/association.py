"""What mere association would answer: the option whose words keep company with the prompt's words.

It knows no order, direction or relation, so a test that it cannot answer is not answered by
co-occurrence. The score of an option is the mean of P(p in text | o in text) over its words o (those
that not all options share) and the words p of the prompt.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from contextune.core.items import Item, Task


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


class Association:
    """Counts over training texts; a text counts once whatever its length."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.where: dict[str, set[int]] = {}
        for i, text in enumerate(texts):
            for word in words(text):
                self.where.setdefault(word, set()).add(i)

    def company(self, prompt_word: str, option_word: str) -> float:
        """P(prompt_word in text | option_word in text)."""
        at = self.where.get(option_word, set())
        return len(at & self.where.get(prompt_word, set())) / len(at) if at else 0.0

    def scores(self, item: Item) -> list[float]:
        bags = [Counter(words(option)) for option in item.options]
        shared, asked = bags[0], words(item.prompt)
        for bag in bags[1:]:
            shared = shared & bag
        rest = [list((bag - shared).elements()) for bag in bags]
        return [sum(self.company(p, o) for o in own for p in asked) / (len(own) * len(asked) or 1) for own in rest]

    def credit(self, item: Item) -> float:
        """1 where the right option scores highest, 1/n where n options tie with it, else 0."""
        scores = self.scores(item)
        best = max(scores) - 1e-12
        tied = [i for i, score in enumerate(scores) if score >= best]
        return 1 / len(tied) if item.answer in tied else 0.0


def association(texts: Iterable[str], tasks: Mapping[str, Task]) -> dict[str, float]:
    """Accuracy of association, trained on `texts`, on each task of kind choice without a context."""
    counts = Association(texts)
    asked = {name: t.items for name, t in tasks.items() if t.kind == "choice" and "\n" not in t.items[0].prompt}
    return {name: round(sum(map(counts.credit, items)) / len(items), 4) for name, items in asked.items()}
