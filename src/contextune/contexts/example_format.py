"""Examples as text: one segment each, so that lengths add up and every example is tokenised as it would be alone."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from contextune.core.encoding import count
from contextune.core.errors import UserError
from contextune.core.sequence import Record, Segment, Tokenizer
from contextune.core.templates import fault
from contextune.retrieval import answer, given


class ExampleFormat(Protocol):
    """Options of a policy that say how examples are written (`examples.Examples`)."""

    @property
    def separator(self) -> str: ...
    @property
    def ending(self) -> str | None: ...
    @property
    def template(self) -> str | None: ...
    @property
    def loss(self) -> str: ...


def lay(examples: Seq[Record], form: ExampleFormat) -> tuple[Segment, ...]:
    """The segments of a context; where answers are trained on they are segments of their own.

    A blank between two examples goes to the second, as tokenizers have it: ["Kalo is.", " Mido is."].
    """
    between, blank = _joint(form.separator)
    last, ending = len(examples) - 1, _ending(form)
    made = [
        s
        for i, e in enumerate(examples)
        for s in _segments(e, form, blank if i else "", ending if i == last else between)
    ]
    return tuple(s for s in made if s.text)


def sizes(example: Record, form: ExampleFormat, tokenizer: Tokenizer) -> int:
    """Tokens of an example, with what stands around it at most."""
    between, blank = _joint(form.separator)
    around = [(before, after) for before in {"", blank} for after in {between, _ending(form)}]
    return max(sum(_size(s.text, tokenizer) for s in _segments(example, form, *a)) for a in around)


def largest(shelf: Seq[Record], form: ExampleFormat, tokenizer: Tokenizer) -> int:
    return max(sizes(record, form, tokenizer) for record in shelf)


def _ending(form: ExampleFormat) -> str:
    return form.separator if form.ending is None else form.ending


def _joint(separator: str) -> tuple[str, str]:
    """What goes to the example before and the blanks that go to the one behind."""
    between = separator.rstrip(" ")
    return between, separator[len(between) :]


def _segments(example: Record, form: ExampleFormat, before: str, after: str) -> list[Segment]:
    if form.loss == "all":
        first, *rest = example.segments
        return [replace(first, text=before + first.text), *rest, Segment(after, "context")]
    said = "".join(s.text for s in example.segments) if form.template is None else _rendered(form.template, example)
    return [Segment(before + said + after, "context")]


def _rendered(template: str, example: Record) -> str:
    values = {**example.fields, "input": given(example), "answer": answer(example) or example.target}
    try:
        return str(_template(template).render(values))
    except Exception as e:  # a user's expression on a user's record
        raise UserError(
            f"template of an example: {example.origin or example.id}: {fault(e)}",
            f"it may use {', '.join(sorted(map(str, values)))}, e.g. {{{{ input }}}}",
        ) from None


@lru_cache(maxsize=16)
def _template(text: str):  # type: ignore[no-untyped-def]  # jinja2 is imported when it is needed
    from jinja2 import StrictUndefined

    from contextune.core.bounded_jinja import BoundedEnvironment

    return BoundedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(text)


@lru_cache(maxsize=65536)
def _size(text: str, tokenizer: Tokenizer) -> int:
    return count(text, tokenizer)
