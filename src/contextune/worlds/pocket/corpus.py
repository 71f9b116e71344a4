"""The pocket model's pretraining documents: facts about new names, then many lookups among them.

A document is a list of spans (text, kind), each tokenised apart. Only answers are trained on: the names
that a text introduces are unpredictable, and their noise would drown the signal (with loss on all
tokens nothing is learned in the same time). Names are never reserved ones.

A document is a pure function of (seed, index, most): `most` is the largest number of facts in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from contextune.core.sequence import DrawKey

from .. import language
from ..language import Fact
from .english import WORDS

SpanKind = Literal["context", "answer"]
SIDES = ("forward", "backward")


@dataclass(slots=True)
class PocketDocument:
    """Spans of text in order; after every answer the text could end, which is trained on too."""

    spans: list[tuple[str, SpanKind]] = field(default_factory=list)

    def tell(self, text: str) -> None:
        if text:
            self.spans.append((text, "context"))

    def ask(self, prompt: str, answer: str, line: str = "\n") -> None:
        """A prompt on a line of its own (unless the document begins here) and its answer."""
        self.tell((line if self.spans else "") + prompt)
        self.spans.append((answer, "answer"))

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.spans)


RARE = (language.DESCRIBED, language.DESCRIBED, language.HAS, language.KIND, language.LIVES, language.MEANS)
"""Relations with forms of their own, drawn more often than their number would have it."""

Query = tuple[str, str]
CorpusWriter = Callable[[random.Random, int, PocketDocument], None]


def draw_facts(rng: random.Random, n: int, test: bool = False) -> list[Fact]:
    """n facts of one sort of relation or of several; a third of the time a few names stand in many of them.

    What is asked has one answer: a name stands once at most in any one relation.
    """
    verbs, comparatives, everything = language.VERBS, language.COMPARATIVES, tuple(language.RELATIONS.values())
    others = (*(r for r in everything if r.group not in ("verb", "comparative")), *RARE)
    pools = rng.choice(((verbs,), (comparatives,), (others,), (verbs, comparatives, others)))
    often = language.names(rng, rng.choice((1, 2)), test=test) if rng.random() < 0.35 else []
    taken, used, facts = set(often), set[tuple[str, str]](), list[Fact]()
    while len(facts) < n:
        relation = rng.choice(rng.choice(pools))
        fact = language.fact(rng, relation, test=test, without=taken)
        if relation is language.HAS and rng.random() < 0.4:
            fact = Fact("has", fact.a, language.names(rng, 1, test=test, without={*taken, fact.a})[0])
        if often and rng.random() < 0.8:
            main = rng.choice(often)
            swap = fact.b[0].isupper() and rng.random() < 0.4
            fact = Fact(fact.relation, fact.a, main) if swap else Fact(fact.relation, main, fact.b)
            if (fact.relation, main) in used:
                continue
            used.add((fact.relation, main))
        taken |= {fact.a, fact.b}
        facts.append(fact)
    return facts


def tell_facts(rng: random.Random, facts: list[Fact], document: PocketDocument) -> list[tuple[str, int]]:
    """Write each fact in a random wording, sometimes among words that mean nothing; the wordings used."""
    used = [(rng.choice(SIDES), int(rng.random() < 0.25)) for _ in facts]
    between, preambles, asides = rng.choice((" ", " ", "\n")), rng.random() < 0.3, rng.random() < 0.15
    said = []
    for f, how in zip(facts, used, strict=True):
        preamble = rng.choice(language.PREAMBLES) if preambles and rng.random() < 0.6 else ""
        said.append(language.sentence(f.wording(*how), preamble))
        if asides and rng.random() < 0.4:
            said.append(" ".join(rng.choice(WORDS) for _ in range(rng.randrange(4, 10))) + ".")
    document.tell(("\n" if document.spans else "") + between.join(said))
    return used


def lookup(rng: random.Random, facts: list[Fact], i: int) -> Query:
    """One query about fact i that its context answers: a wording cut short, a question, or yes/no."""
    fact, u = facts[i], rng.random()
    if u < 0.5:
        prompt, answer = fact.cut(rng.choice(SIDES), int(rng.random() < 0.3))
        return (f"{rng.choice(language.PREAMBLES)} {prompt}" if rng.random() < 0.15 else prompt), answer
    if u < 0.85:
        return fact.question(rng.choice("ab"), rng.randrange(2))
    return check(rng, facts, i)


def check(rng: random.Random, facts: list[Fact], i: int) -> Query:
    """A yes/no question: the fact in any wording, or with a side taken from elsewhere or its sides exchanged."""
    fact, side, variant = facts[i], rng.choice(SIDES), int(rng.random() < 0.3)
    if rng.random() < 0.5:
        return language.verify(fact.wording(side, variant), True)
    same = [f for f in facts if f is not fact and language.RELATIONS[f.relation].group == group_of(fact)]
    if same and rng.random() < 0.5:
        return language.verify(Fact(fact.relation, fact.a, rng.choice(same).b).wording(side, variant), False)
    if group_of(fact) in ("verb", "comparative", "kind", "place", "word") and rng.random() < 0.7:
        return language.verify(Fact(fact.relation, fact.b, fact.a).wording(side, variant), False)
    other = language.fact(rng, language.RELATIONS[fact.relation], test=False, without={fact.a, fact.b}).b
    return language.verify(Fact(fact.relation, fact.a, other).wording(side, variant), False)


def checks_document(rng: random.Random, n: int, document: PocketDocument) -> None:
    """Facts, or premises of syllogisms, then yes/no questions about them and nothing else."""
    if rng.random() < 0.35:
        drawn = tell_premises(rng, n, document)
        for s in (s for _ in range(3) for s in rng.sample(drawn, len(drawn))):
            document.ask(*judge(rng, s))
        return
    facts = draw_facts(rng, n)
    tell_facts(rng, facts, document)
    for i in (i for _ in range(3 if n < 4 else 2) for i in rng.sample(range(n), n)):
        document.ask(*(falsehood(rng, facts[i]) if rng.random() < 0.25 else check(rng, facts, i)))


def falsehood(rng: random.Random, fact: Fact) -> Query:
    """A statement with a name that stands nowhere in the text: the easiest kind of false."""
    other = language.fact(rng, language.RELATIONS[fact.relation], test=False, without={fact.a, fact.b})
    wrong = Fact(fact.relation, fact.a, other.b) if rng.random() < 0.5 else Fact(fact.relation, other.a, fact.b)
    return language.verify(wrong.wording(rng.choice(SIDES), int(rng.random() < 0.3)), False)


def group_of(fact: Fact) -> str:
    return language.RELATIONS[fact.relation].group


def facts_document(rng: random.Random, n: int, document: PocketDocument) -> None:
    facts = draw_facts(rng, n)
    tell_facts(rng, facts, document)
    order = [i for _ in range(2 if n < 5 else 1) for i in rng.sample(range(n), n)]
    for i in order:
        document.ask(*lookup(rng, facts, i))


def operations_document(rng: random.Random, n: int, document: PocketDocument) -> None:
    """Facts, then operations on single sentences of them or on new ones, or on a line of several.

    Half of the time the sentences stand alone, as they do where a model augments texts one by one.
    """
    if rng.random() < 0.5:
        for _ in range(rng.randint(1, 4)):
            operate_on(rng, alone(rng), int(rng.random() < 0.5), document)
        return
    facts = draw_facts(rng, n)
    several = n > 1 and rng.random() < 0.3
    used = tell_facts(rng, facts, document) if not several else [(rng.choice(SIDES), 0) for _ in facts]
    if several:
        operation = rng.choice(language.OPERATIONS)
        text = " ".join(language.sentence(f.wording(*how)) for f, how in zip(facts, used, strict=True))
        made = "".join(f" {language.operate(operation, f, *how)}." for f, how in zip(facts, used, strict=True))
        document.ask(language.instruct(text, operation), made)
        return
    for i in rng.sample(range(n), min(n, 4)):
        fact = facts[i] if rng.random() < 0.5 else alone(rng)
        operate_on(rng, fact, int(rng.random() < 0.3), document)


def alone(rng: random.Random) -> Fact:
    """A fact of its own, each group of relations as often as another."""
    group = rng.choice(("verb", "comparative", "described", "has", "kind", "place", "word", "quantified"))
    relation = rng.choice([r for r in language.RELATIONS.values() if r.group == group])
    return language.fact(rng, relation, test=False)


def operate_on(rng: random.Random, fact: Fact, variant: int, document: PocketDocument) -> None:
    """An operation on one sentence, with or without a preamble that means nothing."""
    how, operation = (rng.choice(SIDES), variant), rng.choice(language.OPERATIONS)
    preamble = rng.choice(language.PREAMBLES) if rng.random() < 0.4 else ""
    text = language.sentence(fact.wording(*how), preamble)
    document.ask(language.instruct(text, operation), f" {language.operate(operation, fact, *how)}.")


def tell_premises(rng: random.Random, n: int, document: PocketDocument) -> list[language.Syllogism]:
    """Write the premises of n/2 syllogisms in any order."""
    count = max(1, n // 2)
    terms = language.names(rng, 3 * count, test=False)
    forms = [rng.randrange(len(language.SYLLOGISMS)) for _ in range(count)]
    drawn = [language.syllogism(terms[3 * i : 3 * i + 3], form) for i, form in enumerate(forms)]
    premises = [(p, ("forward", int(rng.random() < 0.2))) for s in drawn for p in s.premises]
    rng.shuffle(premises)
    document.tell(("\n" if document.spans else "") + " ".join(f"{p.wording(*how)}." for p, how in premises))
    return drawn


def syllogisms_document(rng: random.Random, n: int, document: PocketDocument) -> None:
    """The premises of n/2 syllogisms, then what follows from them."""
    drawn = tell_premises(rng, n, document)
    for s in (s for _ in range(3) for s in rng.sample(drawn, len(drawn))):
        document.ask(*follow(rng, s))


def turned(rng: random.Random, s: language.Syllogism) -> Fact:
    """The conclusion, sometimes in its converse where that says the same."""
    c = s.conclusion
    return Fact(c.relation, c.b, c.a) if c.relation != "all" and rng.random() < 0.3 else c


def follow(rng: random.Random, s: language.Syllogism) -> Query:
    """Ask for a conclusion, or whether a statement follows."""
    u, c = rng.random(), turned(rng, s)
    if u < 0.6:
        return f"conclude about {c.a} and {c.b}:", f" {c.wording()}."
    return _judged(rng, c, u < 0.8)


def judge(rng: random.Random, s: language.Syllogism) -> Query:
    """Ask whether a statement follows."""
    return _judged(rng, turned(rng, s), rng.random() < 0.5)


def _judged(rng: random.Random, c: Fact, true: bool) -> Query:
    if true:
        return language.verify(c.wording(), True)
    wrong = {"all": "no", "no": rng.choice(("all", "some")), "some": "no"}[c.relation]
    return language.verify(Fact(wrong, c.a, c.b).wording(), False)


def frames_document(rng: random.Random, n: int, document: PocketDocument) -> None:
    """Examples of up to n templates, then commands whose template has an example above."""
    count = max(1, n // 2)
    templates = [
        language.template(rng, rng.choice((2, 3, 3, 4)), verb) for verb in rng.sample(language.COMMANDS, count)
    ]
    for round_ in range(3 if count < 3 else 2):
        for t in rng.sample(templates, count):
            values = language.names(rng, len(t.order), test=False)
            prompt, answer = language.transform(t.command(values), t.frame(values))
            if round_ == 0:
                document.tell(("\n" if document.spans else "") + prompt + answer)
            else:
                document.ask(prompt, answer)


def cipher_document(rng: random.Random, n: int, document: PocketDocument) -> None:
    """Words and their code words: each line translates 1 to 6 words; only words seen above are trained on.

    In half of the documents neighbours change places, which the lines above show.
    """
    count = max(2, n)
    known = language.names(rng, 2 * count, test=False)
    code = dict(zip(known[:count], known[count:], strict=True))
    order = [w for _ in range(4) for w in rng.sample(known[:count], count)]
    seen, swapped = set[str](), rng.random() < 0.5
    while order:
        k = rng.choice((1, 2, 2, 3, 4, 6))
        line, order = order[:k], order[k:]
        made = [code[w] for w in line]
        for i in range(0, len(made) - 1 if swapped else 0, 2):
            made[i], made[i + 1] = made[i + 1], made[i]
        prompt, answer = language.transform(" ".join(line), " ".join(made))
        if seen.issuperset(line):
            document.ask(prompt, answer)
        else:
            document.tell(("\n" if document.spans else "") + prompt + answer)
        seen.update(line)


def known_document(rng: random.Random, n: int, document: PocketDocument) -> None:
    """Questions that need no context, alone or after facts about others (lures)."""
    if rng.random() < 0.7:
        tell_facts(rng, draw_facts(rng, n), document)
    for prompt, answer in rng.sample(language.common_facts(), 6):
        document.ask(prompt, answer)


def list_document(rng: random.Random, n: int, document: PocketDocument) -> None:
    """A list of names (sometimes among words), copied whole or from a given one on."""
    items = [rng.choice(WORDS) if rng.random() < 0.15 else name for name in language.names(rng, n + 1, test=False)]
    items = list(dict.fromkeys(items))
    document.tell(("\n" if document.spans else "") + " ".join(items) + ".")
    for _ in range(3):
        start = rng.randrange(len(items)) if rng.random() < 0.5 else 0
        prompt = f"after {items[start - 1]}:" if start else "copy:"
        document.ask(prompt, f" {' '.join(items[start:])}.")


def openings_document(rng: random.Random, n: int, document: PocketDocument) -> None:
    """Facts, then statements that go on from their first side, or from a word after it, as the facts have it.

    Else the model would know what ends a statement, but not whether "Mido is" goes on with "brighter" or "less bright".
    """
    facts = [f for f in draw_facts(rng, n) if f.relation not in language.QUANTIFIERS]
    named = [name for f in facts for name in (f.a, f.b)]
    alone = [f for f in facts if named.count(f.a) == named.count(f.b) == 1]
    if not alone:  # every way to go on must be the only one
        facts = alone = [language.fact(rng, rng.choice(language.COMPARATIVES), test=False)]
    tell_facts(rng, facts, document)
    for _ in range(2 if len(alone) < 5 else 1):
        for f in rng.sample(alone, len(alone)):
            side = rng.choice(SIDES)
            text, first = f.wording(side, int(rng.random() < 0.25)), f.a if side == "forward" else f.b
            if not text.startswith(first):
                text = f.wording(side, 0)
            if not text.startswith(first):
                continue
            words = text.removeprefix(first).split()
            kept = " ".join([first, *words[: rng.choice((0, 1, 1))]])
            preamble = f"{rng.choice(language.PREAMBLES)} " if rng.random() < 0.15 else ""
            document.ask(preamble + kept, f"{text.removeprefix(kept)}.")


WRITERS: dict[str, tuple[CorpusWriter, float, float, float]] = {
    "facts": (facts_document, 0.47, 0.32, 0.30),
    "operations": (operations_document, 0.17, 0.17, 0.14),
    "syllogisms": (syllogisms_document, 0.13, 0.08, 0.08),
    "frames": (frames_document, 0.07, 0.10, 0.14),
    "cipher": (cipher_document, 0.07, 0.05, 0.03),
    "known": (known_document, 0.06, 0.03, 0.03),
    "lists": (list_document, 0.03, 0.0, 0.0),
    "checks": (checks_document, 0.0, 0.25, 0.12),
    "openings": (openings_document, 0.0, 0.0, 0.16),
}
"""Kinds of document, with their shares early, late and in the finish."""


def preface(rng: random.Random) -> str:
    """English-looking words before a document, which mean nothing to it."""
    text = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(3, 20)))
    return (text.capitalize() if rng.random() < 0.7 else text) + rng.choice((".", ":", "."))


def document(seed: int, index: int, most: int = 8, phase: int = 0, only: str = "") -> PocketDocument:
    """Document `index` of a seed's endless corpus, with 1 to `most` facts; `phase` is 0 early, 1 late, 2 in
    the finish; `only` fixes its kind."""
    rng = DrawKey(seed, 0).rng("pocket", index)
    kind = only or rng.choices(list(WRITERS), [shares[phase] for _, *shares in WRITERS.values()])[0]
    made = PocketDocument()
    if rng.random() < 0.15:
        made.tell(preface(rng))
    WRITERS[kind][0](rng, rng.randint(1, most), made)
    return made
