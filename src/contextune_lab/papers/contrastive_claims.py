"""The claims of the contrastive-context paper, in the form of acceptance tests, beside what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contextune.evaluate.analysis.statistics import Estimate, mean

from .claims import Claim, Verdict, verdict
from .comparison import Comparison
from .probe_scores import Probed

STRATEGIES = ("zero", "random", "similar", "contrastive")
GRADES = ("low", "medium", "high")
MAIN = (*STRATEGIES, "batch_mix")
CONTROLS = ("mixed_shot", "raft", "neighbour_only", "paraphrase_only", "self_copy")
LISTENING = {"slots": ("listen_fresh",), "cipher": ()}
"""Tasks beside the grades, by world."""


@dataclass(frozen=True)
class MeasuredArms:
    """What was run: comparisons (None: left out), probes by arm, and numbers of seeds."""

    slots: Comparison
    controls: Comparison
    cipher: Comparison | None
    settings: Comparison | None
    """Of eps and p."""
    changed: Comparison | None
    """One thing changed, one seed."""
    probes: Mapping[str, Probed]
    seeds: int
    few: int
    """Of controls and settings."""


def claims(f: MeasuredArms) -> list[Claim]:
    made = [*_grades(f.slots, "", f.seeds), *_fresh(f.slots, f.seeds)]
    made += [*_copying(f), *_listening(f), *_weights(f.probes, f.seeds)]
    made += [_batch_mix(f.slots, f.seeds, "")]
    made += [claim(f"{g}.{a}", "control", f.controls.of(a, g), f.few) for g in ("low", "high") for a in CONTROLS]
    if f.settings is not None and f.changed is not None:
        made += [_stable(f, f.settings), *_ablations(f.settings, f.few), *_ablations(f.changed, 1)]
    if f.cipher is not None:
        made += [*_grades(f.cipher, "cipher.", f.seeds), _batch_mix(f.cipher, f.seeds, "cipher.")]
    return made


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


def every(parts: Mapping[str, tuple[bool, str]]) -> tuple[bool, str]:
    """Whether all comparisons hold, and what each said."""
    return all(held for held, _ in parts.values()), "; ".join(f"{name} {how}" for name, (_, how) in parts.items())


def _grades(c: Comparison, prefix: str, seeds: int) -> list[Claim]:
    low = {a: c.of(a, "low") for a in STRATEGIES}
    high = {a: c.of(a, "high") for a in STRATEGIES}
    base, kept, reached = c.of("base", "high"), *(
        reaches(low["contrastive"], low["zero"]), reaches(high["contrastive"], high["similar"]))  # fmt: skip
    ahead = {f"over {a}": above(high["contrastive"], high[a]) for a in ("zero", "random")}
    worse, less = above(low["zero"], low["similar"]), above(high["zero"], high["random"])
    dropped = above(base, high["zero"])
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
              high["contrastive"], seeds, *every({"over similar": reached, **ahead})),
        *(claim(f"{prefix}medium.{a}", "between the two", c.of(a, "medium"), seeds) for a in STRATEGIES),
    ]  # fmt: skip


def _fresh(c: Comparison, seeds: int) -> list[Claim]:
    """A new example of what was never trained: what the paper wants in-context learning for."""
    found = {a: c.of(a, "listen_fresh") for a in ("base", *MAIN)}
    ours = found["contrastive"]
    parts = {"over similar": reaches(ours, found["similar"])}
    parts |= {f"over {a}": above(ours, found[a]) for a in ("zero", "random")}
    made = [claim(f"fresh.{a}", "a new command, shown by one example", e, seeds) for a, e in found.items()
            if a != "contrastive"]  # fmt: skip
    told = "ours: a new command, shown by one example: within a standard error of similar, above zero and random"
    return [*made, claim("fresh.contrastive", told, ours, seeds, *every(parts))]


def _copying(f: MeasuredArms) -> list[Claim]:
    last = {a: p.at("copy") for a, p in f.probes.items()}
    parts = {
        "similar less contrastive": above(last["similar"], last["contrastive"]),
        "random less contrastive": _near(last["random"], last["contrastive"]),
    }
    made = [
        claim("copy.zero", "", last["zero"], f.seeds),
        claim("copy.random", "random contexts do not teach copying", last["random"], f.seeds),
        claim("copy.similar", "similar contexts teach copying: above random", last["similar"], f.seeds,
              *above(last["similar"], last["random"])),
        claim("copy.contrastive", "far below similar and near random", last["contrastive"], f.seeds, *every(parts)),
    ]  # fmt: skip
    made += [claim(f"copy.{a}", "control", last[a], _seeds(f, a)) for a in last if a not in STRATEGIES]
    return made + [claim(f"copy.lure.{a}", "drawn to an example that only looks alike", p.at("drawn"), _seeds(f, a))
                   for a, p in f.probes.items()]  # fmt: skip


def _near(e: Estimate, other: Estimate) -> tuple[bool, str]:
    """Whether the other is at most this plus a standard error, or 0.01 where that is less."""
    difference = e - other
    return difference.value >= -max(error(difference), 0.01), f"{difference.value:+.3f} (s.e. {error(difference):.3f})"


def _seeds(f: MeasuredArms, arm: str) -> int:
    return f.few if arm in CONTROLS else f.seeds


def _listening(f: MeasuredArms) -> list[Claim]:
    last = {a: p.at("in_context") for a, p in f.probes.items()}
    first, early = (f.probes[a].at("in_context", 0) for a in ("random", "contrastive"))
    fell, kept = above(first, last["random"]), reaches(last["contrastive"], early)
    made = [
        claim("icl.random.first", "before training", first, f.seeds),
        claim("icl.random", "random contexts: the in-context score falls with training", last["random"], f.seeds,
              *fell),
        claim("icl.contrastive", "contrastive contexts: it does not fall", last["contrastive"], f.seeds, *kept),
        claim("icl.contrastive.over_random", "ours: contrastive contexts keep more of it than random ones",
              last["contrastive"] - last["random"], f.seeds, *above(last["contrastive"], last["random"])),
    ]  # fmt: skip
    told = {"zero": "no examples: it falls too"}
    others = [a for a in last if a not in ("random", "contrastive")]
    return made + [claim(f"icl.{a}", told.get(a, ""), last[a], _seeds(f, a)) for a in others]


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
    ours, theirs = (_score(c, a) for a in ("contrastive", "batch_mix"))
    better, how = above(ours, theirs)
    why = f"contrastive less batch mix, mean of the grades: {how}"
    return claim(f"{prefix}batch_mix", "mixing within a context beats mixing contexts in a batch", theirs, seeds,
                 better, why)  # fmt: skip


def _score(c: Comparison, arm: str) -> Estimate:
    return mean([c.of(arm, g) for g in GRADES])


def _stable(f: MeasuredArms, settings: Comparison) -> Claim:
    """The ranking on the mean of the grades, at four settings of eps and p."""
    rivals = max(_score(f.slots, a).value for a in ("zero", "random", "similar"))
    found = {a: _score(settings, a).value for a in settings.results["arms"]}
    won = sum(v >= rivals for v in found.values())
    told = ", ".join(f"{a} {v:.3f}" for a, v in found.items())
    return Claim("stable", "the ranking is stable in non-zero eps and p", won / len(found), None, f.few,
                 verdict(won == len(found)), f"best of zero, random, similar {rivals:.3f}; {told}")  # fmt: skip


def _ablations(c: Comparison, seeds: int) -> list[Claim]:
    about = "contrastive contexts with one thing changed: mean of the three grades"
    return [claim(f"ablation.{a}", about, _score(c, a), seeds) for a in c.results["arms"]]
