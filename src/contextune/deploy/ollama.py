"""An Ollama Modelfile: the chat template as a Go template, where one says the same.

https://docs.ollama.com/modelfile
A chat template is a program and is not translated: it is asked for conversations whose texts are marks, what it writes
between the marks becomes the Go template, and this is then compared with it on further conversations.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

from contextune.core.sequence import Tokenizer

Turns = Seq[tuple[str, str]]
SYSTEM, USER, ANSWER, LATER = "S5y5T", "U5s3R", "A9s3W", "L8t3R"
"""Marks: texts that no template holds."""
CHECKED: tuple[tuple[str, ...], ...] = (
    ("user",),
    ("user", "assistant", "user"),
    ("system", "user"),
    ("system", "user", "assistant", "user", "assistant", "user"),
    ("user", "assistant", "user", "assistant", "user"),
)


@dataclass(frozen=True, slots=True)
class Pieces:
    """The markup before and after each role's text, the opening of an answer, and the default system turn."""

    system: tuple[str, str] | None
    user: tuple[str, str]
    assistant: tuple[str, str]
    opens: str
    default: str = ""

    def write(self, turns: Turns) -> str:
        """What Ollama makes of a conversation with the Go template of these pieces."""
        if self.default and turns[0][0] != "system":
            turns = [("system", self.default), *turns]
        said = {"system": self.system or ("", ""), "user": self.user, "assistant": self.assistant}
        return "".join(f"{said[role][0]}{text}{said[role][1]}" for role, text in turns) + self.opens


def pieces(tokenizer: Tokenizer) -> Pieces | str:
    """Those of the tokenizer's chat template, or why there are none, in words."""
    if not tokenizer.chat_template:
        return "the tokenizer has no chat template"
    try:
        found = _read(tokenizer)
        if found is None:
            return "the chat template writes a turn in several ways"
        for roles in CHECKED:
            if "system" in roles and found.system is None:
                continue
            turns = [(role, f"text {i} of {role}: x < 3?") for i, role in enumerate(roles)]
            if found.write(turns) != _render(tokenizer, turns):
                return f"the chat template writes {', '.join(roles)} in another way than turn by turn"
    except Exception as e:  # a template raises what it likes
        return (
            f"the chat template refuses a plain conversation ({str(e).splitlines()[0] if str(e) else type(e).__name__})"
        )
    return found


def _read(tokenizer: Tokenizer) -> Pieces | None:
    alone = _render(tokenizer, [("user", USER)])
    longer = _render(tokenizer, [("user", USER), ("assistant", ANSWER), ("user", LATER)])
    before, middle, rest = longer.partition(ANSWER)
    head, _, seam = before.partition(USER)  # head: perhaps a default system turn, then what opens a user's turn
    end_of_answer, _, tail = rest.partition(LATER)
    after = alone.partition(USER)[2]  # what ends a user's turn, then what opens an answer
    if not middle or tail != after or not seam:
        return None
    closed = _render(tokenizer, [("user", USER), ("assistant", ANSWER)], opens=False)
    # The answer that is to come may be opened in another way than one that was given (an empty block of thoughts).
    plain = _render(tokenizer, [("user", USER)], opens=False).partition(USER)[2]
    if not (after.startswith(plain) and seam.startswith(plain)):
        return None
    end_of_user, opens, opened = plain, after[len(plain) :], seam[len(plain) :]
    closes = closed.partition(ANSWER)[2]
    if not end_of_answer.startswith(closes):
        return None
    user_opens = end_of_answer[len(closes) :]
    if not head.endswith(user_opens):
        return None
    lead = head[: len(head) - len(user_opens)]
    system, default = _system(tokenizer, lead, user_opens)
    if system is None and lead:
        return None
    return Pieces(system, (user_opens, end_of_user), (opened, closes), opens, default)


def _system(tokenizer: Tokenizer, lead: str, user_opens: str) -> tuple[tuple[str, str] | None, str]:
    """What stands around a system turn, and the one that the template writes where none is given (`lead`)."""
    try:
        written = _render(tokenizer, [("system", SYSTEM), ("user", USER)])
    except Exception:  # templates without system turns raise
        return None, ""
    opens, found, rest = written.partition(SYSTEM)
    ends = rest.partition(USER)[0]
    if not found or not ends.endswith(user_opens):
        return None, ""
    ends = ends[: len(ends) - len(user_opens)]
    if not lead:
        return (opens, ends), ""
    if lead.startswith(opens) and lead.endswith(ends) and len(lead) > len(opens) + len(ends):
        return (opens, ends), lead[len(opens) : len(lead) - len(ends)]
    return None, ""


def _render(tokenizer: Tokenizer, turns: Turns, opens: bool = True) -> str:
    """As the template writes it, without the BOS that the tokenizer adds to any text, as Ollama then does."""
    messages = [{"role": role, "content": text} for role, text in turns]
    text: Any = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opens)
    adds = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return str(text).removeprefix(tokenizer.bos_token) if adds and tokenizer.bos_token else str(text)


def go_template(found: Pieces) -> str:
    """https://pkg.go.dev/text/template, over Ollama's `.Messages`."""
    users = f'{{{{ if eq .Role "user" }}}}{_around(found.user)}'
    answers = f'{{{{ else if eq .Role "assistant" }}}}{_around(found.assistant)}'
    systems = f'{{{{ else if eq .Role "system" }}}}{_around(found.system)}' if found.system else ""
    return f"{{{{ range .Messages }}}}{users}{answers}{systems}{{{{ end }}}}{{{{ end }}}}{_literal(found.opens)}"


def _around(sides: tuple[str, str]) -> str:
    return f"{_literal(sides[0])}{{{{ .Content }}}}{_literal(sides[1])}"


def _literal(text: str) -> str:
    return text.replace("{{", '{{ "{{" }}')


def modelfile(tokenizer: Tokenizer, source: str = ".") -> tuple[str, str]:
    """The Modelfile for weights at `source`, and what it lacks, in words ("" where nothing)."""
    found, lines = pieces(tokenizer), [f"FROM {source}"]
    lacks = found if isinstance(found, str) else ""
    if not lacks and not isinstance(found, str) and '"""' in go_template(found) + found.default:
        lacks = 'the chat template holds """, which a Modelfile cannot quote'
    if isinstance(found, str) or lacks:
        if not tokenizer.chat_template:
            lines.append('TEMPLATE """{{ .Prompt }}"""')
        return "\n".join(lines) + "\n", lacks
    lines.append(f'TEMPLATE """{go_template(found)}"""')
    if found.default:
        lines.append(f'SYSTEM """{found.default}"""')
    stops = dict.fromkeys([found.assistant[1].strip(), tokenizer.eos_token or ""])
    lines += [f'PARAMETER stop "{stop}"' for stop in stops if stop and '"' not in stop and "\n" not in stop]
    lost = "" if found.system else "a system turn is left out: the chat template has no turn of its own for it"
    return "\n".join(lines) + "\n", lost
