"""Presets: data that a study reads in the place of the pocket model's own."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from contextune.core.errors import UserError
from contextune.core.progress import Reporter
from contextune.evaluate.analysis.statistics import Estimate
from contextune.experiment import recipe as recipes
from contextune.experiment.recipe import Recipe
from contextune_lab.papers import (
    augmented,
    augmented_recipe,
    cft,
    cft_claims,
    cft_recipe,
    contrastive,
    contrastive_claims,
    contrastive_recipe,
    presets,
    study,
    synthesis,
)
from contextune_lab.papers.cft_claims import MeasuredCft
from contextune_lab.papers.cft_search import Setting
from contextune_lab.papers.claims import StudyOptions
from contextune_lab.papers.contrastive_claims import MeasuredArms
from contextune_lab.papers.probe_scores import Probed

ROOT = Path(__file__).resolve().parents[3]
SUBJECTS = ("anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics",
            "professional_medicine")  # fmt: skip


@pytest.fixture
def one_process(monkeypatch) -> None:
    """A worker costs more seconds than a tiny model."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)


@pytest.fixture
def data(tmp_path) -> Path:
    """Rows in the form of MTOP, CRAFT, MMLU and MedQA."""
    rng, folder = random.Random(0), tmp_path / "data"
    for name in ("craft_fulltext", "mmlu_medical/test", "medqa_usmle_4opt"):
        (folder / name).mkdir(parents=True)

    def write(name: str, rows: list[dict]) -> None:
        (folder / name).write_text("".join(json.dumps(r) + "\n" for r in rows))

    def command(i: int) -> dict:
        verb, day = rng.choice(["w1 w2", "w3 w4", "w5 w6"]), f"w{10 + i}"
        return {"question": f"{verb} {day}", "logical_form": f"[IN:GET [SL:DAY {day} ] ]"}

    for split, n in (("train", 40), ("dev", 8), ("test", 8)):
        write(f"en_{split}.jsonl", [command(i) for i in range(n)])
    texts = [" ".join(f"w{rng.randrange(92)}" for _ in range(60)) for _ in range(45)]
    write("craft_fulltext/articles.jsonl", [{"text": text, "pmid": str(i)} for i, text in enumerate(texts)])
    rows = [f"w{i} w{i + 1}?,w1,w2,w3,w4,{i % 4}\n" for i in range(44)]
    for subject in SUBJECTS:
        table = folder / "mmlu_medical" / "test" / f"{subject}_test.csv"
        table.write_text("question,choice0,choice1,choice2,choice3,answer\n" + "".join(rows))
    options = {"A": "w1", "B": "w2", "C": "w3", "D": "w4"}
    asked = [{"question": f"w{i % 90} w7", "options": options, "answer_idx": "ABCD"[i % 4]} for i in range(84)]
    write("medqa_usmle_4opt/test.jsonl", asked)
    return folder


def wanted(folder: Path, model: str = "smollm2", **options: object) -> StudyOptions:
    return StudyOptions(folder / "out", model=model, seeds=(0,), options=options)


def made(w: StudyOptions, data: Path) -> dict[str, list[Recipe]]:
    """By study: its recipes under the options, all of one draw."""
    with_data = StudyOptions(w.out, w.model, w.scale, w.seeds, {**w.options, "data": str(data)})
    draw = dict(w.options)
    world = {"world": draw.pop("draw")} if "draw" in draw else {}
    of_mtop = StudyOptions(w.out, w.model, w.scale, w.seeds, {**draw, **world, "data": str(data)})
    benches = augmented_recipe.setup(w).benches.items()
    arms = {"base": None, **{a: contrastive_recipe.context_of(a) for a in contrastive_recipe.setup(of_mtop).arms}}
    return {
        "augmented": [
            recipes.parse(of(n, b, w))
            for n, b in benches
            for of in (augmented_recipe.recipe, augmented_recipe.controls)
        ],
        "contrastive": [recipes.parse(contrastive_recipe.recipe("strategies", arms, of_mtop, (0,)))],
        "synthesis": [recipes.parse(synthesis.recipe(world, w)) for world in synthesis.setup(w).worlds],
        "cft": [recipes.parse(cft_recipe.recipe(with_data, {}))],
    }


