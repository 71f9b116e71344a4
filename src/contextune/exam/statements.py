"""Sentences that say something by themselves, with a value to ask for and an anchor: what it is said of.

"Polonia was relegated in 2013." asks for 2013 of Polonia. What is refused is counted, with the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import lru_cache

from contextune.contexts.editing.spans import alone, spots
from contextune.core.files import digest

from .languages import Language
from .passages import Passage
from .values import Lexicon, Value, values, whole

SHORTEST, LONGEST = 3, 40
"""Words of a sentence that is asked."""
EARLIER = 12
"""Sentences before one that may introduce what it speaks of."""
EARLY = 4
"""Words of a sentence among which "also" adds it to what precedes."""
SOON = 6
"""Words after "the" at the beginning within which a name must follow."""
NEAR = 4
"""Words before a value that may say that it is not the only one, or not exact."""
_WORDS = re.compile(r"[^\W_]+(?:[’'-][^\W_]+)*")
_ODD = re.compile(
    r"https?:|www\.|@|[|<>=~^{}\\*]|\.\.\.|…|\]\(|;|:|\d\s?/\s?\d|[+/-]{2,}|×|[A-Z]{13}"
    r"|\((?:[a-zA-Z]|[IVX]+)(?:(?:[,–-]| and|, and) ?[a-zA-Z])*[),; ]"  # (a), (A–C), (E and F): panels of a figure
    r"|\S  +\S"
    r"|^(\S+(?: \S+){0,3}) \1(?!\w)"  # a heading that is left in front of its text
)
"""What stands in formulas, lists, links and legends, or comes of a text that lost its lines."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of a passage, and what is asked for. Anchors precede the value: the names that it is said of."""

    id: str
    sentence: str
    """The sentence's id: statements of one sentence are resampled together."""
    text: str
    value: Value
    anchors: tuple[Value, ...]
    names: tuple[Value, ...]
    """All of the sentence."""
    passage: int
    """Its place among the passages."""

    @property
    def told(self) -> tuple[str, str]:
        """What precedes the value, and what follows it."""
        return self.text[: self.value.start].rstrip(" "), self.text[self.value.end :]

    def gapped(self, value: Value, gap: str = "____") -> str:
        return self.text[: value.start] + gap + self.text[value.end :]


@dataclass
class Found:
    """The statements of each sentence that has some, and why the other sentences have none."""

    candidates: list[list[Statement]]
    sentences: int
    refused: Counter[str]


def statements(passages: Seq[Passage], lexicon: Lexicon, language: Language) -> Found:
    """All statements that can be asked, those of one sentence together."""
    found = Found([], 0, Counter())
    seen = set[str]()
    before, document = list[str](), ""
    for number, passage in enumerate(passages):
        if passage.document != document:
            before, document = [], passage.document
        for text in passage.sentences:
            found.sentences += 1
            reason = refusal(text, before[-EARLIER:], lexicon, language, bool(passage.title))
            before.append(text)
            able = [] if reason else list(_statements(text, number, lexicon, language))
            if able and text in seen:
                reason, able = "says what an earlier sentence says", []
            seen.add(text)
            if able:
                found.candidates.append(able)
            else:
                found.refused[reason or "has no value with an anchor before it"] += 1
    return found


def _statements(text: str, passage: int, lexicon: Lexicon, language: Language) -> Iterator[Statement]:
    inside = [v for v in values(text, lexicon, language) if not _in_brackets(text, v.start)]
    named = tuple(v for v in inside if v.kind == "name")
    able = [
        v for v in inside if v.kind == "name" and lexicon.known(v) and _asks(text, v, language, v.text in lexicon.free)
    ]
    anchors = [v for v in able if whole(text, v, language)] or able
    for value in inside:
        if not _asks(text, value, language) or not exact(text, value, language):
            continue
        possessive = re.match(r"['’]s ", text[value.end :]) and value.text not in lexicon.places
        if value.kind == "name" and (value.before == "^" or possessive or not lexicon.known(value)):
            continue
        before = tuple(a for a in anchors if a.end < value.start)
        if before and not _listed(text, value):
            yield Statement(digest([text, value.text])[:12], digest(text)[:12], text, value, before, named, passage)


