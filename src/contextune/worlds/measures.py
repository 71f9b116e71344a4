"""What every world of facts asks beside its own tests: who still listens, resists and retains.

listen   fresh facts, or trained ones edited, stand in the context; the weights cannot know the answer
resist   facts about others stand in the context; the answer must not change
retain   the language's own operations on fresh names, with nothing of the world
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from contextune.core.items import Item, Task, question

from . import language
from .grammar import SIDES, Told, draw, like, tell
from .making import shuffled, spread, writing

HELD_OUT = 3
"""Openings that no training text uses: the last ones of a world's list."""


def listen_fresh(
    rng: random.Random, relations: Sequence[language.Relation], n: int, facts: int, taken: set[str]
) -> Task:
    """Fresh facts are told; one of them is asked for from its other side."""
    items = []
    for i in range(n):
        told = draw(rng, relations, facts, taken)
        prompt, answer = told[rng.randrange(facts)].reversed.cut()
        items.append(_item(f"fresh-{i}", f"{tell(told)}\n{prompt}", answer))
    return writing("listen_fresh", items, "listen", f"{facts} fresh facts in context, one asked in reverse")


def listen_edited(rng: random.Random, trained: Sequence[Told], n: int, facts: int, taken: set[str]) -> Task:
    """Trained facts are told with a new ending each; one is asked for as it was taught.

    `fields["weights"]` is what a model says that trusts its weights.
    """
    items = []
    for i, asked in enumerate(spread(rng, trained, n)):
        firsts, used = {asked.first}, set(taken)
        rest = list[Told]()
        for told in shuffled(rng, trained):
            if len(rest) < facts - 1 and told.first not in firsts:
                rest.append(told)
                firsts.add(told.first)
        edited = []
        for told in (asked, *rest):
            edited.append(told.with_last(like(rng, told.last, used)))
            used.add(edited[-1].last)
        prompt, answer = edited[0].cut()
        context = tell(shuffled(rng, edited))
        items.append(_item(f"edited-{i}", f"{context}\n{prompt}", answer, asked.fact.key, weights=asked.last))
    return writing("listen_edited", items, "listen", f"{facts} trained facts, edited in context; the context decides")


def resist_lure(rng: random.Random, trained: Sequence[Told], n: int, facts: int, taken: set[str]) -> Task:
    """Facts about others in the same relation precede a question on a trained fact."""
    items = []
    for i, asked in enumerate(spread(rng, trained, n)):
        lures = draw(rng, [language.RELATIONS[asked.fact.relation]], facts, taken)
        lures = [Told(t.fact, asked.side, asked.variant) for t in lures]
        prompt, answer = asked.cut()
        items.append(
            _item(f"lure-{i}", f"{tell(lures)}\n{prompt}", answer, asked.fact.key, lures=[t.last for t in lures])
        )
    return writing("resist_lure", items, "resist", f"a trained fact asked for after {facts} facts about others")


def resist_common(rng: random.Random, relations: Sequence[language.Relation], facts: int, taken: set[str]) -> Task:
    """Common facts after fresh facts of the world's sort, which have nothing to do with them."""
    return common(lambda: tell(draw(rng, relations, facts, taken)))


def common(context: Callable[[], str]) -> Task:
    """Each common fact, which needs no context, after one that `context` draws."""
    items = [
        _item(f"common-{i}", f"{context()}\n{prompt}", answer, question(prompt, answer))
        for i, (prompt, answer) in enumerate(language.common_facts())
    ]
    return writing("resist_common", items, "resist", "a common fact asked for after things of the world's sort")


def retain(rng: random.Random, n: int, taken: set[str]) -> Task:
    """The pocket model's own skills, in turn, on fresh names (`fields["skill"]` names the skill)."""
    items = []
    for i in range(n):
        skill = SKILLS[i % len(SKILLS)]
        prompt, answer = skill(rng, taken)
        items.append(_item(f"{skill.__name__.lstrip('_')}-{i}", prompt, answer, skill=skill.__name__.lstrip("_")))
    return writing("retain_skills", items, "retain", "operations of the language on fresh names", 40)


def _item(id: str, prompt: str, answer: str, cluster: str = "", **fields: object) -> Item:
    return Item(id, prompt, answer.strip().removesuffix("."), (), fields, cluster=cluster)


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
    return rng.choice(language.common_facts())


SKILLS = (_reversal, _rephrase, _question, _conclusion, _frame, _common)
