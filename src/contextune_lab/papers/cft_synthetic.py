"""In-context regression after contextual fine-tuning: the paper's two panels, and the controls that they lacked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import stdev
from typing import TYPE_CHECKING

from .claims import TESTED, Claim, Figure, Study, StudyOptions, Verdict, register

if TYPE_CHECKING:
    from contextune.core.progress import Reporter

    from ..mechanism.regression.results import Results, SeedValue

SOURCE = "Choi et al., Teaching LLMs How to Learn with Contextual Fine-Tuning, arXiv 2503.09032"
PAPER_ARMS = ("cft", "cpt", "neg")
CLASSES = "polynomial,linear,relu"
ROUNDED = {"tiny": 2}
"""Seeds that are repeated under another rounding, by scale."""

RELEASED: dict[tuple[str, str], dict[str, float]] = {
    ("polynomial", "alignment"): {"cft": 0.98, "cpt": 0.32, "neg": 0.18},
    ("linear", "alignment"): {"cft": 0.97, "cpt": 0.92, "neg": 0.03},
    ("polynomial", "error0"): {"cft": 0.33 / 940, "cpt": 1110 / 940, "neg": 898 / 940},
    ("linear", "error0"): {"cft": 20.8 / 40, "cpt": 40.8 / 40, "neg": 40.8 / 40},
    ("relu", "error0"): {"cft": 0.0, "cpt": 6.97 / 6.9},
    ("polynomial", "error-all"): {"cft": 0.63 / 940, "cpt": 771 / 940, "neg": 912 / 940},
    ("linear", "error-all"): {"cft": 0.03 / 40, "cpt": 0.02 / 40, "neg": 0.25 / 40},
    ("relu", "error-all"): {"cft": 0.0, "cpt": 0.30 / 6.9},
}
"""The authors' metrics files, single runs at d = 20; errors over the variance of g (940, 40 and 6.9)."""

SAYS = {
    ("alignment", "cft"): "A prefix of f aligns the input gradient with the true gradient of g, above CPT and NEG-CFT",
    ("alignment", "cpt"): "Without a prefix the gradient stays less aligned than with it",
    ("alignment", "neg"): "A prefix of noise does not align the gradient as f does",
    ("error0", "cft"): "With the prefix of f, g is predicted better before any example of it",
    ("error0", "cpt"): "Without a prefix nothing is known before the first example",
    ("error0", "neg"): "A prefix of noise does not help before the first example",
    ("error-all", "cft"): "With the prefix of f the error stays below the others' to the last example",
    ("error-all", "cpt"): "Without a prefix the error stays above that of CFT to the last example",
    ("error-all", "neg"): "With noise the error stays above that of CFT to the last example",
}


@register("cft-synthetic")
def cft_synthetic(wanted: StudyOptions, reporter: Reporter) -> Study:
    from ..mechanism.regression import study
    from ..mechanism.regression.arms import ARMS
    from ..mechanism.regression.presets import preset
    from ..mechanism.regression.results import Results

    chosen, workers = _options(wanted)
    arms = {c: tuple(ARMS) if c in ("polynomial", "linear") else PAPER_ARMS for c in chosen}
    again = wanted.seeds[: ROUNDED.get(wanted.scale, 0)]
    plan = study.StudyPlan(preset(wanted.scale), arms, wanted.seeds, wanted.out, again)
    study.run_all(plan, reporter, workers)
    results = Results(plan)
    return Study(
        name="cft-synthetic",
        title="What a contextual prefix does to in-context regression",
        source=SOURCE,
        claims=tuple(claims(results)),
        figures=tuple(pictures(results)),
        notes=tuple(notes(results)),
        folders=(str(wanted.out),),
        seconds=study.spent(wanted.out),
    )


def _options(wanted: StudyOptions) -> tuple[list[str], int]:
    """Classes of functions (names with commas, or a list) and worker processes. Raises UserError."""
    wanted.only("cft-synthetic", "classes", "workers")
    given = wanted.options.get("classes")
    chosen = given if isinstance(given, list) else wanted.text("classes", CLASSES).split(",")
    workers = wanted.whole("workers", 0, 0)
    return [str(c).strip() for c in chosen], workers or min(2, os.cpu_count() or 1)


def claims(results: Results) -> Iterator[Claim]:
    for target, arms in results.plan.targets.items():
        for measure, value in _measures(results, target).items():
            for arm in arms:
                yield _claim(results, target, measure, arm, value)
        for arm in (a for a in arms if a not in ("cpt", "cpt-positions", "cpt-scaled")):
            yield from _without(results, target, arm)
        yield _through(results, target)
        if len(arms) > len(PAPER_ARMS):
            yield from survivors(results, target)
        yield from _rounding(results, target)