def _listed(text: str, value: Value) -> bool:
    """Whether a value is one of an enumeration, whose others could stand in its place."""
    cap = r"[^a-z\W]\S*"
    before = re.search(rf"{cap}, (?:and |or |{cap}(?: {cap})* (?:and|or) )?$", text[: value.start])
    return (
        before is not None
        or re.match(rf",? (?:and|or) {cap},|, (?:and |or )?{cap}(?: {cap})*(?:,| and| or)", text[value.end :])
        is not None
    )


def _asks(text: str, value: Value, language: Language, free: bool = False) -> bool:
    """Whether a value can be taken out, and another put there: it stands once, whole, and nothing else names it."""
    at = spots(text, value.text)
    if at != [value.start] or not alone(text, at, value.text):
        return False
    follows, before = text[value.end :], text[: value.start]
    if value.kind == "quoted":
        return True
    if re.match(r" \(|[-/–]| \d| (?:and|or|to) \d|%", follows) or re.search(
        r"[-/–(]$|\d(?: per ?cent|%)? (?:and|or|to) $", before
    ):
        return False
    if value.kind == "name":
        against = re.search(r"(?<!\w)vs?\. $", before) or re.match(r" vs?\. ", follows)
        return not against and whole(text, value, language, free) and value.text not in language["broad"]
    in_other_units = re.match(r"(?: [^\s()]+){0,2} \(\D{0,3}\d", follows)
    return in_other_units is None


def exact(text: str, value: Value, language: Language) -> bool:
    """Whether nothing beside the value says that there are others, or that it is a bound."""
    before = text[: value.start].lower()
    last = _WORDS.findall(before)[-NEAR:]
    following = _WORDS.findall(text[value.end :].lower())[:1]
    bounded = "|".join(sorted(language["bounds_after"]))
    if re.match(rf"(?:[^.;]?\w*\W+){{0,4}}(?:or|and) (?:{bounded})(?!\w)", text[value.end :].lower()):
        return False
    if any(re.search(rf"(?<!\w){re.escape(p)}(?!\w)", " ".join(before.split()[-8:])) for p in language.phrases["open"]):
        return False
    if value.kind in ("name", "quoted"):
        return value.before not in ("or", "(", "[") and following != ["or"]
    if value.kind == "year" and last[-1:] and last[-1] in language["years_not_after"]:
        return False
    return not (set(last) | set(following)) & language["bounds"]


def refusal(text: str, before: Seq[str], lexicon: Lexicon, language: Language, titled: bool = True) -> str:
    """Why a sentence cannot be asked; nothing where it can. `before` are sentences before it."""
    words = _WORDS.findall(text)
    low = [re.split("['’]", w.lower())[0] for w in words]
    if not SHORTEST <= len(words) <= LONGEST:
        return f"has fewer than {SHORTEST} or more than {LONGEST} words"
    if not (text[0].isupper() or lexicon.small) or text[-1] != "." or words[-1] in language["abbreviations"]:
        return "does not begin with a capital or end with a full stop"
    if _ODD.search(text) or _unbalanced(text):
        return "holds marks of a formula, a list, a link or an open bracket"
    if set(low) & language["elsewhere"]:
        return "refers to a figure, a table or another text"
    flat = f"{' '.join(low)} "
    if low[0] in language["begins"] or flat.startswith(_spaced(language.phrases["begins_with"])):
        return "begins with a word that refers to what precedes"
    if (
        set(low) & language["refers"]
        or set(low[:EARLY]) & language["refers_early"]
        or any(f" {p} " in f" {flat}" for p in language.phrases["refers_with"])
    ):
        return "refers to what is not in it"
    if any(p in text for p in language.phrases["notices"]):
        return "says how the text came about"
    if not set(low) & language["verbs"] and not any(re.fullmatch(r"[a-z]+(?:ed|(?<![sui])s)", w) for w in words[1:]):
        return "has no verb"
    if not titled and _acronyms_alone(text, lexicon, language):
        return "is about a common acronym"
    if not titled and any(head in language["unnamed"] for _, head in definite(text, language)):
        return "speaks of something that no title names"
    return _unnamed(text, words, before, lexicon, language)


