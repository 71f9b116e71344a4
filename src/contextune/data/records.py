"""From documents to records: chunks of a text, a pair, a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from contextune.core.encoding import Markup, count
from contextune.core.errors import UserError
from contextune.core.sequence import Record, Segment, at_seams
from contextune.core.special_tokens import control_tokens, document_end, opens, spelled, spellings, turn_end

from . import chat
from .chunking import spans
from .documents import Document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from contextune.data.options import Source

SMALLEST = 8
"""Tokens that a chunk must have room for; the same floor as the recipe's."""


@dataclass(frozen=True, slots=True)
class Records:
    records: Seq[Record]
    overlong: tuple[str, ...] = ()
    """Ids of the rows left out because their target does not fit (the source says `overlong: drop`)."""
    notes: tuple[str, ...] = ()
    """What was done to the texts that a reader of the source would not expect."""

    @property
    def dropped(self) -> int:
        return len(self.overlong)


def specials(tokenizer: Tokenizer) -> int:
    """Tokens that rendering adds to a record: what the tokenizer puts first, and the end of text."""
    return len(opens(tokenizer)) + (document_end(tokenizer) is not None)


def ends(records: Iterable[Record], tokenizer: Tokenizer) -> tuple[int, ...]:
    """The tokens that are learned as ends: of a document, and of a turn where there are conversations."""
    documents, turns = False, False
    for record in records:
        documents, turns = documents or record.ends, turns or any(s.markup is True for s in record.segments)
    found = [document_end(tokenizer)] * documents
    if turns:
        end = turn_end(tokenizer)
        found.append(tokenizer.eos_token_id if end is None else end)  # added where the template ends no turn
    return tuple(dict.fromkeys(i for i in found if i is not None))


def records(documents: Iterable[Document], source: Source, tokenizer: Tokenizer, budget: int) -> Records:
    """The records of `documents` in order.

    `budget` is the number of tokens that a record's targets may have together, specials not counted.
    A text is cut in chunks named "DOCUMENT#0", "DOCUMENT#1" …, of which only the last one ends the text.

    Raises UserError where a target does not fit and the source does not say `overlong: drop`, where none
    fits, where a target has no token, or where the budget is too small.
    """
    size = chunk_size(source, budget)
    cuts = [cut(d, source, tokenizer, size) for d in documents]
    made = [r for c in cuts for r in c.records]
    notes = notes_of([c.note for c in cuts], source, tokenizer)
    if size is not None:  # chunk() has seen to it
        return Records(tuple(made), notes=notes)
    sizes = [n for c in cuts for n in c.sizes]
    long = [(r, n) for r, n in zip(made, sizes, strict=True) if n > budget]
    if long and (source.overlong == "error" or len(long) == len(made)):
        refuse_long(*long[0], len(long), len(made), budget)
    return Records(
        tuple(r for r, n in zip(made, sizes, strict=True) if n <= budget), tuple(r.id for r, _ in long), notes
    )


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be said of one document beside others."""

    spelled: tuple[str, ...] = ()
    """The control tokens that it spells out, where that is to be said."""
    rows: int = 0
    """Rows that its conversation became."""
    context: int | None = None
    """Tokens of their contexts, where they are several."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The records of one document."""

    records: tuple[Record, ...]
    sizes: tuple[int, ...]
    """Tokens of the targets of each, as `core.encoding.count` has them."""
    note: Note
    spans: tuple[tuple[int, int], ...] = ()
    """Where each begins and ends in the document's text, where it was cut from it."""
    whole: bool = False
    """Whether its one record is all of the document's text."""


def cut(document: Document, source: Source, tokenizer: Tokenizer, size: int | None) -> Cut:
    """The records of one document, of `size` tokens at most where it is cut. Raises UserError."""
    if size is not None and not document.records:
        marks = marks_of(source, "", tokenizer)
        try:
            pieces = spans(document.text, tokenizer, size)
        except UserError as e:
            raise UserError(f"{document.origin}: {e.message}", e.hint) from None
        made = tuple(
            piece(document, i, begin, end, i == len(pieces) - 1, marks) for i, (begin, end, _) in enumerate(pieces)
        )
        return Cut(
            made,
            tuple(n for *_, n in pieces),
            _note(document, made, source, tokenizer),
            tuple((b, e) for b, e, _ in pieces),
        )
    made = tuple(_of(document, source, tokenizer))
    sizes = () if size is not None else tuple(_length(r, tokenizer) for r in made)
    return Cut(
        made, sizes, _note(document, made, source, tokenizer), whole=source.kind == "text" and bool(document.text)
    )


def piece(document: Document, number: int, begin: int, end: int, last: bool, marks: Markup) -> Record:
    """A chunk of a document's text."""
    return _record(
        document, (Segment(document.text[begin:end], "target", markup=marks),), f"{document.id}#{number}", last
    )


def whole(document: Document, marks: Markup) -> Record:
    """All of a document's text."""
    return _record(document, (Segment(document.text, "target", markup=marks),))


def _note(document: Document, made: Seq[Record], source: Source, tokenizer: Tokenizer) -> Note:
    told = source.control_tokens == "text" and not document.records
    spelled = tuple(spellings(tokenizer).findall("\n".join(document.parts))) if told else ()
    rows = [r for r in made if "#turn" in r.id] if source.kind == "messages" else []
    context = sum(count(s.text, tokenizer) for r in rows for s in r.segments if s.role == "context")
    return Note(spelled, len(made), context if rows else None)


