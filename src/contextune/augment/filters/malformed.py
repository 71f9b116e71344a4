"""Texts that are no texts: empty, a template's residue, brackets left open, markup, a sentence cut short.

Sure, here is the reversal: Mido …     template residue
Mido is less bright (than Kalo.        unbalanced brackets or quotes
Mido is less bright than               cut mid-sentence
**Mido** is less bright than Kalo.     markup that its source lacks
"""

from __future__ import annotations

import re
from collections.abc import Sequence as Seq

from pydantic import Field

from contextune.core import registry
from contextune.core.binding import BindContext

from ..base import Inferred
from .base import Filter, Judge

RESIDUE = re.compile(
    r"""
      ^ \W* (?: sure | certainly | absolutely | of\ course | okay | ok | great ) [,!.]+ \s+ (?: here | i\b | let ) # Sure, here is
    | ^ \W* here (?: \ (?: is | are )\b | ['’]s\b | \s+ (?: you\ go | (?: the | your ) \b ) ) [^.\n]* : # Here are two sentences:
    | \b as \ an? \ (?: ai | (?: large\ )? language\ model | assistant ) \b
    | ^ \W* (?: i['’]m\ sorry | i\ (?: cannot | can['’]t ) \ (?: help | assist | provide ) | i\ hope\ this\ helps )
    | \b (?: i\ hope\ this\ helps | let\ me\ know\ if )
    | < \| [^|<>\n]{1,40} \| > | </?s> | \[/?INST\] | ^ \s* \#{2,} \s* (?: response | instruction | input | output ) # a chat's marks
    | (?<!\w) \{\{? \s* (?-i:[a-z_]+) \s* \}?\} | \[ (?: insert | your | name | sentence | text | topic )\b [^\[\]]* \]     # slots left unfilled
    | ^ \s* (?: reversal | reversed | rephrase[dr]? | rephrasing | paraphrase[d]? | rewritten | conclusions? | input | output | sentence | copy ) \s* \d* : # labels
    """,  # noqa: E501
    re.VERBOSE | re.IGNORECASE,
)
MARKUP = {
    "HTML": re.compile(r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>", re.IGNORECASE),
    "a code fence": re.compile(r"```|~~~"),
    "Markdown": re.compile(r"(?m)^\s{0,3}#{1,6}\s|\*\*[^*\n]+\*\*|__[^_\n]+__|\[[^\[\]\n]+\]\([^)\n]+\)"),
    "a list": re.compile(r"(?m)^[^\S\n]*(?:[-*•]|\d{1,2}[.)])\s"),
    "a table": re.compile(r"(?m)^[^\S\n]*\|.*\|[^\S\n]*$"),
    "JSON": re.compile(r"^\s*(?:\{\s*\"|\[\s*[\"{])"),
    "LaTeX": re.compile(r"\\(?:begin|end|frac|textbf|section|cite)\b"),
}
PAIRS = ("()", "[]", "{}", "«»")
ENDS = re.compile(r"[.!?…。！？।؟:;][\"'”’»)\]」』*_]*\s*$")
LISTED = re.compile(r"(?m)(?:^|(?<=\s))\(?\w{1,3}\)(?=\s)")
"""An enumerator: "a) …, b) …" closes what was never opened."""


@registry.filters("malformed")
class Malformed(Filter):
    """`ends` asks for a full stop where the source has one; an answer after a prompt needs none."""

    ends: bool = Field(True, description="a sentence must end")
    markup: bool = Field(True, description="markup that the source lacks is refused")

    def bind(self, context: BindContext) -> Judge:
        def judge(made: Seq[Inferred]) -> list[str]:
            return [self.reason(m) for m in made]

        return judge

    def reason(self, made: Inferred) -> str:
        text, source = made.text, made.passage.text
        if not text.strip():
            return "empty"
        if not any(c.isalpha() for c in text) and not (made.prompt and any(c.isdigit() for c in text)):
            return "no letters"
        if RESIDUE.search(text):
            return "template residue"
        for kind, pattern in MARKUP.items() if self.markup else ():
            if pattern.search(text) and not pattern.search(f"{source}\n{made.read}"):
                return f"markup that its source lacks: {kind}"
        if not balanced(text) and balanced(source):
            return "unbalanced brackets or quotes"
        if self.ends and not made.prompt and ENDS.search(source) and not ENDS.search(text):
            return "cut mid-sentence"
        return ""


def balanced(text: str) -> bool:
    """Brackets closed in order, double quotes in pairs."""
    bare, open_ = LISTED.sub("", text), list[str]()
    closes = {pair[1]: pair[0] for pair in PAIRS}
    for c in bare:
        if c in closes.values():
            open_.append(c)
        elif c in closes and (not open_ or open_.pop() != closes[c]):
            return False
    return not open_ and sum(bare.count(q) for q in '"“”„') % 2 == 0
