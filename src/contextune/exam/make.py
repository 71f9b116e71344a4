"""Makes an exam from documents: by rule, and with a writer where one is named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from contextune.core import ownership
from contextune.core.errors import UserError
from contextune.core.files import digest
from contextune.core.options import parse_options
from contextune.data import Documents, load
from contextune.data.options import Source
from contextune.data.paths import refuse_within
from contextune.generation.options import Writer

from . import decisions, languages, writing
from .corpus import Corpus, rank
from .distractors import Finder
from .folder import FIX, KIND, Exam, there, write
from .forms import ALL, Asked, Row, ask, placed, question, rows
from .languages import Language
from .passages import passages
from .statements import Found, Statement, statements

RULES = 4
"""Raised whenever the same documents give another exam."""


@dataclass(frozen=True)
class Settings:
    """What, beside the documents and the decisions, decides an exam."""

    items: int = 200
    """Statements, each of which is an item in every form."""
    seed: int = 0
    language: str = "en"
    columns: tuple[tuple[str, str], ...] = ()
    """(our name, the documents' column), for rows that have other names."""
    retain: tuple[str, ...] = ()
    """Tasks that ask what the model could do before; they are named beside the exam's own."""
    writer: Writer | None = None
    """Who writes more questions; None: all are made by rule."""
    model: str | None = None
    """Who answers written questions without their passage; None: the writer."""


def make(paths: tuple[str, ...], out: Path, settings: Settings, say: Callable[[str], None], folder: Path) -> Exam:
    """Read the documents, make the exam and write its folder, or find that it is there already. Raises UserError."""
    language = languages.load(settings.language)
    source = parse_options(lambda: Source(path=paths, columns=dict(settings.columns)), "documents")
    refuse_within(source, folder, out, f"exam {out}: the folder", f"{FIX}, beside them")
    ownership.claim(out, KIND, "exam", FIX, keep=False)
    say("reading the documents")
    documents = load(source, folder)
    decided = decisions.read(out / decisions.FILE)
    prompts = writing.load(language) if settings.writer else None
    parts = [RULES, _plain(settings), asdict_of(language), documents.fingerprint, decided.plain()]
    identity = digest([*parts, prompts.keys] if prompts else parts)
    if (made := there(out, identity)) is not None:
        return made
    asking = None
    if settings.writer and prompts:
        ownership.claim(out, KIND, "exam", FIX)
        asking = writing.open_writing(settings.writer, settings.model, out, prompts, settings.seed, say)
    exam = build(documents, settings, language, decided, say, asking)
    exam.counts["identity"] = identity
    write(exam, out, settings.retain)
    return exam


def build(
    documents: Documents,
    settings: Settings,
    language: Language,
    decided: decisions.Decisions,
    say: Callable[[str], None] = lambda text: None,
    asking: writing.Writing | None = None,
) -> Exam:
    """The exam of documents, without writing its folder. Raises UserError where nothing can be asked of them."""
    found, left = passages(documents.documents, language)
    say(f"looking through {len(found):,} passages of {documents.read:,} documents")
    corpus = Corpus(found, language)
    if asking is None:
        _refuse_script(corpus, language)
    able = statements(found, corpus.lexicon, language)
    asked, refused = select(able, corpus, settings, decided)
    written = writing.write(corpus, settings.items, asking) if asking else writing.Outcome()
    if asking:
        _refuse_silent(asking)
    if not asked and not written.kept:
        raise _nothing(documents, able, refused, written)
    items: dict[str, list[Row]] = {form: [] for form in ALL}
    for number, one in enumerate(asked):
        for form, row in rows(one, language, number):
            items[form].append(row)
    for form, row in writing.rows(written.kept, asking.prompts) if asking else ():
        items[form].append(row)
    items = {
        form: [kept for row in placed(form, made) if (kept := decided.apply(form, row)) is not None]
        for form, made in items.items()
        if made or not ALL[form].written
    }
    counts = _counts(documents, corpus, able, asked, items, left, refused, decided)
    counts["settings"] = _plain(settings)
    if asking:
        counts["written"] = _written(written, decided)
    stays = [d for d in written.kept if writing.identity(d) not in decided.rejected]
    return Exam(counts, asked, items, False, stays, written.refused)


def _plain(settings: Settings) -> dict[str, Any]:
    """Settings for a hash and for exam.json; the writer's are left out where there is none."""
    said = asdict(replace(settings, writer=None))
    del said["writer"], said["model"]
    if settings.writer:
        said |= {"writer": settings.writer.model_dump(mode="json", exclude_unset=True), "model": settings.model}
    return said


def _written(found: writing.Outcome, decided: decisions.Decisions) -> dict[str, Any]:
    """By kind: how many were written, kept and known before; why others were not kept."""
    kinds: dict[str, dict[str, int]] = {}
    for kind in writing.KINDS:
        kept = [d for d in found.kept if d.kind == kind]
        refused = sum(d.kind == kind for d in found.refused)
        kinds[kind] = {"kept": len(kept), "refused": refused, "known": sum(bool(d.known) for d in kept)}
    reasons = Counter(re.sub(r"'.*|:.*", "", d.reason).strip(" ,") for d in found.refused)
    return {"kinds": kinds, "reasons": _most(reasons)}


def _refuse_silent(asking: writing.Writing) -> None:
    """UserError where no request was answered: a server that is not there, a model that cannot write."""
    failed, total = asking.writer.failed()
    if total and failed == total:
        reason = next(iter(asking.writer.failures.values()))
        raise UserError(
            f"the writer answered none of {total:,} requests ({reason})",
            "look at the writer, then give the same command again; without --writer the exam is made by rule alone",
        )


def select(
    able: Found, corpus: Corpus, settings: Settings, decided: decisions.Decisions
) -> tuple[list[Asked], Counter[str]]:
    """As many statements as are wanted, from as many sentences and passages as there are; why others were not taken.

    Those that a person accepted come first; those that were rejected make room for others.
    """
    finder, found, refused = Finder(corpus), list[Asked](), Counter[str]()
    asked = set[tuple[str, str]]()
    for statement in _ordered(able, corpus, settings.seed, decided.accepted):
        if len(found) == settings.items:
            refused["is not needed: there are enough"] += 1
        elif statement.id in decided.rejected:
            refused["was rejected"] += 1
        elif isinstance(made := ask(statement, corpus, finder), str):
            refused[made] += 1
        elif (
            key := (statement.value.text, question(statement, statement.value, made.anchor, corpus.language))
        ) in asked:
            refused["asks what another statement asks"] += 1
        else:
            asked.add(key)
            found.append(made)
    return found, refused


def _ordered(able: Found, corpus: Corpus, seed: int, accepted: set[str]) -> Iterator[Statement]:
    """Statements in an order of hashes: of each sentence one, of each passage one, then a second of each, and so on."""
    of: dict[int, list[tuple[bytes, list[Statement]]]] = {}
    for group in able.candidates:
        of.setdefault(group[0].passage, []).append((rank(str(seed), group[0].text), group))
    rounds = [
        (statement.id not in accepted, again, number, key, statement)
        for groups in of.values()
        for number, (key, group) in enumerate(sorted(groups, key=lambda g: g[0]))
        for again, statement in enumerate(sorted(group, key=lambda s: rank(str(seed), s.id)))
    ]
    for *_, statement in sorted(rounds, key=lambda r: r[:4]):
        yield statement


def _counts(
    documents: Documents,
    corpus: Corpus,
    able: Found,
    asked: list[Asked],
    items: dict[str, list[Row]],
    left: Counter[str],
    refused: Counter[str],
    decided: decisions.Decisions,
) -> dict[str, Any]:
    known = {one.statement.id for one in asked}
    lost = sorted((decided.accepted | {id.split("-")[0] for _, id in decided.mended}) - known)
    return {
        "format": 1,
        "rules": RULES,
        "documents": {
            "fingerprint": documents.fingerprint,
            "files": documents.files,
            "documents": documents.read,
            "passed_over": list(documents.passed_over),
            "repeated": list(documents.repeated),
            "passages": len(corpus.passages),
            "sentences": able.sentences,
        },
        "statements": len(asked),
        "forms": {form: len(made) for form, made in items.items()},
        "kinds": dict(sorted(Counter(one.statement.value.kind for one in asked).items())),
        "left_out": {"paragraphs": _most(left), "sentences": _most(able.refused), "statements": _most(refused)},
        "decisions": {
            "accepted": len(decided.accepted & known),
            "rejected": len(decided.rejected) + len(decided.rejected_items),
            "mended": len(decided.mended),
            "of_no_item": lost,
        },
    }


def _most(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda c: (-c[1], c[0])))


