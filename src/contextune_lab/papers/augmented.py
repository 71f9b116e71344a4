"""Augmented fine-tuning (Lampinen et al. 2025, arXiv 2505.00661), with the controls that the paper lacks.

Every arm trains for the same number of updates of the same number of rows on several worlds, each of a draw that no
development saw; what an arm adds to the facts is what the untrained model itself inferred from them. Claims are made of
the facts alone and of all that is inferred, at all seeds; arms that are only a comparison have two. Worlds, rates,
updates and operations are of a `Setup` (augmented_recipe.py): the pocket model's own, other models' in presets/. The
paper's figures carry no numbers that could be read, so its claims are stated in words and a verdict rests on the
intervals measured here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from contextune.core.progress import Reporter

from . import figures as drawing
from .augmented_claims import MATCHED, claims
from .augmented_recipe import ABOUT, OPERATIONS, PERFECT, Bench, controls, keeps_own_steps, recipe, setup
from .claims import Figure, Study, StudyOptions, register
from .comparison import ControlledComparison, compare, share_store


@register("augmented")
def augmented(wanted: StudyOptions, reporter: Reporter) -> Study:
    """Options (`--set`): steps (updates an arm, all worlds), data (a folder of the public reversal-curse files), draw
    (of the worlds), preset.
    """
    wanted.only("augmented", "steps", "data", "draw", "preset")
    made, data = setup(wanted), wanted.folder("data")
    benches = {**made.benches, **({"public": made.public} if data and made.public else {})}
    found = {name: _measured(name, bench, wanted, reporter, data) for name, bench in benches.items()}
    return Study(
        "augmented",
        "Augmented fine-tuning",
        "Lampinen, Chaudhry, Chan et al. 2025, arXiv 2505.00661",
        tuple(claims(found, ABOUT, len(wanted.seeds))),
        (figure(found, benches),),
        notes(found, wanted),
        tuple(folder for c in found.values() for folder in c.folders),
    )


def _measured(
    name: str, bench: Bench, wanted: StudyOptions, reporter: Reporter, data: Path | None
) -> ControlledComparison:
    main, beside = wanted.out / name, wanted.out / f"{name}-controls"
    found = compare(recipe(name, bench, wanted, data), main, reporter)
    if name not in setup(wanted).controls:
        return ControlledComparison(found)
    share_store(main, beside)
    return ControlledComparison(found, compare(controls(name, bench, wanted, data), beside, reporter))


# --------------------------------------------------------------------------------- what is shown


def figure(found: Mapping[str, ControlledComparison], benches: Mapping[str, Bench]) -> Figure:
    names = ["untrained", "in context", *OPERATIONS, PERFECT, MATCHED]
    colours = drawing.palette(names, ("untrained", "in context"))
    panels = []
    for name, c in found.items():
        bench = benches[name]
        there = [a for a in names if a in (*c.main.results["arms"], *c.control_arms)]
        values = {a: c.value(a, bench.generalise) for a in there}
        values = {"untrained": values.pop("untrained"), "in context": c.value("untrained", bench.context), **values}
        panels.append((name, values, c.chance(bench.generalise)))
    caption = (
        "What was never told as it is asked, by arm, with 95 % intervals over seeds and items; dotted: chance. "
        "“In context” is the untrained model with the facts before the question."
    )
    return Figure("Told one way, asked the other", caption, drawing.bars(panels, colours))


def notes(found: Mapping[str, ControlledComparison], wanted: StudyOptions) -> tuple[str, ...]:
    made = setup(wanted)
    matched = (
        f"; {MATCHED} trains on as many as plain fine-tuning, in as many updates as that takes"
        if MATCHED in made.arms
        else ""
    )
    filters = ", ".join(map(str, made.filters))
    updates = (
        {name: made.benches[name].steps for name in found if name in made.benches} if keeps_own_steps(wanted) else {}
    )
    own = "".join(f", {name} {n}" for name, n in updates.items() if n)
    fewer = f" ({made.few} of the arms for comparison)" if made.controls and made.few < len(wanted.seeds) else ""
    said = [
        f"Every arm: {made.steps} updates{own} of 16 rows (compare.match: rows), so that arms with longer texts train "
        f"on more target tokens, or with shorter ones on fewer{matched}. Full-text loss, {len(wanted.seeds)} "
        f"seeds{fewer}, model {wanted.model}; what an arm adds is written by the untrained model itself, filtered by "
        f"{filters}.",
        f"Worlds: draw {made.draw}; {made.found}",
        "In-context learning is given the fact among others, not the whole corpus: the pocket model was taught "
        "contexts of up to eight facts.",
        "The paper tests one model (Gemini 1.5 Flash) and shows no numbers; its claims are compared in direction.",
    ]
    for name, c in found.items():
        texts = ", ".join(f"{arm} {count}" for arm, count in c.rows().items())
        said.append(f"{name}: rows trained on by arm: {texts}.")
        if leaks := c.main.leaks("augmented"):
            shares = ", ".join(f"{task} {share:.0%}" for task, share in leaks.items() if share)
            said.append(
                f"{name}: share of test statements that stand verbatim in the augmented arm's texts: {shares or '0 %'}."
            )
    if "data" not in wanted.options:
        said.append("The public reversal-curse files were not given; --set data=FOLDER takes them.")
    return tuple(said)