def test_smollm2_has_every_study_but_the_synthetic_one_and_in_full_precision(data, tmp_path):
    found = made(wanted(tmp_path), data)
    assert set(presets.read("smollm2")) == {*found, "density"}, "whose recipes test_density.py makes"
    assert presets.read("smollm2")["density"]["train"]["precision"] == "fp32"
    for recipe in (r for of in found.values() for r in of):
        assert (recipe.model.path, recipe.train.precision) == ("smollm2", "fp32")


def test_what_is_judged_is_not_what_the_preset_was_found_on(data, tmp_path):
    judged, developed = (made(wanted(tmp_path, **draw), data) for draw in ({}, {"draw": 0}))
    for name, of in judged.items():
        for one, other in zip(of, developed[name], strict=True):
            assert one.evaluate.tasks != other.evaluate.tasks, name
    splits = [of["contrastive"][0].evaluate.tasks[0]["split"] for of in (judged, developed)]
    assert splits == ["test", "dev"]
    assert [t["skip"] for t in judged["cft"][0].evaluate.tasks] == [20, 40]


def test_the_arm_of_the_preset_is_that_of_the_recipe_for_it(tmp_path):
    judged, shipped = (
        {name: made.arms[name].stages[0] for name in ("augmented", "contextune")}
        for made in (
            recipes.parse(synthesis.recipe("inventions", wanted(tmp_path))),
            recipes.load(ROOT / "recipes" / "real.yaml", []),
        )
    )
    assert judged["contextune"].context == shipped["contextune"].context
    assert {name: s.augment for name, s in judged.items()} == {name: s.augment for name, s in shipped.items()}


def test_a_perfect_writer_adds_what_is_asked_and_nobody_else_may(data, tmp_path):
    w = wanted(tmp_path)
    for name, bench in augmented_recipe.setup(w).benches.items():
        main, beside = augmented_recipe.recipe(name, bench, w), augmented_recipe.controls(name, bench, w)
        assert "allow_overlap" not in main
        assert beside["arms"]["oracle"]["data"] == ["facts", "oracle"]
        assert beside["data"]["oracle"] == {**beside["data"]["facts"], "split": "oracle"}


def test_sizes_are_those_of_scale_tiny(tmp_path):
    tiny, paper = (StudyOptions(tmp_path, "smollm2", scale) for scale in ("tiny", "paper"))
    bench = augmented_recipe.setup(tiny).benches["reversal"]
    options = [augmented_recipe.recipe("reversal", bench, w)["data"]["facts"]["options"] for w in (tiny, paper)]
    assert options == [{"size": "small", "seed": 1, **bench.sizes}, {"size": "paper", "seed": 1}]


def test_a_model_takes_its_own_preset_or_that_of_others_or_the_one_it_is_given(tmp_path):
    rates = [augmented_recipe.setup(StudyOptions(tmp_path, model, options=options)).train["lr"] for model, options in (
        ("pocket", {}), ("elsewhere", {}), ("smollm2", {}), ("elsewhere", {"preset": "smollm2"}),
        ("smollm2", {"preset": "pocket"}),
    )]  # fmt: skip
    known = presets.read("smollm2")["augmented"]["train"]["lr"]
    assert rates == [3e-3, 3e-4, known, known, 3e-3]
    with pytest.raises(UserError, match="--set preset=smolm2: unknown") as e:
        augmented.augmented(wanted(tmp_path, preset="smolm2"), Reporter.silent())
    assert "smollm2" in str(e.value.hint)