def asdict_of(language: Language) -> Any:
    """A language for a hash."""
    sets = {k: sorted(v) for k, v in language.words.items()}
    asked = [language.missing, language.says_not, language.wordings, language.reasoner]
    return [language.name, asked, sets, language.phrases, language.begins_small,
            language.between_texts, language.before_question]  # fmt: skip


def _refuse_script(corpus: Corpus, language: Language) -> None:
    """UserError for texts in a script without capitals, where no name can be told from another word."""
    letters = [c for p in corpus.passages for c in p.text[:200] if c.isalpha()]
    cased = sum(c.isupper() or c.islower() for c in letters)
    if letters and cased < 0.5 * len(letters):
        raise UserError(
            f"the documents are written in a script without capitals ({1 - cased / len(letters):.0%} of the letters "
            f"looked at), by which the exam tells names in '{language.name}'",
            "an exam by rule needs a script with capitals and spaces; a task file of your own needs neither",
        )


def _nothing(documents: Documents, able: Found, refused: Counter[str], written: writing.Outcome) -> UserError:
    unwritten = Counter(d.reason.split(":")[0] for d in written.refused)
    why = [*_most(able.refused).items(), *_most(refused).items(), *_most(unwritten).items()]
    shown = "; ".join(f"{n}: {reason}" for reason, n in sorted(why, key=lambda w: -w[1])[:3])
    return UserError(
        f"nothing can be asked by rule of {documents.read:,} documents with {able.sentences:,} sentences"
        + (f" ({shown})" if shown else ": they hold no prose"),
        "give more documents in whole sentences: a statement needs a name that it is about, a name, number or date "
        "to ask for, and others of its kind elsewhere",
    )
