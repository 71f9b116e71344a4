"""Cipher translation: a lexicon and a rule of order to learn, and words whose sense only an example shows.

    input: Kalo Mido Rune output: Mita Bako Sede.       each word has its code; neighbours change places

A fifth of the words are ambiguous: they have several codes, and within an episode (a few sentences
over few words) each keeps one of them, drawn afresh. So an example of the same episode, which is similar
as it shares words, reveals the sense, the weights cannot know it, and copying the example fails on the
other words. Similarity of two inputs is the share of words that they have in common, exact, in [0, 1].

    taught       training sentences without ambiguous words                                    learn
    composed     new sentences of known words, nothing in context                              generalise
    listen_*     ambiguous words shown by one example; a known word whose code was edited      listen
    resist_lure  an example with nearly the same input whose other words make its label wrong  resist
    low, medium, high   the same items after examples of which the nearest has that grade      task
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.items import Item, Measure, Task
from contextune.core.world import World

from . import language, making, measures
from .association import association
from .grammar import draw as draw_facts
from .grammar import own_names, tell
from .people import PeopleDraws
from .slots import similarity

SIZES = {
    "paper": {
        "words": 120, "ambiguous": 24, "shortest": 5, "longest": 9, "episodes": 200, "sentences": 10, "probes": 100,
        "context": 4,
    },
    "small": {
        "words": 32, "ambiguous": 6, "shortest": 3, "longest": 5, "episodes": 40, "sentences": 6, "probes": 40,
        "context": 4,
    },
}  # fmt: skip
CipherWords = list[str]
CipherPair = tuple[CipherWords, CipherWords]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The codes of each word; an ambiguous one has two or three."""

    codes: dict[str, tuple[str, ...]]

    @property
    def plain(self) -> list[str]:
        return [w for w, codes in self.codes.items() if len(codes) == 1]

    @property
    def ambiguous(self) -> list[str]:
        return [w for w, codes in self.codes.items() if len(codes) > 1]

    def senses(self, rng: random.Random) -> dict[str, str]:
        """One code for each word, as an episode fixes it."""
        return {w: rng.choice(codes) for w, codes in self.codes.items()}


def encipher(words: CipherWords, senses: dict[str, str]) -> CipherWords:
    """Codes in the order of the words, but first and second, third and fourth … change places."""
    made = [senses[w] for w in words]
    for i in range(0, len(made) - 1, 2):
        made[i], made[i + 1] = made[i + 1], made[i]
    return made


@registry.worlds("cipher")
def cipher(seed: int = 0, size: str = "paper", **given: int) -> World:
    """Groups of records: train, pairs whose fields hold input, output, episode and the ambiguous words.

    Sizes, each an option of its own: words (of which `ambiguous`), shortest and longest (words a sentence),
    episodes, sentences (an episode), probes (items of each task), context (examples in context).
    """
    n = making.sizes("cipher", size, SIZES, **given)
    if n["ambiguous"] >= n["words"] // 2 or not 3 <= n["shortest"] <= n["longest"] <= n["words"] // 4:
        raise UserError(
            f"world 'cipher': found words {n['words']}, ambiguous {n['ambiguous']}, sentences of {n['shortest']} to "
            f"{n['longest']}",
            "ambiguous below half of words, 3 <= shortest <= longest <= a quarter of words",
        )
    draws = partial(making.draws, "cipher", seed)
    lexicon = draw_lexicon(draws("lexicon"), n["words"], n["ambiguous"])
    rows = _episodes(draws("train"), lexicon, n)
    train = [
        making.pair(f"episode-{e}-{j}", *transform(pair), input=" ".join(pair[0]), episode=e,
                    ambiguous=[w for w in pair[0] if len(lexicon.codes[w]) > 1])
        for e, j, pair in rows
    ]  # fmt: skip
    records = {"train": tuple(making.shuffled(draws("order"), train))}
    tasks = _tasks(draws, lexicon, [pair for *_, pair in rows], n)
    known = association(map(making.said, train), tasks)
    about = "a cipher that is learned, with words whose sense is only shown"
    return World("cipher", records, tasks, about, {"association": known, "sizes": n})


