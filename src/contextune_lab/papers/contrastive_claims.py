"""The claims of the contrastive-context paper, in the form of acceptance tests, beside what came out.

Primary are two outcomes that need listening: `fresh`, a command never trained and shown once, and `icl`, the
in-context score, where an example contradicts the weights. A claim about them is made of each length of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contextune.evaluate.analysis.statistics import Estimate, mean

from .claims import Claim
from .comparison import Comparison
from .judging import Judgement, above, claim, no_more, not_worse, together
from .probe_scores import Probed

STRATEGIES = ("zero", "random", "similar", "contrastive")
GRADES = ("low", "medium", "high")
MAIN = (*STRATEGIES, "batch_mix")
CONTROLS = ("neighbour_only", "paraphrase_only")
SETTINGS: dict[str, dict[str, Any]] = {
    "contrastive": {},
    "A75": {"p": 0.75},
    "A90": {"p": 0.9},
    "B50": {"reading": "B"},
    "B75": {"reading": "B", "p": 0.75},
    "B90": {"reading": "B", "p": 0.9},
    "eps50": {"eps": 0.5},
    "all_labels": {"loss": "all"},
}
"""Contrastive contexts by reading and p (the first: A, .5), with eps .5, and with loss on the examples' answers too."""
STABLE = tuple(name for name in SETTINGS if name != "all_labels")
PRIMARY = {
    "fresh": ("fresh", "a new command, shown by one example"),
    "icl": ("in_context", "in-context score: an example contradicts the weights"),
}
"""Ids of claims: the probe's score, and what it is."""


@dataclass(frozen=True)
class MeasuredArms:
    """What was run: the main comparison, and probes by arm."""

    strategies: Comparison
    probes: Mapping[str, Probed]
    """At all seeds of an arm."""
    paired: Mapping[str, Probed]
    """Of main arms and settings, at the seeds that settings have."""
    seeds: Mapping[str, int]
    """By arm, of `probes`."""
    several: int
    """Seeds of `paired`."""
    main: tuple[str, ...] = MAIN
    """Arms that claims are made of, the first four being the strategies."""
    prefix: str = ""
    """What the names of the graded tasks begin with."""

    def at(self, arm: str, score: str, place: int = -1) -> Estimate:
        return self.probes[arm].at(score, place)

    def grade(self, arm: str, grade: str) -> Estimate:
        return self.strategies.of(arm, f"{self.prefix}{grade}")

    def has(self, score: str) -> bool:
        """Whether a probe gives it."""
        return self.probes[self.main[0]].has(score)

    @property
    def primary(self) -> dict[str, tuple[str, str]]:
        return {id: found for id, found in PRIMARY.items() if self.has(found[0])}

    @property
    def lengths(self) -> dict[int, int]:
        """Places of the looks after the first, by the updates made."""
        return {step: place for place, step in enumerate(self.probes["contrastive"].steps) if place}


def claims(f: MeasuredArms) -> list[Claim]:
    return [*_primary(f), *_falls(f), *_settings(f), *_grades(f), *_copying(f), *_weights(f), *_means(f)]


# ------------------------------------------------------------------------------------ primary outcomes


def _primary(f: MeasuredArms) -> list[Claim]:
    """Of each strategy at each length, and contrastive contexts against each at all lengths."""
    made = [claim(f"{id}.base", told, f.at("contrastive", score, 0), 1, whose="ours")
            for id, (score, told) in f.primary.items()]  # fmt: skip
    for id, (score, told) in f.primary.items():
        made += [claim(f"{id}.{a}", told, f.at(a, score), f.seeds[a], whose="ours") for a in f.probes]
        *earlier, _ = f.lengths.items()
        made += [claim(f"{id}{step}.{a}", f"{told}, after {step} updates", f.at(a, score, place), f.seeds[a],
                       whose="ours") for step, place in earlier for a in f.main]  # fmt: skip
        for rival in (a for a in ("zero", "random", "batch_mix") if a in f.main):
            made.append(_against(f, id, rival, "over", "more than", above))
        made.append(_against(f, id, "similar", "like", "as good as", not_worse))
    return made


def _against(
    f: MeasuredArms, id: str, rival: str, how: str, words: str, judge: Callable[[Estimate, Estimate], Judgement]
) -> Claim:
    score, told = PRIMARY[id]
    pairs = {step: (f.at("contrastive", score, place), f.at(rival, score, place)) for step, place in f.lengths.items()}
    judged = together({f"{step} updates": judge(ours, theirs) for step, (ours, theirs) in pairs.items()})
    ours, theirs = pairs[max(pairs)]
    about = f"{told}: contrastive {words} {rival} at every length"
    return claim(f"{id}.contrastive.{how}_{rival}", about, ours - theirs, f.seeds["contrastive"], judged, "ours")


def _falls(f: MeasuredArms) -> list[Claim]:
    """What the paper says of the in-context score over training: last against first."""
    first = {a: f.at(a, "in_context", 0) for a in ("zero", "random", "contrastive")}
    last = {a: f.at(a, "in_context") for a in first}
    told = {
        "zero": "no examples: in-context learning falls below the base model's",
        "random": "random contexts: the in-context score falls with training",
    }
    made = [claim(f"icl.{a}.falls", what, last[a] - first[a], f.seeds[a], above(first[a], last[a]))
            for a, what in told.items()]  # fmt: skip
    what, ours = "contrastive contexts: the in-context score does not fall", "contrastive"
    judged = not_worse(last[ours], first[ours])
    return [*made, claim("icl.contrastive.stays", what, last[ours] - first[ours], f.seeds[ours], judged)]


# ------------------------------------------------------------------------------------ settings


