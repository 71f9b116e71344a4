"""Typed values of a sentence, by rule: names, years, dates, numbers, percentages, amounts of money, quoted terms.

No model and no list of names: a name is a run of capitalised words. What the corpus says elsewhere tells a name from a
word that begins a sentence, and a place from what else has a name.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

import regex

from .languages import Language

_JOINERS = [
    "of",
    "de",
    "du",
    "da",
    "do",
    "dos",
    "di",
    "del",
    "della",
    "el",
    "al",
    "la",
    "bin",
    "ibn",
    "van",
    "von",
    "der",
    "upon",
]
JOINERS = tuple(f"{j} " for j in ("of the", *_JOINERS))
"""What stands in small letters within a name."""
_WORD = r"(?:\p{Lu}\.(?= \p{Lu})|(?:St|Mt|Ft|Dr|Mr|Mrs|Ms|Jr)\.(?= \p{Lu})|\p{Lu}[\w’'-]*+)"
NAME = regex.compile(rf"(?<![\w.@#/+&’'†‡-]){_WORD}(?: (?:{'|'.join(JOINERS)})?{_WORD})*(?!\.\w|[/+*−–=×°′%^])")
NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_START, _END = r"(?<![\w.,/$€£+#–−-])", r"(?![\w/–−-]|[.,]\d)"
_PART = re.compile(
    r"[A-ZÀ-Þ][\w’'-]* (?:and|&|of|for|de|in|on|upon|the|of the|for the|on the|in the) $"
    r"|(?:of|for) [A-ZÀ-Þ][\w’'-]* and $"
)
"""Before a name that is the end of a longer one."""
_QUOTED = re.compile(r"(?<!\w)[“\"]([^“”\"\n]{3,60})[”\"](?!\w)")
_TOKEN = re.compile(r"[^\W_]+(?:[’'-][^\W_]+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Value:
    """Characters `start` to `end` of a sentence. `look`: what another of its kind must have in common with it."""

    start: int
    end: int
    text: str
    kind: str
    look: tuple[str, ...] = ()
    before: str = ""
    """The word before it in small letters; ^ where it begins the sentence."""


@dataclass
class Lexicon:
    """What a corpus says of its words and names."""

    common: set[str] = field(default_factory=set)
    """Words that stand in small letters somewhere."""
    named: set[str] = field(default_factory=set)
    """Names that stand within a sentence somewhere."""
    places: set[str] = field(default_factory=set)
    people: set[str] = field(default_factory=set)
    first: Counter[str] = field(default_factory=Counter)
    """How many sentences a name begins."""
    free: set[str] = field(default_factory=set)
    """Names that stand by themselves somewhere: no word follows that they describe."""
    small: bool = False
    """Whether sentences begin in small letters, most of them."""
    telling: bool = False
    """Whether a capital tells a name where it begins a sentence too: the language begins sentences in small letters."""
    memo: dict[str, list[Value]] = field(default_factory=dict, repr=False)
    """Values of sentences, found once."""

    @classmethod
    def of(cls, sentences: Iterable[str], language: Language) -> Lexicon:
        made, sentences = cls(), list(sentences)
        for text in sentences:
            made.common.update(w for w in _TOKEN.findall(text) if w[0].islower())
        made.telling = language.begins_small
        made.small = language.begins_small or sum(text[0].islower() for text in sentences) > 0.5 * len(sentences)
        bare = cls(made.common | language["closed"] | language["begins"])
        made.common = bare.common
        for text in sentences:
            for name in names(text, bare, language):
                if name.before != "^":
                    made.named.add(name.text)
                else:
                    made.first[name.text] += 1
                if ends_well(text, name.end, language):
                    made.free.add(name.text)
                if name.before in language["places"] and text[name.end : name.end + 1] not in ("'", "’"):
                    made.places.add(name.text)
                elif name.before in language["titles"]:
                    made.people.add(name.text)
        return made

    def known(self, name: Value) -> bool:
        """Whether a name is one, not a common word with a capital, also where it begins a sentence."""
        words = [w for w in name.text.lower().split() if f"{w} " not in JOINERS]
        if all(w in self.common or w.removesuffix("s") in self.common for w in words):
            return False
        if self.telling or name.before != "^" or " " in name.text or name.text in self.named:
            return True
        return self.first[name.text] > 1 and not name.text.endswith(("s", "ly", "ing"))


def values(text: str, lexicon: Lexicon, language: Language) -> list[Value]:
    """All values of a sentence in order; none overlaps another."""
    if text in lexicon.memo:
        return lexicon.memo[text]
    found = list[Value]()
    for value in _all(text, lexicon, language):
        if value.kind in language.missing and not any(v.start < value.end and value.start < v.end for v in found):
            found.append(value)
    lexicon.memo[text] = sorted(found, key=lambda v: v.start)
    return lexicon.memo[text]


def _all(text: str, lexicon: Lexicon, language: Language) -> Iterator[Value]:
    """The most telling kinds first."""
    yield from _dates(text, language)
    for kind, pattern in _numeric().items():
        for match in pattern.finditer(text):
            before = word_before(text, match.start())
            look = digits(match["n"]), match["more"] or "", *match["all"].split(" ")[1:]
            if kind == "year" and before not in language["years_after"]:
                continue
            if kind == "number" and not _counts(text, match, before, language):
                continue
            yield Value(match.start(), match.end("all"), match["all"], kind, look if kind != "year" else (), before)
    for match in _QUOTED.finditer(text):
        words, before = match[1].split(), word_before(text, match.start())
        if len(words) <= 4 and match[1][-1].isalnum() and before in language["naming"]:
            look = str(min(len(words), 3)), "X" if match[1][0].isupper() else "x"
            yield Value(match.start(1), match.end(1), match[1], "quoted", look, before)
    yield from names(text, lexicon, language)


def _counts(text: str, match: re.Match[str], before: str, language: Language) -> bool:
    """Whether a number says how many or how much: not which (figure 2, Nord Stream 2), and not when (since 2006)."""
    number, named = match["n"], re.search(r"[A-ZÀ-Þ][\w’'-]* $", text[: match.start()])
    when = re.fullmatch(r"1[0-9]{3}|20[0-9]{2}", number)
    first = named is None or named.start() == 0
    return first and not when and before not in (*language["labels"], "^") and number not in ("0", "1")


@cache
def _numeric() -> dict[str, re.Pattern[str]]:
    """Patterns with the groups `all` (the value), `n` (its number) and `more` (the rest of it, or its unit)."""
    return {
        "money": re.compile(
            rf"(?P<all>(?P<more>[$€£])(?P<n>{NUMBER})(?: (?:thousand|million|billion|trillion))?){_END}"
        ),
        "percent": re.compile(rf"{_START}(?P<all>(?P<n>{NUMBER})(?P<more>%| percent| per cent))(?!\w)"),
        "year": re.compile(rf"{_START}(?P<all>(?P<n>1[0-9]{{3}}|20[0-9]{{2}}))(?P<more>){_END}"),
        "number": re.compile(
            rf"{_START}(?P<all>(?P<n>{NUMBER})){_END}(?=(?: (?P<more>[^\W\d_A-Z][\w/]*|[A-Z]\w?(?=[ ,.]))))"
        ),
    }


def _dates(text: str, language: Language) -> Iterator[Value]:
    month = "|".join(sorted(language["months"], key=len, reverse=True))
    if not month:
        return
    shapes = {
        "month day, year": rf"(?:{month}) \d{{1,2}}, \d{{4}}",
        "day month year": rf"\d{{1,2}} (?:{month}) \d{{4}}",
        "month year": rf"(?:{month}) \d{{4}}",
        "month day": rf"(?:{month}) \d{{1,2}}",
        "day month": rf"\d{{1,2}} (?:{month})",
    }
    for look, shape in shapes.items():
        for match in re.finditer(rf"(?<![\w-])(?:{shape})(?![\w–-]|, \d)", text):
            yield Value(*match.span(), match[0], "date", (look,), word_before(text, match.start()))


def names(text: str, lexicon: Lexicon, language: Language) -> Iterator[Value]:
    """Names with their possessive ending left out; a common word that begins the sentence is no part of one."""
    for match in NAME.finditer(text):
        start, said = match.start(), re.sub(r"['’]s?$", "", match[0])
        if not text[:start].strip(" \"'“‘(["):
            first, _, rest = said.partition(" ")
            if _common(first, lexicon, language):
                start, said = start + len(first) + 1, rest
                if joiner := next((j for j in JOINERS if said.startswith(j)), ""):
                    start, said = start + len(joiner), said.removeprefix(joiner)
        said = said.rstrip("-")
        parts = said.replace("’", "'").split()
        base = {p.split("'")[0] for p in parts}
        odd = (
            {p for p in parts if re.match(r"[A-Z]-[a-z]", p)}
            or base & (language["months"] | language["months_and_days"])
            or {p.lower() for p in base} & (language["begins"] | language["elsewhere"])
        )
        odd = odd or {parts[-1]} & language["abbreviations"] if parts else odd
        if len(said) > 1 and not odd:
            yield Value(start, start + len(said), said, "name", _look(said, lexicon), word_before(text, start))


def _common(word: str, lexicon: Lexicon, language: Language) -> bool:
    low = word.lower()
    return low in lexicon.common or low in language["closed"] or low in language["begins"]


def _look(name: str, lexicon: Lexicon) -> tuple[str, ...]:
    words = name.split()
    letters = "".join(c for c in name if c.isalpha())
    caps = "AA" if letters.isupper() and len(letters) > 1 else "A"
    of = "of" if "of" in words else ""
    headed = tuple("x" if w.lower() in lexicon.common else "X" for w in (words[0], words[-1])) if len(words) > 1 else ()
    sort = "place" if name in lexicon.places else "person" if name in lexicon.people else ""
    return str(min(len(words), 3)), caps, "9" if any(c.isdigit() for c in name) else "", of, sort, *headed


def word_before(text: str, at: int) -> str:
    """The word or mark before a place, in small letters, quotes left out; ^ at the beginning."""
    found = _TOKEN.findall(text[:at].rstrip(" \"'“‘"))
    return found[-1].lower() if found else "^"


def digits(number: str) -> str:
    """The shape of a number: its digits as 9, but for a number's own comma and point."""
    return re.sub(r"\d", "9", number)


