"""Questions that a writer makes of passages, of which those are kept that it answers right itself.

A question that comes without an answer is answered by its writer first. Each draft then goes through the same three
steps: checks without a model (checks.py); the writer answers it with its passage, greedily and once more sampled; the
untrained model answers it without the passage, which only marks it. All requests go through the store, so that a killed
exam resumes where it was, and a request that fails is listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from itertools import combinations

from contextune.augment import replies
from contextune.augment.entity_names import names
from contextune.generation.protocol import Failure, Request
from contextune.generation.stored_writer import StoredWriter

from ..corpus import Corpus, rank
from ..passages import Passage
from . import checks
from .prompts import Prompts

KINDS = ("open", "choice", "reversed", "paraphrased", "two_passages", "unanswerable")
VERSION = 2
SAMPLED = 0.7
"""Temperature of the second answer."""
LEAST = 60
"""Characters of a passage that is asked about."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A question with its answer; `wrong` are the writer's wrong answers, `base` is the question that it comes of."""

    kind: str
    read: tuple[Passage, ...]
    question: str = ""
    answer: str = ""
    wrong: tuple[str, ...] = ()
    base: str = ""
    reason: str = ""
    """Why it is not asked; "" where it is."""
    known: bool | None = None
    """Whether the untrained model answers it without its passage; None where nobody asked it."""

    @property
    def text(self) -> str:
        return "\n\n".join(p.text for p in self.read)

    @property
    def source(self) -> str:
        return f"{self.kind} {'+'.join(p.id for p in self.read)}"


@dataclass
class Outcome:
    """What was kept, and what was not, each with its reason."""

    kept: list[Draft] = field(default_factory=list)
    refused: list[Draft] = field(default_factory=list)

    def take(self, drafts: Iterable[Draft]) -> list[Draft]:
        """Sorts drafts; gives back those that are kept."""
        good = list[Draft]()
        for d in drafts:
            (self.refused if d.reason else good).append(d)
        return good


@dataclass(frozen=True)
class Writing:
    """Who writes, and who answers without the passage (the model that is to be tuned, untrained)."""

    writer: StoredWriter
    model: StoredWriter
    prompts: Prompts
    seed: int = 0
    say: Callable[[str], None] = lambda text: None

    def ask(
        self, name: str, drafts: Seq[Draft], sample: int = 0, by: StoredWriter | None = None
    ) -> list[str | Failure]:
        """What is answered to a prompt about each draft; a Failure where there is no answer."""
        if not drafts:
            return []
        self.say(f"{ABOUT[name]}: {len(drafts)}")
        return (by or self.writer)([self.request(name, d, sample) for d in drafts])

    def request(self, name: str, draft: Draft, sample: int) -> Request:
        asked = self.prompts.of[name]
        parts = _parts(draft, self.prompts.says_not, sample)
        return Request(
            asked.text(parts),
            asked.max_tokens,
            SAMPLED if sample else 0.0,
            self.seed + sample,
            ("\n\n",),
            operation=f"exam.{name}/{VERSION}",
            source=draft.source,
            cut=True,
            turns=asked.turns(parts),
            begin=asked.begin,
        )


ABOUT = {
    "open": "writing questions", "choice": "writing wrong answers", "reversed": "turning questions round",
    "paraphrased": "asking in other words", "two_passages": "writing questions over two passages",
    "unanswerable": "writing questions without an answer", "answer": "answering with the passage",
    "choose": "choosing with the passage", "alone": "answering without the passage",
}  # fmt: skip


