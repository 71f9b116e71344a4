"""An arm's passages before questions: what retrieval finds in a source, or the passage that answers.

before: {retrieve: documents, k: 4, similarity: lexical, max_tokens: 1024}
before: {retrieve: documents, oracle: true}                                   the ceiling of retrieval

    "Belmora lies on the Ost. …\n\nThe harbour of Belmora … 1808. …\n\n"      passages, the most similar last
    "Who built the harbour of Belmora?"                                       the item's prompt, the same in all arms

A question that has a context of its own (`Item.alone`, or an empty `query`) keeps it, and nothing is put before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field, model_validator

from contextune.core.asking import asked_ids, asked_pair
from contextune.core.binding import BindContext
from contextune.core.encoding import count
from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.core.options import LONGEST, Name, Options, Refused
from contextune.core.sequence import Tokenizer
from contextune.retrieval import Lexical, SimilarityOption
from contextune.retrieval.passages import fitting, holds, laid_out, most_similar


class Retrieve(Options):
    """Passages before each question of an arm."""

    retrieve: Name = Field(description="source of texts whose records, as they are cut, are the passages")
    k: int = Field(4, gt=0, le=64, description="passages at most")
    similarity: SimilarityOption = Field(default_factory=Lexical, description="how passages are found")
    max_tokens: int = Field(
        1024, gt=0, le=LONGEST, description="tokens of passages at most; one that does not fit is left out whole"
    )
    separator: str = Field("\n\n", description="text after each passage")
    oracle: bool = Field(
        False, description="the passage that answers (a task's key `passage`) in place of what is found"
    )

    @model_validator(mode="after")
    def _nothing_found(self) -> Retrieve:
        if self.oracle and (unused := sorted({"k", "similarity"} & self.model_fields_set)):
            raise Refused(f"'{unused[0]}' has no effect where oracle is true", f"leave out {unused[0]}, or oracle")
        return self


@dataclass(frozen=True)
class Retrieved:
    """An arm's tasks, and by task what was put before its items (plain JSON values)."""

    tasks: Seq[Task]
    account: dict[str, dict[str, Any]]


def behind_passages(
    tasks: Seq[Task], passages: Seq[str], options: Retrieve, tokenizer: Tokenizer, window: int, context: BindContext
) -> Retrieved:
    """The tasks with passages before the prompts of their items. `window`: tokens that the model reads, 0 if unknown.

    Raises UserError where no item can have a passage.
    """
    asked = [(t, i) for t, task in enumerate(tasks) for i, item in enumerate(task.items) if _asks(task, item)]
    if options.oracle:
        asked = [(t, i) for t, i in asked if tasks[t].items[i].fields.get("passage")]
        ranked = [[str(tasks[t].items[i].fields["passage"])] for t, i in asked]
        if not ranked:
            raise UserError("no task names the passage that answers", "give tasks the key passage, or leave out oracle")
    else:
        ranked = []
        if asked:
            space = options.similarity.fit([_query(tasks[t].items[i]) for t, i in asked], passages, context)
            ranked = most_similar(space, passages, options.k)
        if not any(ranked):
            raise UserError("nothing is found for any question", "all items have a context, or share no word with it")
    shown: dict[tuple[int, int], list[str]] = {}
    for (t, i), texts in zip(asked, ranked, strict=True):
        room = min(options.max_tokens, _room(tasks[t], tasks[t].items[i], tokenizer, window))
        taken = fitting(texts, room, options.separator, tokenizer)
        shown[t, i] = [texts[place] for place in taken]
    made = [
        replace(task, items=tuple(_behind(item, shown.get((t, i), ()), options) for i, item in enumerate(task.items)))
        for t, task in enumerate(tasks)
    ]
    rows = {
        task.name: row
        for t, task in enumerate(made)
        if (row := _account(task, [shown[t, i] for i in range(len(task.items)) if (t, i) in shown], tokenizer))
    }
    return Retrieved(made, rows)


def _asks(task: Task, item: Item) -> bool:
    return task.kind != "perplexity" and item.alone is None and bool(_query(item).strip())


def _query(item: Item) -> str:
    """What is searched for: the item's own question, without solved examples."""
    return str(item.fields.get("query", item.fields.get("asked", item.prompt)))


def _room(task: Task, item: Item, tokenizer: Tokenizer, window: int) -> int:
    """Tokens that the model can read before a prompt and its answer."""
    if not window:
        return LONGEST
    asked = task.asked(item)
    if task.kind == "choice":
        return window - max(sum(map(len, asked_pair(asked, option, tokenizer))) for option in item.options) - SPARE
    return window - len(asked_ids(asked, tokenizer)) - task.max_tokens - SPARE


SPARE = 4
"""Tokens left free, as texts that are joined may be encoded otherwise at their seams."""


def _behind(item: Item, texts: Seq[str], options: Retrieve) -> Item:
    """The most similar passage stands next to the question."""
    return replace(item, before=laid_out(reversed(texts), options.separator)) if texts else item


def _account(task: Task, shown: Seq[Seq[str]], tokenizer: Tokenizer) -> dict[str, Any]:
    if not shown:
        return {}
    before = list(_befores(task))
    known = [(item, bool(item.before)) for item in task.items if item.fields.get("passage") and _asks(task, item)]
    hits = [there and holds([item.before], str(item.fields["passage"])) for item, there in known]
    return {
        "items": len(task.items),
        "behind_passages": len(before),
        "tokens": sum(count(text, tokenizer) for text in before) / len(task.items),
        "passages": sum(map(len, shown)) / len(shown),
        "right": sum(hits) / len(hits) if hits else None,
    }


def _befores(task: Task) -> Iterator[str]:
    yield from (item.before for item in task.items if item.before)