def _settings(f: MeasuredArms) -> list[Claim]:
    made = list[Claim]()
    if not f.paired.keys() & {*SETTINGS} - {"contrastive"}:
        return made
    for id, (score, told) in f.primary.items():
        last = {a: f.paired[a].at(score) for a in f.paired}
        made += [claim(f"{id}.{a}", f"{told}: contrastive contexts, {a}", last[a], f.several, whose="ours")
                 for a in SETTINGS if a != "contrastive"]  # fmt: skip
        ranked = {a: together({r: above(last[a], last[r]) for r in ("zero", "random")}) for a in STABLE}
        spread = mean([last[a] for a in STABLE]) - last["random"]
        made.append(claim(f"stable.{id}", f"{told}: above zero and random with any non-zero eps and p", spread,
                          f.several, together(ranked)))  # fmt: skip
        made.append(_change(f, id, "A90", "p90", "p .9 keeps more than p .5", True))
        made.append(_change(f, id, "B50", "reading", "reading B less reading A", None))
        made.append(_change(f, id, "all_labels", "all_labels", "loss on all answers keeps less", False))
    made += [claim(f"iwl.{a}", "", f.paired[a].at("in_weights"), f.several, whose="ours") for a in SETTINGS
             if a != "contrastive"]  # fmt: skip
    return made


def _change(f: MeasuredArms, id: str, arm: str, name: str, what: str, more: bool | None) -> Claim:
    """A setting less contrastive contexts at the same seeds, judged to be more or less (None: only measured)."""
    score, told = PRIMARY[id]
    ours, theirs = f.paired[arm].at(score), f.paired["contrastive"].at(score)
    judged = None if more is None else above(ours, theirs) if more else above(theirs, ours)
    return claim(f"{name}.{id}", f"{told}: {what}", ours - theirs, f.several, judged, "ours")


# ------------------------------------------------------------------------------------ grades, copying, weights


def _grades(f: MeasuredArms) -> list[Claim]:
    seeds = f.seeds["contrastive"]
    low, high = ({a: f.grade(a, g) for a in f.main} for g in ("low", "high"))
    base, ours = f.grade("base", "high"), high["contrastive"]
    return [
        claim("low.zero", "with irrelevant examples: what plain fine-tuning learned", low["zero"], seeds),
        claim("low.random", "random contexts: in-weights learning dominates", low["random"], seeds),
        claim("low.similar", "similar contexts learn little in the weights: below zero-context", low["similar"], seeds,
              above(low["zero"], low["similar"])),
        claim("low.contrastive", "as good as zero-context", low["contrastive"], seeds,
              not_worse(low["contrastive"], low["zero"])),
        claim("high.base", "the untrained model with a relevant example", base, seeds),
        claim("high.zero", "zero-context uses a relevant example less than the base", high["zero"], seeds,
              above(base, high["zero"])),
        claim("high.random", "random contexts below zero-context where a relevant example is there", high["random"],
              seeds, above(high["zero"], high["random"])),
        claim("high.similar", "similar contexts use a relevant example", high["similar"], seeds),
        claim("high.contrastive", "with a relevant example as good as similar contexts", ours, seeds,
              not_worse(ours, high["similar"])),
        *(claim(f"high.contrastive.over_{a}", f"with a relevant example above {a}", ours - high[a], seeds,
                above(ours, high[a])) for a in ("zero", "random")),
        *(claim(f"medium.{a}", "an example of another owner, which does not decide", f.grade(a, "medium"), seeds,
                whose="ours") for a in f.main),
        *(claim(f"{g}.batch_mix", "control", found["batch_mix"], seeds, whose="ours")
          for g, found in (("low", low), ("high", high)) if "batch_mix" in found),
    ]  # fmt: skip


def _copying(f: MeasuredArms) -> list[Claim]:
    last = {a: f.at(a, "copy") for a in f.probes}
    seeds = f.seeds["contrastive"]
    made = [
        claim("copy.zero", "", last["zero"], seeds),
        claim("copy.random", "random contexts do not teach copying", last["random"], seeds),
        claim("copy.similar", "similar contexts teach copying: above random", last["similar"], seeds,
              above(last["similar"], last["random"])),
        claim("copy.contrastive", "copies no more than random", last["contrastive"], seeds,
              no_more(last["contrastive"], last["random"])),
        claim("copy.contrastive.under_similar", "copies less than similar", last["similar"] - last["contrastive"],
              seeds, above(last["similar"], last["contrastive"])),
    ]  # fmt: skip
    made += [claim(f"copy.{a}", "control", last[a], f.seeds[a], whose="ours") for a in last if a not in STRATEGIES]
    return made + [claim(f"lure.{a}", "drawn to an example that only looks alike", f.at(a, "drawn"), f.seeds[a],
                         whose="ours") for a in f.probes if f.probes[a].has("drawn")]  # fmt: skip


def _weights(f: MeasuredArms) -> list[Claim]:
    """Similar contexts have the lowest in-weights score."""
    last = {a: f.at(a, "in_weights") for a in f.probes}
    below = {f"below {a}": above(last[a], last["similar"]) for a in STRATEGIES if a != "similar"}
    told = "similar contexts have the lowest in-weights score"
    made = [claim("iwl.similar", told, last["similar"], f.seeds["similar"], together(below))]
    return made + [claim(f"iwl.{a}", "", e, f.seeds[a], whose="paper" if a in STRATEGIES else "ours")
                   for a, e in last.items() if a != "similar"]  # fmt: skip


def _means(f: MeasuredArms) -> list[Claim]:
    """Secondary: it rises with what the weights know."""
    about = "mean of the three grades, of which one needs listening"
    return [claim(f"mean.{a}", about, mean([f.grade(a, g) for g in GRADES]), f.seeds[a], whose="ours")
            for a in f.main]  # fmt: skip
