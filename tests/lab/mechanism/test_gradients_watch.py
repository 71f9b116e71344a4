"""Gradients taken while an arm trains: training does not notice, and a kill leaves nothing undone or done twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from contextune.core.errors import UserError
from contextune.core.progress import Reporter
from contextune.evaluate.probes.callback import ProbesCallback
from contextune.evaluate.probes.watch import ProbeWatcher
from contextune.experiment import recipe
from contextune.experiment import run as comparison
from contextune.experiment.prepare import prepare
from contextune_lab.mechanism import gradients_measure
from contextune_lab.mechanism import gradients_watch as watching
from contextune_lab.mechanism.gradients_measure import BASE, targets

QUIZ = {"name": "quiz", "kind": "choice", "rows": [{"q": f"w{i} w{i + 1}", "a": i % 2} for i in range(4)],
        "prompt": "{{ q }}", "options": [" w5", " w6"], "answer": "{{ a }}"}  # fmt: skip
PLAIN: dict = {}
CONTEXT = {"policy": "prompts", "set": "prompts.txt"}
CFT = {"cft": {"data": "texts", "context": CONTEXT}}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    texts = [{"text": " ".join(f"w{(7 * i + 3 * j) % 90}" for j in range(12))} for i in range(9)]
    (folder / "texts.jsonl").write_text("\n".join(map(json.dumps, texts)))
    (folder / "prompts.txt").write_text("w1 w2 w3\nw4 w5 w6 w7\n")
    return folder


@pytest.fixture(scope="module")
def made(tiny, home):
    """Recipes whose arms have dropout to draw, so that a disturbed generator would show."""

    def of(name: str, gradients: dict | None = PLAIN, **more) -> recipe.Recipe:
        wanted = None if gradients is None else {"every": 2, "items": 3, "context": CONTEXT, **gradients}
        train = {"steps": 5, "batch": 4, "lr": 1e-2, "max_length": 64, "save": 3,
                 "adapter": {"rank": 2, "dropout": 0.3}}  # fmt: skip
        arms = {"cpt": {"data": "texts"}, **CFT}
        looked = {"callbacks": {"gradients": wanted}} if wanted is not None else {}
        evaluate = {"tasks": [QUIZ], "samples": 0, **looked}
        return recipe.parse({
            "name": "g", "model": str(tiny), "data": {"texts": {"path": "texts.jsonl"}}, "arms": arms, "train": train,
            "evaluate": evaluate, "output": str(home / name), "compare": {"resamples": 100}, **more,
        })  # fmt: skip

    return of


def callback(prepared) -> watching.GradientsCallback:
    return prepared.recipe.evaluate.callbacks["gradients"]


def run(made: recipe.Recipe, folder: Path, evaluate: bool = False) -> Path:
    return Path(comparison.run(made, base=folder, reporter=Reporter.silent(), evaluate=evaluate)["folder"])


@pytest.fixture(scope="module")
def whole(made, home) -> Path:
    """The folder of a run that was looked at and evaluated."""
    return run(made("with"), home, evaluate=True)


def weights(folder: Path, arm: str = "cft") -> dict[str, torch.Tensor]:
    return load_file(folder / f"arms/{arm}/seed-0/stage-0/model/adapter_model.safetensors")


def looks(folder: Path, arm: str = "cft") -> Path:
    return folder / f"arms/{arm}/seed-0/stage-0/gradients"


@pytest.mark.slow
def test_training_does_not_notice_and_a_killed_one_goes_on(made, home, whole, monkeypatch):
    run(made("without", None, arms=CFT), home)
    plain, watched = weights(home / "without"), weights(whole)
    assert all(torch.equal(plain[k], watched[k]) for k in plain), "bit for bit"
    assert not looks(home / "without").exists()
    steps = [f["step"] for f in json.loads((looks(home / "with") / "scores.json").read_text())]
    assert steps == [0, 2, 4, 5]

    measured = gradients_measure.measure

    def killed(*given, **more):
        if (looks(home / "killed") / "000004.json").exists():
            raise KeyboardInterrupt
        return measured(*given, **more)

    monkeypatch.setattr(gradients_measure, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        run(made("killed", arms=CFT), home)
    taken: list[int] = []
    monkeypatch.setattr(
        gradients_measure, "measure", lambda *given, **more: taken.append(1) or measured(*given, **more)
    )
    run(made("killed", arms=CFT), home)
    again = weights(home / "killed")
    assert all(torch.equal(plain[k], again[k]) for k in plain)
    for file in sorted(looks(home / "with").glob("*.json")):
        assert (looks(home / "killed") / file.name).read_bytes() == file.read_bytes(), file.name
    assert len(taken) == 2, "no checksum knows what was looked at since the last checkpoint: it is looked at again"


def test_what_is_looked_at(made, home):
    """Both arms over the same data on the same records; the context is the recipe's, not the arm's."""
    prepared = prepare(made("run"), home, home / "run")
    views = [callback(prepared).view(prepared, prepared.arms[arm][0], arm) for arm in ("cpt", "cft")]
    assert views[0] == views[1]
    plain, after = views[0].rows[BASE], views[0].rows["prompts-prompts"]
    assert len(plain) == 3
    assert list(map(targets, plain)) == list(map(targets, after))
    assert all(len(a) > len(p) for a, p in zip(after, plain, strict=True))
    assert list(views[0].asked) == ["quiz"]


def test_scores_are_those_of_the_measure_and_follow_the_model(whole):
    folder = looks(whole)
    found = json.loads((folder / "scores.json").read_text())
    assert found == watching.collected(folder, "prompts-prompts"), "read off the files"
    first, last = found[0], found[-1]
    raw = json.loads((folder / "000005.json").read_text())["contexts"]["prompts-prompts"]
    assert last["scores"]["cosine"] == raw["cosine"]["value"]
    assert last["scores"]["gain"] == pytest.approx(last["scores"]["toward"] - last["scores"]["toward_plain"])
    assert first["scores"] != last["scores"], "the model in training, not the one before"
    assert first["n"] == {"records": 3}


def test_other_records_are_looked_at_anew(made, home, whole, tmp_path):
    shutil.copytree(looks(whole), tmp_path / "gradients")
    prepared = prepare(made("with", {"items": 2}), home, whole)
    watcher = watching.GradientWatcher(callback(prepared).view(prepared, prepared.arms["cft"][0], "cft"), tmp_path)
    watcher._begin()
    assert not list((tmp_path / "gradients").glob("*.json"))


def test_gradients_of_training_are_kept(tiny):
    from contextune import models

    model = models.load_model(str(tiny))
    weight = next(model.parameters())
    weight.grad = torch.ones_like(weight)
    with watching._set_aside(model):
        assert weight.grad is None
        weight.grad = torch.zeros_like(weight)
    assert bool((weight.grad == 1).all())


def test_beside_probes_each_looks_in_its_turn(made, home, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr("contextune.evaluate.probes.callback.load", lambda *_: [])
    monkeypatch.setattr(ProbeWatcher, "__call__", lambda self, step, model: asked.append(step))
    both = made("both", {"every": 2})
    callbacks = {"probes": ProbesCallback(every=3), **both.evaluate.callbacks}
    evaluate = both.evaluate.model_copy(update={"callbacks": callbacks})
    run(both.model_copy(update={"evaluate": evaluate, "arms": {"cft": both.arms["cft"]}}), home)
    assert asked == [0, 3, 5]
    assert [f["step"] for f in json.loads((looks(home / "both") / "scores.json").read_text())] == [0, 2, 4, 5]


def test_the_report_draws_them(whole, tmp_path):
    from contextune import report

    page = (whole / "report.html").read_text()
    assert "Gradients during training, context: <bdi>prompts-prompts</bdi>" in page
    assert "Gain of direction" in page
    shutil.copytree(whole, tmp_path / "run")
    for arm in ("cpt", "cft"):
        shutil.rmtree(looks(tmp_path / "run", arm))
    assert "Gradients during training" not in report.write(tmp_path / "run").read_text()


@pytest.mark.parametrize(
    ("gradients", "processes", "message"),
    [
        ({}, "2", "one process; this run has 2"),
        ({"context": "generated"}, "1", "would have to be written"),
        ({"context": {"policy": "random", "k": 2, "loss": "all"}}, "1", "arm cpt: every context changes which tokens"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_before_the_first_step(
    made, home, monkeypatch, gradients, processes, message
):
    (home / "run").mkdir(exist_ok=True)
    prepared = prepare(made("run", gradients), home, home / "run")
    monkeypatch.setenv("WORLD_SIZE", processes)
    with pytest.raises(UserError, match=message):
        comparison.preflight(prepared, Reporter.silent())


@pytest.mark.parametrize("wrong", [{"every": 0}, {"items": 1}, {"evry": 5}, {"context": "prompt"}])
def test_bad_keys(made, wrong):
    with pytest.raises(UserError, match=r"evaluate\.callbacks: gradients\.|unknown context policy .prompt.|prompt"):
        made("run", wrong)


def test_a_recipe_goes_round(made):
    again = recipe.parse(json.loads(made("run").model_dump_json(exclude_defaults=True)))
    assert again == made("run")
