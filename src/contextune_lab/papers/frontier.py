"""Who keeps listening? The ways to learn facts on the five measures, each at its own best rate.

Every arm trains at every rate of one grid on a draw of the world that is not judged, with the same updates and one
seed: an equal budget. What its mean over the five measures is highest at is its own rate, at which it is judged on
another draw, with all seeds. Beside the measures stands how far each arm has moved from the first model.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from typing import Any

from contextune.core.errors import UserError, nearest
from contextune.core.progress import Reporter

from . import figures as drawing
from . import synthesis
from .claims import Claim, Figure, Study, StudyOptions, register
from .comparison import Comparison, compare
from .judging import at_least, claim, together
from .synthesis import EDITED, LURES, MEASURES, OPERATIONS, REPLAYED, TARGET

RATES = (1e-3, 2.5e-3, 5e-3)
SEARCHED = 0
"""The draw of the world on which rates are chosen."""
ASKED = {"operations": ["questions"], "filters": ["malformed", "duplicate"]}
PAIRED = {
    "policy": "mixture",
    "policies": [EDITED, {**LURES, "share": 1.0}],
    "weights": [0.5, 0.5],
}
"""Contexts each of which makes an answer that is not to be given."""
PASSAGES = {"policy": "retrieved", "retrieve": "facts", "k": 2, "without": 0.0, "max_tokens": 96, "separator": "\n"}
HELD = {"at": "replay", "learn_replay": False}
MORE: dict[str, dict[str, Any]] = {
    "chosen": {
        "about": "the learning prompt of lowest loss, of four, before each fact",
        "context": {"policy": "prompts", "set": "learning", "choose": "loss", "among": 4},
    },
    "values": {
        "about": "as augmented, the values of attention alone trained",
        "augment": OPERATIONS, "train": {"freeze": ["all-but-values"]},
    },
    "osf": {
        "about": "as augmented, the largest singular directions preserved",
        "augment": OPERATIONS, "train": {"adapter": {"kind": "osf", "preserved": 0.5}},
    },
    "held": {
        "about": "as augmented, general text held to the first model's distributions",
        "augment": {**OPERATIONS, "mix": {"weights": {"replay": 0.2}, **REPLAYED}},
        "train": {"kl": HELD},
    },
    "replayed": {
        "about": "control of held: as augmented, general text learned",
        "augment": {**OPERATIONS, "mix": {"weights": {"replay": 0.2}, **REPLAYED}},
    },
    "distilled": {
        "about": "what is inferred, read as the model reads it after the passage",
        "augment": OPERATIONS, "context": PASSAGES, "train": {"objective": "distill"},
    },
    "on_policy": {
        "about": "questions answered by the student, whose teacher sees the passage",
        "augment": {**ASKED, "keep": False}, "context": PASSAGES,
        "train": {"objective": {
            "objective": "distill", "answers": "student", "divergence": "reverse_kl", "max_tokens": 8, "ema": 0.02,
        }},
    },
    "preferred": {
        "about": "the facts, then the answer of an edited context over memory's, and memory's over a distractor's",
        "stages": [{}, {"context": PAIRED, "train": {"objective": "dpo", "lr": 0.1}}],
    },
    "pre_instruction": {
        "about": "questions, then facts and questions",
        "stages": [
            {"augment": {**ASKED, "keep": False}},
            {"augment": {**ASKED, "mix": {"shares": {"original": 0.5, "augmented": 0.5}}}},
        ],
    },
    "instructions": {"about": "questions alone", "augment": {**ASKED, "keep": False}},
    "identity": {
        "about": "the facts, and that each name is itself",
        "augment": {
            "operations": [{"operation": "identity", "text": "{name} is {name}."}],
            "mix": {"shares": {"original": 0.7, "augmented": 0.3}},
        },
    },
    "relations": {
        "about": "the facts, and each relation once more from either side",
        "augment": {**ASKED, "operations": [{"operation": "relations", "once": True}]},
    },
}  # fmt: skip
"""Beside the arms of the synthesis. A stage's own `lr` is a multiple of the rate."""


@register("frontier")
def frontier(wanted: StudyOptions, reporter: Reporter) -> Study:
    """Options (`--set`): steps (updates an arm), draw (of the world), arms (A,B,…; default all), preset."""
    wanted.only("frontier", "steps", "draw", "arms", "preset")
    arms = chosen_arms(wanted)
    search = compare(recipe(wanted, tried(arms), wanted.seeds[:1], SEARCHED), wanted.out / "search", reporter)
    rates = best(search, arms)
    judged = {arm: (spec, rates[arm]) for arm, spec in arms.items()}
    c = compare(recipe(wanted, judged, wanted.seeds, drawn(wanted)), wanted.out / "judged", reporter)
    return Study(
        "frontier",
        "Who keeps listening?",
        "Contextune: every way to learn, each at its own best rate",
        tuple(claims(c, list(arms), len(wanted.seeds))),
        (figure(c, list(arms)),),
        notes(wanted, rates),
        (search.folder.name, c.folder.name),
    )


def chosen_arms(wanted: StudyOptions) -> dict[str, dict[str, Any]]:
    """All arms, or those that are named. UserError for an unknown one."""
    arms = synthesis.setup(wanted).arms
    known = {**arms, **MORE, "contextune_held": _held(arms["contextune"])}
    names = [n.strip() for n in wanted.text("arms", ",".join(known)).split(",")]
    for name in names:
        if name not in known:
            raise UserError(f"--set arms: no arm '{name}'", nearest(name, known))
    return {name: known[name] for name in known if name in names}


