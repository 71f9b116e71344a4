"""The claims of the augmented fine-tuning paper, each set beside what a comparison gave."""

from __future__ import annotations

from collections.abc import Mapping

from .claims import Claim
from .comparison import ControlledComparison as Compared
from .judging import Judgement, above, at_least, at_most, given, near, not_worse, together
from .judging import claim as _claim

MATCHED = "augmented_tokens"
"""The control of every claim about augmentation: as many target tokens as plain fine-tuning, in as many
updates as that takes.
"""

LEARNED = 0.9
"""What counts as learned: what follows from something is claimed only where that is."""


def claims(found: Mapping[str, Compared], about: Mapping[str, str], seeds: int) -> list[Claim]:
    """The paper's claims on each set, in the order of its figures."""
    made = list[Claim]()
    for name, of in (("reversal", _reversals), ("descriptions", _descriptions), ("syllogism", _syllogisms)):
        made += of(found[name], about, seeds) if name in found else []
    for name, few in (("semantic", _semantic), ("public", _public)):
        made += few(found[name], seeds) if name in found else []
    return made


def _controls(c: Compared, about: Mapping[str, str], prefix: str, task: str, seeds: int) -> list[Claim]:
    """The arms that the paper does not have, for comparison; and whether augmentation still helps on as many tokens."""
    made = [
        _claim(f"{prefix}.{a}", f"control: {about[a]}", c.of(a, task), c.seeds_of(a), whose="ours")
        for a in c.control_arms
    ]
    return [*made, *_matched(c, prefix, task, seeds)]


def _matched(c: Compared, prefix: str, task: str, seeds: int) -> list[Claim]:
    """Empty where no arm is matched so."""
    if not c.has(MATCHED):
        return []
    ours, plain = c.of(MATCHED, task), c.of("finetuned", task)
    told = "control: with as many target tokens as plain fine-tuning, augmented is above it"
    return [_claim(f"{prefix}.{MATCHED}", told, ours, seeds, above(ours, plain), "ours")]


def _reversals(c: Compared, about: Mapping[str, str], seeds: int) -> list[Claim]:
    forward, none = c.of("finetuned", "forward"), c.of("untrained", "reversal")
    plain, context, ours = c.of("finetuned", "reversal"), c.of("untrained", "reversal_in_context"), c.of(
        "augmented", "reversal")  # fmt: skip
    learned, chance = at_least(forward, LEARNED), c.chance("reversal") or 0.0
    return [
        _claim("forward.finetuned", "fine-tuning learns the facts as they are told", forward, seeds, learned),
        _claim("reversal.untrained", f"before training: near chance ({chance:g})", none, seeds,
               near(none, chance)),
        _claim("reversal.finetuned", "plain fine-tuning does not reverse what it was told", plain, seeds,
               given(learned, "what was told", at_most(plain, chance + 0.05))),
        _claim("reversal.in_context", "the same facts in context are reversed with ease", context, seeds,
               at_least(context, 0.9)),
        _claim("reversal.augmented", "augmented fine-tuning: at or above in-context learning", ours, seeds,
               not_worse(ours, context)),
        _claim("reversal.augmented.over_plain", "augmented fine-tuning above plain", ours - plain, seeds,
               above(ours, plain)),
        *_controls(c, about, "reversal", "reversal", seeds),
    ]  # fmt: skip


def _descriptions(c: Compared, about: Mapping[str, str], seeds: int) -> list[Claim]:
    task = "reversal_name_first"
    plain, context, ours = c.of("finetuned", task), c.of("untrained", "reversal_in_context"), c.of("augmented", task)
    forward = c.of("finetuned", "forward_name_first")
    return [
        _claim("descriptions.forward.finetuned", "names and descriptions are learned in the order that was told",
               forward, seeds),
        _claim("descriptions.reversal.untrained", "before training: near chance (0.25)", c.of("untrained", task),
               seeds),
        _claim("descriptions.reversal.finetuned", "the name from the description: near zero, below chance", plain,
               seeds, at_most(plain, 0.25)),
        _claim("descriptions.reversal.in_context", "near ceiling in context", context, seeds, at_least(context, 0.9)),
        _claim("descriptions.reversal.augmented", "about as high as in context", ours, seeds,
               not_worse(ours, context, 0.05)),
        _claim("descriptions.reversal.augmented.over_plain", "augmented fine-tuning above plain", ours - plain, seeds,
               above(ours, plain)),
        *_controls(c, about, "descriptions.reversal", task, seeds),
    ]  # fmt: skip


