"""The forms in which a statement is asked, two or more for each of the five measures.

Every statement is asked in every form, so that measures are compared on the same facts; `cluster` names its sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

from contextune.augment.reasoner import reasoner
from contextune.contexts.editing.spans import spots
from contextune.core.files import digest
from contextune.core.items import Measure

from .corpus import Corpus
from .distractors import Distractors, Finder, edited
from .languages import Language
from .options import wrong
from .passages import Passage
from .statements import Statement
from .values import Value


@dataclass(frozen=True, slots=True)
class Form:
    """A task of the exam: which measure it is, and what a model that reads nothing can reach."""

    measure: Measure
    about: str
    chance: float | None = None
    written: bool = False
    """A writer's questions: there may be none."""
    open: bool = False
    """The answer is written, not chosen; the item's one option is the gold answer."""

    @property
    def closed_book(self) -> bool:
        """Whether it is asked without a passage, so that an arm may put retrieved ones before it."""
        return self.measure in ("learn", "generalise")


AMONG = "which stands among texts that hold the wrong options"
FORMS: Mapping[str, Form] = {
    "learn_told": Form("learn", "a statement of the documents, in their words, from its gap to its end"),
    "generalise_gap": Form("generalise", "the statement turned round: what it is said of is asked, as a question"),
    "generalise_reworded": Form("generalise", "the same value asked as a question, from the whole sentence"),
    "listen_passage_question": Form("listen", f"the question after its passage, {AMONG}"),
    "listen_reversed_question": Form("listen", f"what it is said of, asked after its passage, {AMONG}"),
    "listen_edited": Form("listen", "the statement, in its words, after its passage with another value: that decides"),
    "listen_edited_question": Form("listen", f"the question after its passage with another value, {AMONG}"),
    "resist_other": Form("resist", "the statement after a passage of another document"),
    "resist_near": Form("resist", "the statement after the most similar passage that does not answer it"),
    "resist_lure": Form("resist", "the statement after a similar passage that holds a wrong option"),
    "resist_near_question": Form("resist", "the question after texts that hold the wrong options, each its own"),
    "resist_unanswerable": Form(
        "resist",
        "whether a text says it at all: half of them do; saying always the same is right for half",
        0.5,
    ),
}
WRITTEN: Mapping[str, Form] = {
    "learn_open": Form("learn", "a written question, closed book", written=True, open=True),
    "learn_choice": Form("learn", "a written question with its writer's wrong answers", written=True),
    "generalise_reversed": Form(
        "generalise", "a written question turned round: the other end of the fact", written=True, open=True
    ),
    "generalise_paraphrased": Form("generalise", "a written question in other words", written=True, open=True),
    "generalise_two_passages": Form(
        "generalise", "a written question that needs two passages", written=True, open=True
    ),
    "listen_open": Form("listen", f"a written question after its passage, {AMONG}", written=True, open=True),
    "resist_no_answer": Form(
        "resist",
        "a question that its passage does not answer, and one that it does: saying always the same is right for half",
        0.5,
        written=True,
    ),
}
ALL: Mapping[str, Form] = {**FORMS, **WRITTEN}
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement with all that its forms need."""

    statement: Statement
    passage: Passage
    wrong: tuple[str, ...]
    """Options for the value; the first is what the edited passage says."""
    anchor: Value
    """Of the statement's anchors the one that is asked for in turn: the one that the corpus names least often."""
    turned: tuple[str, ...]
    """Wrong options for it."""
    edited: str
    """The passage with the first wrong option for the value."""
    beside: Distractors


def ask(statement: Statement, corpus: Corpus, finder: Finder) -> Asked | str:
    """All that a statement's forms need; else why one of them cannot be."""
    value, language = statement.value, corpus.language
    passage = corpus.passages[statement.passage]
    found = wrong(corpus, statement, value, statement.anchors[0])
    if found is None:
        return "the corpus has too few values like the one asked for that are wrong there"
    asked = sorted(statement.anchors, key=lambda a: len(corpus.about(a.text)))
    turned = next(((a, three) for a in asked if (three := wrong(corpus, statement, a, value))), None)
    if turned is None:
        return "the corpus has too few names like the one that it is about"
    made = next(((new, text) for new in found if (text := edited(passage.text, value.text, new))), None)
    if made is None:
        return "the value cannot be replaced in its passage without a trace"
    if not question(statement, value, turned[0], language) or not question(statement, turned[0], value, language):
        return "the language's reasoner reads no fact in it"
    options = (made[0], *(o for o in found if o != made[0]))
    beside = finder.find(statement, options, *turned)
    if beside is None:
        return "no other passage can serve as its distractor"
    return Asked(statement, passage, options, *turned, made[1], beside)


