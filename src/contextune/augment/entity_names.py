"""What a text is about, found by rule: runs of capitalised words. No model, no download.

A rule misses names that are not capitalised and takes a capitalised noun for one; an operation that needs
better takes a list of the user's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from itertools import combinations

_WORD = r"[A-ZÀ-ÖØ-Þ][\w'’-]*"
_RUN = re.compile(rf"\b{_WORD}(?:(?: | of | of the | de | van | von ){_WORD})*")
_ASIDE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_COMMON = (
    "a an the this that these those there here it its he she we they you i his her their our my your but and or nor so "
    "yet for from with without by as if when while after before since until although though because however therefore "
    "thus also in on at to of into over under between among about against during each every all some any no not none "
    "one two three many most more few both such other another what who whom whose which where why how is are was were "
    "be been has have had do does did can could will would may might must shall should did question answer yes "
    "then than now once only just even still moreover meanwhile instead according"
)
COMMON = frozenset(_COMMON.split())
"""Words that are no names although they may begin a sentence."""


def names(text: str) -> list[str]:
    """Names in the order in which they first stand. A common word that begins a sentence is none."""
    found = dict[str, None]()
    for match in _RUN.finditer(text):
        words = re.sub(r"['’]s?$", "", match[0]).split(" ")
        while words and words[0].lower() in COMMON:
            words = words[1:]
        if words and (len(words) > 1 or len(words[0]) > 1):
            found[" ".join(words)] = None
    return list(found)


def last(text: str) -> str:
    """The name that a text comes to last, "" where it has none or begins with it; what is in brackets is an aside."""
    name = (names(_ASIDE.sub("", text)) or [""])[-1].rstrip("-'’")
    return "" if text.lstrip().startswith(name) else name


def opening(text: str) -> str:
    """The name that a text comes to last as a sentence begins with it: with its article, "The Stone Organ"."""
    name = last(text)
    return (
        f"The {name}" if name and re.search(rf"\b[Tt]he {re.escape(name)}(?!.*{re.escape(name)})", text, re.S) else name
    )


def apart(sentences: Seq[str], linked: bool = True) -> list[tuple[str, str]]:
    """Pairs of names, in the order in which they stand, that no sentence holds together.

    With `linked` only those that keep company with a third name, each in a sentence of its own: all A are M, no M
    are B gives (A, B).
    """
    held = [set(names(s)) for s in sentences]
    order = dict.fromkeys(n for s in sentences for n in names(s))
    company = {n: set[str]().union(*(h for h in held if n in h)) - {n} for n in order}
    pairs = ((a, b) for a, b in combinations(order, 2) if b not in company[a])
    return [(a, b) for a, b in pairs if not linked or company[a] & company[b]]


def shared(text: str, others: Iterable[str]) -> list[int]:
    """For each of the others how many of the text's names it holds."""
    own = set(names(text))
    return [len(own.intersection(names(other))) for other in others]