def _rounding(results: Results, target: str) -> Iterator[Claim]:
    """How far a figure moves where nothing but the order of the sums in a batch is another, from pretraining on: as it
    would on another machine.
    """
    from ..mechanism.regression.results import SeedValue

    for arm in PAPER_ARMS:
        first, again = (results.rounded(target, arm, rounding) for rounding in (0, 1))
        if first is None or again is None:
            continue
        moved = SeedValue(tuple(abs(v) for v in (again - first).by_seed), first.bases)
        pairs = ", ".join(f"{a:.3f} and {b:.3f}" for a, b in zip(first.by_seed, again.by_seed, strict=True))
        spread = stdev(every) if len(every := results.alignment(target, arm).by_seed) > 1 else 0.0
        why = f"of {len(first.by_seed)} seeds: {pairs}; the standard deviation over all seeds is {spread:.3f}"
        says = f"Not in the paper: how far rounding alone moves the alignment of {arm.upper()}."
        made = _made(f"{target}.alignment.{arm}.rounding", says, moved, "measured", why)
        yield replace(made, interval=None, whose="ours")


def _measures(results: Results, target: str) -> dict[str, Callable[[str], SeedValue]]:
    return {
        "alignment": lambda arm: results.alignment(target, arm),
        "error0": lambda arm: results.error(target, arm, 0),
        "error-all": lambda arm: results.error(target, arm, -1),
    }


def _claim(results: Results, target: str, measure: str, arm: str, value: Callable[[str], SeedValue]) -> Claim:
    """What the paper says of its arms is a comparison with CFT, made once: in the row of the other arm. A control is
    set beside CFT too, and claims nothing.
    """
    found = value(arm)
    better = 1 if measure == "alignment" else -1
    if arm not in PAPER_ARMS:
        about = _about(arm)
        difference = value("cft") - found
        return _made(f"{target}.{measure}.{arm}", f"Control, not in the paper. Prefix: {about}", found, "measured",
                     f"CFT minus this arm: {_printed(difference)}")  # fmt: skip
    theirs = RELEASED.get((target, measure), {}).get(arm)
    id, says = f"{target}.{measure}.{arm}", f"{SAYS[measure, arm]}."
    if arm == "cft":
        return _made(id, says, found, "measured", "compared in the rows of cpt and neg", theirs)
    ahead = value("cft") - found
    return _made(id, says, found, _decided(ahead, better), f"cft − {arm}: {_printed(ahead)}", theirs)


def _decided(difference: SeedValue, better: int) -> Verdict:
    """By the interval of a difference that should have the sign `better`; one that holds zero shows nothing."""
    sign = difference.sign * better
    return "holds" if sign > 0 else "fails" if sign < 0 else "not shown"


def _without(results: Results, target: str, arm: str) -> Iterator[Claim]:
    """Never tested in the paper: the trained model without its prefix."""
    for measure, found in (
        ("alignment", results.alignment(target, arm, "without")),
        ("error0", results.error(target, arm, 0, prefixed=False)),
        ("error-all", results.error(target, arm, -1, prefixed=False)),
    ):
        yield _made(f"{target}.{measure}.{arm}.off", "Not in the paper: the prefix taken away at test time.", found,
                    "measured", "")  # fmt: skip


def _through(results: Results, target: str) -> Claim:
    """Held fixed, a value that is read off the prefix hides its gradient from the paper's measure."""
    found = results.alignment(target, "cft", "through")
    hidden = found - results.alignment(target, "cft")
    return _made(
        f"{target}.alignment.cft.through",
        "Not in the paper: CFT's alignment where f(x) in the prefix moves with x.",
        found,
        "measured",
        f"more than with the values held fixed by {_printed(hidden)}: this much is read off the prefix",
    )


CONTROLS = {
    "positions": ("CFT beats CPT also where CPT stands at pretrained positions", "cft", "cpt-positions"),
    "scale": ("CFT beats CPT also where positions are pretrained and g is scaled", "cft-scaled", "cpt-scaled"),
    "noise": ("f in the prefix does more than noise of its variance", "cft", "matched-noise"),
    "function": ("the right f does more than another linear function", "cft", "other-function"),
    "order": ("f does more than its values in another order", "cft", "shuffled"),
    "information": ("f at other points beats CPT too, so that the gain is more than f given away", "other-points",
                    "cpt-positions"),
}  # fmt: skip


def survivors(results: Results, target: str) -> Iterator[Claim]:
    """Does the paper's difference stay when one thing is fixed? Measured: the first arm minus the second."""
    for name, (says, first, second) in CONTROLS.items():
        gain = results.alignment(target, first) - results.alignment(target, second)
        before = results.error(target, first, 0) - results.error(target, second, 0)
        yield from _control(target, name, says, f"{first} − {second}", gain, before, "error0")
    yield from _control(
        target,
        "removed",
        "what CFT learned stays when the prefix is taken away, as is claimed of language models",
        "cft without prefix − cpt",
        results.alignment(target, "cft", "without") - results.alignment(target, "cpt"),
        results.error(target, "cft", -1, prefixed=False) - results.error(target, "cpt", -1),
        "error-all",
    )