def write(corpus: Corpus, wanted: int, writing: Writing) -> Outcome:
    """The questions about at most `wanted` passages, in an order of hashes."""
    found = Outcome()
    about = [p for p in corpus.passages if len(p.text) >= LEAST]
    chosen = sorted(about, key=lambda p: rank(str(writing.seed), p.id))[:wanted]
    opened = _kept(writing, found, _answered(writing, _written(writing, [Draft("open", (p,)) for p in chosen])))
    made = [
        replace(d, kind=kind, base=d.question, answer=d.answer) for kind in ("choice", "paraphrased") for d in opened
    ]
    made += [d for d in (_turned(d) for d in opened) if d is not None]
    later = [d for kind in ("choice", "paraphrased", "reversed") for d in _again(writing, kind, made)]
    _kept(writing, found, later)
    pairs = _pairs(chosen)[:wanted]
    _kept(writing, found, _answered(writing, _written(writing, [Draft("two_passages", pair) for pair in pairs])))
    _kept(writing, found, _written(writing, [Draft("unanswerable", (p,)) for p in chosen]))
    found.kept = _marked(writing, found.kept)
    return found


def _written(writing: Writing, drafts: Seq[Draft]) -> Iterator[Draft]:
    """Drafts of one kind with the question and answer that the writer gives."""
    kind = drafts[0].kind if drafts else "open"
    for draft, said in zip(drafts, writing.ask(kind, drafts), strict=True):
        if isinstance(said, Failure):
            yield replace(draft, reason=said.reason)
        elif kind == "unanswerable":
            text = _line(said, writing.prompts.of[kind].begin)
            yield replace(draft, question=text, answer=writing.prompts.says_not)
        elif pair := next(iter(replies.questions(_begun(said))), None):
            yield replace(draft, question=pair[0], answer=_short(pair[1]))
        else:
            text = _begun(replies.said(said)).split(":", 1)[1].strip().split("\n")[0].strip()
            nothing = "" if text.endswith("?") else f"no question: {' '.join(said.split())[:80]}"
            yield replace(draft, question=text, reason=nothing)


def _answered(writing: Writing, drafts: Iterable[Draft]) -> Iterator[Draft]:
    """Of a question that came without an answer, the writer's own answer with its passage is the one."""
    drafts = list(drafts)
    lacking = [d for d in drafts if not d.answer and not d.reason]
    said = dict(zip(map(id, lacking), writing.ask("answer", lacking), strict=True))
    for d in drafts:
        answer = said.get(id(d))
        if answer is None:
            yield d
        elif isinstance(answer, Failure):
            yield replace(d, reason=answer.reason)
        else:
            yield replace(d, answer=_short(replies.said(answer).split("\n")[0]))


def _again(writing: Writing, kind: str, drafts: Seq[Draft]) -> Iterator[Draft]:
    """Drafts that come of a kept question: it in other words, turned round, or with wrong answers."""
    own = [d for d in drafts if d.kind == kind]
    for draft, said in zip(own, writing.ask(kind, own), strict=True):
        if isinstance(said, Failure):
            yield replace(draft, reason=said.reason)
            continue
        text = _line(said, writing.prompts.of[kind].begin)
        if kind == "choice":
            wrong = dict.fromkeys(o.strip(" .\"'") for o in text.split("|") if checks.words(o))
            yield replace(draft, wrong=tuple(list(wrong)[:3]))
        elif checks.words(text) == checks.words(draft.base):
            yield replace(draft, question=text, reason="the question is the one that it comes of")
        else:
            yield replace(draft, question=text)


def _line(said: str, begin: str) -> str:
    """The first line of an answer, after what it begins with."""
    return replies.said(said).removeprefix(begin).strip().split("\n")[0].strip()


def _begun(said: str) -> str:
    return said if said.lstrip().casefold().startswith("question") else f"Question: {said}"


def _short(answer: str) -> str:
    return answer.strip().rstrip(".").strip(" \"'“”")


def _turned(draft: Draft) -> Draft | None:
    """The same fact, its other end asked: a name of the question that stands in the passage."""
    anchor = next((n for n in names(draft.question) if checks.holds(draft.text, n)), None)
    if anchor is None:
        return None
    return replace(draft, kind="reversed", base=draft.question, answer=anchor, wrong=(draft.answer,))


