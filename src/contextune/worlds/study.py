"""Study texts: documents with key points and padding, and closed-book questions about the key points.

    train       "many people know this and many do not. Kalo lives in Mido. Rune greets Bako. …"
    questions   "question: where does Seke live? answer:" -> " Dola."   about other documents' people,
                for the instruction stage that follows reading (Choi et al. 2025, arXiv 2411.01398)
    asked       "question: where does Kalo live? answer:"

Every document is about one person; a key point is told `mentions` times, in both of its wordings from
the second on, always with the person first. Padding is filler and deeds of people about whom no text is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice

from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.core.sequence import Record
from contextune.core.world import World

from . import language, listening, making, measures, resisting
from .association import association
from .grammar import FILLER, SPARE, Told, like, own_names
from .language import Fact
from .people import PeopleDraws

SIZES = {
    "paper": {"people": 40, "practice": 20, "key_points": 4, "mentions": 2, "padding": 8, "probes": 100, "context": 4},
    "small": {"people": 16, "practice": 8, "key_points": 3, "mentions": 2, "padding": 3, "probes": 40, "context": 4},
}
BYSTANDERS = 20
KEYS = (
    language.DESCRIBED,
    language.LIVES,
    language.HAS,
    *(language.RELATIONS[v] for v in ("teach", "visit", "help")),
)
ASIDES = tuple(language.RELATIONS[v] for v in ("greet", "thank", "call", "find"))


@dataclass(frozen=True, slots=True)
class StudyText:
    """A document: its key points, and its sentences in order."""

    person: str
    points: tuple[Told, ...]
    sentences: tuple[str, ...]

    @property
    def said(self) -> str:
        return " ".join(self.sentences)


@registry.worlds("study")
def study(seed: int = 0, size: str = "paper", **given: int) -> World:
    """Groups of records: train (documents of all people); questions (pairs about the practice people only);
    oracle (every tested key point from its other side).

    Sizes, each an option of its own: people (tested), practice (people that are only asked about in training),
    key_points (a document, 6 at most), mentions (of a key point), padding (sentences), probes (items of each
    listen, resist and retain task), context (facts that stand in a context).
    """
    n = making.sizes("study", size, SIZES, **given)
    people, named = n["people"] + n["practice"], 1 + min(n["key_points"], 4)
    most = (len(language.all_names(True)) - BYSTANDERS - SPARE) // named
    if people > most or n["key_points"] > len(KEYS):
        raise UserError(
            f"world 'study': expected at most {most} people in all and {len(KEYS)} key points",
            "lower people or key_points",
        )
    draws = partial(making.draws, "study", seed)
    taken = set(own_names(draws("bystanders"), BYSTANDERS, "study"))
    bystanders = sorted(taken)
    texts = list(write(draws("texts"), people, n, taken, bystanders))
    tested, practice = texts[: n["people"]], texts[n["people"] :]
    records = {
        "train": tuple(making.shuffled(draws("order"), map(_document, texts))),
        "questions": tuple(making.shuffled(draws("questions"), _questions(practice))),
        "oracle": tuple(_reversed(tested)),
    }
    tasks = _tasks(draws, tested, n, taken, bystanders)
    known = association(map(making.said, records["train"]), tasks)
    facts = {"association": known, "sizes": n}
    return World("study", records, tasks, "documents to read, then questions without them", facts)


def write(
    rng: random.Random, people: int, n: dict[str, int], taken: set[str], bystanders: list[str]
) -> Iterator[StudyText]:
    """Texts about fresh people; all that their key points name joins `taken`, so that nothing is in two of them."""
    turns = cycle(making.shuffled(rng, KEYS))  # so that every kind of key point comes up equally often
    for _ in range(people):
        (person,) = language.names(rng, 1, without=taken)
        taken.add(person)
        points = []
        for relation in islice(turns, n["key_points"]):
            other = _other(rng, relation, taken)
            points.append(Told(Fact(relation.name, person, other), variant=rng.randrange(2)))
        said = [t.sentence() for p in points for t in [p, p.rephrased, p, p.rephrased][: n["mentions"]]]
        padding = [_aside(rng, bystanders) if i % 2 else f"{rng.choice(FILLER)}." for i in range(n["padding"])]
        yield StudyText(person, tuple(points), tuple(making.shuffled(rng, [*said, *padding])))


def _other(rng: random.Random, relation: language.Relation, taken: set[str]) -> str:
    sample = {"described": "the", "has": "a"}.get(relation.name, "Name")
    other = like(rng, sample, taken)
    taken.add(other)
    return other


def _aside(rng: random.Random, bystanders: list[str]) -> str:
    return Told(Fact(rng.choice(ASIDES).name, *rng.sample(bystanders, 2))).sentence()


def _document(text: StudyText) -> Record:
    points = [p.sentence() for p in text.points]
    return making.text(f"text-{text.person}", text.said, person=text.person, key_points=points)


def _questions(texts: list[StudyText]) -> Iterator[Record]:
    for text in texts:
        for point in text.points:
            yield making.pair(f"question-{text.person}-{point.fact.relation}", *point.question(), person=text.person)


def _reversed(texts: list[StudyText]) -> Iterator[Record]:
    for text in texts:
        for point in text.points:
            yield making.text(f"reversed-{text.person}-{point.fact.relation}", point.reversed.sentence())


# ---------------------------------------------------------------------------------------- tests


def _four(rng: random.Random, id: str, text: StudyText, asked: Told, texts: list[StudyText], n: int) -> Item:
    """A question; wrong options answer the same question about other people."""
    prompt, right = asked.question()
    same = [p for t in texts if t.person != text.person for p in t.points if p.fact.relation == asked.fact.relation]
    wrong = [p.fact.b if asked.side == "forward" else p.fact.a for p in rng.sample(same, n)]
    return making.choice(rng, id, prompt, right, [f" {x}." for x in wrong], asked.fact.key, person=text.person)


def _tasks(
    draws: PeopleDraws, texts: list[StudyText], n: dict[str, int], taken: set[str], bystanders: list[str]
) -> dict[str, Task]:
    points = [(t, p) for t in texts for p in t.points]
    trained, probes, k = [p for _, p in points], n["probes"], n["context"]
    said = {t.person: t.said for t in texts}
    rng, back = draws("tests"), [(t, p.reversed) for t, p in points]
    count = {r: sum(p.fact.relation == r for p in trained) for r in {p.fact.relation for p in trained}}
    if min(count.values()) < 4:
        raise UserError("world 'study': some kind of key point is too rare for four options", "raise people")
    closed = [_four(rng, f"closed-{i}", t, p, texts, 3) for i, (t, p) in enumerate(points)]
    turned = [_four(rng, f"turned-{i}", t, p, texts, 3) for i, (t, p) in enumerate(back)]
    answers = [
        making.written(f"closed-{i}", *p.question(), p.fact.key, person=t.person) for i, (t, p) in enumerate(points)
    ]
    written = making.writing("closed_book_written", answers, "learn", "a question about a key point, answered")
    names = [making.written(f"turned-{i}", *p.question(), p.fact.key, person=t.person) for i, (t, p) in enumerate(back)]
    recalled = [making.written(f"recall-{i}", *p.cut(), p.fact.key) for i, (_, p) in enumerate(points)]
    return making.gather(
        making.writing("recall_written", recalled, "learn", "a key point as the text tells it, completed"),
        making.choices("closed_book", closed, "learn", "a question about a key point, four answers"),
        written,
        making.choices("reversal", turned, "generalise", "who it is, asked from the key point"),
        making.writing("reversal_written", names, "generalise", "who it is, generated"),
        making.preceded(written, "open_book", lambda i: said[i.fields["person"]], "task", "the text in context"),
        _fresh_text(draws("text"), n, taken, bystanders),
        *listening.forms(draws, trained, KEYS, probes, k, taken),
        *resisting.forms(draws, trained, KEYS, probes, k, taken),
        measures.retain(draws("retain"), probes, taken),
    )


def _fresh_text(rng: random.Random, n: dict[str, int], taken: set[str], bystanders: list[str]) -> Task:
    """A text of the same make about somebody new stands in the context."""
    items = []
    for i in range(n["probes"]):
        (text,) = write(rng, 1, n, set(taken), bystanders)
        asked = rng.choice(text.points)
        prompt, answer = asked.question()
        items.append(making.written(f"text-{i}", f"{text.said}\n{prompt}", answer, person=text.person))
    return measures.listening("text", items, "a question about a fresh text in context")
