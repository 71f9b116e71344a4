"""What the pocket model can do, measured on reserved names, which it has never seen.

Every skill is a writer of (prompt, answer); item i has 1 + i % 8 facts in its context. An item counts
where greedy decoding gives the answer and then the end of the text, token for token.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from contextune.core.sequence import DrawKey

from .. import language
from . import corpus
from .corpus import SIDES, PocketDocument, Query

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Skill = Callable[[random.Random, int], Query]


def _told(rng: random.Random, n: int) -> tuple[str, list[language.Fact], list[tuple[str, int]]]:
    """A context of n facts on fresh names, and the side and variant that each was told in."""
    facts, page = corpus.draw_facts(rng, n, test=True), PocketDocument()
    used = corpus.tell_facts(rng, facts, page)
    return page.text + "\n", facts, used


def recall(rng: random.Random, n: int) -> Query:
    """A statement of the context, cut short."""
    context, facts, used = _told(rng, n)
    prompt, answer = facts[0].cut(*used[0])
    return context + prompt, answer


def reversal(rng: random.Random, n: int) -> Query:
    """A statement of the context from its other side, cut short."""
    context, facts, used = _told(rng, n)
    side = SIDES[1 - SIDES.index(used[0][0])]
    prompt, answer = facts[0].cut(side, rng.randrange(2))
    return context + prompt, answer


def rephrase(rng: random.Random, n: int) -> Query:
    """A statement of the context in its other wording, cut short."""
    context, facts, used = _told(rng, n)
    prompt, answer = facts[0].cut(used[0][0], 1 - used[0][1])
    return context + prompt, answer


def question(rng: random.Random, n: int) -> Query:
    """Any question about one of the facts."""
    context, facts, _ = _told(rng, n)
    prompt, answer = facts[0].question(rng.choice("ab"), rng.randrange(2))
    return context + prompt, answer


def yes_no(rng: random.Random, n: int) -> Query:
    """Whether a statement is true: in any wording, with sides exchanged, or with another name."""
    context, facts, _ = _told(rng, n)
    prompt, answer = corpus.check(rng, facts, 0)
    return context + prompt, answer


def _instructed(operation: str) -> Skill:
    def skill(rng: random.Random, n: int) -> Query:
        context, facts, _ = _told(rng, n)
        side, variant = rng.choice(SIDES), rng.randrange(2)
        text = language.instruct(language.sentence(facts[0].wording(side, variant)), operation)
        return context + text, f" {language.operate(operation, facts[0], side, variant)}."

    skill.__doc__ = f"The whole sentence that '{operation}:' asks for, after a context of facts."
    return skill


def _premises(rng: random.Random, n: int) -> tuple[str, language.Syllogism]:
    count = max(1, n // 2)
    terms = language.names(rng, 3 * count)
    forms = [rng.randrange(len(language.SYLLOGISMS)) for _ in range(count)]
    drawn = [language.syllogism(terms[3 * i : 3 * i + 3], form) for i, form in enumerate(forms)]
    premises = [p for s in drawn for p in s.premises]
    rng.shuffle(premises)
    return " ".join(f"{p.wording()}." for p in premises) + "\n", drawn[0]


def syllogism(rng: random.Random, n: int) -> Query:
    """What follows (all, some or no) from two of up to eight premises."""
    context, drawn = _premises(rng, n)
    prompt, answer = drawn.conclude()
    return context + prompt, answer


def syllogism_yes_no(rng: random.Random, n: int) -> Query:
    """Whether a conclusion follows: the right one, or one with a quantifier that contradicts it."""
    context, drawn = _premises(rng, n)
    c = drawn.conclusion
    wrong = {"all": "no", "no": rng.choice(("all", "some")), "some": "no"}[c.relation]
    true = rng.random() < 0.5
    prompt, answer = language.verify(language.Fact(c.relation if true else wrong, c.a, c.b).wording(), true)
    return context + prompt, answer


def slots(rng: random.Random, n: int) -> Query:
    """A frame in the order that the one example of its template shows, among up to four examples."""
    count = max(1, n // 2)
    templates = [language.template(rng, rng.choice((2, 3, 4)), v) for v in rng.sample(language.COMMANDS, count)]
    values = [language.names(rng, len(t.order)) for t in templates]
    shown = ["".join(language.transform(t.command(v), t.frame(v))) for t, v in zip(templates, values, strict=True)]
    asked = rng.choice(templates)
    fresh = language.names(rng, len(asked.order))
    prompt, answer = language.transform(asked.command(fresh), asked.frame(fresh))
    return "\n".join([*shown, prompt]), answer


def resist(rng: random.Random, n: int) -> Query:
    """A question that needs no context, after facts about other things (lures)."""
    prompt, answer = rng.choice(language.common_facts())
    return _told(rng, n)[0] + prompt, answer


def common(rng: random.Random, n: int) -> Query:
    """A question that needs no context, alone."""
    return rng.choice(language.common_facts())


SKILLS: dict[str, Skill] = {
    "recall": recall,
    "reversal": reversal,
    "rephrase": rephrase,
    "question": question,
    "yes_no": yes_no,
    "reversal_instructed": _instructed("reversal"),
    "rephrase_instructed": _instructed("rephrase"),
    "copy_instructed": _instructed("copy"),
    "syllogism": syllogism,
    "syllogism_yes_no": syllogism_yes_no,
    "slots": slots,
    "common": common,
    "resist": resist,
}


def items(skill: str, seed: int, n: int) -> list[Query]:
    """n prompts and answers of a skill, pure in (skill, seed)."""
    return [SKILLS[skill](DrawKey(seed, 0).rng("skill", skill, i), 1 + i % 8) for i in range(n)]


def right(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, queries: list[Query]) -> list[bool]:
    """For each query, whether greedy decoding gives the answer and then the end of the text."""
    import torch

    verdicts = []
    for start in range(0, len(queries), 64):
        rows, cuts = [], []
        for prompt, answer in queries[start : start + 64]:
            ids = list(tokenizer(prompt).input_ids)
            cuts.append(len(ids))
            rows.append([*ids, *tokenizer.encode(answer, add_special_tokens=False), tokenizer.eos_token_id])
        longest = max(map(len, rows))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        with torch.no_grad():  # padding stands on the right, where causal attention cannot see it
            best = model(input_ids=padded).logits.argmax(-1).tolist()
        verdicts += [b[cut - 1 : len(r) - 1] == r[cut:] for b, r, cut in zip(best, rows, cuts, strict=True)]
    return verdicts


def knowledge(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, seed: int, n: int) -> float:
    """How often the right one of four names is the likeliest end of a statement on reserved names, without context.

    The chance level is 0.25, and so should the model be.
    """
    import torch

    hits = 0
    for i in range(n):
        rng = DrawKey(seed, 0).rng("knowledge", i)
        fact = language.fact(rng, rng.choice(language.VERBS + language.COMPARATIVES))
        prompt, answer = fact.cut(rng.choice(SIDES))
        options = [answer, *(f" {name}." for name in language.names(rng, 3, without={fact.a, fact.b}))]
        begun = list(tokenizer(prompt).input_ids)
        ids = torch.tensor([begun + tokenizer.encode(o, add_special_tokens=False) for o in options])
        with torch.no_grad():
            logs = model(input_ids=ids).logits[:, :-1].log_softmax(-1)
        scores = logs.gather(-1, ids[:, 1:, None])[:, len(begun) - 1 :, 0].sum(-1)
        hits += int(scores.argmax()) == 0
    return hits / n


def skills(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, seed: int = 0, n: int = 64) -> dict[str, float]:
    """Share of n fresh items right for every skill, and `knowledge` of test entities (chance: 0.25)."""
    measured = {name: sum(right(model, tokenizer, items(name, seed, n))) / n for name in SKILLS}
    return {**measured, "knowledge": knowledge(model, tokenizer, seed, n)}
