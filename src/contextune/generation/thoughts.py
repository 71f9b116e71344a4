"""A reasoning model's thoughts, taken out of what it said, in the forms that are known of such models.

<think>The river is older.</think>The bridge is younger.                              -> The bridge is younger.
analysisThe river is older.assistantfinalThe bridge is younger.                       -> The bridge is younger.
The river is older.</think>The bridge is younger.    (a chat template opened them)    -> The bridge is younger.
Models write <think> before they answer.             (a mention)                      -> as it is
<think>The river                                     (never closed)                   -> no answer
"""

from __future__ import annotations

import re

_NAMES = r"think|thinking|thought|thoughts|reasoning|seed:think|scratchpad"
_PAIRS = [(rf"<{name}>", rf"</{name}>") for name in _NAMES.split("|")] + [
    (r"\[THINK\]", r"\[/THINK\]"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|channel>thought", r"<channel\|>"),
    (r"<unused94>thought", r"<unused95>"),
    (r"◁think▷", r"◁/think▷"),
    (r"Here(?: is|'s) my thought process:", r"Here(?: is|'s) my response:"),
]
_FLAGS = re.DOTALL | re.IGNORECASE
_BLOCKS = [re.compile(rf"\s*{a}.*?{b}\s*", _FLAGS) for a, b in _PAIRS]
_OPENED = [re.compile(rf"\s*({a})", _FLAGS) for a, _ in _PAIRS]
_LINES = [
    (re.compile(rf"^[ \t]*{a}", _FLAGS | re.MULTILINE), re.compile(rf"{b}[ \t]*(?:\n|\Z)", _FLAGS)) for a, b in _PAIRS
]
_CLOSED = [re.compile(rf"(.*)(?<![\"'`“‘«]){b}\s*", _FLAGS) for _, b in _PAIRS[:-1]]
_MARKS = re.compile("|".join(mark for pair in _PAIRS for mark in pair), _FLAGS)
_ANSWERS = [
    (re.compile(rf"\s*{a}\s*", _FLAGS), re.compile(rf"{b}\Z", _FLAGS))
    for a, b in (
        (r"<\|begin_of_solution\|>", r"<\|end_of_solution\|>"),
        (r"<\|START_RESPONSE\|>", r"<\|END_RESPONSE\|>"),
        (r"<answer>", r"</answer>"),
        (r"<response>", r"</response>"),
    )
]
"""What may stand around an answer behind thoughts."""
_CHANNEL = re.compile(r"\s*(?:<\|start\|>assistant\s*)?<\|channel\|>", _FLAGS)
_FINAL = re.compile(
    r".*<\|channel\|>\s*final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>(.*?)(?:<\|(?:return|end)\|>\s*)?$", _FLAGS
)
_BARE = re.compile(r"\s*(?:(?:assistant)?(?:analysis|commentary).*assistantfinal|assistantfinal)\s*(.*)$", re.DOTALL)
_BARE_OPENED = re.compile(r"\s*(?:assistant)?analysis(?=[A-Z\"“'’(])")
"""OpenAI's harmony, with its tokens and without them."""


def is_mark(text: str) -> bool:
    """Whether a token opens or closes thoughts."""
    return _MARKS.fullmatch(text) is not None


def without_thoughts(said: str) -> tuple[str, str]:
    """(what was said without the thoughts, the mark that opens thoughts which never end, else "").

    Marks count at the beginning, or around whole lines; elsewhere they are mentioned. A closing mark alone ends
    thoughts that a chat template opened, unless it is quoted. Its time is linear in the text.
    """
    if _CHANNEL.match(said):
        return _final(_FINAL.match(said), "<|channel|>analysis")
    if (bare := _BARE.match(said)) or _BARE_OPENED.match(said):
        return _final(bare, "analysis")
    rest = _leading(said)
    for (opens, closes), mark in zip(_LINES, _OPENED, strict=True):
        if not mark.match(rest):
            rest = _without_blocks(rest, opens, closes)
    for mark in _OPENED:
        if opened := mark.match(rest):
            return "", opened[1]
    for closed, mark in zip(_CLOSED, _OPENED, strict=False):
        if (found := closed.match(rest)) and not mark.search(found[1]):
            rest = rest[found.end() :]
    return (_unwrapped(rest) if rest != said else rest), ""


def _leading(said: str) -> str:
    """Without the blocks that it begins with."""
    end = 0
    while found := next(filter(None, (block.match(said, end) for block in _BLOCKS)), None):
        end = found.end()
    return said[end:]


def _without_blocks(text: str, opens: re.Pattern[str], closes: re.Pattern[str]) -> str:
    """Without what stands from each opening mark to the next closing one; in time linear in the text."""
    parts, end = list[str](), 0
    while (opened := opens.search(text, end)) and (closed := closes.search(text, opened.end())):
        parts.append(text[end : opened.start()])
        end = closed.end()
    return "".join([*parts, text[end:]])


def _final(found: re.Match[str] | None, mark: str) -> tuple[str, str]:
    return (found[1], "") if found else ("", mark)


def _unwrapped(text: str) -> str:
    for opens, closes in _ANSWERS:
        if opened := opens.match(text):
            inner = text[opened.end() :].rstrip()
            closed = next(closes.finditer(inner, max(0, len(inner) - 30)), None)
            return inner[: closed.start()].rstrip() if closed else inner
    return text