def _pairs(passages: Seq[Passage]) -> list[tuple[Passage, Passage]]:
    """Two passages that share a name, each passage in one pair at most."""
    named = {p.id: set(names(p.text)) for p in passages}
    found, used = list[tuple[Passage, Passage]](), set[str]()
    for a, b in combinations(passages, 2):
        if not {a.id, b.id} & used and named[a.id] & named[b.id]:
            used |= {a.id, b.id}
            found.append((a, b))
    return found


def _kept(writing: Writing, found: Outcome, drafts: Iterable[Draft]) -> list[Draft]:
    """Those that pass the checks and that the writer answers right, twice; the others with their reason."""
    able = found.take(_once([replace(d, reason=d.reason or _check(d, writing.prompts)) for d in drafts]))
    for sample in (0, 1):
        choices, others = [d for d in able if d.kind == "choice"], [d for d in able if d.kind != "choice"]
        answers = [*writing.ask("choose", choices, sample), *writing.ask("answer", others, sample)]
        able = found.take(_judged(d, a, sample) for d, a in zip([*choices, *others], answers, strict=True))
    two = [d for d in able if d.kind == "two_passages"]
    for place in (0, 1):  # who answers it from one passage needs no second
        alone = [replace(d, read=(d.read[place],)) for d in two]
        easy = {
            d.question
            for d, a in zip(two, writing.ask("answer", alone), strict=True)
            if not isinstance(a, Failure) and checks.right(a, d.answer)
        }
        able = found.take(replace(d, reason="one passage is enough") if d.question in easy else d for d in able)
        two = [d for d in able if d.kind == "two_passages"]
    found.kept += able
    return able


def _once(drafts: Iterable[Draft]) -> Iterator[Draft]:
    """Of drafts of one kind with the same question the first."""
    seen = set[tuple[str, ...]]()
    for draft in drafts:
        key = (draft.kind, *checks.words(draft.question))
        yield replace(draft, reason=draft.reason or ("the same question again" if key in seen else ""))
        if not draft.reason:
            seen.add(key)


def _check(draft: Draft, prompts: Prompts) -> str:
    read = [p.text for p in draft.read]
    reason = checks.question(draft.question, draft.answer, read, prompts.refers, draft.kind == "unanswerable")
    if not reason and draft.kind == "choice":
        return checks.options(draft.wrong, draft.answer, draft.text)
    if not reason and draft.kind == "reversed" and not checks.holds(draft.question, draft.wrong[0]):
        return "the question does not name what was asked before"
    return reason


def _judged(draft: Draft, said: str | Failure, sample: int) -> Draft:
    if isinstance(said, Failure):
        return replace(draft, reason=said.reason)
    first = replies.said(said).split("\n")[0]
    if checks.right(first, draft.answer) and not any(
        checks.holds(first, w) for w in draft.wrong if draft.kind == "choice"
    ):
        return draft
    when = "when asked again " if sample else ""
    return replace(draft, reason=f"the writer answers {when}otherwise with its passage: {' '.join(first.split())[:60]}")


def _marked(writing: Writing, drafts: Seq[Draft]) -> list[Draft]:
    """Whether the untrained model answers each without its passage."""
    answers = writing.ask("alone", drafts, by=writing.model)
    return [
        replace(d, known=None if isinstance(a, Failure) else d.kind != "unanswerable" and checks.right(a, d.answer))
        for d, a in zip(drafts, answers, strict=True)
    ]


def _parts(draft: Draft, says_not: str, sample: int) -> dict[str, str]:
    options = [draft.answer, *draft.wrong]
    options = options[1 + sample :] + options[: 1 + sample]
    return {
        "passage": draft.text if draft.kind != "two_passages" or draft.question else draft.read[0].text,
        "second": draft.read[-1].text,
        "question": draft.question or draft.base,
        "answer": draft.wrong[0] if draft.kind == "reversed" and draft.wrong else draft.answer,
        "anchor": draft.answer,
        "says_not": says_not,
        "options": " | ".join(options),
    }
