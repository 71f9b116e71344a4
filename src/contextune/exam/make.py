"""Makes an exam: a folder with a task for each form, from documents, by rule.

exam/
  .contextune-exam     marks the folder as an exam's
  tasks.yaml           one task for each form; a recipe's evaluate.tasks names the folder
  items/FORM.jsonl     the items
  statements.jsonl     what is asked, with its passage
  exam.json            settings, fingerprint of the documents, counts: what was read, what was refused and why
  decisions.jsonl      yours: what a person accepted, rejected and mended
  index.html           all items beside their passages, to decide on
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from contextune.core import ownership
from contextune.core.errors import UserError
from contextune.core.files import digest
from contextune.core.reading import parse_json, read_text
from contextune.data import Documents, load
from contextune.data.options import Source
from contextune.data.paths import find

from . import decisions, languages
from .corpus import Corpus, rank
from .distractors import Finder
from .forms import FORMS, Asked, Row, ask, placed, rows
from .languages import Language
from .passages import passages
from .statements import Found, Statement, statements

KIND = "exam"
RULES = 2
"""Raised whenever the same documents give another exam."""
FIX = "give another --out"


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


@dataclass
class Exam:
    """An exam that was made: `counts` is exam.json, `items` holds the rows of each form."""

    counts: dict[str, Any]
    asked: list[Asked] = field(default_factory=list)
    items: dict[str, list[Row]] = field(default_factory=dict)
    unchanged: bool = False


def make(paths: tuple[str, ...], out: Path, settings: Settings, say: Callable[[str], None], folder: Path) -> Exam:
    """Read the documents, make the exam and write its folder, or find that it is there already. Raises UserError."""
    language = languages.load(settings.language)
    ownership.claim(out, KIND, "exam", FIX, keep=False)
    say("reading the documents")
    source = Source(path=paths, columns=dict(settings.columns))
    _refuse_within(source, folder, out)
    documents = load(source, folder)
    decided = decisions.read(out / decisions.FILE)
    identity = digest([RULES, asdict(settings), asdict_of(language), documents.fingerprint, decided.plain()])
    if (there := _there(out, identity)) is not None:
        return there
    exam = build(documents, settings, language, decided, say)
    exam.counts["identity"] = identity
    write(exam, out, settings)
    return exam


def _refuse_within(source: Source, folder: Path, out: Path) -> None:
    """UserError where the exam's folder lies among the documents, which would hold the exam the next time."""
    own = out.resolve()
    given = [folder / path for path in source.path or ()]
    among = [str(path) for path in given if path.is_dir() and own.is_relative_to(path.resolve())]
    among += [f.shown for f in find(source, folder).files if f.path.resolve().is_relative_to(own)]
    if among:
        raise UserError(f"exam {out}: the folder lies within the documents ({among[0]})", f"{FIX}, beside them")


def build(
    documents: Documents,
    settings: Settings,
    language: Language,
    decided: decisions.Decisions,
    say: Callable[[str], None] = lambda text: None,
) -> Exam:
    """The exam of documents, without writing anything. Raises UserError where nothing can be asked of them."""
    found, left = passages(documents.documents, language)
    say(f"looking through {len(found):,} passages of {documents.read:,} documents")
    corpus = Corpus(found, language)
    _refuse_script(corpus, language)
    able = statements(found, corpus.lexicon, language)
    asked, refused = select(able, corpus, settings, decided)
    if not asked:
        raise _nothing(documents, able, refused)
    items: dict[str, list[Row]] = {form: [] for form in FORMS}
    for one in asked:
        for form, row in rows(one, language):
            items[form].append(row)
    items = {
        form: [kept for row in placed(form, made) if (kept := decided.apply(form, row)) is not None]
        for form, made in items.items()
    }
    counts = _counts(documents, corpus, able, asked, items, left, refused, decided)
    counts["settings"] = asdict(settings)
    return Exam(counts, asked, items)


