"""The contrastive study: its recipes, its draw, and verdicts that follow the values both ways."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from zlib import crc32

import numpy as np
import pytest

from contextune import worlds
from contextune.contexts.contrastive import Contrastive
from contextune.core.errors import UserError
from contextune.core.progress import Reporter
from contextune.evaluate.analysis.statistics import Estimate
from contextune.experiment import recipe as recipes
from contextune_lab.papers import contrastive, contrastive_claims, contrastive_recipe
from contextune_lab.papers.claims import StudyOptions
from contextune_lab.papers.contrastive_claims import CONTROLS, MAIN, SETTINGS, MeasuredArms
from contextune_lab.papers.probe_scores import Probed

STEPS = (0, 40, 80, 120)


def estimate(key: str, value: float) -> Estimate:
    return Estimate(value, value + 0.01 * np.random.default_rng(crc32(key.encode())).standard_normal(400))


@dataclass
class FakeComparison:
    """A comparison of invented values: (arm, task) to a share, `usual` for what is not named."""

    values: dict[tuple[str, str], float]
    usual: float = 0.5
    results: dict = field(default_factory=dict)

    def of(self, arm: str, task: str) -> Estimate:
        return estimate(f"{arm} {task}", self.values.get((arm, task), self.usual))

    def value(self, arm: str, task: str) -> tuple[float, None]:
        return self.of(arm, task).value, None


def probed(arm: str, last: dict[str, float], first: float = 0.8, **at: dict[int, float]) -> Probed:
    """Scores after each length: `last`, but for those given in `at` by score and step."""
    scores = {"fresh": 0.5, "in_context": 0.5, "in_weights": 0.5, "copy": 0.0, "drawn": 0.0} | last
    seen = {(step, s): at.get(s, {}).get(step, v if step else first) for step in STEPS for s, v in scores.items()}
    return Probed({key: estimate(f"{arm} {key}", v) for key, v in seen.items()})


def found(
    grades: dict[str, tuple[float, float]], last: dict[str, dict[str, float]], first: float = 0.8, **at: dict
) -> MeasuredArms:
    """Of each arm: low and high; its last scores; of contrastive contexts scores at other lengths."""
    values = {(a, t): v for a, of in grades.items() for t, v in zip(("low", "high"), of, strict=True)}
    arms = (*MAIN, *CONTROLS, *contrastive_recipe.ABLATIONS, *SETTINGS)
    probes = {
        a: probed(a, last.get(a, last["contrastive"] if a in SETTINGS else {}), first,
                  **(at if a == "contrastive" else {}))
        for a in arms
    }  # fmt: skip
    alone = {a: probes[a] for a in (*MAIN, *CONTROLS, *contrastive_recipe.ABLATIONS)}
    seeds = dict.fromkeys(MAIN, 5) | dict.fromkeys((*CONTROLS, *contrastive_recipe.ABLATIONS), 1)
    return MeasuredArms(FakeComparison(values), alone, {a: probes[a] for a in (*MAIN, *SETTINGS)}, seeds, 3)


LISTENS = {"fresh": 0.8, "in_context": 0.81, "in_weights": 0.6}
DEAF = {"fresh": 0.1, "in_context": 0.1, "in_weights": 0.8}
GOOD = partial(
    found,
    {"base": (0.0, 0.8), "zero": (0.7, 0.3), "random": (0.8, 0.2), "similar": (0.1, 0.9), "contrastive": (0.8, 0.91)},
    {
        "zero": DEAF, "random": DEAF, "batch_mix": {"fresh": 0.4, "in_context": 0.4, "in_weights": 0.7},
        "similar": {"fresh": 0.75, "in_context": 0.7, "in_weights": 0.1, "copy": 0.3}, "contrastive": LISTENS,
        "A90": {"fresh": 0.9, "in_context": 0.9}, "all_labels": {"fresh": 0.05, "in_context": 0.01},
    },
)  # fmt: skip
BAD = partial(
    found,
    {"base": (0.0, 0.2), "zero": (0.9, 0.3), "random": (0.9, 0.4), "similar": (0.95, 0.8), "contrastive": (0.6, 0.6)},
    {
        "zero": LISTENS, "random": LISTENS, "batch_mix": LISTENS, "similar": LISTENS | {"in_weights": 0.9},
        "contrastive": DEAF | {"copy": 0.2},
        "A90": {"fresh": 0.0, "in_context": 0.0}, "all_labels": {"fresh": 0.5, "in_context": 0.5},
    },
    first=0.5,
)  # fmt: skip
PRIMARY = [f"{id}.contrastive.{how}" for id in ("fresh", "icl") for how in
           ("over_zero", "over_random", "over_batch_mix", "like_similar")]  # fmt: skip
CHANGES = [f"{name}.{id}" for name in ("stable", "p90", "all_labels") for id in ("fresh", "icl")]
TESTED = (
    *PRIMARY, *CHANGES, "icl.zero.falls", "icl.random.falls", "icl.contrastive.stays", "low.similar", "low.contrastive",
    "high.zero", "high.random", "high.contrastive", "copy.contrastive", "iwl.similar",
)  # fmt: skip


@pytest.mark.parametrize(("values", "verdict"), [(GOOD, "holds"), (BAD, "fails")], ids=["as claimed", "otherwise"])
def test_verdicts_follow_the_values(values, verdict):
    made = {c.id: c for c in contrastive_claims.claims(values())}
    assert {i: made[i].verdict for i in TESTED} == dict.fromkeys(TESTED, verdict)
    assert all(made[i].why for i in TESTED)
    assert {i for i, c in made.items() if c.verdict != "measured"} - {*TESTED} == {
        "copy.similar", "copy.contrastive.under_similar", "high.contrastive.over_zero", "high.contrastive.over_random",
    }  # fmt: skip


def test_a_claim_about_listening_is_made_of_every_length():
    made = {c.id: c for c in contrastive_claims.claims(GOOD(fresh={40: 0.05}))}
    assert made["fresh.contrastive.over_random"].verdict == "fails"
    assert made["icl.contrastive.over_random"].verdict == "holds"
    assert [part.split(":")[0] for part in made["fresh.contrastive.over_random"].why.split("; ")] == [
        "40 updates", "80 updates", "120 updates",
    ]  # fmt: skip
    assert {f"fresh{step}.{a}" for step in (40, 80) for a in MAIN} <= made.keys()


def test_what_answers_only_from_the_weights_does_not_win():
    """Loss on all answers had the highest mean of the grades and an in-context score of .01."""
    made = {c.id: c for c in contrastive_claims.claims(GOOD())}
    assert (made["all_labels.icl"].verdict, made["all_labels.icl"].measured) == ("holds", pytest.approx(-0.8))
    assert all(c.verdict == "measured" and c.whose == "ours" for i, c in made.items() if i.startswith("mean."))


def test_ids_and_seeds():
    made = {c.id: c for c in contrastive_claims.claims(GOOD())}
    assert len(made) == len(contrastive_claims.claims(GOOD()))
    measures = ("low", "medium", "high", "copy", "iwl", "icl", "fresh", "mean", "icl40", "fresh80")
    assert {f"{g}.{a}" for g in measures for a in MAIN} | {"fresh.base", "icl.base", "high.base"} <= made.keys()
    assert {f"{id}.{a}" for id in ("fresh", "icl", "iwl") for a in SETTINGS} <= made.keys()
    seeds = [made[i].n_seeds for i in ("icl.zero", "copy.neighbour_only", "fresh.eps0", "icl.A90", "p90.icl")]
    assert seeds == [5, 1, 1, 3, 3]
    assert {c.whose for i, c in made.items() if i.startswith(("fresh", "p90", "all_labels"))} == {"ours"}


def test_a_rival_as_good_is_not_below():
    judged = contrastive_claims.above(estimate("a", 0.9), estimate("b", 0.9))
    assert judged.verdict == "not shown"
    assert judged.why.startswith("above: +0.000")


def test_figures_show_the_primary_outcomes_first(monkeypatch):
    for name in ("lines", "bars"):
        monkeypatch.setattr(contrastive.drawing, name, lambda panels, *_, **__: str([p[:2] for p in panels]))
    made = contrastive.figures(GOOD())
    assert [f.title for f in made] == [
        "Who still listens", "How often a near example is shown", "Along the axis of similarity",
        "Controls and ablations",
    ]  # fmt: skip
    assert all(name in made[0].svg for name in (*contrastive.SHOWN, *MAIN))
    assert all(name in made[1].svg for name in ("random", *SETTINGS))


def test_settings_have_three_p_in_two_readings():
    pairs = {(c.reading, c.p) for o in SETTINGS.values() if not o.keys() & {"eps", "loss"} for c in [Contrastive(**o)]}
    assert pairs == {(reading, p) for reading in "AB" for p in (0.5, 0.75, 0.9)}


def test_each_part_is_a_recipe_that_allows_no_overlap(tmp_path):
    wanted = StudyOptions(tmp_path)
    for arms, looks in ((("base", *MAIN), 3), (CONTROLS, 1)):
        made = {a: None if a == "base" else contrastive_recipe.context_of(a) for a in arms}
        spec = recipes.parse(contrastive_recipe.recipe("some", made, wanted, (0,), looks))
        assert spec.compare.baseline in spec.arms
        assert not spec.allow_overlap
        assert spec.train.schedule == "constant", "so that a prefix is a shorter run"
        assert spec.train.warmup == 0
        assert spec.train.steps % looks == 0


def test_the_draw_that_is_judged_is_another_than_that_of_development(tmp_path):
    wanted = StudyOptions(tmp_path)
    judged, developed = (contrastive_recipe.world(w) for w in (wanted, StudyOptions(tmp_path, options={"world": 100})))
    assert (judged["seed"], developed["seed"]) == (contrastive_recipe.JUDGED, contrastive_recipe.DEVELOPED)
    rows = [{r.text for r in worlds.build("slots", **o).records["train"]} for o in (judged, developed)]
    assert not rows[0] & rows[1]
    assert min(map(len, rows)) > contrastive_recipe.STEPS * contrastive_recipe.BATCH, "no pair is trained on twice"
    assert "which no development used" in " ".join(contrastive.notes(wanted))


@pytest.mark.parametrize(
    ("option", "found"),
    [
        ({"steps": "abc"}, "--set steps is 'abc', expected a whole number from 1"),
        ({"steps": True}, "--set steps is True, expected a whole number"),
        ({"world": -1}, "--set world is -1, expected a whole number from 0"),
        ({"ablations": "maybe"}, "--set ablations is 'maybe', expected true or false"),
    ],
)
def test_a_bad_value_of_an_option_is_named(option, found, tmp_path):
    with pytest.raises(UserError, match=found):
        contrastive.contrastive(StudyOptions(tmp_path, options=option), Reporter.silent())
    assert not list(tmp_path.iterdir())
