"""Documents to passages to sentences: the prose of a text, without headings, tables, lists, code and references."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from contextune.core.files import digest
from contextune.data import Document
from contextune.data.sentences import borders

from .languages import Language

LONGEST = 1200
"""Characters of a passage; a longer paragraph is cut between sentences into parts of about the same length."""
TITLE = 120
"""Characters of a title at most."""

_FENCE = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->|\A---\n.*?\n---\n", re.DOTALL)
_LINK = re.compile(r"!?\[([^\[\]\n]{0,300})\]\((?:[^()\s]|\([^()\s]{0,300}\)){0,600}(?: \"[^\"\n]{0,300}\")?\)")
_EMPHASIS = re.compile(r"(\*\*|__)(?=\S)(.{1,300}?)(?<=\S)\1")
_WRAPPED = re.compile(r"(?<![.!?:;…\n])[ \t]*\n[ \t]*(?=\S)")
_HEADING = re.compile(r"#{1,6}[ \t]+(.+?)[ \t]*#*$")
_SMALL = re.compile(r"[.!?] +(?=\S)")
"""Between sentences that begin in small letters."""
_LIST = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]")


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph of a document, or a part of one; `sentences` are parts of its text, in order. `id` is of the text."""

    id: str
    document: str
    title: str
    text: str
    sentences: tuple[str, ...]


def passages(documents: Iterable[Document], language: Language) -> tuple[list[Passage], Counter[str]]:
    """The passages of all documents in order, each text once, and how many blocks of text were left out, by reason."""
    found, left, seen = list[Passage](), Counter[str](), set[str]()
    for document in documents:
        for passage in _of(document, language, left):
            if passage.text in seen:
                left["the same paragraph again"] += 1
                continue
            seen.add(passage.text)
            found.append(passage)
    return found, left


def _of(document: Document, language: Language, left: Counter[str]) -> Iterator[Passage]:
    given = document.fields.get("title")
    title = given.strip() if isinstance(given, str) else ""
    skipping = False
    for block in _blocks(document.text):
        if heading := _heading(block):
            title = title or heading[:TITLE]
            skipping = heading.casefold().strip(" .:0123456789") in language.skipped
            left["a heading"] += 1
        elif skipping:
            left["references and the like"] += 1
        elif reason := _no_prose(block):
            left[reason] += 1
        else:
            yield from _cut(document.id, title if len(title) <= TITLE else "", block, left, language.begins_small)


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs with their lines joined where a sentence runs on, without code and marks of emphasis."""
    plain = _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", _COMMENT.sub("", _FENCE.sub("\n\n", text))))
    for block in re.split(r"\n[ \t]*\n", plain):
        lines = block.strip().split("\n")
        while lines and (match := _HEADING.match(lines[0].strip())):
            yield match[0]
            lines = lines[1:]
        if rest := "\n".join(lines).strip():
            yield rest if _no_prose(rest) else _WRAPPED.sub(" ", rest)


def _heading(block: str) -> str:
    """The text of a heading: after #, or a short line that no stop ends."""
    if match := _HEADING.fullmatch(block):
        return match[1]
    lines = [line for line in block.split("\n") if not re.fullmatch(r"[=\-]{3,}[ \t]*", line)]
    short = len(lines) == 1 and len(block) <= TITLE and lines[0][-1] not in '.!?…。！？:;,”")'
    return lines[0] if short and not _no_prose(block) else ""


def _no_prose(block: str) -> str:
    """Why a block is none of prose; nothing where it is."""
    lines = block.split("\n")
    if sum("|" in line or "\t" in line.strip() for line in lines) > len(lines) / 2:
        return "a table"
    if sum(bool(_LIST.match(line)) for line in lines) > len(lines) / 3:
        return "a list"
    return "code" if all(line.startswith(("    ", "\t")) for line in lines) else ""


def _cut(document: str, title: str, block: str, left: Counter[str], small: bool) -> Iterator[Passage]:
    ends = [*(m.end() for m in _SMALL.finditer(block)), len(block)] if small else borders(block)
    parts = [block[a:b] for a, b in zip((0, *ends), ends, strict=False)]
    if any(len(part) > LONGEST for part in parts):
        left[f"a paragraph with a sentence of more than {LONGEST:,} characters"] += 1
        return
    size = len(block) / -(-len(block) // LONGEST)
    here, length = list[str](), 0
    for part in parts:
        if here and (length + len(part) / 2 > size or length + len(part) > LONGEST):
            yield _passage(document, title, here)
            here, length = [], 0
        here.append(part)
        length += len(part)
    if here:
        yield _passage(document, title, here)


def _passage(document: str, title: str, parts: list[str]) -> Passage:
    text = "".join(parts).strip()
    return Passage(digest(text)[:12], document, title, text, tuple(p.strip() for p in parts))
