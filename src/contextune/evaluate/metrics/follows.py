"""Is an instruction followed? Checks that read the answer alone, joined by "; ": `words 3; upper`.

    words N, lines N, sentences N    exactly so many
    at most N words                  as it says
    upper, lower                     no letter of the other case, and some letter
    starts TEXT, ends TEXT           as whole words, whatever the case; punctuation after the last word is no matter
    has TEXT, lacks TEXT             as whole words, whatever the case
    times N TEXT                     TEXT stands there so often
    one of A | B | C                 the answer is one of them, without case and closing punctuation
    is TEXT                          the answer is this text as it is written, case and punctuation included
    list N                           N lines that begin with "- ", and nothing else
    commas N                         N parts separated by commas, on one line, none empty
    digits                           a number in digits, and nothing else but closing punctuation
    json KEY KEY …                   one JSON object with these keys and no other
    quoted                           the whole answer in double quotation marks

An answer to "write three words" must be three words: an answer that says more than it should is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import ClassVar

from contextune.core import registry
from contextune.core.errors import UserError, nearest

from .metric import ItemMetric

Check = Callable[[str, str], bool]
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_STOP = re.compile(r"[.!?]+(?=\s|$|[\"'”’])")


def words(text: str) -> list[str]:
    return _WORD.findall(text)


def lines(text: str) -> list[str]:
    return [line for line in text.strip().splitlines() if line.strip()]


def sentences(text: str) -> int:
    """Sentences, the last with or without its stop."""
    return sum(bool(words(part)) for part in _STOP.split(text))


def bare(text: str) -> str:
    """Without case, white space around it and closing punctuation."""
    return text.strip().rstrip(".!?").strip().casefold()


def count(text: str, part: str) -> int:
    """How often a part stands in a text as whole words."""
    return len(re.findall(rf"(?<!\w){re.escape(part)}(?!\w)", text, re.IGNORECASE))


def _ends(text: str, part: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(part)}[\W_]*$", text, re.IGNORECASE) is not None


def _starts(text: str, part: str) -> bool:
    return re.match(rf"[\W_]*{re.escape(part)}(?!\w)", text, re.IGNORECASE) is not None


def _times(text: str, said: str) -> bool:
    number, _, part = said.partition(" ")
    return count(text, part) == int(number)


def _list(text: str, number: str) -> bool:
    rows = lines(text)
    return len(rows) == int(number) and all(re.match(r"- \S", row) for row in rows)


def _commas(text: str, number: str) -> bool:
    parts = text.strip().split(",")
    return "\n" not in text.strip() and len(parts) == int(number) and all(words(p) for p in parts)


def _json(text: str, keys: str) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and set(found) == set(keys.split())


def _quoted(text: str, _: str) -> bool:
    said = text.strip()
    return len(said) > 2 and (said[0], said[-1]) in (('"', '"'), ("“", "”")) and not set('"“”') & set(said[1:-1])


CHECKS: dict[str, Check] = {
    "words": lambda text, n: len(words(text)) == int(n),
    "lines": lambda text, n: len(lines(text)) == int(n),
    "sentences": lambda text, n: sentences(text) == int(n),
    "at most": lambda text, n: 0 < len(words(text)) <= int(n.removesuffix(" words")),
    "upper": lambda text, _: text.isupper(),
    "lower": lambda text, _: text.islower(),
    "starts": _starts,
    "ends": _ends,
    "has": lambda text, part: count(text, part) > 0,
    "lacks": lambda text, part: bool(words(text)) and not count(text, part),
    "times": _times,
    "one of": lambda text, said: bare(text) in {bare(o) for o in said.split("|")},
    "is": lambda text, said: text.strip() == said,
    "list": _list,
    "commas": _commas,
    "digits": lambda text, _: re.fullmatch(r"-?\d+(?:,\d{3})*(?:\.\d+)?[.!]?", text.strip()) is not None,
    "json": _json,
    "quoted": _quoted,
}


def parse(rules: str) -> list[tuple[Check, str]]:
    """The checks of an item's gold answer. Raises UserError for one that there is none of."""
    found = list[tuple[Check, str]]()
    for rule in rules.split("; "):
        name = next((n for n in sorted(CHECKS, key=len, reverse=True) if f"{rule.strip()} ".startswith(f"{n} ")), None)
        if name is None:
            raise UserError(f"metric follows: no check '{rule}'", nearest(rule.split(" ")[0], CHECKS))
        found.append((CHECKS[name], rule.strip()[len(name) :].strip()))
    return found


@registry.metrics("follows")
class Follows(ItemMetric):
    """The answer passes all checks of its gold answer."""

    special: ClassVar[bool] = True
    has_majority: ClassVar[bool] = False

    def worth(self, output: str, gold: str) -> float:
        said = output.strip()
        return float(bool(said) and all(check(said, rest) for check, rest in parse(gold)))
