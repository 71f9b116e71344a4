"""Syllogisms over nonsense words (Lampinen et al. 2025, arXiv 2505.00661): all, some, no; valid forms only.

    taught   "the relations of Kalo, Mido and Rune: all Kalo are Mido. no Mido are Rune."
    asked    "conclude about Kalo and Rune:" -> " no Kalo are Rune."

`conclusion` is the paper's six-way test: three quantifiers in two directions, so that wrong options are
converse and quantifier errors. A conclusion is about the term named first; for "some" and "no" its
converse says the same and counts as an error of direction (`fields["same"]` has it). `conclusion_meaning`
has one option for each of the four meanings, so that exactly one follows whatever the direction. Terms
may be empty: "all" does not imply "some".

Each quantifier is the conclusion of a third of the examples (of the eight forms one concludes "all", three "some",
four "no": equal forms would make "no FIRST are SECOND" right in half of them). Who knows that a conclusion is about
the term named first is right in a third by any constant answer: that, and not one over the options, is chance.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import partial

from contextune.core import registry
from contextune.core.items import Item, Task
from contextune.core.sequence import Record
from contextune.core.world import World

from . import language, making, measures, resisting
from .association import Association, association
from .grammar import Told, own_names, tell
from .grammar import draw as draw_facts
from .language import Fact, Syllogism
from .people import PeopleDraws

SIZES = {
    "paper": {"examples": 69, "texts": 1, "probes": 100, "context": 3},
    "small": {"examples": 32, "texts": 1, "probes": 40, "context": 2},
}
UNIQUE = ((1,), (0, 1), (0,), (1,), (0, 1), (1,), (1,), (0,))
"""For each form the premises that have one ending only, so that they can be asked for by a cut."""
FORMS = {q: [f for f, (*_, c) in enumerate(language.SYLLOGISMS) if c == q] for q in language.QUANTIFIERS}
"""The forms that conclude with each quantifier."""
CHANCE = 1 / len(FORMS)
TITLED = re.compile(r"[A-Z][a-z]+(?=.*:)")
"""The terms that a title names."""
Asked = tuple[int, str, str, str, str]
"""Form, prompt, answer, the wrong option of a premise, and the example's cluster."""


@registry.worlds("syllogisms")
def syllogisms(seed: int = 0, size: str = "paper", **given: int) -> World:
    """Groups of records: train; oracle (the conclusions).

    Sizes, each an option of its own: examples; texts (texts an example, its premises in either order);
    probes (items of each listen, resist and retain task); context (examples in a context).
    """
    n = making.sizes("syllogisms", size, SIZES, **given)
    draws = partial(making.draws, "syllogisms", seed)
    drawn = draw(draws("examples"), n["examples"], set())
    records = {
        "train": tuple(_texts(draws("texts"), drawn, n["texts"])),
        "oracle": tuple(_oracle(i, s) for i, (_, s) in enumerate(drawn)),
    }
    tasks = _tasks(draws, drawn, n)
    texts = [making.said(r) for r in records["train"]]
    known = association(texts, tasks)
    facts = {"association": known, "association_by_form": _by_form(texts, tasks["conclusion"]), "sizes": n}
    return World("syllogisms", records, tasks, "valid syllogisms, their premises taught", facts)


SyllogismDraw = list[tuple[int, Syllogism]]


def draw(rng: random.Random, n: int, taken: set[str]) -> SyllogismDraw:
    """n syllogisms with their forms: each quantifier concludes equally often, by each of its forms equally often, but
    for the remainders; no term is in two of them.
    """
    wanted = making.spread(rng, list(FORMS), n)
    of = {q: iter(making.spread(rng, forms, wanted.count(q))) for q, forms in FORMS.items()}
    forms = [next(of[q]) for q in wanted]
    terms = language.names(rng, 3 * n, without=taken) if taken else own_names(rng, 3 * n, "syllogisms")
    return [(form, language.syllogism(terms[3 * i : 3 * i + 3], form)) for i, form in enumerate(forms)]


def premises(rng: random.Random, syllogism: Syllogism) -> str:
    return " ".join(f"{p.wording()}." for p in making.shuffled(rng, syllogism.premises))


def _terms(s: Syllogism) -> list[str]:
    return list(dict.fromkeys(x for p in s.premises for x in (p.a, p.b)))


def _cluster(s: Syllogism) -> str:
    """Whatever asks about an example belongs together: its premises, and what follows from them."""
    return " ".join(sorted(_terms(s)))


def _even(drawn: SyllogismDraw) -> list[tuple[int, int, Syllogism]]:
    """Examples with their numbers, as many of each quantifier; all where one has none."""
    by_quantifier: dict[str, list[tuple[int, int, Syllogism]]] = {q: [] for q in FORMS}
    for i, (form, s) in enumerate(drawn):
        by_quantifier[s.conclusion.relation].append((i, form, s))
    n = min(map(len, by_quantifier.values())) or len(drawn)
    return sorted((one for some in by_quantifier.values() for one in some[:n]), key=lambda one: one[0])


