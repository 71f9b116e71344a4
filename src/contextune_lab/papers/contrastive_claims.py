"""The claims of the contrastive-context paper, in the form of acceptance tests, beside what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from contextune.evaluate.analysis.statistics import Estimate, mean

from .claims import Claim
from .comparison import Comparison
from .judging import above, claim, not_worse, together
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
    made += [
        claim(f"{g}.{a}", "control", f.controls.of(a, g), f.few, whose="ours")
        for g in ("low", "high")
        for a in CONTROLS
    ]
    if f.settings is not None and f.changed is not None:
        made += [_stable(f, f.settings), *_ablations(f.settings, f.few), *_ablations(f.changed, 1)]
    if f.cipher is not None:
        made += [*_grades(f.cipher, "cipher.", f.seeds), _batch_mix(f.cipher, f.seeds, "cipher.")]
    return made


def _grades(c: Comparison, prefix: str, seeds: int) -> list[Claim]:
    low = {a: c.of(a, "low") for a in STRATEGIES}
    high = {a: c.of(a, "high") for a in STRATEGIES}
    base, ours = c.of("base", "high"), high["contrastive"]
    return [
        claim(f"{prefix}low.zero", "with irrelevant examples: what plain fine-tuning learned", low["zero"], seeds),
        claim(f"{prefix}low.random", "random contexts: in-weights learning dominates", low["random"], seeds),
        claim(f"{prefix}low.similar", "similar contexts learn little in the weights: below zero-context",
              low["similar"], seeds, above(low["zero"], low["similar"])),
        claim(f"{prefix}low.contrastive", "as good as zero-context", low["contrastive"], seeds,
              not_worse(low["contrastive"], low["zero"])),
        claim(f"{prefix}high.base", "the untrained model with a relevant example", base, seeds),
        claim(f"{prefix}high.zero", "zero-context loses in-context learning against the base", high["zero"], seeds,
              above(base, high["zero"])),
        claim(f"{prefix}high.random", "random contexts below zero-context where a relevant example is there",
              high["random"], seeds, above(high["zero"], high["random"])),
        claim(f"{prefix}high.similar", "similar contexts use a relevant example", high["similar"], seeds),
        claim(f"{prefix}high.contrastive", "with a relevant example as good as similar contexts", ours, seeds,
              not_worse(ours, high["similar"])),
        *(claim(f"{prefix}high.contrastive.over_{a}", f"with a relevant example above {a}", ours - high[a], seeds,
                above(ours, high[a])) for a in ("zero", "random")),
        *(claim(f"{prefix}medium.{a}", "between the two", c.of(a, "medium"), seeds) for a in STRATEGIES),
    ]  # fmt: skip


def _fresh(c: Comparison, seeds: int) -> list[Claim]:
    """A new example of what was never trained: what the paper wants in-context learning for."""
    found = {a: c.of(a, "listen_fresh") for a in ("base", *MAIN)}
    ours, told = found["contrastive"], "a new command, shown by one example"
    made = [claim(f"fresh.{a}", told, e, seeds, whose="ours") for a, e in found.items() if a != "contrastive"]
    made.append(claim("fresh.contrastive", f"{told}: as good as similar contexts", ours, seeds,
                      not_worse(ours, found["similar"]), "ours"))  # fmt: skip
    return made + [claim(f"fresh.contrastive.over_{a}", f"{told}: above {a}", ours - found[a], seeds,
                         above(ours, found[a]), "ours") for a in ("zero", "random")]  # fmt: skip


def _copying(f: MeasuredArms) -> list[Claim]:
    last = {a: p.at("copy") for a, p in f.probes.items()}
    made = [
        claim("copy.zero", "", last["zero"], f.seeds),
        claim("copy.random", "random contexts do not teach copying", last["random"], f.seeds),
        claim("copy.similar", "similar contexts teach copying: above random", last["similar"], f.seeds,
              above(last["similar"], last["random"])),
        claim("copy.contrastive", "copies no more than random", last["contrastive"], f.seeds,
              not_worse(last["random"], last["contrastive"])),
        claim("copy.contrastive.under_similar", "copies less than similar", last["similar"] - last["contrastive"],
              f.seeds, above(last["similar"], last["contrastive"])),
    ]  # fmt: skip
    made += [claim(f"copy.{a}", "control", last[a], _seeds(f, a), whose="ours") for a in last if a not in STRATEGIES]
    return made + [claim(f"copy.lure.{a}", "drawn to an example that only looks alike", p.at("drawn"), _seeds(f, a))
                   for a, p in f.probes.items()]  # fmt: skip


def _seeds(f: MeasuredArms, arm: str) -> int:
    return f.few if arm in CONTROLS else f.seeds


def _listening(f: MeasuredArms) -> list[Claim]:
    last = {a: p.at("in_context") for a, p in f.probes.items()}
    first, early = (f.probes[a].at("in_context", 0) for a in ("random", "contrastive"))
    made = [
        claim("icl.random.first", "before training", first, f.seeds),
        claim("icl.random", "random contexts: the in-context score falls with training", last["random"], f.seeds,
              above(first, last["random"])),
        claim("icl.contrastive", "contrastive contexts: it does not fall", last["contrastive"], f.seeds,
              not_worse(last["contrastive"], early)),
        claim("icl.contrastive.over_random", "ours: contrastive contexts keep more of it than random ones",
              last["contrastive"] - last["random"], f.seeds, above(last["contrastive"], last["random"]), "ours"),
    ]  # fmt: skip
    told = {"zero": "no examples: it falls too"}
    others = [a for a in last if a not in ("random", "contrastive")]
    return made + [claim(f"icl.{a}", told.get(a, ""), last[a], _seeds(f, a)) for a in others]


def _weights(probes: Mapping[str, Probed], seeds: int) -> list[Claim]:
    """Similar contexts have the lowest in-weights score."""
    last = {a: probes[a].at("in_weights") for a in STRATEGIES}
    return [
        claim(
            "iwl.similar",
            "similar contexts have the lowest in-weights score",
            last["similar"],
            seeds,
            together({f"below {a}": above(last[a], last["similar"]) for a in STRATEGIES if a != "similar"}),
        ),
        *(claim(f"iwl.{a}", "", last[a], seeds) for a in STRATEGIES if a != "similar"),
    ]


def _batch_mix(c: Comparison, seeds: int, prefix: str) -> Claim:
    """The reviewers' baseline, over all three grades."""
    ours, theirs = (_score(c, a) for a in ("contrastive", "batch_mix"))
    told = "mixing within a context beats mixing contexts in a batch, mean of the grades"
    return claim(f"{prefix}batch_mix", told, theirs, seeds, above(ours, theirs), "ours")


def _score(c: Comparison, arm: str) -> Estimate:
    return mean([c.of(arm, g) for g in GRADES])


def _stable(f: MeasuredArms, settings: Comparison) -> Claim:
    """The ranking on the mean of the grades, at four settings of eps and p."""
    best = max((_score(f.slots, a) for a in ("zero", "random", "similar")), key=lambda e: e.value)
    found = {a: _score(settings, a) for a in settings.results["arms"]}
    judged = together({a: not_worse(e, _unpaired(best, e)) for a, e in found.items()})
    return claim("stable", "the ranking is stable in non-zero eps and p", mean(list(found.values())), f.few, judged)


def _unpaired(e: Estimate, like: Estimate) -> Estimate:
    """With as many replicates as another run's: a few of either may be missing."""
    return Estimate(e.value, np.resize(e.draws, like.draws.shape), e.bounds)


def _ablations(c: Comparison, seeds: int) -> list[Claim]:
    about = "contrastive contexts with one thing changed: mean of the three grades"
    return [claim(f"ablation.{a}", about, _score(c, a), seeds, whose="ours") for a in c.results["arms"]]
