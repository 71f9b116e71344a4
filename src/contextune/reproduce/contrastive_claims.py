"""The claims of the contrastive-context paper, in the form of acceptance tests, beside what came out."""

from __future__ import annotations

from collections.abc import Mapping

from ..evaluate.statistics import Estimate, mean
from .claims import Claim, Verdict, verdict
from .probed import Probed
from .running import Comparison

STRATEGIES = ("zero", "random", "similar", "contrastive")
GRADES = ("low", "medium", "high")


def claims(
    slots: Comparison, cipher: Comparison, changed: Comparison | None, probes: Mapping[str, Probed], seeds: int
) -> list[Claim]:
    made = [c for name, on in (("", slots), ("cipher.", cipher)) for c in _grades(on, name, seeds)]
    made += [*_copying(probes, seeds), *_listening(probes, seeds), *_weights(probes, seeds)]
    made += [_batch_mix(slots, seeds, ""), _batch_mix(cipher, seeds, "cipher.")]
    return made + ([_stable(changed)] if changed is not None else [])


def claim(id: str, paper: str, e: Estimate, seeds: int, holds: bool | None = None, why: str = "") -> Claim:
    interval = e.interval(0.95)
    said: Verdict = verdict(holds) if why else "measured"
    return Claim(id, paper, e.value, None if interval is None else (interval[0], interval[1]), seeds, said, why)


def error(e: Estimate) -> float:
    """Standard error, of the bootstrap's replicates."""
    return float(e.draws.std()) if e.draws.size else 0.0


def reaches(e: Estimate, other: Estimate) -> tuple[bool, str]:
    """Whether a value is at least another less one standard error of their difference."""
    difference = e - other
    return difference.value >= -error(difference), f"{difference.value:+.3f} (s.e. {error(difference):.3f})"


def above(e: Estimate, other: Estimate) -> tuple[bool, str]:
    """Whether the interval of the difference lies above zero."""
    difference = e - other
    low, high = difference.interval(0.95) or (difference.value, difference.value)
    return low > 0, f"{difference.value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _grades(c: Comparison, prefix: str, seeds: int) -> list[Claim]:
    low = {a: c.of(a, "low") for a in STRATEGIES}
    high = {a: c.of(a, "high") for a in STRATEGIES}
    base, kept, reached = c.of("base", "high"), *(
        reaches(low["contrastive"], low["zero"]), reaches(high["contrastive"], high["similar"]))  # fmt: skip
    ahead = {a: above(high["contrastive"], high[a]) for a in ("zero", "random")}
    worse, less = above(low["zero"], low["similar"]), above(high["zero"], high["random"])
    dropped = above(base, high["zero"])
    every = reached[0] and all(found for found, _ in ahead.values())
    told = f"over similar {reached[1]}; " + "; ".join(f"over {a} {how}" for a, (_, how) in ahead.items())
    return [
        claim(f"{prefix}low.zero", "with irrelevant examples: what plain fine-tuning learned", low["zero"], seeds),
        claim(f"{prefix}low.random", "random contexts: in-weights learning dominates", low["random"], seeds),
        claim(f"{prefix}low.similar", "similar contexts learn little in the weights: below zero-context",
              low["similar"], seeds, *worse),
        claim(f"{prefix}low.contrastive", "as good as zero-context, within a standard error", low["contrastive"], seeds,
              *kept),
        claim(f"{prefix}high.base", "the untrained model with a relevant example", base, seeds),
        claim(f"{prefix}high.zero", "zero-context loses in-context learning against the base", high["zero"], seeds,
              *dropped),
        claim(f"{prefix}high.random", "random contexts below zero-context where a relevant example is there",
              high["random"], seeds, *less),
        claim(f"{prefix}high.similar", "similar contexts use a relevant example", high["similar"], seeds),
        claim(f"{prefix}high.contrastive", "within a standard error of similar, above zero and random",
              high["contrastive"], seeds, every, told),
        *(claim(f"{prefix}medium.{a}", "between the two", c.of(a, "medium"), seeds) for a in STRATEGIES),
    ]  # fmt: skip


def _copying(probes: Mapping[str, Probed], seeds: int) -> list[Claim]:
    last = {a: probes[a].at("lured") for a in probes}
    less, near = above(last["similar"], last["contrastive"]), reaches(last["random"], last["contrastive"])
    more = above(last["similar"], last["random"])
    made = [
        claim("copy.zero", "", last["zero"], seeds),
        claim("copy.random", "random contexts do not teach copying", last["random"], seeds),
        claim("copy.similar", "similar contexts teach copying: above random", last["similar"], seeds, *more),
        claim("copy.contrastive", "far below similar and near random", last["contrastive"], seeds, less[0] and near[0],
              f"similar less contrastive {less[1]}; random less contrastive {near[1]}"),
    ]  # fmt: skip
    return made + [claim(f"copy.{a}", "control", last[a], seeds) for a in probes if a not in STRATEGIES]


def _listening(probes: Mapping[str, Probed], seeds: int) -> list[Claim]:
    last = {a: probes[a].at("in_context") for a in probes}
    first, early = probes["random"].at("in_context", 0), probes["contrastive"].at("in_context", 0)
    fell, kept = above(first, last["random"]), reaches(last["contrastive"], early)
    made = [
        claim("icl.random.first", "before training", first, seeds),
        claim("icl.random", "random contexts: the in-context score falls with training", last["random"], seeds, *fell),
        claim("icl.contrastive", "contrastive contexts: it does not fall", last["contrastive"], seeds, *kept),
    ]
    return made + [claim(f"icl.{a}", "", last[a], seeds) for a in probes if a not in ("random", "contrastive")]


def _weights(probes: Mapping[str, Probed], seeds: int) -> list[Claim]:
    """Similar contexts have the lowest in-weights score."""
    last = {a: probes[a].at("in_weights") for a in STRATEGIES}
    lowest = above(last["contrastive"], last["similar"])
    return [
        claim("iwl.similar", "similar contexts have the lowest in-weights score", last["similar"], seeds, *lowest),
        *(claim(f"iwl.{a}", "", last[a], seeds) for a in STRATEGIES if a != "similar"),
    ]


def _batch_mix(c: Comparison, seeds: int, prefix: str) -> Claim:
    """The reviewers' baseline, over all three grades."""
    ours, theirs = (mean([c.of(a, g) for g in GRADES]) for a in ("contrastive", "batch_mix"))
    better, how = above(ours, theirs)
    why = f"contrastive less batch mix, mean of the grades: {how}"
    return claim(f"{prefix}batch_mix", "mixing within a context beats mixing contexts in a batch", theirs, seeds,
                 better, why)  # fmt: skip


def _stable(c: Comparison) -> Claim:
    """The ranking on the mean of the grades, at four settings of eps and p."""
    score = {a: mean([c.of(a, g) for g in GRADES]).value for a in c.results["arms"]}
    rivals = max(score[a] for a in ("zero", "random", "similar"))
    settings = {a: v for a, v in score.items() if a.startswith("eps") and "_p" in a}
    won = sum(v >= rivals for v in settings.values())
    told = ", ".join(f"{a} {v:.3f}" for a, v in settings.items())
    return Claim("stable", "the ranking is stable in non-zero eps and p", won / len(settings), None, 2,
                 verdict(won == len(settings)), f"best rival {rivals:.3f}; {told}")  # fmt: skip