def select(
    able: Found, corpus: Corpus, settings: Settings, decided: decisions.Decisions
) -> tuple[list[Asked], Counter[str]]:
    """As many statements as are wanted, from as many sentences and passages as there are; why others were not taken.

    Those that a person accepted come first; those that were rejected make room for others.
    """
    finder, found, refused = Finder(corpus), list[Asked](), Counter[str]()
    for statement in _ordered(able, corpus, settings.seed, decided.accepted):
        if len(found) == settings.items:
            refused["is not needed: there are enough"] += 1
        elif statement.id in decided.rejected:
            refused["was rejected"] += 1
        elif isinstance(made := ask(statement, corpus, finder), str):
            refused[made] += 1
        else:
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


def write(exam: Exam, out: Path, settings: Settings) -> None:
    """Write an exam's folder; a file that somebody edited is an error, and stays."""
    ownership.claim(out, KIND, "exam", FIX)
    files = {"tasks.yaml": tasks_yaml(exam, settings), "statements.jsonl": _lines(map(_statement, exam.asked))}
    files |= {f"items/{form}.jsonl": _lines(exam.items.get(form, ())) for form in FORMS if exam.items.get(form)}
    fix = f"decisions go into {decisions.FILE}; move the file away to have it made anew"
    for name in files:
        ownership.may_write(out / name, fix)
    for name, text in files.items():
        ownership.write(out / name, text, fix)
    for form in FORMS:
        if form not in exam.items:
            ownership.remove(out / "items" / f"{form}.jsonl")
    exam.counts["files"] = {name: digest(text) for name, text in files.items()}
    ownership.write(out / "exam.json", json.dumps(exam.counts, indent=1, ensure_ascii=False) + "\n", fix)


def _there(out: Path, identity: str) -> Exam | None:
    """The exam of a folder where it is the one that is asked for, and whole."""
    try:
        counts = parse_json(read_text(out / "exam.json", "an exam's counts"))
    except (FileNotFoundError, ValueError, UserError):
        return None
    if not isinstance(counts, dict) or counts.get("identity") != identity or not isinstance(counts.get("files"), dict):
        return None
    for name, sum in counts["files"].items():
        file = out / name
        if not file.is_file() or digest(file.read_text("utf-8", "replace")) != sum:
            return None
    return Exam(counts, unchanged=True)


def tasks_yaml(exam: Exam, settings: Settings) -> str:
    """A group of tasks in the grammar of task files."""
    group: list[Any] = [
        {
            "name": f"exam.{form}",
            "about": FORMS[form].about,
            "path": f"items/{form}.jsonl",
            "id": "{{ id }}",
            "cluster": "{{ cluster }}",
            "prompt": "{{ prompt }}",
            "options": "{{ options }}",
            "answer": "{{ answer }}",
            "alone": "{{ alone }}",
            "wording": "{{ held_out }}",
            **({"passage": "{{ passage }}"} if FORMS[form].closed_book else {"query": ""}),
            "measure": FORMS[form].measure,
            **({"chance": chance} if (chance := FORMS[form].chance) else {}),
        }
        for form in FORMS
        if exam.items.get(form)
    ]
    return yaml.safe_dump({"group": [*group, *settings.retain]}, sort_keys=False, allow_unicode=True, width=120)


def _statement(one: Asked) -> dict[str, Any]:
    said = one.statement
    return {
        "id": said.id,
        "document": one.passage.document,
        "title": one.passage.title,
        "passage": one.passage.text,
        "text": said.text,
        "value": said.value.text,
        "kind": said.value.kind,
        "anchor": one.anchor.text,
    }


def _lines(rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def asdict_of(language: Language) -> Any:
    """A language for a hash."""
    sets = {k: sorted(v) for k, v in language.words.items()}
    return [language.name, language.missing, language.says_not, sets, language.phrases, language.wordings]


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


def _nothing(documents: Documents, able: Found, refused: Counter[str]) -> UserError:
    why = [*_most(able.refused).items(), *_most(refused).items()]
    shown = "; ".join(f"{n}: {reason}" for reason, n in sorted(why, key=lambda w: -w[1])[:3])
    return UserError(
        f"nothing can be asked by rule of {documents.read:,} documents with {able.sentences:,} sentences"
        + (f" ({shown})" if shown else ": they hold no prose"),
        "give more documents in whole sentences: a statement needs a name that it is about, a name, number or date "
        "to ask for, and others of its kind elsewhere",
    )