@pytest.mark.parametrize(
    ("run", "options", "said"),
    [
        (contrastive.contrastive, {}, "this preset reads MTOP .* no folder is given"),
        (cft.cft, {}, "this preset reads CRAFT.* no folder is given"),
        (contrastive.contrastive, {"data": "."}, "no en_train.jsonl"),
        (cft.cft, {"data": "."}, "no craft_fulltext/articles.jsonl"),
        (cft.cft, {"data": "nowhere"}, "--set data=nowhere: no such folder"),
        (augmented.augmented, {"data": "nowhere"}, "--set data=nowhere: no such folder"),
        (augmented.augmented, {"draw": -1}, "--set draw is -1"),
        (synthesis.synthesis, {"draw": "one"}, "--set draw is 'one'"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_run(run, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        run(wanted(tmp_path, **options), Reporter.silent())
    assert not (tmp_path / "out").exists()


def test_another_split_than_those_of_the_preset_is_refused(data, tmp_path):
    with pytest.raises(UserError, match="--set world=7: unknown") as e:
        contrastive.contrastive(wanted(tmp_path, data=str(data), world=7), Reporter.silent())
    assert "0, 1" in str(e.value.hint)


def test_a_study_is_made_anew_where_its_preset_has_changed(tmp_path, monkeypatch):
    w = wanted(tmp_path)
    before = presets.key("synthesis", w)
    changed = {"synthesis": {**presets.read("smollm2")["synthesis"], "steps": 7}}
    monkeypatch.setattr(presets, "read", lambda name: changed)
    assert presets.key("synthesis", w) != before
    assert presets.key("synthesis", StudyOptions(tmp_path)) == []


class Fake:
    """A comparison in which every arm has half of everything right, but for what is named."""

    def __init__(self, arms: Sequence[str], **values: float) -> None:
        self.values, self.results = values, {"arms": dict.fromkeys(arms), "tasks": {"mtop_en.low": {}}}

    def of(self, arm: str, task: str) -> Estimate:
        value = self.values.get(f"{arm} {task}", self.values.get(arm, 0.5))
        noise = np.random.default_rng(crc32(f"{arm} {task}".encode())).standard_normal(400)
        return Estimate(value, value + 0.01 * noise)

    def value(self, arm: str, task: str) -> tuple[float, None]:
        return self.of(arm, task).value, None

    def chance(self, task: str) -> float:
        return 0.25


def test_without_a_search_arms_are_held_against_each_other_as_they_ended():
    arms = ("none", "cpt", "cft", "negative")
    run = Fake(arms, cft=0.8, cpt=0.3)
    settings = dict.fromkeys(arms[1:], Setting(1e-4, 40, 0.0))
    tests = {"measure:task": "tests, mean", "medqa": "medqa"}
    m = MeasuredCft(run, None, settings, cft_recipe.ABOUT, "measure:task", tests, {}, False)
    made = {c.id: c for c in cft_claims.claims(m, 2)}
    assert (made["cft_over_cpt"].verdict, made["cft_over_cpt"].measured) == ("holds", pytest.approx(0.5))
    assert made["cft_over_cpt"].why.startswith("cft less cpt on measure:task, at one rate and length, above: +0.500")
    assert made["cft_over_negative"].verdict == "holds"
    tested = {f"{test}.{arm}" for test in tests for arm in arms}
    assert set(made) == {"cft_over_cpt", "cft_over_negative"} | tested, "nothing is claimed of arms that did not run"
    (figure,) = cft.figures(m, None, list(arms[1:]), ())
    assert all(arm in figure.svg for arm in arms)


def test_a_task_of_pairs_has_every_claim_but_those_that_need_a_world():
    arms = ("zero", "random", "similar", "contrastive")
    scores = {"in_context": 0.2, "in_weights": 0.4, "copy": 0.1, "drawn": 0.1}
    none = np.random.default_rng(0).standard_normal(400) * 0.01
    keys = [(step, s) for step in (0, 40) for s in scores]
    probes = {a: Probed({(step, s): Estimate(scores[s], scores[s] + none) for step, s in keys}) for a in arms}
    run = Fake(("base", *arms), **{"contrastive mtop_en.high": 0.9, "random mtop_en.high": 0.2})
    found = MeasuredArms(run, probes, probes, dict.fromkeys(arms, 1), 1, arms, "mtop_en.")
    made = {c.id: c for c in contrastive_claims.claims(found)}
    assert made["high.contrastive.over_random"].verdict == "holds"
    assert made["icl.contrastive.over_random"].verdict == "not shown"
    names = ("low", "medium", "high", "icl", "iwl", "copy", "lure", "mean")
    assert {f"{of}.{a}" for of in names for a in arms} <= set(made)
    assert not [i for i in made if "batch_mix" in i or i.startswith(("fresh", "stable", "p90", "reading"))]
    assert [f.title for f in contrastive.figures(found)] == ["Who still listens", "Along the axis of similarity"]


@pytest.mark.parametrize(
    ("heard", "verdict"), [(0.48, "holds"), (0.40, "fails"), (0.45, "not shown")], ids=["kept", "lost", "between"]
)
def test_a_real_model_s_listening_is_held_against_its_own_before(heard, verdict):
    run = Fake(("none", "finetuned"), **{"contextune measure:listen": heard, "finetuned measure:listen": 0.2})
    made = {c.id: c for c in synthesis.claims({"inventions": run}, 1, synthesis.setup(wanted(Path())))}
    assert made["contextune.listen_kept"].verdict == verdict
    assert made["contextune.listen_kept"].measured == pytest.approx(heard - 0.5)
    assert made["finetuned.hears_less"].verdict == "holds"
    assert made["contextune.learn_reached"].verdict == "fails"
    assert "contextune.least" not in made


@pytest.fixture
def few(monkeypatch) -> None:
    """The preset with two arms and a handful of items, so that a tiny model is done in seconds."""
    found = dict(presets.read("smollm2"))
    tasks = [{**task, "limit": 4} for task in found["cft"]["files"]["tasks"]]
    found["cft"] = {**found["cft"], "arms": ["cpt", "cft"], "files": {**found["cft"]["files"], "tasks": tasks}}
    files = {**found["contrastive"]["files"], "limit": 4}
    found["contrastive"] = {**found["contrastive"], "items": 2, "files": files}
    monkeypatch.setattr(presets, "read", lambda name: found)


@pytest.mark.slow
def test_a_tiny_model_runs_cft_as_smollm2_would(data, tmp_path, tiny, one_process, few):
    w = wanted(tmp_path, str(tiny), preset="smollm2", data=str(data), steps=2)
    found = study.reproduce("cft", w, Reporter.silent())
    made = {c.id: c for c in found.claims}
    tests = ("measure:task", "medqa", "mmlu_anatomy", "perplexity.texts")
    assert {f"{test}.{a}" for test in tests for a in ("none", "cpt", "cft")} <= {*made}
    assert made["cft_over_cpt"].why.startswith("cft less cpt on measure:task, at one rate and length")
    assert made["cft_over_cpt"].theirs == 0.0185
    assert not [i for i in made if i.startswith(("pace", "on.", "cft_over_reading", "generated"))]
    assert "2 updates of 2 documents at" in found.notes[0]


@pytest.mark.slow
def test_a_tiny_model_runs_contrastive_as_smollm2_would(data, tmp_path, tiny, one_process, few):
    w = wanted(tmp_path, str(tiny), preset="smollm2", data=str(data), steps=2)
    found = study.reproduce("contrastive", w, Reporter.silent())
    made = {c.id: c for c in found.claims}
    arms = ("zero", "random", "similar", "contrastive")
    assert {f"{of}.{a}" for of in ("low", "medium", "high", "icl", "iwl", "copy", "mean") for a in arms} <= {*made}
    assert not [i for i in made if "batch_mix" in i or i.startswith(("fresh", "stable", "p90"))]
    assert "Asked is the split test" in found.notes[1]