def by_kind(
    sentences: Iterable[str], lexicon: Lexicon, language: Language
) -> dict[tuple[str, ...], dict[str, set[str]]]:
    """(kind, *look): text of each such value in the corpus: the words before it."""
    found: dict[tuple[str, ...], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for text in sentences:
        for value in values(text, lexicon, language):
            if value.kind != "name" or (lexicon.known(value) and whole(text, value, language)):
                found[value.kind, *value.look][value.text].add(value.before)
    return found


def whole(text: str, name: Value, language: Language, free: bool = False) -> bool:
    """Whether a name is not a part of a longer one, and stands by itself: there, or elsewhere where it is `free`."""
    before, follows = text[: name.start], text[name.end :]
    if re.search(r"\d(?:st|nd|rd|th) $", before):
        return False
    if " " not in name.text and name.before in language["definite"] and name.text.endswith(tuple(language["peoples"])):
        return False
    part = _PART.search(before)
    of_two = part is not None and part[0].startswith(("of ", "for "))
    two = part is not None and (not before.endswith(" and ") or of_two or " " in name.text)
    more = re.match(r" (?:of|for|&) (?:the )?[A-ZÀ-Þ]| (?:and|or) [A-ZÀ-Þ][\w’'-]*(?: [A-ZÀ-Þ]|-[a-z])", follows)
    also = re.match(r" (?:and|or) ([a-zà-ÿ]+) [a-zà-ÿ]", follows)
    if also and not (also[1] in language["closed"] or also[1] in language["possessive"]):
        return False  # Ukrainian and foreign evacuees
    beside = re.match(r" (?:and|or) [A-ZÀ-Þ][\w’'-]* ([^\W\d_]+)", follows)
    if beside and not (beside[1] in language["closed"] or beside[1] in language["verbs"] or beside[1].endswith("ed")):
        return False  # of two that describe something: Bangladeshi and Indian hinterland
    started = (
        re.fullmatch(r"[“\"]?[A-ZÀ-Þ][\w’'-]* (?:of )?", before) and before.split()[0].lower() not in language["closed"]
    )
    begins = free and re.match(r" [^\W\d_A-Z]", follows) is not None
    return not two and not more and not started and (begins or ends_well(text, name.end, language))


def ends_well(text: str, end: int, language: Language) -> bool:
    """Whether a name ends there as a name of something does, not as the first part of a longer one."""
    rest = text[end:]
    if re.match(r"['’]s ", rest):
        return True
    follows = re.match(r"[”\"’)]*(?:[.,;:]?$|[.,;:](?= )| ([^\W\d_][\w’'-]*))", rest)
    if follows is None:
        return False
    word = follows[1]
    return word is None or word in language["closed"] or word in language["verbs"] or word.endswith("ed")
