"""Tokens of a text by its words: a byte-level tokenizer encodes each word alone, so that each need be encoded once.

    "Cells make ATP." -> Cells| make| ATP|.     by the tokenizer's own patterns; 1 + 1 + 2 + 1 tokens

How many there are, and where they begin, several times faster than the tokenizer says it. Tokenizers that do not work
so, and texts with characters that regular expressions might class otherwise, are given to the tokenizer itself.
"""

from __future__ import annotations

import json
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from contextlib import suppress
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from unicodedata import category, is_normalized

import regex

from contextune.core.encoding import count, encode, joins
from contextune.core.special_tokens import added_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

MOST = 1 << 19
"""Words that are remembered; beyond it they are forgotten, and learned anew."""
Split = Callable[[str], list[str]]
WINDOW = 50_000
"""Characters tokenised at once: offsets are kept as numbers, never a long text's all as objects."""
_GAP = re.compile(r"\s+")

_GPT2 = re.compile(r"'(?:[stmd]|re|ve|ll)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
"""What ByteLevel splits by ('s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+), for
characters of SAFE."""
_DIGIT = re.compile(r"(\d)")
_RANGES = (
    (9, 10), (13, 13), (32, 126), (0xA0, 0x24F), (0x370, 0x4FF), (0x2010, 0x2027), (0x2030, 0x205E), (0x20A0, 0x20AC),
    (0x2190, 0x22FF), (0x3001, 0x3003), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3),
)  # fmt: skip
_FOLDED = {0x17F, 0x212A}
"""Fold to ASCII letters."""


@lru_cache(maxsize=1)
def _unsafe() -> re.Pattern[str]:
    """Finds characters whose class (letter, digit, other) not all regular expressions agree on."""
    wide = [c for low, high in _RANGES for c in range(low, high + 1)]
    plain = (c for c in wide if c < 0xA1 or ((c not in _FOLDED and category(chr(c))[0] in "LPS") or c in range(48, 58)))
    return re.compile(f"[^{''.join(re.escape(chr(c)) for c in plain)}]")


def tokens_of(text: str, tokenizer: Tokenizer) -> TextTokens:
    """The tokens of a text, by its words where that is exact, else as the tokenizer says."""
    words, windows = words_of(tokenizer), list(_windows(text))
    if words is not None:
        parts = list[list[str]]()
        for a, b in windows:
            if (part := words.split(text[a:b])) is None:
                break
            parts.append(part)
        else:
            with suppress(LookupError):
                return _ByWords(text, tokenizer, words, parts)
    return TextTokens(
        text, tokenizer, array("Q", (a + at for a, b in windows for at in _offsets(text[a:b], tokenizer)))
    )


