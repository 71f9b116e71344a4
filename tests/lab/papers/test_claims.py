"""Studies' recipes are recipes; verdicts follow the values, both ways."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from contextune.core.errors import UserError
from contextune.core.progress import Reporter
from contextune.evaluate.analysis.statistics import Estimate
from contextune.experiment import recipe as recipes
from contextune.experiment.run_dir import stage_folder
from contextune_lab.papers import augmented, augmented_recipe, cft_recipe, claims, synthesis
from contextune_lab.papers.augmented_claims import claims as augmented_claims
from contextune_lab.papers.cft_search import Setting
from contextune_lab.papers.claims import StudyOptions
from contextune_lab.papers.comparison import STORE, ControlledComparison, share_store
from contextune_lab.papers.probe_scores import probed


@dataclass
class FakeComparison:
    """A comparison of invented values: (arm, task) to a share, `usual` for what is not named."""

    values: dict[tuple[str, str], float]
    usual: float = 0.5
    results: dict = field(default_factory=lambda: {"arms": {"augmented_tokens": {}}})

    def of(self, arm: str, task: str) -> Estimate:
        value = self.values.get((arm, task), self.values.get(("*", task), self.usual))
        seed = crc32(f"{arm} {task}".encode())
        return Estimate(value, value + 0.01 * np.random.default_rng(seed).standard_normal(400))

    def value(self, arm: str, task: str):
        e = self.of(arm, task)
        return e.value, tuple(e.interval(0.95))

    def chance(self, task: str) -> float:
        return 0.5


WANTED = StudyOptions(Path("out"))
OTHER = StudyOptions(Path("out"), model="elsewhere")


def of_cft(wanted: StudyOptions) -> list[dict]:
    own = {arm: Setting(1e-3, 80, 0.5) for arm in cft_recipe.documents(wanted)}
    return [cft_recipe.search_recipe(wanted), cft_recipe.recipe(wanted, own)]


@pytest.mark.parametrize(
    "spec",
    [
        *(augmented_recipe.recipe(name, bench, WANTED) for name, bench in augmented_recipe.BENCHES.items()),
        augmented_recipe.recipe("public", augmented_recipe.PUBLIC, WANTED, "files"),
        synthesis.recipe("reversals", WANTED),
        *(augmented_recipe.controls(n, augmented_recipe.BENCHES[n], WANTED) for n in augmented_recipe.CONTROLS),
        *of_cft(WANTED),
        *of_cft(OTHER),
    ],
    ids=lambda spec: spec["name"],
)  # fmt: skip
def test_every_study_is_a_recipe(spec):
    made = recipes.parse(spec)
    assert made.compare.baseline in made.arms
    assert recipes.parse(json.loads(made.model_dump_json(exclude_defaults=True))) == made, "as a worker is given it"


@pytest.mark.parametrize("name", ["augmented", "contrastive", "synthesis", "cft"])
def test_an_unknown_option_is_refused(name, tmp_path):
    with pytest.raises(UserError, match=f"reproduce {name}: unknown option 'stepps'"):
        claims.find(name)(StudyOptions(tmp_path, options={"stepps": 1}), Reporter.silent())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {"steps": "many"}) for name in ("augmented", "contrastive", "synthesis", "cft")),
        *((name, {"steps": 0}) for name in ("augmented", "contrastive", "synthesis", "cft")),
        ("augmented", {"data": 3}),
        ("cft", {"generated": "perhaps"}),
        ("contrastive", {"ablations": "perhaps"}),
        ("cft-synthetic", {"classes": 3}),
        ("cft-synthetic", {"workers": "two"}),
    ],
)
def test_a_bad_value_of_an_option_is_refused_by_its_name(name, options, tmp_path):
    with pytest.raises(UserError, match=f"--set {next(iter(options))} is "):
        claims.find(name)(StudyOptions(tmp_path, options=options), Reporter.silent())


def found(reversal: dict[str, float]) -> dict[str, str]:
    values = {(arm, "reversal"): v for arm, v in reversal.items()}
    values |= {("finetuned", "forward"): 1.0, ("untrained", "reversal_in_context"): 0.97}
    every = {name: ControlledComparison(FakeComparison(values)) for name in augmented_recipe.BENCHES}
    return {c.id: c.verdict for c in augmented_claims(every, augmented.ABOUT, 5)}


def test_augmented_holds_where_it_should():
    verdicts = found({"untrained": 0.5, "finetuned": 0.4, "augmented": 0.98})
    ids = ("forward.finetuned", "reversal.untrained", "reversal.finetuned", "reversal.in_context", "reversal.augmented")
    assert {verdicts[i] for i in ids} == {"holds"}
    wanted = {"syllogism.finetuned", "syllogism.in_context", "syllogism.augmented", "holdout.augmented"}
    assert wanted <= set(verdicts)


@pytest.mark.parametrize(
    ("reversal", "id"),
    [
        ({"untrained": 0.8, "finetuned": 0.4, "augmented": 0.98}, "reversal.untrained"),
        ({"untrained": 0.5, "finetuned": 0.7, "augmented": 0.98}, "reversal.finetuned"),
        ({"untrained": 0.5, "finetuned": 0.4, "augmented": 0.9}, "reversal.augmented"),
        ({"untrained": 0.5, "finetuned": 0.97, "augmented": 0.8}, "reversal.augmented.over_plain"),
    ],
)
def test_augmented_fails_where_it_should(reversal, id):
    assert found(reversal)[id] == "fails"


@pytest.mark.parametrize(
    ("recall", "syllogism", "verdict"),
    [(0.97, 0.6, "holds"), (0.97, 0.3, "fails"), (0.97, 0.05, "fails"), (0.5, 0.6, "not testable")],
)
def test_a_gain_is_above_plain_and_the_best_floor_of_facts_that_were_learned(recall, syllogism, verdict):
    """A constant answer has .35 here: .3 is no gain, though plain fine-tuning has .1."""
    values = {("augmented", "recall"): recall, ("finetuned", "syllogism"): 0.1, ("augmented", "syllogism"): syllogism}
    results = {"arms": {}, "floors": {"tasks": {"syllogism": {"chance": 0.25, "constant": 0.35}}}}
    every = {name: ControlledComparison(FakeComparison(values, results=results)) for name in augmented_recipe.BENCHES}
    made = {c.id: c for c in augmented_claims(every, augmented.ABOUT, 5)}
    assert made["semantic.syllogism.augmented"].verdict == verdict


def test_controls_say_their_own_seeds_and_every_gain_has_the_other_matching():
    arms = augmented_recipe.CONTROLS["reversal"]
    beside = FakeComparison({}, results={"arms": {a: {"seeds": [0, 1]} for a in arms}})
    every = {name: ControlledComparison(FakeComparison({})) for name in augmented_recipe.BENCHES}
    every["reversal"] = ControlledComparison(FakeComparison({}), beside)
    made = {c.id: c for c in augmented_claims(every, augmented.ABOUT, 5)}
    assert {(c.n_seeds, c.whose) for i, c in made.items() if i in {f"reversal.{a}" for a in arms}} == {(2, "ours")}
    assert made["reversal.augmented"].n_seeds == 5
    gains = ("reversal", "descriptions.reversal", "syllogism", "semantic.rephrasing", "semantic.reversal")
    assert {f"{g}.augmented_tokens" for g in (*gains, "semantic.syllogism")} <= set(made)


def test_augmented_is_judged_on_a_draw_of_its_own():
    made = [augmented_recipe.recipe(name, bench, WANTED) for name, bench in augmented_recipe.BENCHES.items()]
    made += [
        augmented_recipe.controls(name, augmented_recipe.BENCHES[name], WANTED) for name in augmented_recipe.CONTROLS
    ]
    assert {spec["data"]["facts"]["options"]["seed"] for spec in made} == {augmented_recipe.DRAW} != {0}
    assert {spec["evaluate"]["tasks"][0]["options"]["seed"] for spec in made} == {augmented_recipe.DRAW}
    assert not any("allow_overlap" in spec for spec in made)


def test_what_was_written_once_is_there_for_another_comparison(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    with sqlite3.connect(one / STORE) as db:
        db.execute("create table told (text)")
        db.execute("insert into told values ('Kalo')")
    share_store(one, two)
    assert sqlite3.connect(two / STORE).execute("select * from told").fetchall() == [("Kalo",)]
    with sqlite3.connect(two / STORE) as db:
        db.execute("delete from told")
    share_store(one, two)
    assert not sqlite3.connect(two / STORE).execute("select * from told").fetchall(), "what is there is left alone"
    share_store(tmp_path / "none", tmp_path / "three")
    assert not (tmp_path / "three").exists()


def test_above_a_ceiling_nothing_is_testable():
    assert (
        found({"untrained": 0.5, "finetuned": 0.99, "augmented": 0.98})["reversal.augmented.over_plain"]
        == "not testable"
    )


@pytest.mark.parametrize(("least", "verdict"), [(0.98, "holds"), (0.95, "not shown"), (0.92, "fails")])
def test_the_synthesis_needs_all_four(least, verdict):
    c = FakeComparison({("contextune", "measure:listen"): least}, usual=0.99)
    made = {x.id: x for x in synthesis.claims({"reversals": c}, 5)}
    assert made["contextune.least"].verdict == verdict
    assert made["contextune.least"].measured == least
    assert {f"{a}.{m}" for a in ("none", *synthesis.ARMS) for m in synthesis.MEASURES} <= set(made)


def test_probes_are_averaged_over_seeds_and_items(tmp_path):
    for seed, right in ((0, [1, 0]), (1, [1, 1])):
        folder = stage_folder(tmp_path, "zero", seed, 0) / "probes"
        folder.mkdir(parents=True)
        for step, scale in ((0, 0), (10, 1)):
            rows = [{"probe": "edited", "item": str(i), "score": scale * r} for i, r in enumerate(right)]
            (folder / f"slots.{step:06d}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    seen = probed(tmp_path, "slots", ["zero"], [0, 1])["zero"]
    assert seen.steps == [0, 10]
    assert (seen.at("in_context", 0).value, seen.at("in_context").value) == (0.0, 0.75)
    low, high = seen.at("in_context").interval(0.95)
    assert 0 <= low < 0.75 < high <= 1
    assert [p[:2] for p in seen.curve("in_context")] == [(0.0, 0.0), (10.0, 0.75)]