def draw_lexicon(rng: random.Random, words: int, ambiguous: int) -> Lexicon:
    counts = [rng.choice((2, 3)) if i < ambiguous else 1 for i in range(words)]
    names = own_names(rng, words + sum(counts), "cipher")
    codes = iter(names[words:])
    return Lexicon({w: tuple(next(codes) for _ in range(c)) for w, c in zip(names, counts, strict=False)})


def transform(pair: CipherPair) -> tuple[str, str]:
    return language.transform(*(" ".join(words) for words in pair))


def _episodes(rng: random.Random, lexicon: Lexicon, n: dict[str, int]) -> list[tuple[int, int, CipherPair]]:
    """Sentences of an episode draw on few words, a fourth of which are ambiguous, so that they are similar.

    Ambiguous words take turns, and so do the codes of each.
    """
    made, size = [], n["longest"] + 2
    count = min(max(1, size // 4), n["ambiguous"])
    turns = making.spread(rng, lexicon.ambiguous, n["episodes"] * count)
    codes = {w: cycle(making.shuffled(rng, lexicon.codes[w])) for w in lexicon.ambiguous}
    for e in range(n["episodes"]):
        some = dict.fromkeys(turns[e * count : (e + 1) * count])
        senses = {**lexicon.senses(rng), **{w: next(codes[w]) for w in some}}
        shelf = [*some, *rng.sample(lexicon.plain, size - len(some))]
        for j in range(n["sentences"]):
            words = rng.sample(shelf, rng.randint(n["shortest"], n["longest"]))
            made.append((e, j, (words, encipher(words, senses))))
    return made


# ---------------------------------------------------------------------------------------- tests


class CipherPool:
    """Draws test sentences and the examples of their contexts."""

    def __init__(self, rng: random.Random, lexicon: Lexicon, trained: list[CipherPair], n: dict[str, int]) -> None:
        self.rng, self.lexicon, self.n = rng, lexicon, n
        self.plain = [p for p in trained if not set(p[0]) & set(lexicon.ambiguous)]
        self.trained, self.taught = trained, {" ".join(p[0]) for p in trained}
        self.senses = {w: codes[0] for w, codes in lexicon.codes.items()}

    def sentence(self, kept: Sequence[str] = (), without: Sequence[str] = (), length: int = 0) -> CipherWords:
        """A new sentence with the words kept in it and else unambiguous ones, none of `without`."""
        barred = {*kept, *without}
        pool = [w for w in self.lexicon.plain if w not in barred]
        while True:
            size = max(length or self.rng.randint(self.n["shortest"], self.n["longest"]), len(kept))
            words = making.shuffled(self.rng, [*kept, *self.rng.sample(pool, size - len(kept))])
            if " ".join(words) not in self.taught:
                return words

    def low(self, asked: CipherWords, n: int) -> list[CipherPair]:
        """n trained examples, each less than a third similar and without the ambiguous words of `asked`."""
        known, found = set(asked) & set(self.lexicon.ambiguous), list[CipherPair]()
        while len(found) < n:
            pair = self.rng.choice(self.trained)
            if similarity(" ".join(asked), " ".join(pair[0])) < 1 / 3 and not known & set(pair[0]):
                found.append(pair)
        return found

    def near(self, asked: CipherWords, grade: str, senses: dict[str, str], word: str = "") -> CipherPair:
        """A new sentence as long as `asked` that shares as many words with it as its grade allows, `word` among them.

        Medium is below two thirds of the words, high all but one.
        """
        count = -(-2 * len(asked) // 3) - 1 if grade == "medium" else len(asked) - 1
        kept = ([word] if word else []) + self.rng.sample([w for w in asked if w != word], count - bool(word))
        words = self.sentence(kept, asked, len(asked))
        return words, encipher(words, senses)

    def among(self, relevant: CipherPair, asked: CipherWords) -> list[CipherPair]:
        return making.shuffled(self.rng, [relevant, *self.low(asked, self.n["context"] - 1)])

    def graded(self, id: str, words: CipherWords, grade: str) -> Item:
        low = grade == "low"
        context = self.low(words, self.n["context"]) if low else self.among(self.near(words, grade, self.senses), words)
        return self.item(id, words, self.senses, context)

    def item(
        self,
        id: str,
        words: CipherWords,
        senses: dict[str, str],
        context: Sequence[CipherPair] = (),
        before: str = "",
        **fields: object,
    ) -> Item:
        """`before` precedes it, else `context`; `fields` hold the exact similarity of the nearest example of this."""
        prompt, answer = transform((words, encipher(words, senses)))
        nearest = max((similarity(" ".join(words), " ".join(p[0])) for p in context), default=0.0)
        shown = [before] if before else ["".join(transform(p)) for p in context]
        text = "\n".join([*shown, prompt])
        return making.written(id, text, answer, " ".join(words), similarity=round(nearest, 4), **fields)


def _tasks(draws: PeopleDraws, lexicon: Lexicon, trained: list[CipherPair], n: dict[str, int]) -> dict[str, Task]:
    shelf, probes = CipherPool(draws("tests"), lexicon, trained, n), n["probes"]
    tokens = 4 * n["longest"] + 8
    taught = making.spread(shelf.rng, shelf.plain, min(probes, len(shelf.plain)))
    new = [shelf.sentence() for _ in range(probes)]
    names = {*lexicon.codes, *(c for codes in lexicon.codes.values() for c in codes)}

    def writing(name: str, items: list[Item], measure: Measure, about: str) -> Task:
        return making.writing(name, items, measure, about, tokens)

    learned = [shelf.item(f"taught-{i}", words, shelf.senses) for i, (words, _) in enumerate(taught)]
    composed = [shelf.item(f"composed-{i}", words, shelf.senses) for i, words in enumerate(new)]
    codes = [_codes(shelf, f"composed-{i}", words) for i, words in enumerate(new)]
    senses = [_sense(shelf, i) for i in range(probes)]
    edited = [_edited(shelf, i, words, names) for i, words in enumerate(new)]
    lures = [_lure(shelf, i, words) for i, words in enumerate(new)]
    apart = CipherPool(draws("forms"), lexicon, trained, n)
    documents = [_edited(apart, i, words, names, "document") for i, words in enumerate(new)]
    chosen = [_chosen(apart, _edited(apart, i, words, names, "codes")) for i, words in enumerate(new)]
    irrelevant = [_irrelevant(apart, i, words, names) for i, words in enumerate(new)]
    facts, stories = ([pair[j] for pair in irrelevant] for j in (0, 1))
    k, grades = n["context"], ("low", "medium", "high")
    graded = [[shelf.graded(f"grade-{i}", words, grade) for i, words in enumerate(new)] for grade in grades]
    about = f"{k} examples in context, the nearest of grade"
    return making.gather(
        writing("taught", learned, "learn", "training sentences without ambiguous words"),
        writing("composed", composed, "generalise", "new sentences of known words"),
        making.choices("composed_codes", codes, "generalise", "a new sentence against three with one wrong code"),
        *(writing(g, items, "task", f"{about} {g}") for g, items in zip(grades, graded, strict=True)),
        measures.listening("sense", senses, "an ambiguous word, its sense shown by one example", tokens),
        measures.listening("edited", edited, "a known word, given another code by one example", tokens),
        measures.listening("document", documents, "a known word, given another code behind a long text", tokens),
        making.choices(
            "listen_codes", chosen, "listen", measures.formed("listen_codes", "another code against the trained one")
        ),
        measures.resisting("lure", lures, "an example with nearly the same input", tokens, taught=False),
        measures.resisting("facts", facts, f"{k} facts, which are no sentences in code", tokens, taught=False),
        measures.resisting("story", stories, f"{k} other sentences behind a long text", tokens, taught=False),
        measures.common(lambda: "\n".join("".join(transform(p)) for p in shelf.rng.sample(trained, k))),
        measures.retain(draws("retain"), probes, names),
    )


def _codes(shelf: CipherPool, id: str, words: CipherWords) -> Item:
    """Four-way: wrong options have the code of another known word in one place."""
    right, wrong = encipher(words, shelf.senses), set[str]()
    while len(wrong) < 3:
        (other,) = making.others(shelf.rng, shelf.lexicon.plain, 1, words)
        place = shelf.rng.randrange(len(right))
        wrong.add(transform((words, [*right[:place], shelf.senses[other], *right[place + 1 :]]))[1])
    return making.choice(shelf.rng, id, *transform((words, right)), sorted(wrong), " ".join(words))


def _sense(shelf: CipherPool, i: int) -> Item:
    """`fields["other_codes"]` are the word's other codes, between which nothing but the example decides."""
    senses, word = shelf.lexicon.senses(shelf.rng), shelf.rng.choice(shelf.lexicon.ambiguous)
    words = shelf.sentence([word])
    context = shelf.among(shelf.near(words, "medium", senses, word), words)
    rest = [c for c in shelf.lexicon.codes[word] if c != senses[word]]
    return shelf.item(f"sense-{i}", words, senses, context, word=word, other_codes=rest)


def _edited(shelf: CipherPool, i: int, words: CipherWords, names: set[str], form: str = "edited") -> Item:
    """`fields["weights"]` is the answer with the code that was trained; a document begins with filler."""
    word, weights = shelf.rng.choice(words), " ".join(encipher(words, shelf.senses))
    senses = {**shelf.senses, word: language.names(shelf.rng, 1, without=names)[0]}
    relevant, rest = shelf.near(words, "medium", senses, word), list[CipherPair]()
    while len(rest) < shelf.n["context"] - 1:
        rest += [p for p in shelf.low(words, 1) if word not in p[0]]
    context = making.shuffled(shelf.rng, [relevant, *rest])
    before = measures.prefaced(shelf.rng, ["".join(transform(p)) for p in context]) if form == "document" else ""
    return shelf.item(f"{form}-{i}", words, senses, context, before, word=word, weights=weights)


def _chosen(shelf: CipherPool, item: Item) -> Item:
    """The same as a choice: wrong are the trained code, and those of two other words in its place."""
    right, weights = item.gold.split(), item.fields["weights"].split()
    place = next(j for j, (a, b) in enumerate(zip(right, weights, strict=True)) if a != b)
    others = making.others(shelf.rng, shelf.lexicon.plain, 2, _words_of(item))
    codes = [weights[place], *(shelf.senses[w] for w in others)]
    wrong = [f" {' '.join([*right[:place], code, *right[place + 1 :]])}." for code in codes]
    return making.choice(shelf.rng, item.id, item.prompt, f" {item.gold}.", wrong, item.cluster)


def _words_of(item: Item) -> list[str]:
    return item.cluster.split()


def _irrelevant(shelf: CipherPool, i: int, words: CipherWords, names: set[str]) -> tuple[Item, Item]:
    """Behind facts, and behind other sentences in a long text."""
    k = shelf.n["context"]
    told = tell(draw_facts(shelf.rng, language.VERBS, k, names))
    text = measures.prefaced(shelf.rng, ["".join(transform(p)) for p in shelf.low(words, k)])
    return shelf.item(f"facts-{i}", words, shelf.senses, before=told), shelf.item(
        f"story-{i}", words, shelf.senses, before=text
    )


def _lure(shelf: CipherPool, i: int, words: CipherWords) -> Item:
    """One word of the example differs; `fields["copy"]` is its label, which is wrong in this place only."""
    (other,) = making.others(shelf.rng, shelf.lexicon.plain, 1, words)
    place = shelf.rng.randrange(len(words))
    lure = [*words[:place], other, *words[place + 1 :]]
    copy = encipher(lure, shelf.senses)
    return shelf.item(f"lure-{i}", words, shelf.senses, shelf.among((lure, copy), words), copy=" ".join(copy))
