"""The claims of the contextual fine-tuning paper, each set beside what the study gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from contextune.evaluate.analysis.statistics import Estimate, mean

from .cft_search import Setting
from .claims import Claim
from .comparison import Comparison
from .curves import Curves, pace, point
from .figures import BarValue
from .judging import above, claim

TEST = "closed_book"
"""What claims are decided by. Answers written freely stay near zero with the pocket model, whatever it reads, and are
not asked for.
"""
TESTS = {
    TEST: "asked, four answers",
    "recall_written": "as told, written",
    "reversal": "asked the other way",
}
PRICE = {"listen_text": "listen", "resist_common": "resist", "retain_skills": "retain"}
"""One task of each measure that learning may cost."""
ON = "prompted"
"""What the name of a task ends with that is asked after a learning prompt."""


@dataclass(frozen=True)
class MeasuredCft:
    """The judged run, the curves of its document arms, and their settings, which another draw gave."""

    run: Comparison
    curves: Curves | None
    """None where all arms have one setting that was found before: no arm is asked on the way."""
    settings: Mapping[str, Setting]
    about: Mapping[str, str]
    test: str = TEST
    """What claims are decided by."""
    tests: Mapping[str, str] = field(default_factory=lambda: TESTS)
    """With `test`, by name: what is asked."""
    price: Mapping[str, str] = field(default_factory=lambda: PRICE)
    prompted: bool = True
    """Whether `test` is asked after a learning prompt too."""

    def own(self, arm: str) -> Estimate:
        """Share of `test` right at the arm's own best rate and length; of other arms, as they ended."""
        if self.curves is not None and arm in self.settings:
            return self.curves.at(arm, self.settings[arm].steps)
        return self.run.of(arm, self.test)

    def value(self, arm: str) -> BarValue:
        e = self.own(arm)
        _, value, low, high = point(0, e)
        return value, None if not e.draws.size else (low, high)


def claims(m: MeasuredCft, seeds: int) -> list[Claim]:
    c = m.run
    made = [claim(f"{m.test}.{a}", f"{m.tests[m.test]}: {m.about[a]}", m.own(a), seeds) for a in c.results["arms"]]
    for test in (t for t in m.tests if t != m.test):
        made += [
            claim(f"{test}.{a}", f"{m.tests[test]}: {m.about[a]}", c.of(a, test), seeds) for a in c.results["arms"]
        ]
    return [*_paper(m, seeds), *_along(m, seeds), *_prompted(m, seeds), *made]


def _difference(
    id: str, paper: str, m: MeasuredCft, arm: str, other: str, seeds: int, theirs: float | None = None
) -> Claim:
    """Each arm at its own best rate and length.

    Not testable where the interval holds zero and the paper's own figure alike: then it tells nothing of either.
    """
    one, two = m.own(arm), m.own(other)
    made = claim(id, paper, one - two, seeds, above(one, two), "ours" if theirs is None else "paper")
    at = "each at its own best rate and length" if m.curves else "at one rate and length"
    why = f"{arm} less {other} on {m.test}, {at}, {made.why}"
    if made.verdict == "not shown" and theirs is not None and made.interval and made.interval[1] >= theirs:
        return replace(
            made, verdict="not testable", why=f"{why} holds zero and the paper's figure alike", theirs=theirs
        )
    return replace(made, why=why, theirs=theirs)


def _along(m: MeasuredCft, seeds: int) -> list[Claim]:
    """At equal updates: what is seen over the whole curve, and at its end."""
    made = list[Claim]()
    if m.curves is None:
        return made
    for arm in (a for a in m.settings if a not in ("cpt", "reading")):
        apart = m.curves.apart(arm, "cpt")
        seen = f"{arm} {pace(apart)}: " + ", ".join(f"{e.value:+.3f} at {step}" for step, e in apart)
        told = f"beside CPT at equal updates, each at its own best rate: {m.about[arm]}"
        ours = [claim(f"pace.{arm}", f"{told}; the mean over the curve", mean([e for _, e in apart]), seeds),
                claim(f"longest.{arm}", f"{told}; after the longest training", apart[-1][1], seeds)]  # fmt: skip
        made += [replace(c, why=seen, whose="ours") for c in ours]
    return made


def _paper(m: MeasuredCft, seeds: int) -> list[Claim]:
    """Differences, in the paper's order; figures in brackets are its own, in points of accuracy."""
    pairs = [
        ("cft_over_cpt", "CFT over CPT (medical +1.85 at 7 B, +2.25 at 13 B; financial +4.32, +3.0)", "cft", "cpt",
         0.0185),
        ("cft_over_negative", "learning prompts over negative ones (+2.57 at 7 B, +1.36 at 13 B)", "cft", "negative",
         0.0257),
        ("cft_over_neutral", "the prompt's content counts: over a neutral prompt (not in the paper)", "cft", "neutral",
         None),
        ("cft_over_random", "the prompt's content counts: over random tokens (not in the paper)", "cft",
         "random_tokens", None),
        ("cft_over_reading", "CFT over reading-comprehension rewriting (+4.89 at 7 B)", "cft", "reading", 0.0489),
        ("cft_ift_over_cpt_ift", "with instruction tuning after it: CFT over CPT (+1.04 at 7 B base)", "cft_ift",
         "cpt_ift", 0.0104),
        ("cpt_ift_over_ift", "reading the documents helps at all", "cpt_ift", "ift", None),
    ]  # fmt: skip
    there = m.run.results["arms"]
    made = [_difference(id, paper, m, a, b, seeds, theirs) for id, paper, a, b, theirs in pairs if {a, b} <= {*there}]
    if m.curves is None:
        return made
    if "generated" in there:
        paper = "prompts written for each text over fixed ones (-1.50 at 7 B chat)"
        return [*made, _difference("generated_over_cft", paper, m, "generated", "cft", seeds)]
    paper = "prompts written for each text over CPT (+0.35 at 7 B chat)"
    why = "the pocket model cannot write a prompt; give another with --model"
    return [
        *made,
        Claim("generated_over_cpt", paper, None, None, 0, "not testable", why),
        Claim(f"{TEST}.generated", f"{TESTS[TEST]}: {m.about['generated']}", None, None, 0, "not testable", why),
    ]


def _prompted(m: MeasuredCft, seeds: int) -> list[Claim]:
    """Prompts on at test time, after the longest training: the paper does not say that they are; its synthetic study
    has them on.
    """
    c = m.run
    if not m.prompted:
        return []
    on = f"{TEST}.{ON}"
    made = [claim(f"on.{a}", f"asked after a learning prompt: {m.about[a]}", c.of(a, on), seeds)
            for a in c.results["arms"]]  # fmt: skip
    return [claim("cft_waits_for_its_prompt", "what CFT learned is told better behind a prompt (not in the paper)",
                  c.of("cft", on) - c.of("cft", TEST), seeds,
                  above(c.of("cft", on), c.of("cft", TEST)), "ours"), *made]  # fmt: skip
