"""The claims of the augmented fine-tuning paper, each set beside what a comparison gave."""

from __future__ import annotations

from collections.abc import Mapping

from contextune.evaluate.analysis.statistics import Estimate

from .claims import Claim, verdict
from .comparison import Comparison


def claims(found: Mapping[str, Comparison], about: Mapping[str, str], seeds: int) -> list[Claim]:
    """The paper's claims on each set, in the order of its figures."""
    made = [*_reversals(found["reversal"], about, seeds), *_descriptions(found["descriptions"], about, seeds)]
    made += [*_syllogisms(found["syllogism"], about, seeds), *_semantic(found["semantic"], seeds)]
    return made + (_public(found["public"], seeds) if "public" in found else [])


def _claim(id: str, paper: str, e: Estimate, seeds: int, holds: bool | None = None, why: str = "") -> Claim:
    interval = e.interval(0.95)
    shown = None if interval is None else (interval[0], interval[1])
    return Claim(id, paper, e.value, shown, seeds, "measured" if not why else verdict(holds), why)


def _above(e: Estimate, other: Estimate, by: float = 0.0) -> tuple[bool, str]:
    """Whether a value lies clearly above another: the interval of the difference excludes `by` and less."""
    difference = e - other
    low, high = difference.interval(0.95) or (difference.value, difference.value)
    return low > by, f"difference {difference.value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _controls(c: Comparison, about: Mapping[str, str], prefix: str, task: str, seeds: int) -> list[Claim]:
    """The arms that the paper does not have, for comparison."""
    arms = [a for a in about if a not in ("untrained", "finetuned", "augmented")]
    return [_claim(f"{prefix}.{a}", f"control: {about[a]}", c.of(a, task), seeds) for a in arms]


def _reversals(c: Comparison, about: Mapping[str, str], seeds: int) -> list[Claim]:
    forward, none = c.of("finetuned", "forward"), c.of("untrained", "reversal")
    plain, context, ours = c.of("finetuned", "reversal"), c.of("untrained", "reversal_in_context"), c.of(
        "augmented", "reversal")  # fmt: skip
    near = none.interval(0.95) or (none.value, none.value)
    better, how = _above(ours, plain)
    kept = ours.value >= context.value - 0.02
    return [
        _claim("forward.finetuned", "fine-tuning learns the facts as they are told", forward, seeds,
               forward.value >= 0.98, "at least 0.98"),
        _claim("reversal.untrained", "before training: near chance (0.5)", none, seeds, near[0] <= 0.5 <= near[1],
               "the interval holds 0.5"),
        _claim("reversal.finetuned", "plain fine-tuning does not reverse what it was told", plain, seeds,
               plain.value <= 0.55, "at most chance and 5 points"),
        _claim("reversal.in_context", "the same facts in context are reversed with ease", context, seeds,
               context.value >= 0.95, "at least 0.95"),
        _claim("reversal.augmented", "augmented fine-tuning is the strongest, at or above in-context learning", ours,
               seeds, kept and better, f"at least in-context minus 2 points; over plain: {how}"),
        *_controls(c, about, "reversal", "reversal", seeds),
    ]  # fmt: skip


def _descriptions(c: Comparison, about: Mapping[str, str], seeds: int) -> list[Claim]:
    task = "reversal_name_first"
    plain, context, ours = c.of("finetuned", task), c.of("untrained", "reversal_in_context"), c.of("augmented", task)
    better, how = _above(ours, plain)
    return [
        _claim("descriptions.forward.finetuned", "names and descriptions are learned in the order that was told",
               c.of("finetuned", "forward_name_first"), seeds),
        _claim("descriptions.reversal.untrained", "before training: near chance (0.25)", c.of("untrained", task),
               seeds),
        _claim("descriptions.reversal.finetuned", "the name from the description: near zero, below chance", plain,
               seeds,                plain.value < 0.25, "below 0.25"),
        _claim("descriptions.reversal.in_context", "near ceiling in context", context, seeds, context.value >= 0.9,
               "at least 0.9"),
        _claim("descriptions.reversal.augmented", "about as high as in context", ours, seeds,
               better and ours.value >= context.value - 0.05, f"within 5 points of in-context; over plain: {how}"),
        *_controls(c, about, "descriptions.reversal", task, seeds),
    ]  # fmt: skip


