"""What a row means: one text, one pair or one conversation, checked before anything is trained on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from contextune.core.errors import UserError, nearest
from contextune.core.sequence import Record
from contextune.core.templates import TextTemplate
from contextune.core.text import key as normal

from .conversations import normal as normal_message
from .conversations import tools_of
from .hashing import digest
from .raw import LIMIT, Row
from .schemas import LISTS, Reading, as_messages, prompt_of, recognise, require

if TYPE_CHECKING:
    from contextune.data.options import Source

COLUMNS = {
    "text": ("text", "id"),
    "pairs": ("prompt", "completion", "rejected", "id"),
    "messages": ("messages", "rejected", "id"),
}
"""Our names of the columns that each kind of source knows."""
NAMED_ONLY = ("rejected",)
"""Columns that are read only where the recipe says which they are."""

USUAL = {
    "text": ("content", "body", "article", "document", "passage", "raw_content", "page_content", "abstract", "story"),
    "prompt": ("instruction", "question", "query", "input", "problem", "source", "user", "text"),
    "completion": ("output", "response", "answer", "target", "solution", "label", "chosen", "assistant", "summary"),
    "messages": (*LISTS[1:], LISTS[0]),
    "id": ("_id", "uid", "uuid", "key", "doi", "url", "index", "idx"),
}
"""What others call our columns, the most telling names first."""

LONGEST_ID = 4_000
"""Characters of an id."""
ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Document:
    """One thing that was read: `text`, or `prompt` and `completion`, or `messages`.

    `prompt` is the template's rendering, as it precedes the completion; `fields` are the columns
    that have no name of ours. A generated world's documents hold their `records` ready made.
    `origin` says where to look: "file:row".
    """

    id: str
    origin: str
    text: str = ""
    prompt: str = ""
    completion: str = ""
    messages: tuple[Mapping[str, Any], ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    rejected: str | tuple[Mapping[str, Any], ...] = ""
    """The answer, or the conversation, that is not to be given."""

    @property
    def parts(self) -> tuple[str, ...]:
        """All its texts in order, context and target alike."""
        said = (m["content"] for m in self.messages)
        segments = (s.text for r in self.records for s in r.segments)
        other = (self.rejected,) if isinstance(self.rejected, str) else (m["content"] for m in self.rejected)
        return tuple(filter(None, (self.text, self.prompt, self.completion, *said, *segments, *other)))

    @property
    def content(self) -> str:
        """Hash of what would be learned, letter by letter."""
        made = [(s.role, s.text, s.ids) for r in self.records for s in r.segments]
        return digest(
            self.text, self.prompt, self.completion, self.messages, made, *([self.rejected] if self.rejected else [])
        )

    @property
    def same(self) -> str:
        """Equal for documents that say the same in the normal form (`core.text`): duplicates. A world's are exact."""
        return self.content if self.records else digest([normal(part) for part in self.parts])