def _title(rng: random.Random, s: Syllogism) -> str:
    x, y, z = making.shuffled(rng, _terms(s))
    return f"the relations of {x}, {y} and {z}:"


def _texts(rng: random.Random, drawn: SyllogismDraw, texts: int) -> list[Record]:
    made = []
    for i, (form, s) in enumerate(drawn):
        for j in range(texts):
            said = f"{_title(rng, s)} {premises(rng, s)}"
            made.append(making.text(f"example-{i}-{j}", said, form=form, terms=_terms(s)))
    return making.shuffled(rng, made)


def _oracle(number: int, s: Syllogism) -> Record:
    prompt, answer = s.conclude()
    return making.text(f"conclusion-{number}", prompt + answer, example=number)


def six(rng: random.Random, id: str, form: int, s: Syllogism) -> Item:
    """Every statement over the two terms; the right one is about the term named first."""
    prompt, right = s.conclude()
    wrong = [f" {c}." for c in s.candidates() if f" {c}." != right]
    c = s.conclusion
    same = "" if c.relation == "all" else f" {Fact(c.relation, c.b, c.a).wording()}."
    return making.choice(rng, id, prompt, right, wrong, _cluster(s), form=form, same=same)


def four(rng: random.Random, id: str, form: int, s: Syllogism) -> Item:
    """One statement for each meaning: all either way, some, no."""
    c = s.conclusion
    meanings = [Fact("all", c.a, c.b), Fact("all", c.b, c.a), Fact("some", c.a, c.b), Fact("no", c.a, c.b)]
    wrong = [f" {m.wording()}." for m in meanings if m != c]
    return making.choice(rng, id, *s.conclude(), wrong, _cluster(s), form=form)


def _tasks(draws: PeopleDraws, drawn: SyllogismDraw, n: dict[str, int]) -> dict[str, Task]:
    taken = {t for _, s in drawn for t in _terms(s)}
    rng, k = draws("tests"), n["context"]

    def context(item: Item) -> str:
        """The item's premises among those of other examples."""
        rng, number = draws("context", item.id), int(item.id.rpartition("-")[2])
        chosen = making.others(rng, range(len(drawn)), min(k, len(drawn)) - 1, [number])
        return " ".join(premises(rng, drawn[i][1]) for i in making.shuffled(rng, [number, *chosen]))

    even = _even(drawn)
    conclusion = [six(rng, f"conclusion-{i}", form, s) for i, form, s in even]
    meaning = [four(rng, f"meaning-{i}", form, s) for i, form, s in even]
    tests = making.choices("conclusion", conclusion, "generalise", "which of six statements follows", CHANCE)
    wrote = [making.written(f"written-{i}", *s.conclude(), _cluster(s)) for i, _, s in even]
    writing = making.writing("conclusion_written", wrote, "generalise", "the conclusion, generated")
    among = f"its premises among those of {k} examples in context"
    return making.gather(
        *_premises(draws("premises"), drawn),
        tests,
        making.choices(
            "conclusion_meaning", meaning, "generalise", "which of the four possible meanings follows", CHANCE
        ),
        writing,
        making.preceded(tests, "conclusion_in_context", context, "task", f"six-way, {among}"),
        making.preceded(writing, "conclusion_written_in_context", context, "task", f"generated, {among}"),
        _fresh(draws("fresh"), n["probes"], k, taken),
        *_edited(draws, drawn, n["probes"]),
        *_lures(draws, drawn, n["probes"], k, taken),
        measures.retain(draws("retain"), n["probes"], taken),
    )


def _asked(rng: random.Random, drawn: SyllogismDraw) -> list[Asked]:
    """Each premise with one ending, cut, after its example's terms in an order that may be new."""
    made = []
    for form, s in drawn:
        for i in UNIQUE[form]:
            prompt, answer = Told(s.premises[i]).cut()
            (third,) = set(_terms(s)) - {s.premises[i].a, s.premises[i].b}
            made.append((form, f"{_title(rng, s)} {prompt}", answer, f" {third}.", _cluster(s)))
    return made


def _premises(rng: random.Random, drawn: SyllogismDraw) -> tuple[Task, Task]:
    """As taught; the wrong option is the example's third term, which keeps the same company."""
    asked = _asked(rng, drawn)
    items = [making.choice(rng, f"premise-{i}", p, a, [w], c, form=f) for i, (f, p, a, w, c) in enumerate(asked)]
    wrote = [making.written(f"premise-{i}", p, a, c, form=f) for i, (f, p, a, _, c) in enumerate(asked)]
    return (
        making.choices("premise", items, "learn", "a premise completed by one of the example's terms"),
        making.writing("premise_written", wrote, "learn", "a premise completed by generation"),
    )


