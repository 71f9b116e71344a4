"""A prompt that a model wrote for this very text (TextAdaptCFT, arXiv 2503.09032).

    ask     "Below is a passage. Write one short prompt … {{ text }} … Prompt:"
    answer  "Notice how oxygen drives each step, and what happens without it."

All prompts are written when the policy is bound, through the store, so that none is asked for twice
and a killed run resumes. A text keeps its prompt in every epoch and for every seed. The
writer sees a raw text, or what precedes the answer of a pair; never an answer, never a test item.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext, TextWriter
from contextune.core.encoding import count
from contextune.core.errors import UserError
from contextune.core.options import LONGEST, Seed, Temperature
from contextune.core.sequence import DrawKey, Record, Segment, Tokenizer
from contextune.generation import Request
from contextune.prompts import MetaPrompt, load_meta

from .policy import BoundPolicy, ContextDraw, Policy


@registry.policies("generated")
class Generated(Policy):
    """One prompt a text, written by the recipe's writer."""

    meta: str | None = Field(None, description="a .yaml file with your own meta-prompt; default: the package's")
    max_tokens: int = Field(
        64, ge=8, le=LONGEST, description="tokens before a text at most; what is longer is cut at a sentence"
    )
    temperature: Temperature = Field(0.0, description="of the writer; 0 is greedy")
    seed: Seed = Field(0, description="of the writer's sampling")

    def located(self, folder: Path) -> Self:
        return self.model_copy(update={"meta": self.meta and str((folder / Path(self.meta).expanduser()).absolute())})

    def content(self) -> str:
        return load_meta(self.meta).hash

    def max_context_tokens(self, tokenizer: Tokenizer) -> int:
        meta = load_meta(self.meta)
        least = count(meta.render(""), tokenizer)
        if least >= self.max_tokens:
            found = f"its template alone has {least} tokens, max_tokens is {self.max_tokens}"
            raise UserError(f"meta-prompt '{meta.name}': {found}", "raise max_tokens")
        return self.max_tokens

    def bind(self, context: BindContext) -> BoundPolicy:
        meta, rows = load_meta(self.meta), _texts(context.records)
        writer = context.writer_for("the policy 'generated'")

        def size(prompt: str) -> int:
            return count(meta.render(prompt), context.tokenizer)

        prompts = self._write(rows, meta, writer, lambda answer: clean(answer, size, self.max_tokens))
        return Written(meta, writer.identity, {fingerprint(t): p for t, p in prompts.items()})

    def _write(
        self,
        rows: Mapping[str, str],
        meta: MetaPrompt,
        writer: TextWriter,
        clean: Callable[[str], str],
    ) -> dict[str, str]:
        """Prompt of each text in `rows` (text: record). What comes out empty is asked once more, sampled anew."""
        written: dict[str, str] = {}
        for retry in (0, 1):
            texts = [t for t in rows if not written.get(t)]
            heat = self.temperature or (0.7 if retry else 0.0)  # greedy decoding would give the same again
            seed, name = self.seed + retry, f"learning-prompt/{meta.id}"
            requests = [
                Request(
                    meta.question(t), self.max_tokens, heat, seed, operation=name, source=f"record {rows[t]}", cut=True
                )
                for t in texts
            ]
            answers = writer.require(requests)
            written |= {t: clean(answer) for t, answer in zip(texts, answers, strict=True)}
        if empty := [id for t, id in rows.items() if not written[t]]:
            raise UserError(
                f"the writer gave no prompt, in two attempts, for {_listed(empty)}",
                "use a stronger writer.model, or another meta-prompt",
            )
        return written


@dataclass(frozen=True)
class Written(BoundPolicy):
    meta: MetaPrompt
    engine: str
    prompts: Mapping[str, str]
    """By fingerprint of the text that the writer saw."""

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        prompt = self.prompts.get(fingerprint(visible(record)))
        if prompt is None:
            raise UserError(f"record {record.id}: no prompt was written for it", "bind the policy to all records first")
        source = {"prompt_hash": fingerprint(prompt), "engine": self.engine, "meta": self.meta.id}
        return ContextDraw((Segment(self.meta.render(prompt), "context"),), source)


def visible(record: Record) -> str:
    """What the writer may see of a record: its contexts where it has any (a pair's question), else its text."""
    contexts = [s.text for s in record.segments if s.role == "context"]
    return "".join(contexts) if contexts else record.target


def fingerprint(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def clean(answer: str, size: Callable[[str], int], most: int) -> str:
    """The prompt in a writer's answer: its first paragraph without quotes, cut so that `size` is at most `most`.

    An announcement ("Here is a prompt:"), a reasoning model's thoughts, and a sentence that the
    writer had no tokens left to end, where another precedes it, are no part of it.
    """
    answer = answer.rpartition("</think>")[2]
    paragraphs = [" ".join(p.split()) for p in re.split(r"\n\s*\n", answer.strip())]
    if len(paragraphs) > 1 and paragraphs[0].rstrip("*_ ").endswith(":"):
        paragraphs = paragraphs[1:]
    text = "" if paragraphs[0].startswith("<think>") else _unquoted(paragraphs[0])
    whole = re.match(r".*[.!?](?=\s)", text)
    return cut(whole[0] if whole and text[-1].isalnum() else text, size, most)


def _unquoted(text: str) -> str:
    for left, right in (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"), ("`", "`"), ("**", "**")):
        inner = text[len(left) : -len(right)]
        if text == left + inner + right and left not in inner and right not in inner:
            return inner.strip()
    return text


def cut(text: str, size: Callable[[str], int], most: int) -> str:
    """The longest beginning within `most` that ends with a sentence, else with a word, else anywhere."""
    if size(text) <= most:
        return text
    for end in (r"[.!?](?=\s)", r"\S(?=\s)", r"\S"):
        ends = [match.end() for match in re.finditer(end, text)]
        if within := bisect_right(ends, most, key=lambda end: size(text[:end])):
            return text[: ends[within - 1]]
    return ""


def _texts(records: Iterable[Record]) -> dict[str, str]:
    """Each distinct text that the writer sees, with the first record that has it."""
    rows, blank = dict[str, str](), list[str]()
    for record in records:
        text = visible(record)
        rows.setdefault(text, record.id)
        if not text.strip():
            blank.append(record.id)
    if blank:
        raise UserError(
            f"nothing for the writer to read in {_listed(blank)}",
            "the policy 'generated' needs raw texts, or pairs whose prompt is not empty",
        )
    return rows


def _listed(ids: list[str]) -> str:
    more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
    return f"record{'s' if len(ids) > 1 else ''} {', '.join(ids[:10])}{more}"
