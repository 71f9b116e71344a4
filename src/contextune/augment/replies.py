"""Texts out of what a writer answered: a text, one text a line, or questions with answers."""

from __future__ import annotations

import re

from contextune.generation.thoughts import without_thoughts

_MARK = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,3}[.):]|\[\d{1,3}\])\s+")
_QUESTION = re.compile(r"^\W*+(?:question|q)\s*+\d*+\s*+[:.)]\W*", re.IGNORECASE)
_ANSWER = re.compile(r"^\W*+(?:answer|a)\s*+\d*+\s*+[:.)]\W*", re.IGNORECASE)
_QUOTES = (('"', '"'), ("“", "”"), ("«", "»"), ("`", "`"), ("**", "**"))


def said(answer: str) -> str:
    """The answer without a reasoning model's thoughts; empty where it never ended them."""
    return without_thoughts(answer)[0].strip()


def lines(answer: str) -> list[str]:
    """One text a line, without list marks and quotes; an announcement ("Here are three:") and repeats are none."""
    found = dict[str, None]()
    rows = [row for row in said(answer).splitlines() if row.strip() and row.strip(" `-=*_#")]
    if len(rows) > 1 and rows[0].rstrip("*_ ").endswith(":") and not _MARK.match(rows[0]):
        rows = rows[1:]
    for row in rows:
        text = unquoted(_MARK.sub("", row).strip())
        if text:
            found[text] = None
    return list(found)


def unquoted(text: str) -> str:
    for left, right in _QUOTES:
        inner = text[len(left) : len(text) - len(right)]
        if len(text) > len(left) + len(right) and text == left + inner + right and left not in inner:
            return inner.strip()
    return text


def questions(answer: str) -> list[tuple[str, str]]:
    """(question, answer) from "Question: … Answer: …" blocks; a question without an answer is none."""
    found, question, parts = list[tuple[str, str]](), "", list[str]()

    def close() -> None:
        if question and (text := " ".join(parts).strip()):
            found.append((question, text))

    inside = False
    for row in said(answer).splitlines():
        bare = _MARK.sub("", row).strip().strip("*").strip()
        if _QUESTION.match(bare):
            close()
            question, parts, inside = _QUESTION.sub("", bare).strip(), [], False
            question, _, rest = _inline(question)
            if rest:
                parts, inside = [rest], True
        elif question and _ANSWER.match(bare):
            parts, inside = [_ANSWER.sub("", bare).strip()], True
        elif inside and bare:
            parts.append(bare)
        elif inside:
            inside = False
    close()
    return list(dict.fromkeys(found))


def _inline(question: str) -> tuple[str, str, str]:
    """A question and its answer on one line: "Who? Answer: Kalo."."""
    found = re.search(r"(?<!\s)\s+(?:answer|a)\s*:\s*", question, re.IGNORECASE)
    return (question[: found.start()], found[0], question[found.end() :]) if found else (question, "", "")
