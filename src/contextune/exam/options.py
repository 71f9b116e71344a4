"""Wrong options: of the same kind and shape, and true nowhere in the corpus of what is asked.

None stands in the statement's passage or in a sentence about its anchor (nor of a name: in one with the value, since
what is named together may be a part of the other). Which are taken is decided by hashes of the statement's id, so that
more documents change few of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Sequence as Seq

from contextune.contexts.editing.spans import clashing_articles

from .corpus import Corpus, Words, rank
from .languages import Language
from .statements import Statement
from .values import Value

WRONG = 3
"""Wrong options beside the right one."""
APART = 0.1
"""How far two numbers are apart, as a share of the right one."""
COMMON = 200
"""Sentences that name an anchor; one of more says little of what it is."""
YEARS = 60
"""Years between the right one and a wrong one at most."""
FACTORS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.2, 1.3, 1.5, 1.7, 2.0, 2.4, 3.0)
"""By what numbers are multiplied where the corpus has too few of a shape."""
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def wrong(corpus: Corpus, statement: Statement, asked: Value, other: Value) -> tuple[str, ...] | None:
    """Three wrong options for one end of a statement, whose other end is `other`; None where there are too few.

    They are in no sentence about the other end, nor about any other name of the statement that is not in very many.
    """
    texts = [corpus.passages[statement.passage].text]
    for name in (other, *statement.names):
        told = corpus.about(name.text) if name.text != asked.text else []
        texts += told if len(told) <= COMMON or name is other else ()
    if asked.kind in ("name", "quoted"):
        texts += corpus.about(asked.text)
    texts = list(dict.fromkeys(texts))
    barred, numbers = Words.of(texts), {n for text in texts for n in _numbers(text)}
    found = list[str]()
    for option in _candidates(corpus, statement, asked):
        if asked.kind in ("name", "quoted"):
            able = not barred.touch(option, corpus.language["closed"]) and not _kin(option, (asked.text, *found))
        else:
            able = _far(option, asked.text, asked.kind, found) and not _numbers(option, asked.kind) & numbers
        if able and _reads(statement, asked, option):
            found.append(option)
            if len(found) == WRONG:
                return tuple(found)
    return None


def _candidates(corpus: Corpus, statement: Statement, asked: Value) -> Iterator[str]:
    """Of the corpus, those after the same word first; then numbers and dates that are made."""
    donors = corpus.values.get((asked.kind, *asked.look), {})
    the = asked.before in corpus.language["definite"]
    order = lambda text: rank(statement.id, asked.text, text)  # noqa: E731
    if asked.kind in ("name", "quoted"):
        able = [
            t
            for t, before in donors.items()
            if _after(before, the, corpus.language) and t not in corpus.language["broad"]
        ]
        same = [t for t in able if asked.before in donors[t]]
        yield from sorted(same, key=order)
        yield from sorted(set(able) - set(same), key=order)
        return
    yield from sorted((t for t in donors if t != asked.text), key=order)
    yield from sorted(dict.fromkeys(_made(asked, corpus.language)), key=order)


def _after(before: set[str], the: bool, language: Language) -> bool:
    """Whether a name stands somewhere with an article, or without, as the one that is asked for."""
    return bool(before & language["definite"]) if the else bool(before - language["definite"])


def _made(asked: Value, language: Language) -> Iterator[str]:
    """Numbers, years and dates like one."""
    if asked.kind == "year":
        yield from (str(int(asked.text) + d) for d in (*range(-25, 0), *range(1, 26)) if int(asked.text) + d < 2030)
    elif asked.kind == "date":
        (month,) = (m for m in language["months"] if m in asked.text)
        for day in range(1, 29):
            for other in sorted(language["months"]):
                yield re.sub(r"(?<!\d)\d{1,2}(?!\d)", str(day), asked.text.replace(month, other))
    elif match := _NUMBER.search(asked.text):
        for factor in FACTORS:
            yield asked.text.replace(match[0], _times(match[0], factor), 1)


def _times(number: str, factor: float) -> str:
    """A number of the same form: as many decimals, commas where it has some, a round number where it is round."""
    decimals = len(number.partition(".")[2])
    made = float(number.replace(",", "")) * factor
    whole = number.replace(",", "").partition(".")[0]
    zeros = len(whole) - len(whole.rstrip("0"))
    if not decimals and zeros:
        made = round(made, -min(zeros, len(whole) - 1)) or made
    return f"{made:,.{decimals}f}" if "," in number else f"{made:.{decimals}f}"


def _numbers(text: str, kind: str = "") -> set[str]:
    """Numbers as they are written, without commas; of a date the date itself counts."""
    if kind == "date":
        return {text}
    return {n.replace(",", "") for n in _NUMBER.findall(text)} | set(re.findall(r"\w+ \d+(?:, \d+)?|\d+ \w+ \d+", text))


def _amount(text: str) -> float:
    (number,) = _NUMBER.findall(text)[:1]
    return float(number.replace(",", ""))


def _far(option: str, gold: str, kind: str, others: Seq[str]) -> bool:
    """Whether an option is plainly another number or date than the right one and the other options."""
    if kind == "date":
        return option not in (gold, *others)
    a, b = _amount(option), _amount(gold)
    if kind == "year":
        return 0 < abs(a - b) <= YEARS and option not in others
    if kind == "percent" and (a > 100 >= b or a <= 0):
        return False
    least = APART * b
    return 0.2 * b <= a <= 5 * b and a > 1 and abs(a - b) >= least and all(abs(a - _amount(o)) >= least for o in others)


def _kin(option: str, others: Seq[str]) -> bool:
    """Whether an option has a word of another one."""
    return any(
        Words.of([other]).touch(option, frozenset()) or Words.of([option]).touch(other, frozenset()) for other in others
    )


def _reads(statement: Statement, asked: Value, option: str) -> bool:
    """Whether the sentence with the option has the articles that it should."""
    made = statement.gapped(asked, option)
    return clashing_articles(made) == clashing_articles(statement.text)