def _unnamed(text: str, words: Seq[str], before: Seq[str], lexicon: Lexicon, language: Language) -> str:
    """Whether something is spoken of as known that only what precedes names."""
    found = [v for v in values(text, lexicon, language) if v.kind == "name" and lexicon.known(v)]
    if not found:
        return "names nothing"
    first = text[: found[0].start]
    led = [w.lower() for w in _WORDS.findall(first)]
    if any(map(_is_verb(language), led[1:])):
        return "names nothing before its verb"
    if words[0].lower() in language["definite"] and len(led) > SOON:
        return "begins with something known from before"
    owned = [w for w in words if w.lower() in language["possessive"]]
    adverbial = re.fullmatch(r"[A-Z][^,]*, ", first) is not None
    if owned and ((first and not adverbial) or text.index(owned[0]) < found[0].start):
        return "refers to what is not in it"
    if any(_told(head, text[:at], before) for at, head in definite(text, language)):
        return "speaks of something that an earlier sentence introduces"
    return ""


def _acronyms_alone(text: str, lexicon: Lexicon, language: Language) -> bool:
    """Whether the names of a sentence are all acronyms, of which many texts have the same: GDP, EBITDA."""
    found = [v.text for v in values(text, lexicon, language) if v.kind == "name" and lexicon.known(v)]
    return all(name.isupper() for name in found)


def _is_verb(language: Language) -> Callable[[str], bool]:
    return lambda word: word in language["verbs"] or word.endswith("ed")


def definite(text: str, language: Language) -> Iterator[tuple[int, str]]:
    """What "the" introduces without saying which: the place, and the last word of up to three in small letters."""
    article = "|".join(f"{a}|{a.capitalize()}" for a in sorted(language["definite"]))
    for match in re.finditer(rf"(?<!\w)(?:{article}) (?=((?:[^\W\d_A-ZÀ-Þ][\w-]*(?: |(?=\W))){{1,5}}))", text):
        words = match[1].split()
        ends = (n for n, w in enumerate(words) if any(w in language[k] for k in ("closed", "verbs", "goes_on")))
        last = min(next(ends, len(words)), 3)
        goes_on = last < len(words) and words[last] in language["goes_on"]
        named = last == len(words) and text[match.end(1) : match.end(1) + 1].isupper()
        if last and not goes_on and not named:
            yield match.start(), words[last - 1]


def _told(head: str, own: str, before: Seq[str]) -> bool:
    """Whether a word stands in earlier sentences, and not in its own before."""
    stem = re.sub(r"(?:ies|es|s|y)$", "", head.lower())
    there = re.compile(rf"(?<!\w){re.escape(stem)}(?:y|ies|es|s)?(?!\w)", re.I)
    return not there.search(own) and any(there.search(text) for text in before)


def _unbalanced(text: str) -> bool:
    pairs = (("(", ")"), ("[", "]"), ("“", "”"))
    return any(text.count(a) != text.count(b) for a, b in pairs) or text.count('"') % 2 == 1


def _in_brackets(text: str, at: int) -> bool:
    return text.count("(", 0, at) > text.count(")", 0, at) or text.count("[", 0, at) > text.count("]", 0, at)


@lru_cache(maxsize=16)
def _spaced(phrases: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{p} " for p in phrases)