def _syllogisms(c: Comparison, about: Mapping[str, str], seeds: int) -> list[Claim]:
    task, chance = "conclusion", 1 / 6
    plain, context, ours = c.of("finetuned", task), c.of("untrained", "conclusion_in_context"), c.of("augmented", task)
    low = (plain.interval(0.95) or (plain.value, plain.value))[0]
    stronger, how = _above(context, plain)
    above, by = _above(ours, context)
    return [
        _claim("syllogism.premises.finetuned", "the premises are learned", c.of("finetuned", "premise"), seeds),
        _claim("syllogism.untrained", "before training: chance (1/6)", c.of("untrained", task), seeds),
        _claim("syllogism.finetuned", "plain fine-tuning: above chance, far from solved", plain, seeds,
               low > chance and plain.value < 0.9, "the interval lies above 1/6"),
        _claim("syllogism.in_context", "in context much stronger than plain fine-tuning", context, seeds, stronger,
               how),
        _claim("syllogism.augmented", "augmented fine-tuning above in-context learning", ours, seeds, above, by),
        *_controls(c, about, "syllogism", task, seeds),
    ]  # fmt: skip


def _semantic(c: Comparison, seeds: int) -> list[Claim]:
    ours, plain = {}, {}
    for task in ("rephrasing", "reversal", "syllogism", "holdout"):
        ours[task], plain[task] = c.of("augmented", task), c.of("finetuned", task)
    rephrased, r = _above(ours["rephrasing"], plain["rephrasing"])
    reversed_, s = _above(ours["reversal"], plain["reversal"])
    deduced, d = _above(ours["syllogism"], plain["syllogism"])
    low = (plain["reversal"].interval(0.95) or (plain["reversal"].value,))[0]
    easier, h = _above(ours["reversal"], ours["holdout"])
    return [
        _claim("semantic.rephrasing.finetuned", "what was trained is learned", plain["rephrasing"], seeds),
        _claim("semantic.rephrasing.augmented", "a gain even where nothing is reversed", ours["rephrasing"], seeds,
               rephrased, r),
        _claim("semantic.reversal.finetuned", "above chance (0.25): a coherent structure helps", plain["reversal"],
               seeds,                low > 0.25, "the interval lies above 0.25"),
        _claim("semantic.reversal.in_context", "in context: a large gain over plain",
               c.of("untrained", "reversal_in_context"), seeds,
               *_above(c.of("untrained", "reversal_in_context"), plain["reversal"])),
        _claim("semantic.reversal.augmented", "clearly above plain fine-tuning", ours["reversal"], seeds, reversed_, s),
        _claim("semantic.syllogism.finetuned", "lower than in context", plain["syllogism"], seeds),
        _claim("semantic.syllogism.augmented", "clearly above plain fine-tuning", ours["syllogism"], seeds, deduced, d),
        _claim("holdout.finetuned", "categories of which only the parent was told: hard", plain["holdout"], seeds),
        _claim("holdout.augmented", "still very hard after augmentation", ours["holdout"], seeds, easier,
               f"clearly below the augmented arm's own reversals: {h}"),
    ]  # fmt: skip


def _public(c: Comparison, seeds: int) -> list[Claim]:
    task = "reversal_name_first"
    paper = "the public names and descriptions"
    return [
        _claim("public.forward.finetuned", f"{paper}, as told", c.of("finetuned", "forward_name_first"), seeds),
        _claim("public.reversal.finetuned", f"{paper}, reversed: near zero", c.of("finetuned", task), seeds,
               c.of("finetuned", task).value < 0.25, "below 0.25"),
        _claim("public.reversal.in_context", f"{paper}, in context", c.of("untrained", "reversal_in_context"), seeds),
        _claim("public.reversal.augmented", f"{paper}, augmented", c.of("augmented", task), seeds),
    ]  # fmt: skip
