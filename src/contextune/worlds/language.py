"""A small English-like language in which worlds are told and which the pocket model knows.

    names         "Kalo": two syllables of 120, 14,400 in all; a fifth is reserved for tests and never
                  stands in the pocket model's pretraining
    relations     what two things can have to do with each other, each with two wordings that begin with
                  the one side (`forward`) and two that begin with the other (`backward`)
    statements    "did you know that Kalo teaches Mido."
    questions     "question: who teaches Mido? answer:" -> " Kalo."
    operations    "Kalo teaches Mido.\nreversal:" -> " Mido is taught by Kalo."
    syllogisms    "conclude about Kalo and Rune:" -> " all Kalo are Rune."
    frames        "input: send Kalo to Mido output:" -> " [to Mido, send Kalo]."
    common facts  "the opposite of hot is" -> " cold.": the few things that the pocket model knows by heart

A prompt ends without a space and its answer begins with one. Words are lower case and names
capitalised wherever they stand, so that a name is always the same tokens. Every sampler takes the
random generator that it draws from and nothing else.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Literal


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ONSETS = _words("b d f g h j k l m n p r s t v w z ch sh th br dr kr tr")
SYLLABLES = tuple(onset + vowel for onset in ONSETS for vowel in "aeiou")
AVOIDED = frozenset(_words("nazi rape kike paki pedo dike homo nude dago puta puto shite here there these those"))


def reserved(name: str) -> bool:
    """Whether a name is kept for tests: a fifth of all names, by hash.

    Both syllables of a reserved name stand in many other names, so their embeddings are trained.
    """
    return hashlib.blake2b(name.lower().encode(), digest_size=8).digest()[0] % 5 == 0


@lru_cache(maxsize=2)
def all_names(test: bool) -> tuple[str, ...]:
    """Every name of the test set (reserved) or of the pretraining set, in a fixed order."""
    names = (first + second for first in SYLLABLES for second in SYLLABLES)
    return tuple(n.capitalize() for n in names if n not in AVOIDED and reserved(n) == test)


def names(rng: random.Random, n: int, *, test: bool = True, without: Iterable[str] = ()) -> list[str]:
    """n different names, none of `without`; reserved ones unless `test` is false."""
    taken, drawn = set(without), list[str]()
    pool = all_names(test)
    while len(drawn) < n:
        name = rng.choice(pool)
        if name not in taken:
            taken.add(name)
            drawn.append(name)
    return drawn


@dataclass(frozen=True, slots=True)
class Relation:
    """Two wordings from each side, and the questions that ask for each side.

    Every wording ends with the side that it does not begin with, so that a wording cut before its
    last slot is a prompt with one answer. `asks_a` holds {b} and is answered by a; `asks_b` holds {a}.
    """

    name: str
    group: str
    forward: tuple[str, str]
    backward: tuple[str, str]
    asks_a: tuple[str, ...]
    asks_b: tuple[str, ...]


def _verb(base: str, third: str, participle: str) -> Relation:
    return Relation(
        base,
        "verb",
        (f"{{a}} {third} {{b}}", f"the one that {{a}} {third} is {{b}}"),
        (f"{{b}} is {participle} by {{a}}", f"the one that {third} {{b}} is {{a}}"),
        (f"who {third} {{b}}", f"{{b}} is {participle} by whom"),
        (f"who is {participle} by {{a}}", f"{{a}} {third} whom"),
    )


def _comparative(more: str, adjective: str) -> Relation:
    return Relation(
        adjective,
        "comparative",
        (f"{{a}} is {more} than {{b}}", f"{{a}} is more {adjective} than {{b}}"),
        (f"{{b}} is less {adjective} than {{a}}", f"{{b}} is not as {adjective} as {{a}}"),
        (f"what is {more} than {{b}}", f"{{b}} is less {adjective} than what"),
        (f"what is less {adjective} than {{a}}", f"{{a}} is {more} than what"),
    )


_VERBS = (
    "teach/teaches/taught help/helps/helped feed/feeds/fed follow/follows/followed visit/visits/visited "
    "trust/trusts/trusted guard/guards/guarded heal/heals/healed hire/hires/hired praise/praises/praised "
    "thank/thanks/thanked lead/leads/led call/calls/called pay/pays/paid admire/admires/admired "
    "rescue/rescues/rescued chase/chases/chased find/finds/found greet/greets/greeted train/trains/trained"
)
_COMPARATIVES = (
    "brighter/bright heavier/heavy taller/tall faster/fast louder/loud warmer/warm older/old stronger/strong "
    "sweeter/sweet deeper/deep wider/wide sharper/sharp softer/soft richer/rich calmer/calm cleaner/clean "
    "thicker/thick smoother/smooth harder/hard longer/long larger/large higher/high newer/new darker/dark "
    "rounder/round wetter/wet rarer/rare prouder/proud"
)
VERBS = tuple(_verb(*v.split("/")) for v in _VERBS.split())
COMPARATIVES = tuple(_comparative(*c.split("/")) for c in _COMPARATIVES.split())
"""The 28 features that two things are compared by."""

DESCRIBED = Relation(
    "described",
    "described",
    ("{a} is {b}", "{a} is known as {b}"),
    ("{b} is {a}", "{b} is called {a}"),
    ("who is {b}", "who is known as {b}"),
    ("who is {a}", "what is {a} known as"),
)
HAS = Relation(
    "has",
    "has",
    ("{a} has {b}", "{a} comes with {b}"),
    ("{b} belongs to {a}", "{b} is found on {a}"),
    ("what has {b}", "{b} belongs to what"),
    ("what does {a} have", "{a} has what"),
)
KIND = Relation(
    "kind",
    "kind",
    ("{a} is a kind of {b}", "{a} counts as {b}"),
    ("one kind of {b} is {a}", "{b} includes {a}"),
    ("what is a kind of {b}", "{b} includes what"),
    ("{a} is a kind of what", "what kind is {a}"),
)
LIVES = Relation(
    "lives",
    "place",
    ("{a} lives in {b}", "the home of {a} is {b}"),
    ("{b} is the home of {a}", "in {b} lives {a}"),
    ("who lives in {b}", "{b} is the home of whom"),
    ("where does {a} live", "{a} lives in what"),
)
MEANS = Relation(
    "means",
    "word",
    ("{a} means {b}", "the meaning of {a} is {b}"),
    ("{b} is meant by {a}", "the word for {b} is {a}"),
    ("what means {b}", "{b} is meant by what"),
    ("what is meant by {a}", "{a} means what"),
)
ALL = Relation(
    "all",
    "quantified",
    ("all {a} are {b}", "every {a} is {b}"),
    ("{b} include all {a}", "{b} include every {a}"),
    ("{b} include all what",),
    ("all {a} are what",),
)
SOME = Relation(
    "some",
    "quantified",
    ("some {a} are {b}", "at least one {a} is {b}"),
    ("some {b} are {a}", "at least one {b} is {a}"),
    ("some {b} are what",),
    ("some {a} are what",),
)
NO = Relation(
    "no",
    "quantified",
    ("no {a} are {b}", "not one {a} is {b}"),
    ("no {b} are {a}", "not one {b} is {a}"),
    ("no {b} are what",),
    ("no {a} are what",),
)
QUANTIFIERS = {"all": ALL, "some": SOME, "no": NO}
RELATIONS = {r.name: r for r in (*VERBS, *COMPARATIVES, DESCRIBED, HAS, KIND, LIVES, MEANS, ALL, SOME, NO)}

ROLES = _words("painter keeper builder owner singer maker hunter captain baker writer doctor friend")
QUALITIES = _words("silver golden wooden quiet broken hidden little famous green stone holy frozen")
OBJECTS = _words("bridge tower garden river lamp castle boat market forest temple song crown")
COLOURS = _words("red blue green black white yellow brown grey")
PARTS = _words("tail wing horn shell leg ear tooth fin mane beak back neck")


def description(rng: random.Random) -> str:
    """One of 1,728 descriptions of a person: "the painter of the silver bridge"."""
    return f"the {rng.choice(ROLES)} of the {rng.choice(QUALITIES)} {rng.choice(OBJECTS)}"


def feature(rng: random.Random) -> str:
    """One of 192 features of a thing: "a long red tail"."""
    return f"a {rng.choice(('long', 'round'))} {rng.choice(COLOURS)} {rng.choice(PARTS)}"


@dataclass(frozen=True, slots=True)
class Fact:
    """`a` stands in the relation named to `b`; `b` is a name, a description or a feature."""

    relation: str
    a: str
    b: str

    @property
    def key(self) -> str:
        """Names the fact, whatever it is asked for: the cluster of its items."""
        return f"{self.relation} {self.a} {self.b}"

    def wording(self, side: str = "forward", variant: int = 0) -> str:
        """ "Kalo teaches Mido": no full stop. `side` is forward (a first) or backward (b first)."""
        relation = RELATIONS[self.relation]
        return (relation.forward if side == "forward" else relation.backward)[variant].format(a=self.a, b=self.b)

    def cut(self, side: str = "forward", variant: int = 0) -> tuple[str, str]:
        """A wording as prompt and answer: ("Kalo teaches", " Mido.")."""
        text, last = self.wording(side, variant), self.b if side == "forward" else self.a
        return text.removesuffix(f" {last}"), f" {last}."

    def question(self, asked: str, variant: int = 0) -> tuple[str, str]:
        """("question: who teaches Mido? answer:", " Kalo."); `asked` is "a" or "b"."""
        relation = RELATIONS[self.relation]
        forms = relation.asks_a if asked == "a" else relation.asks_b
        return ask(forms[variant % len(forms)].format(a=self.a, b=self.b)), f" {self.a if asked == 'a' else self.b}."


def ask(text: str) -> str:
    """The prompt of a question: "question: {text}? answer:"."""
    return f"question: {text}? answer:"


def verify(statement: str, true: bool) -> tuple[str, str]:
    """A yes/no question about a statement without its full stop, and its answer."""
    return ask(f"is it true that {statement}"), " yes." if true else " no."


PREAMBLES = (
    "did you know that",
    "people say that",
    "it is known that",
    "remember that",
    "note that",
    "we learned that",
    "as everyone knows,",
    "in truth,",
    "the book says that",
    "it is clear that",
    "in this land,",
    "scholars report that",
    "of course,",
    "indeed,",
    "the teacher said that",
    "it is a fact that",
)


def sentence(wording: str, preamble: str = "") -> str:
    """A statement with its full stop and, where given, a preamble before it."""
    return f"{preamble} {wording}." if preamble else f"{wording}."


def fact(rng: random.Random, relation: Relation, *, test: bool = True, without: Iterable[str] = ()) -> Fact:
    """A fact about names (and descriptions or features) drawn at random, none of `without`."""
    a, b = names(rng, 2, test=test, without=without)
    if relation.group in ("described", "has"):
        draw, taken = description if relation.group == "described" else feature, set(without)
        while (b := draw(rng)) in taken:
            pass
    return Fact(relation.name, a, b)


# ------------------------------------------------------------------------------ operations

OPERATIONS = ("copy", "reversal", "rephrase")


def operate(operation: str, fact: Fact, side: str = "forward", variant: int = 0) -> str:
    """What an operation makes of a wording: copy, the other side first, or the other wording of this side."""
    if operation == "copy":
        return fact.wording(side, variant)
    if operation == "reversal":
        return fact.wording("backward" if side == "forward" else "forward", 0)
    return fact.wording(side, 1 - variant)


def instruct(text: str, operation: str) -> str:
    """The prompt that asks for an operation on the text above it: "{text}\\n{operation}:"."""
    return f"{text}\n{operation}:"


# ------------------------------------------------------------------------------- syllogisms

# First premise, second premise -> conclusion, over s (subject), m (middle) and p (predicate). Valid
# forms whose conclusion is the strongest all/some/no statement that follows from s to p.
SYLLOGISMS: tuple[tuple[tuple[str, str, str], tuple[str, str, str], str], ...] = (
    (("all", "s", "m"), ("all", "m", "p"), "all"),
    (("all", "s", "m"), ("no", "m", "p"), "no"),
    (("all", "s", "m"), ("no", "p", "m"), "no"),
    (("no", "s", "m"), ("all", "p", "m"), "no"),
    (("no", "m", "s"), ("all", "p", "m"), "no"),
    (("some", "s", "m"), ("all", "m", "p"), "some"),
    (("some", "m", "s"), ("all", "m", "p"), "some"),
    (("all", "m", "s"), ("some", "m", "p"), "some"),
)


@dataclass(frozen=True, slots=True)
class Syllogism:
    """Two premises and what follows about `s` and `p`, in this order, each a quantified fact."""

    premises: tuple[Fact, Fact]
    conclusion: Fact

    def conclude(self) -> tuple[str, str]:
        """("conclude about Kalo and Rune:", " all Kalo are Rune.")."""
        c = self.conclusion
        return f"conclude about {c.a} and {c.b}:", f" {c.wording()}."

    def candidates(self) -> list[str]:
        """The six statements over the two terms: three quantifiers in two directions.

        Exactly one is the conclusion as `conclude` gives it; for "some" and "no" its converse says the same.
        """
        terms = (self.conclusion.a, self.conclusion.b)
        return [Fact(q, x, y).wording() for q in QUANTIFIERS for x, y in permutations(terms)]


def syllogism(terms: Sequence[str], form: int) -> Syllogism:
    """The valid form of a number (0 to 7) over three terms: subject, middle, predicate."""
    name = dict(zip("smp", terms, strict=True))
    first, second, quantifier = SYLLOGISMS[form]
    premises = tuple(Fact(q, name[x], name[y]) for q, x, y in (first, second))
    return Syllogism((premises[0], premises[1]), Fact(quantifier, name["s"], name["p"]))


# ----------------------------------------------------------------------------------- frames

COMMANDS = _words("send bring carry offer show sell lend give hand post move ship read write sing throw")
MARKERS = _words("to by for at with from near under")


@dataclass(frozen=True, slots=True)
class CommandTemplate:
    """A command's slots and the order in which its frame lists them.

    The verb marks the first slot. `order` is what only an example in context can reveal.
    """

    verb: str
    markers: tuple[str, ...]
    order: tuple[int, ...]

    def command(self, values: Sequence[str]) -> str:
        """ "send Kalo to Mido"."""
        return " ".join(f"{m} {v}" for m, v in zip((self.verb, *self.markers), values, strict=True))

    def frame(self, values: Sequence[str]) -> str:
        """ "[to Mido, send Kalo]"."""
        marked = [f"{m} {v}" for m, v in zip((self.verb, *self.markers), values, strict=True)]
        return "[" + ", ".join(marked[i] for i in self.order) + "]"


def template(rng: random.Random, slots: int = 3, verb: str | None = None) -> CommandTemplate:
    """A template of `slots` slots with an order of its own."""
    markers, order = tuple(rng.sample(MARKERS, slots - 1)), rng.sample(range(slots), slots)
    return CommandTemplate(verb or rng.choice(COMMANDS), markers, tuple(order))


def transform(given: str, made: str) -> tuple[str, str]:
    """Prompt and answer of an input and its output: ("input: ... output:", " ...")."""
    return f"input: {given} output:", f" {made}."


# ----------------------------------------------------------------------------- common facts

_OPPOSITES = (
    "hot/cold big/small day/night up/down left/right open/closed full/empty wet/dry old/young rich/poor "
    "early/late near/far good/bad happy/sad love/hate north/south east/west summer/winter black/white true/false"
)
_CLASSES = (
    "cat/animal rose/flower oak/tree hammer/tool piano/instrument apple/fruit gold/metal eagle/bird salmon/fish "
    "chair/furniture violet/colour bread/food"
)


def common_facts(part: Literal["all", "replay", "tests"] = "all") -> list[tuple[str, str]]:
    """Prompts and answers that need no context, each as a statement and as a question.

    The pocket model was pretrained on all. Every other pair is for tests, whatever the seed; the rest may be replayed:
    a pair's two directions and all its forms stay together.
    """
    places = {"all": slice(None), "replay": slice(0, None, 2), "tests": slice(1, None, 2)}[part]
    pairs = []
    for x, y in (p.split("/") for p in _OPPOSITES.split()[places]):
        for u, v in ((x, y), (y, x)):
            pairs += [(f"the opposite of {u} is", f" {v}."), (ask(f"what is the opposite of {u}"), f" {v}.")]
    for x, y in (p.split("/") for p in _CLASSES.split()[places]):
        pairs += [(f"the word {x} names a sort of", f" {y}."), (ask(f"what sort of thing is the {x}"), f" {y}.")]
    return pairs