def rows(asked: Asked, language: Language, number: int = 0) -> Iterator[tuple[str, Row]]:
    """(form, item) of a statement; `number` decides where its passage stands among other texts."""
    said = asked.statement
    told, rest = said.told
    values = (said.value.text, *asked.wrong)
    about = language.said("about", title=asked.passage.title) if asked.passage.title else ""
    missing, name = language.missing[said.value.kind], language.missing["name"]
    space = " " if said.text[: said.value.start] != told else ""
    as_told = tuple(f"{space}{v}{rest}" for v in values)
    as_asked = tuple(f" {v}" for v in values)
    as_turned = tuple(f" {v}" for v in (asked.anchor.text, *asked.turned))
    of_value = question(said, said.value, asked.anchor, language)
    of_anchor = question(said, asked.anchor, said.value, language)

    def item(
        form: str,
        prompt: str,
        options: tuple[str, ...],
        right: int = 0,
        alone: str = "",
        held_out: str = "",
        id: str = "",
    ) -> tuple[str, Row]:
        row = _row(form, said, prompt, options, right, alone, id or said.id, held_out)
        return form, {**row, "passage": asked.passage.text} if FORMS[form].closed_book else row

    def asking(form: str, texts: Seq[str], gapped: str, kind: str, place: int) -> tuple[str, str]:
        """(prompt, question) after texts, of which the first is put at a place."""
        ordered = list(texts[1:])
        ordered.insert(place % len(texts), texts[0])
        parts = {"missing": kind, "gapped": gapped}
        question = language.said(form, passage="", **parts).strip()
        return language.said(form, passage=language.between_texts.join(ordered), **parts), question

    def after(text: str) -> str:
        return f"{text}{language.before_question}{told}"

    beside, own = asked.beside, asked.passage.text
    closed = language.said("reworded", about=about, missing=missing, gapped=of_value)
    turned = language.said("turned", about=about, missing=name, gapped=of_anchor)
    yield item("learn_told", told, as_told)
    yield item("generalise_gap", turned, as_turned, held_out=turned)
    yield item("generalise_reworded", closed, as_asked, held_out=closed)
    prompt, asks = asking("behind_passage", (own, *beside.excerpts), of_value, missing, number)
    yield item("listen_passage_question", prompt, as_asked, 0, closed, asks)
    prompt, asks = asking("behind_passage", (own, *beside.turned), of_anchor, name, number + 1)
    yield item("listen_reversed_question", prompt, as_turned, 0, turned, asks)
    yield item("listen_edited", after(asked.edited), as_told, 1, told)
    prompt, asks = asking("behind_passage", (asked.edited, *beside.excerpts[1:]), of_value, missing, number + 2)
    yield item("listen_edited_question", prompt, as_asked, 1, closed, asks)
    for form, text in (("other", beside.other), ("near", beside.near), ("lure", beside.lure)):
        yield item(f"resist_{form}", after(text), as_told, 0, told)
    prompt, asks = asking("behind_passage", beside.excerpts, of_value, missing, number)
    yield item("resist_near_question", prompt, as_asked, 0, closed, asks)
    says_not = tuple(f" {v}" for v in (*values[:3], language.says_not))
    for end, text, right in (("with", own, 0), ("without", beside.near, 3)):
        prompt, asks = asking("says_or_not", (text, *beside.excerpts[:2]), of_value, missing, number)
        yield item("resist_unanswerable", prompt, says_not, right, "", asks, f"{said.id}-{end}")


def question(said: Statement, asked: Value, other: Value, language: Language) -> str:
    """What a question shows of a statement whose one end is asked: the statement with a gap, and its adverbial moved.

    Where the language has a reasoner, its own question that names the other end; nothing where it has none.
    """
    if not language.reasoner:
        return reworded(said, language) if asked == said.value else said.gapped(asked)
    able = reasoner(language.reasoner).questions(said.text.removesuffix("."))
    return next((q for q in able if not spots(q, asked.text) and spots(q, other.text)), "")


def _row(
    form: str, said: Statement, prompt: str, options: Seq[str], right: int, alone: str, id: str, held_out: str
) -> Row:
    order = sorted(range(len(options)), key=lambda i: digest([id, form, options[i]]))
    return {
        "id": id,
        "statement": said.id,
        "cluster": said.sentence,
        "prompt": prompt,
        "options": [options[i] for i in order],
        "answer": order.index(right),
        "alone": alone,
        "held_out": held_out,
        "kind": said.value.kind,
        "made_by": "rule",
    }


def placed(form: str, made: Seq[Row]) -> list[Row]:
    """The items of a form with the right option equally often at each place, so that no place says anything."""
    start = digest([form])[0]
    return [_moved(row, (i + int(start, 16)) % len(row["options"])) for i, row in enumerate(made)]


def _moved(row: Row, place: int) -> Row:
    options, at = list(row["options"]), row["answer"]
    options[at], options[place] = options[place], options[at]
    return {**row, "options": options, "answer": place}


def reworded(said: Statement, language: Language) -> str:
    """The statement with a gap for its value, and with an adverbial that it begins with moved to its end.

    "In 1946, Polonia won the cup." becomes "Polonia won the cup in ____."
    """
    gapped = said.gapped(said.value)
    match = re.fullmatch(
        rf"((?:{'|'.join(sorted(language['adverbials']))}) [^,;:()]{{2,50}}), ([^,;:()]{{5,120}})\.", said.text
    )
    if match is None:
        return gapped
    first, rest = match[1], match[2]
    starts = rest[0].isupper() or rest.split()[0] in language["definite"]
    if not starts or match.start(2) > said.value.start >= match.end(1):
        return gapped
    whole = _gap(f"{rest[0].upper()}{rest[1:]} {first[0].lower()}{first[1:]}.", said.value)
    return whole or gapped


def _gap(text: str, value: Value) -> str:
    """The text with a gap where the value stands; nothing where it does not stand there once."""
    return text.replace(value.text, "____") if text.count(value.text) == 1 else ""
