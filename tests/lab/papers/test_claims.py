"""Studies' recipes are recipes; verdicts follow the values, both ways."""

from __future__ import annotations

import json
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
from contextune_lab.papers import augmented, cft, claims, synthesis
from contextune_lab.papers.augmented_claims import claims as augmented_claims
from contextune_lab.papers.claims import StudyOptions
from contextune_lab.papers.probe_scores import probed


@dataclass
class FakeComparison:
    """A comparison of invented values: (arm, task) to a share, `usual` for what is not named."""

    values: dict[tuple[str, str], float]
    usual: float = 0.5
    results: dict = field(default_factory=lambda: {"arms": {}})

    def of(self, arm: str, task: str) -> Estimate:
        value = self.values.get((arm, task), self.values.get(("*", task), self.usual))
        seed = crc32(f"{arm} {task}".encode())
        return Estimate(value, value + 0.01 * np.random.default_rng(seed).standard_normal(400))

    def value(self, arm: str, task: str):
        e = self.of(arm, task)
        return e.value, tuple(e.interval(0.95))


WANTED = StudyOptions(Path("out"))


@pytest.mark.parametrize(
    "spec",
    [
        *(augmented.recipe(name, bench, WANTED) for name, bench in augmented.BENCHES.items()),
        augmented.recipe("public", augmented.PUBLIC, WANTED, "files"),
        synthesis.recipe("reversals", WANTED),
        cft.recipe(WANTED),
        cft.recipe(StudyOptions(Path("out"), model="elsewhere")),
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


def found(reversal: dict[str, float]) -> dict[str, str]:
    values = {(arm, "reversal"): v for arm, v in reversal.items()}
    values |= {("finetuned", "forward"): 1.0, ("untrained", "reversal_in_context"): 0.97}
    every = {name: FakeComparison(values) for name in augmented.BENCHES}
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
