"""What every world asks beside its own tests: who still listens, resists and retains.

listen   the context decides: fresh facts, or trained ones edited; the weights cannot know the answer
resist   what stands in the context has nothing to do with the question; of the items that an arm answers without it,
         how many does it answer still?
retain   the language's own operations on fresh names, with nothing of the world

Each of the first two is asked in several forms, a task each, and is the mean of these. Some have the form of
what the shipped context policies train (`TRAINED_BY`); the others no shipped arm trains in any context, so that they
tell listening from one more trained form. This file has what all worlds share; listening.py and
resisting.py have the forms of facts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from contextune.core.items import Item, Task, question

from . import language
from .grammar import FILLER, SIDES, Told, draw, tell
from .making import shuffled, writing, written

HELD_OUT = 3
"""Openings that no training text uses: the last ones of a world's list."""
TRAINED_BY = {
    "listen_fresh": "counterfactual contexts",
    "listen_edited": "counterfactual contexts",
    "listen_sense": "contexts of similar examples",
    "resist_lure": "distractors",
    "resist_common": "general text",
}
"""Tasks whose form shipped arms train, and by what."""
KEPT = "kept"
"""The metric of resist tasks: still right behind the context, of those right without it."""


def listening(name: str, items: Iterable[Item], about: str, max_tokens: int = 24) -> Task:
    return writing(f"listen_{name}", items, "listen", formed(f"listen_{name}", about), max_tokens)


def resisting(name: str, items: Iterable[Item], about: str, max_tokens: int = 24, taught: bool = True) -> Task:
    """`taught`: what is asked stands in the training texts, as it should."""
    made = writing(f"resist_{name}", items, "resist", formed(f"resist_{name}", about), max_tokens, KEPT)
    return replace(made, fields={"taught": True}) if taught else made


def formed(task: str, about: str) -> str:
    """What a task is about, and who trains its form."""
    by = TRAINED_BY.get(task)
    return f"{about} (form trained by {by})" if by else f"{about} (a form that no shipped arm trains)"


def story(rng: random.Random, said: Sequence[str]) -> str:
    """Texts in their order among as many sentences of filler."""
    texts = iter(said)
    places = shuffled(rng, [True] * len(said) + [False] * len(said))
    return " ".join(next(texts) if told else f"{rng.choice(FILLER)}." for told in places)


def prefaced(rng: random.Random, shown: Sequence[str]) -> str:
    """Lines behind as many sentences of filler."""
    return "\n".join((" ".join(f"{rng.choice(FILLER)}." for _ in shown), *shown))


def common(context: Callable[[], str]) -> Task:
    """Each common fact of the tests' half, which needs no context, after one that `context` draws."""
    items = [
        written(f"common-{i}", f"{context()}\n{prompt}", answer, question(prompt, answer))
        for i, (prompt, answer) in enumerate(language.common_facts("tests"))
    ]
    return resisting("common", items, "a common fact asked for after things of the world's sort", taught=False)


def retain(rng: random.Random, n: int, taken: set[str]) -> Task:
    """The pocket model's own skills, in turn, on fresh names (`fields["skill"]` names the skill)."""
    items = []
    for i in range(n):
        skill = SKILLS[i % len(SKILLS)]
        prompt, answer = skill(rng, taken)
        items.append(written(f"{skill.__name__.lstrip('_')}-{i}", prompt, answer, skill=skill.__name__.lstrip("_")))
    return writing("retain_skills", items, "retain", "operations of the language on fresh names", 40)


def _operation(rng: random.Random, taken: Iterable[str], operation: str) -> tuple[str, str]:
    told = draw(rng, (*language.VERBS, language.LIVES, language.MEANS), 1, taken)[0]
    made = language.operate(operation, told.fact, told.side, told.variant)
    return language.instruct(told.sentence(), operation), f" {made}."


def _reversal(rng: random.Random, taken: Iterable[str]) -> tuple[str, str]:
    return _operation(rng, taken, "reversal")


def _rephrase(rng: random.Random, taken: Iterable[str]) -> tuple[str, str]:
    return _operation(rng, taken, "rephrase")


def _question(rng: random.Random, taken: Iterable[str]) -> tuple[str, str]:
    told = draw(rng, (*language.VERBS, language.LIVES, language.MEANS), 3, taken)
    asked = told[rng.randrange(3)]
    prompt, answer = Told(asked.fact, rng.choice(SIDES)).question()
    return f"{tell(told)}\n{prompt}", answer


def _conclusion(rng: random.Random, taken: Iterable[str]) -> tuple[str, str]:
    terms = language.names(rng, 3, without=taken)
    drawn = language.syllogism(terms, rng.randrange(len(language.SYLLOGISMS)))
    prompt, answer = drawn.conclude()
    return f"{' '.join(p.wording() + '.' for p in drawn.premises)}\n{prompt}", answer


def _frame(rng: random.Random, taken: Iterable[str]) -> tuple[str, str]:
    template = language.template(rng)
    values = language.names(rng, 6, without=taken)
    shown, asked = (language.transform(template.command(v), template.frame(v)) for v in (values[:3], values[3:]))
    return f"{''.join(shown)}\n{asked[0]}", asked[1]


def _common(rng: random.Random, taken: Iterable[str]) -> tuple[str, str]:
    return rng.choice(language.common_facts("tests"))


SKILLS = (_reversal, _rephrase, _question, _conclusion, _frame, _common)