def _lures(draws: PeopleDraws, drawn: SyllogismDraw, n: int, k: int, taken: set[str]) -> Iterator[Task]:
    """Other premises, or facts of another sort, precede a trained premise; other premises precede a common fact."""
    common, quantified = draws("common"), tuple(language.QUANTIFIERS.values())

    def lures(rng: random.Random) -> list[str]:
        return [f"{_title(rng, s)} {premises(rng, s)}" for _, s in draw(rng, k, taken)]

    def near(rng: random.Random, prompt: str) -> str:
        """Examples about terms that begin as those of the prompt do."""
        said = []
        for _ in range(k):
            terms = list[str]()
            for name in TITLED.findall(prompt):
                terms.append(resisting.namesake(rng, name, {*taken, *terms}))
            s = language.syllogism(making.shuffled(rng, terms), rng.randrange(len(language.SYLLOGISMS)))
            said.append(f"{_title(rng, s)} {premises(rng, s)}")
        return "\n".join(said)

    def task(name: str, context: Callable[[random.Random, str], str], about: str) -> Task:
        rng, items = draws(name), []
        for i, (form, prompt, answer, _, cluster) in enumerate(making.spread(rng, _asked(rng, drawn), n)):
            text = f"{context(rng, prompt)}\n{prompt}"
            items.append(making.written(f"{name}-{i}", text, answer, cluster, form=form))
        return measures.resisting(name, items, f"a trained premise after {about}")

    yield task("lure", lambda rng, _: "\n".join(lures(rng)), f"{k} examples about others")
    yield task("near", near, f"{k} examples about terms of nearly their names")
    yield task("facts", lambda rng, _: tell(draw_facts(rng, language.VERBS, 2 * k, taken)), "facts of another sort")
    yield task("story", lambda rng, _: measures.story(rng, lures(rng)), "a long text about others")
    yield measures.common(lambda: tell(draw_facts(common, quantified, 2 * k, taken)))


def _fresh(rng: random.Random, n: int, k: int, taken: set[str]) -> Task:
    """Fresh syllogisms in context."""
    items = []
    for i, quantifier in enumerate(making.spread(rng, list(FORMS), n)):
        told, place = draw(rng, k, taken), rng.randrange(k)
        form = rng.choice(FORMS[quantifier])
        asked = language.syllogism(_terms(told[place][1]), form)
        told[place] = (form, asked)
        context = " ".join(premises(rng, s) for _, s in told)
        prompt, answer = asked.conclude()
        items.append(making.written(f"fresh-{i}", f"{context}\n{prompt}", answer, form=form))
    return measures.listening("fresh", items, f"a conclusion from {k} fresh examples in context")


def _edited(draws: PeopleDraws, drawn: SyllogismDraw, n: int) -> Iterator[Task]:
    """Premises of another form about the terms of a trained example; the conclusion changes with them."""

    def edits(name: str) -> Iterator[tuple[random.Random, str, Syllogism, Syllogism]]:
        rng = draws(name)
        for i, (_, s) in enumerate(making.spread(rng, drawn, n)):
            conclusion = s.conclusion
            (middle,) = set(_terms(s)) - {conclusion.a, conclusion.b}
            other = rng.choice([q for q in FORMS if q != conclusion.relation])
            edited = language.syllogism((conclusion.a, middle, conclusion.b), rng.choice(FORMS[other]))
            yield rng, f"{name}-{i}", s, edited

    def written(name: str, context: Callable[[random.Random, str], str], about: str) -> Task:
        items = []
        for rng, id, s, edited in edits(name):
            ask, answer = edited.conclude()
            text = f"{context(rng, premises(rng, edited))}\n{ask}"
            items.append(making.written(id, text, answer, _cluster(s), weights=s.conclusion.wording()))
        return measures.listening(name, items, about)

    about = "premises about trained terms, edited so that another conclusion follows"
    yield written("edited", lambda _, said: said, about)
    yield written(
        "document",
        lambda rng, said: measures.story(rng, [f"{x}." for x in said.removesuffix(".").split(". ")]),
        f"{about}, in a long text",
    )
    checks = []
    for i, (rng, id, s, edited) in enumerate(edits("check")):
        true, c = i % 2 == 0, edited.conclusion
        known = s.conclusion.relation if "no" in (c.relation, s.conclusion.relation) else "no"  # it says the contrary
        prompt, answer = language.verify((c if true else Fact(known, c.a, c.b)).wording(), true)
        wrong = " no." if true else " yes."
        checks.append(making.choice(rng, id, f"{premises(rng, edited)}\n{prompt}", answer, [wrong], _cluster(s)))
    told = measures.formed("listen_check", "does the edited conclusion follow, or what the weights say?")
    yield making.choices("listen_check", checks, "listen", told)


def _by_form(texts: list[str], task: Task) -> dict[str, float]:
    counts, credit = Association(texts), dict[int, list[float]]()
    for item in task.items:
        credit.setdefault(item.fields["form"], []).append(counts.credit(item))
    names = {f: f"{first[0]} + {second[0]} ({f})" for f, (first, second, _) in enumerate(language.SYLLOGISMS)}
    return {names[f]: sum(c) / len(c) for f, c in sorted(credit.items())}