def _control(
    target: str, name: str, says: str, between: str, gain: SeedValue, less: SeedValue, error: str
) -> Iterator[Claim]:
    for measure, found, better in (("alignment", gain, 1), (error, less, -1)):
        why = f"{between}, {measure}: {_printed(found)}"
        made = _made(f"{target}.control.{name}.{measure}", f"Control: {says}.", found, _decided(found, better), why)
        yield replace(made, whose="ours")


def _made(id: str, paper: str, found: SeedValue, decided: Verdict, why: str, theirs: float | None = None) -> Claim:
    return Claim(id, paper, found.mean, found.interval, len(found.by_seed), decided, why, theirs)


def _printed(value: SeedValue) -> str:
    band = "" if value.interval is None else f" [{value.interval[0]:+.3f}, {value.interval[1]:+.3f}]"
    return f"{value.mean:+.3f}{band}"


def _about(arm: str) -> str:
    from ..mechanism.regression.arms import ARMS

    return ARMS[arm].about + "."


def pictures(results: Results) -> Iterator[Figure]:
    from ..mechanism.regression.figures import picture

    yield Figure(
        "The paper's two panels",
        "Cosine between the model's input gradient at the last point and the true gradient of g, on one fixed "
        "batch; and error against the number of examples of g; grey lines see those "
        "examples only, 1 is the best constant. Bands at 95 %.",
        picture(results, PAPER_ARMS, simple=True),
    )
    controls = ("cft", "cpt-positions", "other-points", "other-function", "shuffled", "matched-noise")
    if any(len(arms) > len(PAPER_ARMS) for arms in results.plan.targets.values()):
        yield Figure(
            "Controls of what the prefix says",
            "The same measures with prefixes that look like CFT's and say something else.",
            picture(results, controls),
        )
        yield Figure(
            "Scale, and the prefix taken away",
            "With targets brought to the variance of f; dashed: the same models tested without the prefix that they "
            "were trained with.",
            picture(results, ("cft", "cpt-positions", "cft-scaled", "cpt-scaled"), off=("cft", "cft-scaled")),
        )


def notes(results: Results) -> Iterator[str]:
    preset, seeds = results.plan.preset, results.plan.seeds
    yield (
        f"Scale '{preset.name}': d = {preset.d}, {preset.points} points, {preset.layers} layers of width "
        f"{preset.width}; {preset.pretrain_steps:,} steps of pretraining, {preset.steps:,} of fine-tuning. "
        f"{len(seeds)} seeds of fine-tuning over {len(results.plan.bases)} pretrained models, taken in turn."
    )
    yield (
        "Errors are over that of the best constant on the same functions. Intervals are Student's t over pretrained "
        "models, on the means of their seeds, "
        "differences paired; bands in the figures resample seeds and functions."
    )
    for target in results.plan.targets:
        for told in _rounding(results, target):
            arm = told.id.split(".")[2]
            yield f"Rounding: alignment of {arm} on {target}, and summed in another order, {told.why}."
    yield "True gradients come from autograd of each g; the released script used the polynomial's for every class."
    yield (
        "The prefix of CFT holds f at the very points at which g is asked for: polynomial and ReLU targets are then "
        "functions of numbers in the prompt."
    )
    for target in (t for t, arms in results.plan.targets.items() if len(arms) > len(PAPER_ARMS)):
        yield conclusion(results, target)


def conclusion(results: Results, target: str) -> str:
    """Which of the paper's claims survive the controls, in words made from the verdicts."""
    own = {c.id: c.verdict for c in claims(results) if c.id.startswith(f"{target}.")}
    parts = []
    for measure, says in (("alignment", "gradients better aligned"), ("error0", "less error before any example of g")):
        itself = ", ".join(f"than with {arm.upper()}: {own[f'{target}.{measure}.{arm}']}" for arm in ("cpt", "neg"))
        found = {c.id.split(".")[2]: c.verdict for c in survivors(results, target) if c.id.endswith(measure)}
        told = [f"{v}: {', '.join(n for n, held in found.items() if held == v) or 'none'}" for v in TESTED]
        parts.append(f"{says} with CFT {itself}; controls, {'; '.join(told)}")
    removed = own[f"{target}.control.removed.error-all"]
    parts.append(f"that CFT stays ahead of CPT with the prefix taken away: {removed}")
    return f"{target}: " + ". ".join(p[0].upper() + p[1:] for p in parts) + "."