class Maker:
    """Turns rows of a source into documents.

    Raises UserError where the source names a column that its kind does not have, where its template
    cannot be read, or, row by row, where a value is not what the kind needs.
    """

    def __init__(self, source: Source) -> None:
        known = COLUMNS[source.kind]
        for name in source.columns:
            if name not in known:
                raise UserError(f"columns: '{name}' is not a column of kind {source.kind}", nearest(name, known))
        self.kind = source.kind
        self.mapped = {"id": "id", **{name: name for name in known if name not in NAMED_ONLY}, **source.columns}
        self.explicit_id = "id" in source.columns
        self.template = TextTemplate(source.template) if source.kind == "pairs" else None
        self.read_as, self.named = source.read_as, not source.columns.keys() <= {"id"}
        if self.named and self.read_as not in ("auto", "plain"):
            raise UserError("read_as: the source names its columns itself", "remove read_as, or columns")
        self.reading: Reading | None = None
        self.began = False
        """Whether a row has decided how all are read."""

    @property
    def said(self) -> str:
        """How rows are read, where that was recognised."""
        return (
            self.reading.said if self.reading is not None and self.reading.columns != {"messages": "messages"} else ""
        )

    def __call__(self, row: Row) -> Document:
        if not self.began:
            self._recognise(row)
        try:
            return self._document(row)
        except UserError as e:
            raise self._mixed(e, row) from None

    def _recognise(self, row: Row) -> None:
        self.began = True
        if self.named or self.read_as == "plain":
            return
        self.reading = require(row.values, self.kind, self.read_as, row.origin)
        if self.reading is not None:
            self.mapped |= self.reading.columns

    def _mixed(self, error: UserError, row: Row) -> UserError:
        """What is said of a row that is not as the first one was."""
        if self.reading is None:
            return error
        own = recognise(row.values, self.kind, self.read_as)
        also = "" if own == self.reading else f"; this row looks like {own.said}" if own else "; this row is another"
        return UserError(
            f"{error.message} (read as {self.reading.said}, by the first row{also})",
            f"{error.hint}; another schema is named by read_as, columns by columns",
        )

    def _document(self, row: Row) -> Document:
        ours = set(self.mapped.values())
        id, fields = self._id(row), {k: v for k, v in row.values.items() if k not in ours}
        if self.reading is not None and self.reading.prompt:
            row = self._composed(row, self.reading)
        if self.kind == "messages" and "tools" in fields:
            fields["tools"] = tools_of(fields["tools"], row.origin)
        if self.kind == "text":
            return Document(id, row.origin, text=self._text(row, "text"), fields=fields)
        if self.kind == "messages":
            messages = self._conversation(row, "messages")
            return Document(id, row.origin, messages=messages, fields=fields, rejected=self._rejected(row, messages))
        completion = self._text(row, "completion")
        rejected = self._text(row, "rejected") if "rejected" in self.mapped else ""
        if rejected == completion:
            raise UserError(
                f"{row.origin}: the completion and the rejected answer are the same",
                "remove the row, or map other columns",
            )
        return Document(
            id, row.origin, prompt=self._prompt(row), completion=completion, fields=fields, rejected=rejected
        )

    def _composed(self, row: Row, reading: Reading) -> Row:
        """The row with the prompt that its schema puts together. Raises UserError where a column is missing."""
        for name in reading.prompt:
            self._value(row, "prompt", name)
        if self.kind != "pairs":
            return row
        if row.values.get("history"):
            raise UserError(f"{row.origin}: column 'history': earlier turns are no pair", "set kind: messages")
        return replace(row, values={**row.values, "prompt": prompt_of(row.values, reading.prompt)})

    def _conversation(self, row: Row, name: str) -> tuple[Mapping[str, Any], ...]:
        reading = self.reading
        if reading is not None and reading.conversation:
            answer = self.mapped["completion" if name == "messages" and "completion" in reading.columns else name]
            self._value(row, name, answer)
            value = as_messages(row.values, reading, answer)
        else:
            value = self._value(row, name)
        speakers = self.named or (reading is not None and reading.schema == "sharegpt")
        found = tuple(_messages(value, row, speakers))
        system = row.values.get("system")
        alone = reading is not None and not reading.conversation and found[0]["role"] != "system"
        if alone and isinstance(system, str) and system.strip():
            return {"role": "system", "content": clean(system, f"{row.origin}: column 'system'")}, *found
        return found

    def _rejected(self, row: Row, chosen: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
        """A conversation that differs from the chosen one in its last message alone, the assistant's."""
        if "rejected" not in self.mapped:
            return ()
        found = self._conversation(row, "rejected")
        ends = found[-1]["role"] == chosen[-1]["role"] == "assistant"
        if not ends or found[:-1] != chosen[:-1] or found[-1] == chosen[-1]:
            raise UserError(
                f"{row.origin}: column '{self.mapped['rejected']}': expected the conversation of "
                f"'{self.mapped['messages']}' with another last answer",
                "both end in an assistant message, and differ in it alone",
            )
        return found

    def _value(self, row: Row, name: str, column: str = "") -> Any:
        column = column or self.mapped[name]
        if column not in row.values:
            found = ", ".join(map(str, row.values)) or "(none)"
            also = "" if column == name else f" (the '{name}')"
            raise UserError(f"{row.origin}: no column '{column}'{also}; found {found}", self._suggest(name, row))
        return row.values[column]

    def _suggest(self, name: str, row: Row) -> str:
        """Columns that could be meant hold the right type and are spelt alike, or have a usual name."""
        fitting = [k for k, v in row.values.items() if _fits(name, v) and k not in self._taken(name)]
        if (hint := nearest(self.mapped[name], fitting)).startswith("did"):
            return hint
        meant = next((k for usual in USUAL[name] for k in fitting if k.casefold() == usual), "")
        if not meant and name == "text":
            meant = max(fitting, key=lambda k: len(row.values[k]), default="")
        if meant:
            return f"say which column it is, e.g. columns: {{{name}: {meant}}}"
        what = {"messages": "a list of messages", "id": "an id"}.get(name, "a text")
        other = _other_kind(row, self.kind)
        none = "" if fitting else f"; no column here holds {what}"
        return f"say which column it is: columns: {{{name}: COLUMN}}{none}{other}"

    def _taken(self, name: str) -> set[str]:
        """Columns that have another name of ours."""
        others = {theirs for ours, theirs in self.mapped.items() if ours != name}
        return others | {usual for ours in self.mapped if ours != name for usual in USUAL[ours]} - {*USUAL[name]}

    def _text(self, row: Row, name: str) -> str:
        value = self._value(row, name)
        if self.kind == "pairs" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # a class label; an integer has one reading as text
        return text(value, f"{row.origin}: column '{self.mapped[name]}'")

    def _prompt(self, row: Row) -> str:
        """The context. The template does not see the completion, which it would give away."""
        assert self.template is not None
        answer = self.mapped["completion"]
        answers = (answer, "completion", *filter(None, [self.mapped.get("rejected")]))
        values = {k: v for k, v in row.values.items() if k not in answers}
        if "prompt" in self.template.names:
            values["prompt"] = self._text(row, "prompt")
        prompt = self.template(values, row.origin, hidden=answers)
        return clean(prompt, f"{row.origin}: the rendered template")

    def _id(self, row: Row) -> str:
        value = self._value(row, "id") if self.explicit_id else row.values.get("id")
        if value is None and not self.explicit_id:
            return row.name
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            where = f"{row.origin}: column '{self.mapped['id']}'"
            found = f"expected an id (text or a whole number), found {describe(value)}"
            raise UserError(f"{where}: {found}", "name another column (columns: {id: …}), or rename this one")
        id = clean(str(value), f"{row.origin}: id")
        if len(id) > LONGEST_ID:
            found = f"{row.origin}: id: {len(id):,} characters, at most {LONGEST_ID:,} are read"
            raise UserError(found, "is it the text? name another column: columns: {id: …}")
        return id


def text(value: object, where: str) -> str:
    """`value` where it is a text with something in it; UserError otherwise."""
    if not isinstance(value, str):
        hint = "fill it or remove the row" if value is None else "write it as text, in quotes"
        raise UserError(f"{where}: expected text, found {describe(value)}", hint)
    if not value.strip():
        found = "an empty text" if not value else "white space only"
        raise UserError(f"{where}: expected text, found {found}", "fill it or remove the row")
    return clean(value, where)


def clean(value: str, where: str) -> str:
    """`value` where a tokenizer can read it: no NUL, no half of a surrogate pair, not beyond the limit."""
    if len(value) > LIMIT:
        raise UserError(f"{where}: {len(value):,} characters, at most {LIMIT:,} are read", "cut it into several rows")
    if "\0" in value:
        raise UserError(
            f"{where}: a NUL character at position {value.index(chr(0))}",
            "is it a binary file, or UTF-16? save it as UTF-8 text",
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as e:
        found = f"half of a surrogate pair at position {e.start}"
        raise UserError(f"{where}: {found}", "write the character whole") from None
    return value


def describe(value: object) -> str:
    """A value in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}" if not (isinstance(value, float) and math.isnan(value)) else "not-a-number"
    if isinstance(value, str):
        return f"the text {value[:40]!r}" if value else "an empty text"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, Mapping) else f"a value of type {type(value).__name__}"


def _messages(value: object, row: Row, speakers: bool = False) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, list | tuple) or not value:
        found = "an empty list" if value == [] else describe(value)
        raise UserError(f"{row.origin}: expected a list of messages, found {found}", "[{role: user, content: …}, …]")
    roles = []
    for i, message in enumerate(value, 1):
        for part in normal_message(message, f"{row.origin}: message {i}", speakers):
            checked = _message(part, f"{row.origin}: message {i}")
            roles.append(checked["role"])
            yield checked
    if "assistant" not in roles:
        raise UserError(
            f"{row.origin}: no assistant message among {len(roles)} ({', '.join(roles)})",
            "the assistant's messages are what is learned; remove the row or give it one",
        )


def _message(message: object, where: str) -> Mapping[str, Any]:
    if not isinstance(message, Mapping):
        found = f"expected an object with role and content, found {describe(message)}"
        raise UserError(f"{where}: {found}", "each message is {role: …, content: …}")
    for key in ("role", "content"):
        if key not in message:
            found = ", ".join(map(str, message)) or "nothing"
            raise UserError(f"{where}: no '{key}'; found {found}", "each message is {role: …, content: …}")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        hint = {"human": "did you mean 'user'?", "gpt": "did you mean 'assistant'?"}.get(str(role))
        raise UserError(f"{where}: unknown role {role!r}", hint or nearest(str(role), ROLES))
    weight = message.get("weight")
    if weight is not None and (isinstance(weight, bool) or weight not in (0, 1)):
        raise UserError(
            f"{where}: expected a weight of 0 (read only) or 1 (learned), found {describe(weight)}",
            "leave weight out, or write 0 or 1",
        )
    if (role == "assistant" and not message.get("tool_calls")) or not isinstance(content, str):
        content = text(content, f"{where} ({role})")
    # Parquet fills absent keys of a struct with null; templates test for presence
    return {k: v for k, v in message.items() if v is not None} | {"content": clean(content, where)}


def _fits(name: str, value: object) -> bool:
    if name == "messages":
        return isinstance(value, list | tuple) and bool(value) and all(isinstance(m, Mapping) for m in value)
    whole = isinstance(value, int) and not isinstance(value, bool) and name in ("completion", "id")
    return whole or (isinstance(value, str) and bool(value.strip()))


def _other_kind(row: Row, kind: str) -> str:
    """The kind that the row looks like, where it is another one."""
    named = {k.casefold(): k for k, v in row.values.items() if isinstance(v, str)}
    pair = [next((named[u] for u in (n, *USUAL[n]) if u in named), "") for n in ("prompt", "completion")]
    if kind != "messages" and any(_fits("messages", v) for v in row.values.values()):
        return "; it looks like kind: messages"
    if kind != "pairs" and all(pair):
        return f"; it looks like kind: pairs, columns: {{prompt: {pair[0]}, completion: {pair[1]}}}"
    return "; it looks like kind: text" if kind != "text" and "text" in named else ""
