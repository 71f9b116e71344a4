"""Presets: data that a study reads in the place of the pocket model's own."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from contextune.core.errors import UserError
from contextune.core.progress import Reporter
from contextune.experiment import recipe as recipes
from contextune.experiment.recipe import Recipe
from contextune_lab.papers import (
    augmented,
    augmented_recipe,
    cft,
    cft_recipe,
    contrastive,
    contrastive_recipe,
    presets,
    study,
    synthesis,
)
from contextune_lab.papers.claims import StudyOptions

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
    assert set(presets.read("smollm2")) == set(found)
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


def test_a_tiny_model_runs_cft_as_smollm2_would(data, tmp_path, tiny, one_process):
    w = wanted(tmp_path, str(tiny), preset="smollm2", data=str(data), steps=2)
    found = study.reproduce("cft", w, Reporter.silent())
    made = {c.id: c for c in found.claims}
    arms = ("none", "cpt", "cft", "negative", "neutral", "random_tokens")
    assert {f"{test}.{a}" for test in ("measure:task", "medqa", "mmlu_anatomy", "perplexity.texts") for a in arms} <= {
        *made
    }
    assert made["cft_over_cpt"].why.startswith("cft less cpt on measure:task, at one rate and length")
    assert made["cft_over_cpt"].theirs == 0.0185
    assert not [i for i in made if i.startswith(("pace", "on.", "cft_over_reading", "generated"))]
    assert "40 updates" not in found.notes[0]


def test_a_tiny_model_runs_contrastive_as_smollm2_would(data, tmp_path, tiny, one_process):
    w = wanted(tmp_path, str(tiny), preset="smollm2", data=str(data), steps=2)
    found = study.reproduce("contrastive", w, Reporter.silent())
    made = {c.id: c for c in found.claims}
    arms = ("zero", "random", "similar", "contrastive")
    assert {f"{of}.{a}" for of in ("low", "medium", "high", "icl", "iwl", "copy", "mean") for a in arms} <= {*made}
    assert not [i for i in made if "batch_mix" in i or i.startswith(("fresh", "stable", "p90"))]
    assert "asked is test" in found.notes[1]