def notes_of(found: Seq[Note], source: Source, tokenizer: Tokenizer) -> tuple[str, ...]:
    """What is to be said of all documents together."""
    notes = []
    spelled = [n.spelled for n in found if n.spelled]
    if spelled:
        names = list(dict.fromkeys(name for names in spelled for name in names))
        notes.append(
            f"{sum(map(len, spelled))} control tokens spelled out in {len(spelled)} of {len(found)} "
            f"documents ({', '.join(names[:5])}) are learned as plain characters; control_tokens: keep "
            "makes them control tokens"
        )
    if source.kind == "messages":
        if turn_end(tokenizer) is None and tokenizer.chat_template:
            notes.append(f"the chat template ends no turn: {tokenizer.eos_token} is put behind each answer and learned")
        contexts = [n.context for n in found if n.context is not None]
        if contexts:
            notes.append(
                f"the chat template writes earlier turns differently once later ones are there: "
                f"{sum(n.rows for n in found)} rows are learned from {len(found)} conversations, each answer behind "
                f"its own prompt ({sum(contexts):,} context tokens)"
            )
    return tuple(notes)


def chunk_size(source: Source, budget: int) -> int | None:
    """Tokens a chunk at most; None where records are not cut."""
    if budget < 1:
        raise UserError(f"max_length leaves {budget} tokens to learn", "raise train.max_length")
    if source.world is not None or source.kind != "text" or source.chunk == "none":
        return None
    size = budget if source.chunk == "auto" else int(source.chunk)
    if size > budget:
        raise UserError(
            f"chunk is {size} tokens, but max_length leaves {budget} beside the longest context and the specials",
            f"set chunk to {budget} or less, or raise train.max_length",
        )
    if size < SMALLEST:
        raise UserError(
            f"max_length leaves {size} tokens of text beside the longest context and the specials; "
            f"at least {SMALLEST} are needed",
            "raise train.max_length, or shorten the contexts",
        )
    return size


def _of(document: Document, source: Source, tokenizer: Tokenizer) -> Iterator[Record]:
    """The records of a document that is not cut."""
    if document.records:
        yield from document.records
    elif document.messages:
        keep, tools = source.control_tokens == "keep", document.fields.get("tools") or ()
        rows = chat.rows(document.messages, tokenizer, document.origin, keep, tools)
        if document.rejected and not isinstance(document.rejected, str):
            other = chat.rows(document.rejected, tokenizer, document.origin, keep, tools)
            yield replace(_record(document, _last_answer(rows[-1]), ends=False), rejected=_last_answer(other[-1]))
            return
        for i, row in enumerate(rows, 1):
            yield _record(document, row, "" if len(rows) == 1 else f"{document.id}#turn{i}", ends=False)
    elif document.completion:
        marks = marks_of(source, source.template + source.separator, tokenizer)
        target = Segment(source.separator + document.completion, "target", markup=marks)
        context = (Segment(document.prompt, "context", markup=marks),) if document.prompt else ()
        record = _record(document, (*context, target))
        if document.rejected:
            worse = Segment(f"{source.separator}{document.rejected}", "target", markup=marks)
            record = replace(record, rejected=(*context, worse))
        yield record
    else:
        yield whole(document, marks_of(source, "", tokenizer))


def hashed(record: Record) -> tuple[Any, ...]:
    """What of a record decides what is learned from it, as it is hashed."""
    said = (record.id, [s.text for s in record.segments], record.ends)
    return (*said, [s.text for s in record.rejected]) if record.rejected else said


def _last_answer(row: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """A conversation of which the last answer alone is learned."""
    return (*(replace(s, role="context") for s in row[:-1]), row[-1])


def marks_of(source: Source, template: str, tokenizer: Tokenizer) -> Markup:
    """The control tokens that are control tokens in a row: those of the recipe's template, or all where it says so."""
    keep = source.control_tokens == "keep"
    return (frozenset(control_tokens(tokenizer)) if keep else spelled(template, tokenizer)) or False


def _record(document: Document, segments: tuple[Segment, ...], name: str = "", ends: bool = True) -> Record:
    return Record(name or document.id, segments, document.id, ends, document.origin, document.fields)


def _length(record: Record, tokenizer: Tokenizer) -> int:
    """Tokens of a record's targets together, or of those of its rejected answer where they are more."""
    lengths = [_targets(segments, tokenizer) for segments in (record.segments, record.rejected) if segments]
    if not all(lengths):
        raise UserError(f"{record.origin or record.id}: its target has no token in this tokenizer", "remove the row")
    return max(lengths)


def _targets(segments: tuple[Segment, ...], tokenizer: Tokenizer) -> int:
    texts = zip(segments, at_seams(segments, tokenizer), strict=True)
    return sum(len(s.ids) if s.ids is not None else count(text, tokenizer) for s, text in texts if s.role == "target")


def refuse_long(first: Record, length: int, long: int, total: int, budget: int) -> None:
    """UserError for `long` of all rows, the `first` of which has so many tokens."""
    more = f", and so do {long - 1} more of {total} rows" if long > 1 else ""
    drop = "; overlong: drop would leave nothing" if long == total else ", or set the source's overlong: drop"
    raise UserError(
        f"{first.origin or first.id}: its target has {length} tokens where {budget} fit{more}",
        f"raise train.max_length{drop}",
    )
