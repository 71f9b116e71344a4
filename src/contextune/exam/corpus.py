"""All that is known of a corpus: its passages, its values by kind, and where words and names stand."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

from .languages import Language
from .passages import Passage
from .values import Lexicon, by_kind

TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|\w+")
STEM = 5
"""Letters that two words share where one may be a form of the other: Poland, Polish."""


def rank(*parts: str) -> bytes:
    """A hash by which things are put in an order that more of them do not change."""
    return blake2b("\0".join(parts).encode(), digest_size=16).digest()


@dataclass
class Corpus:
    """What statements are taken from, and asked against."""

    passages: Seq[Passage]
    language: Language
    lexicon: Lexicon = field(init=False)

    def __post_init__(self) -> None:
        self.lexicon = Lexicon.of(self.sentences, self.language)

    @cached_property
    def sentences(self) -> list[str]:
        return [s for p in self.passages for s in p.sentences]

    @cached_property
    def values(self) -> dict[tuple[str, ...], dict[str, set[str]]]:
        """(kind, *look): text: the words before it."""
        return by_kind(self.sentences, self.lexicon, self.language)

    @cached_property
    def _holding(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for i, text in enumerate(self.sentences):
            for token in dict.fromkeys(t.casefold() for t in TOKEN.findall(text)):
                found[token].append(i)
        return found

    def about(self, name: str) -> list[str]:
        """The sentences that hold a name or a number, as a text of its own or within another."""
        tokens = TOKEN.findall(name.casefold())
        if not tokens:
            return []
        rarest = min((self._holding.get(t, []) for t in tokens), key=len)
        return [self.sentences[i] for i in rarest if name.casefold() in self.sentences[i].casefold()]


@dataclass(frozen=True)
class Words:
    """The words of some texts, to see whether another text may name something of theirs."""

    whole: frozenset[str]
    stems: frozenset[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Words:
        whole = {t.casefold() for text in texts for t in TOKEN.findall(text)}
        return cls(frozenset(whole), frozenset(w[:STEM] for w in whole if len(w) >= STEM and w.isalpha()))

    def touch(self, text: str, without: frozenset[str]) -> bool:
        """Whether a word of `text`, none of `without`, stands there, or another form of it."""
        words = [t.casefold() for t in TOKEN.findall(text)]
        return any(w in self.whole or (w.isalpha() and w[:STEM] in self.stems) for w in words if w not in without)
