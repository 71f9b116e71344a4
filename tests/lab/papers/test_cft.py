"""Contextual fine-tuning on text: all arms, one search for each, and verdicts that follow the values."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from contextune.evaluate.analysis.statistics import Estimate
from contextune.experiment import recipe as recipes
from contextune.experiment.run_dir import stage_folder
from contextune_lab.papers import cft, cft_recipe, cft_search, curves
from contextune_lab.papers.cft_claims import TEST, MeasuredCft, claims
from contextune_lab.papers.cft_search import Setting
from contextune_lab.papers.claims import StudyOptions
from contextune_lab.papers.curves import Curves, pace

ISSUE = {"none", "cpt", "cft", "negative", "neutral", "random_tokens", "ift", "cpt_ift", "cft_ift", "reading"}
DOCUMENTS = ("cpt", "cft", "negative", "neutral", "random_tokens")
STEPS = (0, 50, 100, 150)
POCKET, OTHER = StudyOptions(Path("out")), StudyOptions(Path("out"), model="elsewhere")


def settings(wanted: StudyOptions = POCKET, steps: int = 100) -> dict[str, Setting]:
    return {arm: Setting(3e-3, steps, 0.5) for arm in cft_recipe.documents(wanted)}


def known(value: float, spread: float, draw: str) -> Estimate:
    rng = np.random.default_rng(list(draw.encode()))
    return Estimate(value, value + spread * rng.standard_normal(400))


def measured(values: dict[str, float], spread: float, own: dict[str, int] | None = None) -> MeasuredCft:
    """`values` by arm, or by "arm@step"; .5 otherwise."""

    def of(arm: str, step: int | None = None) -> Estimate:
        return known(values.get(f"{arm}@{step}", values.get(arm, 0.5)), spread, arm)

    run = SimpleNamespace(results={"arms": dict.fromkeys(sorted(ISSUE))}, of=lambda arm, task: of(arm))
    arms = [*DOCUMENTS, "reading"]
    found = {(arm, step): of(arm, step) for arm in arms for step in STEPS}
    own = dict.fromkeys(arms, 100) | (own or {})
    return MeasuredCft(run, Curves(found), {a: Setting(3e-3, own[a], 0.5) for a in arms}, cft.ABOUT)


@pytest.mark.parametrize("wanted", [POCKET, OTHER], ids=["pocket", "elsewhere"])
def test_every_arm_of_the_study_is_there(wanted):
    made = recipes.parse(cft_recipe.recipe(wanted, settings(wanted)))
    assert set(made.arms) == ISSUE | ({"generated"} if wanted is OTHER else set())
    documents = {arm: found.stages[0] for arm, found in made.arms.items() if found.stages and arm != "ift"}
    assert {s.data for s in documents.values()} == {"texts"}
    own = {arm: s.train.get("steps") for arm, s in documents.items()}
    assert {arm for arm, steps in own.items() if steps} == {"cpt_ift", "cft_ift"}, "others go on to the longest"


@pytest.mark.parametrize("wanted", [POCKET, OTHER], ids=["pocket", "elsewhere"])
def test_every_arm_has_the_same_search_on_a_draw_that_is_not_judged(wanted):
    search, judged = (
        recipes.parse(cft_recipe.search_recipe(wanted)),
        recipes.parse(cft_recipe.recipe(wanted, settings(wanted))),
    )
    rates: dict[str, list[float]] = {}
    for name, arm in search.arms.items():
        rates.setdefault(name.rpartition("-")[0], []).append(arm.stages[0].train["lr"])
    assert set(rates) == set(cft_recipe.documents(wanted))
    assert len({tuple(r) for r in rates.values()}) == 1
    assert (search.train.schedule, search.train.warmup) == ("constant", 0.0), "a length is a checkpoint"
    assert judged.train == search.train
    draws = [{s.options["seed"] for s in made.data.values()} for made in (search, judged)]
    draws += [{t["options"]["seed"] for t in made.evaluate.tasks} for made in (search, judged)]
    assert draws == [{cft_search.DRAW}, {cft_recipe.JUDGED}] * 2
    assert cft_search.DRAW != cft_recipe.JUDGED
    assert {search.allow_overlap, judged.allow_overlap} == {False}


def test_the_best_setting_is_chosen_and_of_equal_ones_the_shorter_and_slower():
    share = {("a", 1, 150): 0.9, ("b", 0, 50): 0.8, ("b", 0, 150): 0.8, ("b", 1, 50): 0.8}
    found = {
        (cft_search.name_of(arm, place), step): known(
            share.get((arm, place, step), 0.95 if step == 0 else 0.4), 0.0, ""
        )
        for arm in "ab"
        for place in range(2)
        for step in STEPS
    }
    chosen = cft_search.chosen(Curves(found), "ab", (1e-3, 2e-3))
    assert chosen == {"a": Setting(2e-3, 150, 0.9), "b": Setting(1e-3, 50, 0.8)}, "untrained is no setting"


@pytest.mark.parametrize(
    ("cpt", "spread", "verdict"),
    [
        (0.3, 0.01, "holds"),
        (0.7, 0.01, "fails"),
        (0.5, 0.001, "not shown"),
        (0.5, 0.05, "not testable"),
    ],
)
def test_a_verdict_needs_an_interval_that_tells(cpt, spread, verdict):
    made = {c.id: c for c in claims(measured({"cpt": cpt}, spread), 5)}
    assert made["cft_over_cpt"].verdict == verdict
    assert made["cft_over_cpt"].theirs == 0.0185
    assert (made["cft_over_neutral"].verdict, made["cft_over_neutral"].whose) == ("not shown", "ours")
    assert made["generated_over_cpt"].verdict == "not testable"
    assert {f"{t}.{arm}" for t in (TEST, "on") for arm in ISSUE} <= set(made)


def test_each_arm_is_judged_at_its_own_length():
    values = {"cpt@50": 0.6, "cpt@150": 0.4, "cft@50": 0.3, "cft@150": 0.7}
    made = {c.id: c for c in claims(measured(values, 0.01, {"cpt": 50, "cft": 150}), 5)}
    assert made["cft_over_cpt"].measured == pytest.approx(0.1)
    assert made[f"{TEST}.cpt"].measured == 0.6
    assert made["longest.cft"].measured == pytest.approx(0.3)
    assert made["pace.cft"].why.startswith("cft "), "in words"
    assert "-0.300 at 50" in made["pace.cft"].why


@pytest.mark.parametrize(
    ("differences", "spread", "words"),
    [
        ((-0.2, -0.15, -0.02), 0.02, "learns more slowly"),
        ((-0.2, -0.2, -0.2), 0.02, "learns less"),
        ((0.2, 0.15, 0.02), 0.02, "learns faster"),
        ((0.1, 0.2, 0.2), 0.02, "learns more"),
        ((-0.02, -0.02, -0.02), 0.1, "is not shown to learn otherwise"),
        ((-0.02, -0.15, -0.2), 0.5, "is not shown to learn otherwise"),
    ],
)
def test_what_a_curve_says_in_words(differences, spread, words):
    apart = [(step, known(d, spread, str(step))) for step, d in zip(STEPS[1:], differences, strict=True)]
    assert pace(apart) == words


def test_curves_are_means_over_seeds_and_paired(tmp_path):
    for arm, shift in (("cpt", 0), ("cft", 1)):
        for seed in (0, 1):
            folder = stage_folder(tmp_path, arm, seed, 0) / "curve"
            folder.mkdir(parents=True)
            for step in (0, 10):
                right = [float((i + seed + shift) % 4 < step / 5) for i in range(40)]
                row = {TEST: {"correct": right, "clusters": [f"fact {i // 2}" for i in range(40)]}}
                (folder / f"{step:06d}.json").write_text(json.dumps(row))
    found = curves.read(tmp_path, TEST, ["cpt", "cft"], [0, 1])
    assert (found.steps, found.trained) == ([0, 10], [10])
    assert (found.at("cpt", 0).value, found.at("cpt", 10).value) == (0.0, 0.5)
    assert [p[:2] for p in found.points("cft")] == [(0.0, 0.0), (10.0, 0.5)]
    low, high = found.at("cpt", 10).interval(0.95)
    assert 0 <= low < 0.5 < high <= 1
    ((step, apart),) = found.apart("cft", "cft")
    assert (step, apart.interval(0.95)) == (10, [0.0, 0.0])


def test_what_is_asked_behind_a_prompt_stands_beside_the_plain_question():
    made = recipes.parse(cft_recipe.recipe(POCKET, settings()))
    plain, behind = made.evaluate.tasks
    assert set(plain["tasks"]) == {*cft_recipe.TESTS, *cft_recipe.PRICE}
    assert (behind["tasks"], behind["before"], behind["suffix"]) == ([TEST], cft_recipe.LEARNING, cft_recipe.ON)
    assert made.evaluate.callbacks["curve"].tasks == (TEST,)


def test_notes_and_figures_say_what_was_chosen_and_seen():
    m = measured({"cft@50": 0.2, "cft@100": 0.3}, 0.01)
    wanted = StudyOptions(Path("out"), options={"steps": 24})
    said = cft.notes(m, wanted, (1e-3, 3e-3))
    assert said[0].startswith("Documents: updates of 2, at most 24; pairs: 6 updates; 5 seeds")
    assert "cpt 0.003, 100 updates" in said[1]
    assert "a learning prompt before each document: learns more slowly" in said[3]