def _syllogisms(c: Compared, about: Mapping[str, str], seeds: int) -> list[Claim]:
    """What follows from premises is claimed only where these are learned: .9 of a two-way test."""
    task, floor = "conclusion", c.floor("conclusion", 1 / 3)
    plain, context, ours = c.of("finetuned", task), c.of("untrained", "conclusion_in_context"), c.of("augmented", task)
    learned, more = at_least(c.of("finetuned", "premise"), LEARNED), at_least(c.of("augmented", "premise"), LEARNED)
    return [
        _claim("syllogism.premises.finetuned", "the premises are learned", c.of("finetuned", "premise"), seeds,
               learned),
        _claim("syllogism.untrained", f"before training: near chance ({floor:.2f})", c.of("untrained", task), seeds),
        _claim("syllogism.finetuned", f"plain fine-tuning: above the best floor ({floor:.2f}), far from solved", plain,
               seeds, given(learned, "the premises", together({"above the floor": at_least(plain, floor),
               "unsolved": at_most(plain, 0.9)}))),
        _claim("syllogism.in_context", "in context much stronger than plain fine-tuning", context, seeds,
               given(learned, "the premises", above(context, plain))),
        _claim("syllogism.augmented", "augmented fine-tuning above in-context learning", ours, seeds,
               given(more, "the premises", above(ours, context))),
        *_controls(c, about, "syllogism", task, seeds),
    ]  # fmt: skip


def _gained(c: Compared, task: str, chance: float) -> Judgement:
    """Above plain fine-tuning and above the best floor, from facts that were learned."""
    ours, plain, floor = c.of("augmented", task), c.of("finetuned", task), c.floor(task, chance)
    learned = at_least(c.of("augmented", "recall"), LEARNED)
    parts = {"above plain": above(ours, plain), f"above the best floor ({floor:.2f})": at_least(ours, floor)}
    return given(learned, "what was told", together(parts))


def _semantic(c: Compared, seeds: int) -> list[Claim]:
    ours, plain = {}, {}
    for task in ("recall", "rephrasing", "reversal", "syllogism", "holdout"):
        ours[task], plain[task] = c.of("augmented", task), c.of("finetuned", task)
    learned, context = at_least(plain["recall"], LEARNED), c.of("untrained", "reversal_in_context")
    return [
        _claim("semantic.recall.finetuned", "what was trained is learned, as it was told", plain["recall"], seeds,
               learned),
        _claim("semantic.rephrasing.finetuned", "the same in its other wording", plain["rephrasing"], seeds),
        _claim("semantic.rephrasing.augmented", "a gain even where nothing is reversed", ours["rephrasing"], seeds,
               above(ours["rephrasing"], plain["rephrasing"])),
        _claim("semantic.reversal.finetuned", "above chance (0.25): a coherent structure helps", plain["reversal"],
               seeds, at_least(plain["reversal"], c.floor("reversal", 0.25))),
        _claim("semantic.reversal.in_context", "in context: a large gain over plain", context, seeds,
               given(learned, "what was told", above(context, plain["reversal"]))),
        _claim("semantic.reversal.augmented", "clearly above plain fine-tuning", ours["reversal"], seeds,
               _gained(c, "reversal", 0.25)),
        _claim("semantic.syllogism.finetuned", "lower than in context", plain["syllogism"], seeds),
        _claim("semantic.syllogism.augmented", "clearly above plain fine-tuning", ours["syllogism"], seeds,
               _gained(c, "syllogism", 0.25)),
        _claim("holdout.finetuned", "categories of which only the parent was told: hard", plain["holdout"], seeds),
        _claim("holdout.augmented", "still very hard after augmentation: below the arm's own reversals",
               ours["holdout"], seeds, above(ours["reversal"], ours["holdout"])),
        *(m for task in ("rephrasing", "reversal", "syllogism") for m in _matched(c, f"semantic.{task}", task, seeds)),
    ]  # fmt: skip


def _public(c: Compared, seeds: int) -> list[Claim]:
    task = "reversal_name_first"
    paper = "the public names and descriptions"
    plain = c.of("finetuned", task)
    return [
        _claim("public.forward.finetuned", f"{paper}, as told", c.of("finetuned", "forward_name_first"), seeds),
        _claim("public.reversal.finetuned", f"{paper}, reversed: near zero", plain, seeds, at_most(plain, 0.25)),
        _claim("public.reversal.in_context", f"{paper}, in context", c.of("untrained", "reversal_in_context"), seeds),
        _claim("public.reversal.augmented", f"{paper}, augmented", c.of("augmented", task), seeds),
    ]  # fmt: skip