def _held(arm: Mapping[str, Any]) -> dict[str, Any]:
    about = "as contextune, general text held to the first model's distributions"
    return {**arm, "about": about, "train": {**arm.get("train", {}), "kl": HELD}}


def drawn(wanted: StudyOptions) -> int:
    """The draw that is judged. UserError where it is the one on which rates are chosen."""
    draw = synthesis.setup(wanted).draw
    if draw == SEARCHED:
        raise UserError(f"--set draw={draw}: rates are chosen on it", "judge another draw")
    return draw


def name_of(arm: str, place: int) -> str:
    """The name in the search of an arm at the grid's rate of that place."""
    return f"{arm}-rate{place + 1}"


Rated = Mapping[str, tuple[Mapping[str, Any], float]]
"""Of each arm what it is, and its rate."""


def tried(arms: Mapping[str, Mapping[str, Any]]) -> Rated:
    """Each arm at each rate."""
    return {name_of(arm, i): (spec, rate) for arm, spec in arms.items() for i, rate in enumerate(RATES)}


def recipe(wanted: StudyOptions, arms: Rated, seeds: Seq[int], draw: int) -> dict[str, Any]:
    """The synthesis' recipe with these arms, on a draw of the world."""
    made = synthesis.setup(wanted)
    world = made.worlds[0]
    plain = synthesis.recipe(world, StudyOptions(wanted.out, wanted.model, wanted.scale, tuple(seeds), {
        **{k: v for k, v in wanted.options.items() if k in ("steps", "preset")}, "draw": draw,
    }))  # fmt: skip
    rated = {arm: at(spec, rate, made.steps) for arm, (spec, rate) in arms.items()}
    return {
        **plain, "name": f"frontier-{draw}", "arms": {"none": plain["arms"]["none"], **rated},
        "compare": {"baseline": next(iter(rated))},
    }  # fmt: skip


def at(spec: Mapping[str, Any], rate: float, steps: int) -> dict[str, Any]:
    """An arm at a rate, with so many updates over all its stages."""
    stages = spec.get("stages", [{k: v for k, v in spec.items() if k != "about"}])
    made = []
    for stage in stages:
        own = stage.get("train", {})
        train = {**own, "lr": rate * own.get("lr", 1.0), "steps": max(1, steps // len(stages))}
        made.append({"data": "facts", **stage, "train": train})
    return {"about": f"{spec['about']}, at {rate:g}", "stages": made}


def mean_of(c: Comparison, arm: str) -> float:
    return sum(c.of(arm, f"measure:{m}").value for m in MEASURES) / len(MEASURES)


def best(search: Comparison, arms: Seq[str] | Mapping[str, Any]) -> dict[str, float]:
    """Each arm's rate of the highest mean over the measures; of equal ones the lowest."""
    found = {arm: [mean_of(search, name_of(arm, i)) for i in range(len(RATES))] for arm in arms}
    return {arm: RATES[means.index(max(means))] for arm, means in found.items()}


def claims(c: Comparison, arms: Seq[str], seeds: int) -> list[Claim]:
    made = [
        claim(f"{arm}.{m}", "", c.of(arm, f"measure:{m}"), seeds, whose="ours")
        for arm in ("none", *arms)
        for m in MEASURES
    ]
    moved = c.results.get("first_kl", {}).get("arms", {})
    for arm in [a for a in ("none", *arms) if a in moved]:
        interval = moved[arm]["interval"]
        made.append(
            Claim(
                f"{arm}.first_kl", "", moved[arm]["value"], tuple(interval) if interval else None, seeds, whose="ours"
            )
        )
    reached = {arm: {m: c.of(arm, f"measure:{m}") for m in MEASURES} for arm in arms}
    lowest = {arm: min(of.values(), key=lambda e: e.value) for arm, of in reached.items()}
    top = max(lowest, key=lambda arm: lowest[arm].value)
    judged = together({m: at_least(e, TARGET) for m, e in reached[top].items()})
    told = f"one arm reaches {TARGET} in all five measures at once; nearest: {top}"
    return [*made, claim("frontier.least", told, lowest[top], seeds, judged, "ours")]


def figure(c: Comparison, arms: Seq[str]) -> Figure:
    every = ["none", *arms]
    bars = [(m, {a: c.value(a, f"measure:{m}") for a in every}, TARGET) for m in MEASURES]
    about = "Each measure by arm, with 95 % intervals over seeds and items; dotted: the target."
    return Figure("Five measures", about, drawing.bars(bars, drawing.palette(every, ("none",))))


def notes(wanted: StudyOptions, rates: Mapping[str, float]) -> tuple[str, ...]:
    made = synthesis.setup(wanted)
    return (
        f"Every arm: {made.steps} updates over all its stages, {len(wanted.seeds)} seeds, model {wanted.model}, judged "
        f"on draw {made.draw}.",
        f"Rates were chosen among {', '.join(f'{r:g}' for r in RATES)} on draw {SEARCHED}, with one seed, by the mean "
        f"of the five measures: {', '.join(f'{arm} {rate:g}' for arm, rate in rates.items())}.",
        "A written answer has its own length, so that target tokens differ between arms; updates and rows do not.",
    )
