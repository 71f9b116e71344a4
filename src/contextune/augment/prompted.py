"""Operations that ask a writer: on a passage alone (Local), or with the corpus before it (Global)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from contextune.core import patterns
from contextune.core.binding import BindContext
from contextune.core.encoding import count, encode
from contextune.core.errors import UserError
from contextune.core.options import LONGEST, Seed, Temperature
from contextune.data.chunking import chunk
from contextune.generation.protocol import Failure, Request

from . import replies as reading
from .base import Inferred, Operation, Passage
from .corpus_context import CorpusContext, CorpusForm
from .demonstrations import copied
from .entity_names import apart, opening
from .prompt_template import PromptTemplate, load
from .sentence_split import sentences, untitled


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """One thing to ask: a prompt of the template, about a passage, with what fills it."""

    passage: Passage
    template: str
    values: dict[str, Any]
    seen: Seq[Passage] = ()
    extra: dict[str, Any] = field(default_factory=dict)


class Prompted(Operation):
    """Options that all operations with a writer share."""

    prompt: str | None = Field(None, description="a .yaml file with your own template; default: the package's")
    demonstrations: str | None = Field(None, description="a .yaml file with your own worked cases")
    max_tokens: int | None = Field(
        None, ge=1, le=LONGEST, description="tokens of an answer at most; default: as the template says"
    )
    temperature: Temperature = Field(0.0, description="0 is greedy")
    seed: Seed = Field(0, description="of the sampling")

    @model_validator(mode="after")
    def _samples_differ(self) -> Prompted:
        if self.samples > 1 and not self.temperature:
            raise ValueError(f"samples is {self.samples} with temperature 0, which gives the same text every time")
        return self

    def again(self, attempt: int) -> Prompted:
        """The same operation sampled anew, for passages that came out short."""
        return self.model_copy(update={"seed": self.seed + 1000 * attempt, "temperature": self.temperature or 0.7})

    def prompt_template(self, folder: Path | None, style: str) -> PromptTemplate:
        return load(self.name, style, folder, self.prompt, self.demonstrations)

    def content(self, folder: Path | None, style: str = "plain") -> object:
        return self.prompt_template(folder, style).hash

    def infer(self, passages: Seq[Passage], context: BindContext) -> Iterator[Inferred]:
        template = self.prompt_template(context.folder, context.prompt_style)
        pieces = fitting(passages, context, template, f"operation {self.name}")
        yield from self.answers(context, template, self.asks(pieces, context, template))

    def asks(self, passages: Seq[Passage], context: BindContext, template: PromptTemplate) -> Iterable[PromptRequest]:
        return (ask for p in passages for ask in units(p, template))

    def answers(
        self, context: BindContext, template: PromptTemplate, asks: Iterable[PromptRequest]
    ) -> Iterator[Inferred]:
        """All is asked at once, so that an engine may batch it; in the order of the asks."""
        asked = [(a, n) for a in asks for n in range(self.samples)]
        requests = [self.request(template, a, n) for a, n in asked]
        for (a, _), request, answer in zip(
            asked, requests, context.writer_for(f"operation {self.name}")(requests) if requests else (), strict=True
        ):
            if not isinstance(answer, Failure):
                yield from self.made(template, a, answer, context.writer_for(self.name).key(request))

    def request(self, template: PromptTemplate, ask: PromptRequest, n: int = 0) -> Request:
        return Request(
            template.render(ask.template, **ask.values),
            self.max_tokens or template.max_tokens,
            self.temperature,
            self.seed + n,
            template.stop,
            operation=self.label,
            source=ask.passage.id,
            judge=lambda answer: self.useless(template, ask, answer),
            turns=template.turns(ask.template, **ask.values),
            begin=template.opening(**ask.values),
        )

    def useless(self, template: PromptTemplate, ask: PromptRequest, answer: str) -> str:
        """Why nothing in an answer is of use; "" where something is."""
        found = [prompt + text for prompt, text in self.texts(template, ask, answer)]
        if not found:
            return f"no text in the answer: {' '.join(answer.split())[:100]}"
        source = "\n".join((ask.passage.before, ask.passage.text, *(p.text for p in ask.seen)))
        reasons = [copied(text, source, template.shown) for text in found]
        return "" if "" in reasons else reasons[0]

    def made(self, template: PromptTemplate, ask: PromptRequest, answer: str, key: str) -> Iterator[Inferred]:
        """What an answer gives; a question stands without loss before its answer."""
        read = "\n".join(p.text for p in ask.seen)
        rest = (ask.passage, self.label), tuple(p.id for p in ask.seen), read
        for prompt, text in self.texts(template, ask, answer):
            yield Inferred(text, *rest[0], prompt, rest[1], rest[2], template.shown, key)

    def texts(self, template: PromptTemplate, ask: PromptRequest, answer: str) -> Iterator[tuple[str, str]]:
        """(what precedes it without loss, text) for each text in an answer."""
        if template.answer == "questions":
            yield from ((f"Question: {q}\nAnswer:", f" {a}") for q, a in reading.questions(answer))
            return
        found = reading.lines(answer) if template.answer == "lines" else [reading.said(answer)]
        yield from (("", text) for text in found if text)


class Local(Prompted):
    """Reads one passage at a time."""


class Global(Prompted):
    """Reads a document with the rest of the corpus before it, so that a shared beginning is computed once."""

    reads: ClassVar[Literal["sentence", "document"]] = "document"
    context: CorpusForm = Field("auto", description="what of the corpus precedes the document")
    budget: int | None = Field(
        None, ge=1, le=LONGEST, description="tokens of it at most; default: what the writer has room for"
    )

    def asks(self, passages: Seq[Passage], context: BindContext, template: PromptTemplate) -> Iterable[PromptRequest]:
        around = CorpusContext(context.corpus, self.context, lambda t: count(t, context.tokenizer), context.seed)
        made = [a for p in passages for a in self._with_corpus(p, around, context, template)]
        return sorted(made, key=lambda a: [p.id for p in a.seen])  # equal beginnings one after the other

    def _with_corpus(
        self, passage: Passage, around: CorpusContext, context: BindContext, template: PromptTemplate
    ) -> Iterator[PromptRequest]:
        bare = list(units(passage, template)) or [PromptRequest(passage, template.prompts[0], {"text": passage.text})]
        longest = max(count(template.render(a.template, **a.values), context.tokenizer) for a in bare)
        room = min(x for x in (context.prompt_tokens - longest, self.budget, template.budget) if x is not None)
        seen = around.of(passage, max(0, room))
        corpus = "\n".join(p.text.strip() for p in seen)
        for a in units(passage, template, [p for p in seen if p.text != passage.text]):
            yield PromptRequest(passage, a.template, {**a.values, "corpus": corpus}, seen)


def fitting(passages: Seq[Passage], context: BindContext, template: PromptTemplate, what: str) -> list[Passage]:
    """The passages, those too long for the writer in pieces, which is said. UserError where the prompt alone is."""
    found, cut, room = list[Passage](), list[Passage](), context.prompt_tokens

    def size(p: Passage, text: str) -> int:
        """Tokens of the longest prompt; bytes, which are no fewer, where they fit."""
        prompts = [template.render(t, text=text, before=p.before) for t in template.prompts]
        longest = max(len(prompt.encode("utf-8", "replace")) for prompt in prompts)
        return longest if longest <= room else max(len(encode(prompt, context.tokenizer)) for prompt in prompts)

    for p in passages:
        if template.each != "passage" or size(p, p.text) <= room:
            found.append(p)
            continue
        if (bare := size(p, "")) >= room:
            raise UserError(
                f"{what}: its prompt alone has {bare:,} tokens, the writer has room for {room:,}",
                "use a writer with a longer context, lower max_tokens, or give a shorter prompt",
            )
        parts = chunk(p.text, context.tokenizer, room - bare)
        cut += [replace(p, id=f"{p.id}/part{i}", text=text) for i, text in enumerate(parts, 1)]
        found += cut[-len(parts) :]
    if cut:
        long = len({p.id.rpartition("/")[0] for p in cut})
        context.warn(
            f"{what}: {long} of {len(passages)} texts are longer than the writer has room for "
            f"({room:,} tokens with the prompt) and are read in {len(cut)} pieces"
        )
    return found


def units(passage: Passage, template: PromptTemplate, seen: Seq[Passage] = ()) -> Iterator[PromptRequest]:
    """What is asked about a passage: once for it, for each of its sentences, or for each pair of names apart in it.

    With other passages in view, pairs of one name of the passage's and one of theirs count as well.
    """
    whole = {"text": passage.text.strip(), "before": passage.before, "last": opening(passage.text)}
    if template.each == "passage":
        rows = [whole]
    elif template.each == "sentence":
        rows = [{**whole, "text": s, "last": opening(s)} for s in _counting([passage], template.only)]
    else:
        rows = [{**whole, "text": text, "first": a, "second": b} for text, a, b in pairs(passage, template.only, seen)]
    yield from (PromptRequest(passage, prompt, row) for row in rows for prompt in template.prompts)


def pairs(passage: Passage, only: str = "", seen: Seq[Passage] = ()) -> Iterator[tuple[str, str, str]]:
    """(the sentences that count, without titles; first name; second name), in both orders."""
    own, others = _counting([passage], only), _counting(seen, only)
    for a, b in apart([*own, *others]):
        if any(a in s or b in s for s in own):
            yield from ((" ".join(own), x, y) for x, y in ((a, b), (b, a)))


def _counting(passages: Iterable[Passage], only: str) -> list[str]:
    bare = (untitled(s) for p in passages for s in sentences(p.text))
    return list(patterns.matching(only, bare, "only"))
