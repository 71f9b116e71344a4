"""A text as its sentences, each a thing to learn of its own (arXiv 2505.00661, "sentence splitting").

    none              the text as it is
    independent       each sentence alone
    cumulative        each sentence after all that precede it, which are not trained on
    cumulative_loss   the same, and what precedes is trained on too

    "A is B. C is D."  ->  independent "A is B.", "C is D."   cumulative "A is B.", [A is B.] " C is D."

A text of n sentences gives n pieces in each of the three.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from contextune.core.sequence import Record, Segment
from contextune.data.sentences import borders

Split = Literal["none", "independent", "cumulative", "cumulative_loss"]

_LOWER_START = re.compile(r"(?<!\bInc)(?<!\bLtd)(?<!\bCorp)(?<!\bCo)(?<!\bNo)([.!?…][\"'”’»)\]]*\s+)([a-z])")
_CAPITALISED = re.compile(
    r"\b(The|A|An|In|On|At|It|Its|This|That|These|Those|There|He|She|We|They|You|I|His|Her|Their|Our|But|And|Or|So|For|"
    r"From|With|By|As|If|When|While|After|Before|However|Each|Every|All|Some|No|Not|One|What|Who|How|Why|To|Of)\b"
)


def sentences(text: str) -> list[str]:
    """The sentences of a text; joined they are the text. White space precedes the sentence that follows it."""
    ends = borders(_capitalised(text))
    pieces = [text[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    found, space = list[str](), ""
    for piece in pieces:
        bare = piece.rstrip()
        if bare:
            found.append(space + bare)
            space = piece[len(bare) :]
        else:
            space += piece
    return [*found[:-1], found[-1] + space] if found else [text]


def _capitalised(text: str) -> str:
    """The text with sentences that begin in lower case raised, where its author writes all of them so.

    A border is not looked for before a lower-case word, which is right where sentences are capitalised ("approx.
    ten"). A text in which not even a "The" stands is none of those.
    """
    return text if _CAPITALISED.search(text) else _LOWER_START.sub(lambda m: m[1] + m[2].upper(), text)


def untitled(sentence: str) -> str:
    """A sentence without a title or a list mark before it: "about Kalo: all Kalo are Mido." -> "all Kalo are Mido."."""
    return re.sub(r"^(?:[-*•] )?(?!question:)(?:[^?]*: )?", "", sentence.strip()) or sentence.strip()


def is_text(record: Record) -> bool:
    """One target and nothing else: what may be split. A pair is passed whole."""
    return [s.role for s in record.segments] == ["target"] and record.segments[0].ids is None


def pieces(record: Record, split: Split) -> list[Record]:
    """The record's pieces, "ID/0", "ID/1" …; the record itself where it is a pair, one sentence, or not to be split."""
    found = sentences(record.target) if split != "none" and is_text(record) else []
    if len(found) < 2:
        return [record]
    made = []
    for i, sentence in enumerate(found):
        last = i == len(found) - 1
        ends = True if split == "independent" else last and record.ends
        made.append(replace(record, id=f"{record.id}/{i}", segments=_segments(found[:i], sentence, split), ends=ends))
    return made


def _segments(before: list[str], sentence: str, split: Split) -> tuple[Segment, ...]:
    if split == "independent":
        return (Segment(sentence.strip(), "target"),)
    if split == "cumulative_loss":
        return (Segment("".join([*before, sentence]), "target"),)
    context = (Segment("".join(before), "context"),) if before else ()
    return (*context, Segment(sentence, "target"))