def _windows(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(text):
        space = _GAP.search(text, at + WINDOW, at + 2 * WINDOW)
        end = space.start() if space else min(len(text), at + 2 * WINDOW)
        yield at, end
        at = end


class TextTokens:
    """Tokens of one text: where they begin, up to small errors at the windows' seams, and how many a part has."""

    def __init__(self, text: str, tokenizer: Tokenizer, starts: Seq[int]) -> None:
        self.text, self.tokenizer, self.starts = text, tokenizer, starts

    def count(self, begin: int, end: int) -> int:
        """Tokens of a part when it is encoded alone, as `core.encoding.count` has it."""
        return count(self.text[begin:end], self.tokenizer)

    def reach(self, at: int, tokens: int) -> int:
        """The character at which the token begins that is so many tokens behind `at`."""
        beyond = bisect_left(self.starts, at) + tokens
        return self.starts[beyond] if beyond < len(self.starts) else len(self.text)

    def between(self, at: int, reach: int) -> list[int]:
        """Where tokens begin behind `at`, up to `reach`."""
        return list(self.starts[bisect_right(self.starts, at) : bisect_right(self.starts, reach)])


class _ByWords(TextTokens):
    """The same from words and the tokens of each."""

    def __init__(self, text: str, tokenizer: Tokenizer, words: _Words, windows: Seq[list[str]]) -> None:
        super().__init__(text, tokenizer, ())
        self.words = words
        self.parts = windows[0] if len(windows) == 1 else [w for window in windows for w in window]
        self.ends = list(accumulate(map(len, self.parts)))
        self.before = list(accumulate(map(words.counts.__getitem__, self.parts), initial=0))
        firsts = list(accumulate(map(len, windows), initial=0))[:-1]
        self.seams = [self.ends[i - 1] for i in firsts if i]
        self.kept = {i for i in firsts if words.first_kept and self.parts[i].startswith(" ")}

    def count(self, begin: int, end: int) -> int:
        """The words amid a part are those amid the text; only its first and its last may be others alone."""
        first, last = bisect_right(self.ends, begin), bisect_left(self.ends, end)
        counts, at = self.words.counts, self.ends[first - 1] if first else 0
        spaced = begin == at + 1 and self.text[at] == " " and self.text[begin].isalpha()
        amid = bisect_right(self.seams, begin) == bisect_left(self.seams, end)
        if first + 1 < last and (begin == at or spaced) and amid and self.words.forward:
            tail = self.words.split(self.text[self.ends[last - 1] : end])
            if tail is not None:
                head = counts[self.text[begin : self.ends[first]]]
                return head + self.before[last] - self.before[first + 1] + sum(map(counts.__getitem__, tail))
        found = self.words.split(self.text[begin:end])
        return super().count(begin, end) if found is None else sum(map(counts.__getitem__, found))

    def reach(self, at: int, tokens: int) -> int:
        beyond = self._before(at) + tokens
        return self._start(beyond) if beyond < self.before[-1] else len(self.text)

    def between(self, at: int, reach: int) -> list[int]:
        return [self._start(k) for k in range(self._before(at + 1), self._before(reach + 1))]

    def _start(self, k: int) -> int:
        """The character at which token k begins."""
        word = bisect_right(self.before, k) - 1
        begins, k = self.words.begins[self.parts[word]], k - self.before[word]
        return (self.ends[word - 1] if word else 0) + begins[k] - (not k and word in self.kept)

    def _before(self, at: int) -> int:
        """Tokens that begin before a character."""
        word = bisect_left(self.ends, at)
        own = range(self.before[min(word, len(self.parts))], self.before[min(word + 1, len(self.parts))])
        k = own.start + bisect_left(own, at, key=self._start)  # a word may have very many
        while k and self._start(k - 1) >= at:
            k -= 1
        return k


def _offsets(text: str, tokenizer: Tokenizer) -> Iterable[int]:
    if getattr(tokenizer, "is_fast", False):
        found = tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
        )
        return [begin for begin, _ in found["offset_mapping"]]

    @lru_cache(maxsize=100_000)
    def tokens_in(word: str) -> int:
        return len(encode(word, tokenizer))

    starts = []
    for word in re.finditer(r"\s*\S+", text):  # no offsets: a word's tokens spread evenly over it
        tokens, length = tokens_in(word[0]), len(word[0])
        starts += [word.start() + length * i // tokens for i in range(tokens)]
    return starts


class _Words:
    """A tokenizer's way to split a text into words, and what it makes of each."""

    def __init__(self, tokenizer: Tokenizer, model: Any, steps: Seq[Split], composed: bool, trim: tuple[bool, bool]):
        self.steps, self.composed = steps, composed
        self.prefixes = {token[:2] for token in added_tokens(tokenizer)}
        self.begins = _Begins(model, trim[0])
        self.counts = _Counts(self.begins)
        self.first_kept = trim[0] and trim[1]
        self.forward = len(steps) == 1

    def split(self, text: str) -> list[str] | None:
        """The words, which joined are the text; None where only the tokenizer knows."""
        if not text.isascii() and (_unsafe().search(text) or (self.composed and not is_normalized("NFC", text))):
            return None
        if text.isascii() and not text.isprintable() and _ODD.search(text):
            return None
        if any(prefix in text for prefix in self.prefixes):
            return None
        words = [text] if text else []
        for i, step in enumerate(self.steps):
            words = step(text) if i == 0 and text else [part for word in words for part in step(word)]
        return words


_ODD = re.compile(r"[^\t\n\r -~]")


class _Begins(dict[str, tuple[int, ...]]):
    """word -> the character at which each of its tokens begins; learned when it is first asked for."""

    def __init__(self, model: Any, trim: bool) -> None:
        self.model, self.trim = model, trim

    def __missing__(self, word: str) -> tuple[int, ...]:
        if len(self) >= MOST:
            self.clear()
        spelled = "".join(map(_BYTES.__getitem__, word.encode()))
        tokens = [token.value for token in self.model.tokenize(spelled)]
        if "".join(tokens) != spelled:
            raise LookupError(word)
        ends = list(accumulate(map(len, tokens)))
        characters = range(len(word)) if word.isascii() else [i for i, c in enumerate(word) for _ in c.encode()]
        begins = []
        for token, end in zip(tokens, ends, strict=True):
            spaces = len(token) - len(token.lstrip(_SPACE)) if self.trim else 0
            begins.append(min(characters[end - len(token)] + spaces, characters[end - 1] + 1))
        self[word] = tuple(begins)
        return self[word]


class _Counts(dict[str, int]):
    """word -> how many tokens it has."""

    def __init__(self, begins: _Begins) -> None:
        self.begins = begins

    def __missing__(self, word: str) -> int:
        if len(self) >= MOST:
            self.clear()
        self[word] = len(self.begins[word])
        return self[word]


def _byte_letters() -> list[str]:
    """The letter by which byte-level tokenizers write each byte (GPT-2)."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(others)) for b in range(256)]


_BYTES = _byte_letters()
_SPACE = _BYTES[32]


@lru_cache(maxsize=8)
def words_of(tokenizer: Tokenizer) -> _Words | None:
    """None where a tokenizer does not encode words alone, or in a way that is not known here."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or joins(tokenizer):
        return None
    made = json.loads(backend.to_str())
    model, normalizer = made["model"], made.get("normalizer")
    plain = not any(
        model.get(k) for k in ("dropout", "byte_fallback", "continuing_subword_prefix", "end_of_word_suffix")
    )
    if model.get("type") != "BPE" or not plain or (normalizer or {"type": "NFC"})["type"] != "NFC":
        return None
    try:
        steps = list(_steps(made.get("pre_tokenizer") or {}))
    except (KeyError, ValueError, regex.error):
        return None
    trims = [p for p in _parts(made.get("post_processor") or {}, "processors") if p["type"] == "ByteLevel"]
    trim = (trims[0]["trim_offsets"], trims[0]["add_prefix_space"]) if trims else (False, False)
    return _Words(tokenizer, backend.model, steps, normalizer is not None, trim) if steps else None


def _parts(step: Mapping[str, Any], inner: str) -> list[Mapping[str, Any]]:
    return [] if not step else list(step[inner]) if step["type"] == "Sequence" else [step]


def _steps(made: Mapping[str, Any]) -> Iterator[Split]:
    """How a text is split, step by step; ends with the byte-level step. ValueError where that is not known."""
    *before, last = _parts(made, "pretokenizers") or [{}]
    if last.get("type") != "ByteLevel" or last["add_prefix_space"]:
        raise ValueError(last)
    for step in before:
        if step["type"] == "Digits" and step["individual_digits"]:
            yield _isolating(_DIGIT)
        elif step["type"] == "Split" and step["behavior"] == "Isolated" and not step["invert"]:
            yield _isolating(regex.compile(f"({step['pattern']['Regex']})"))
        else:
            raise ValueError(step)
    if last.get("use_regex", True):
        yield _GPT2.findall
    elif not before:
        raise ValueError(last)


def _isolating(pattern: Any) -> Split:
    """Splits a text into the matches of a pattern and what is between them."""
    if pattern.groups != 1:
        raise ValueError(pattern)
    return lambda text: [part for part in pattern.split(text) if part]
