"""What of a run stays on the disk, and what is selected in training; a whole run of tiny arms."""

from __future__ import annotations

import copy
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from contextune import UserError, load, run
from contextune.chat.speakers import speakers
from contextune.core.files import released
from contextune.core.progress import Reporter
from contextune.deploy.arm import finished
from contextune.experiment import run as running
from contextune.experiment import weights
from contextune.experiment.disk import disk
from contextune.experiment.overlaps import refuse_overlap
from contextune.experiment.prepare import prepare
from contextune.experiment.run_dir import fingerprint_of, folder_of
from contextune.experiment.validated import validated, validated_lines
from contextune.models.options import Model
from contextune.models.resolve import resolve
from contextune.train import stage as stages
from tests.conftest import words


@pytest.fixture(scope="module")
def base(tiny, tmp_path_factory) -> tuple[dict[str, Any], Path]:
    """A recipe, and the folder of its data and of its finished run `whole`."""
    folder, rng = tmp_path_factory.mktemp("keep"), random.Random(0)
    rows = [{"id": f"d{i}", "text": words(rng, 20, 30)} for i in range(20)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    recipe = {
        "model": str(tiny), "output": str(folder / "whole"), "seeds": [0],
        "data": {"docs": {"path": "docs.jsonl", "held_out": 0.2, "validation": 0.2}},
        "arms": {"none": None, "a": {"data": "docs"}, "b": {"stages": [
            {"data": "docs"}, {"data": "docs", "train": {"steps": 4}}]}, "same": {"weights_of": "a"}},
        "train": {"max_length": 64, "steps": 3, "batch": 4, "lr": 0.01},
        "evaluate": {"tasks": [{"name": "pick", "kind": "choice",
            "rows": [{"q": f"w{n}", "a": n % 2} for n in range(6)],
            "prompt": "{{ q }}", "options": [" w1", " w2"], "answer": "{{ a }}"}], "samples": 1},
        "compare": {"resamples": 100},
    }  # fmt: skip
    run(recipe, base=folder, reporter=Reporter.silent())
    return recipe, folder


@pytest.fixture
def recipe(base, tmp_path) -> dict[str, Any]:
    return copy.deepcopy(base[0]) | {"output": str(tmp_path / "out")}


@pytest.fixture
def out(base, tmp_path) -> Path:
    """The folder of a finished run."""
    return shutil.copytree(base[1] / "whole", tmp_path / "out")


@pytest.fixture
def go(recipe, base, monkeypatch):
    """Runs the recipe; returns the stages that were trained."""
    trained: list[str] = []
    before = stages._run

    def watched(job, *more):
        trained.append("/".join(job.folder.parts[-3:]))
        return before(job, *more)

    monkeypatch.setattr(stages, "_run", watched)

    def go(*overrides: str, **options: Any) -> list[str]:
        trained.clear()
        run(recipe, base=base[1], overrides=overrides, reporter=Reporter.silent(), **options)
        return list(trained)

    return go


def models(out: Path) -> list[str]:
    return sorted("/".join(p.parts[-4:-1]) for p in out.glob("arms/*/seed-*/stage-*/model"))


def told(out: Path) -> dict[str, bytes]:
    files = [*(out / "outcomes").glob("*.parquet"), out / "results.json", out / "samples.json"]
    return {f.name: f.read_bytes() for f in files}


NEW = (
    '[{name: new, kind: choice, rows: [{q: w1, a: 0}], prompt: "{{ q }}", options: [" w1", " w2"], answer: "{{ a }}"}]'
)
ALL = [f"{arm}/seed-0/stage-{i}" for arm, last in (("a", 0), ("b", 1)) for i in range(last + 1)]
LAST = "arms/b/seed-0/stage-1/model/model.safetensors"


def test_outcomes_alone_stay_and_nothing_is_trained_again(go, out, tmp_path):
    assert models(out) == ALL
    said, before = told(out), load_file(out / LAST)
    assert go("keep=outcomes") == []
    assert models(out) == []
    assert not list(out.glob("arms/**/*.safetensors"))
    assert all(released(out / "arms" / name) for name in ALL)
    assert go("keep=outcomes") == [], "a finished run is finished"
    assert go("keep=best") == []
    assert told(out) == said

    for ask in (
        lambda: speakers([str(out)], ["b"]),
        lambda: finished(out, "b"),
        lambda: resolve(Model(path=str((out / LAST).parent)), tmp_path),
        lambda: go("keep=outcomes", f"evaluate.tasks={NEW}"),
    ):
        with pytest.raises(UserError, match="not kept") as error:
            ask()
        assert "contextune train" in error.value.hint
        assert "keep=all" in error.value.hint

    (out / "outcomes" / "same.seed-0.pick.parquet").write_bytes(b"broken")
    with pytest.raises(UserError, match="task pick is to be asked of arm a at seed 0, whose weights were not kept"):
        go("keep=outcomes")
    assert go("keep=all", only=["b"], evaluate=False) == ALL[1:]
    after = load_file(out / LAST)
    assert all(tensor.equal(before[name]) for name, tensor in after.items())
    assert go("keep=all") == ALL[:1]
    assert told(out) == said


@pytest.mark.slow
def test_an_arm_goes_before_the_next_one_comes(go, tmp_path, base, monkeypatch):
    """Never more than one arm's weights on the disk; killed after any arm, the others are trained and no more."""
    out, seen = tmp_path / "out", []
    before = running.train_all

    def train_all(part, *more):
        seen.append(models(out))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return before(part, *more)

    monkeypatch.setattr(running, "train_all", train_all)
    with pytest.raises(KeyboardInterrupt):
        go("keep=outcomes")
    assert seen == [[], [], []], "none, a and b in turn"
    assert released(out / "arms/a/seed-0/stage-0")
    assert go("keep=outcomes") == ALL[1:]
    assert not models(out)
    assert told(out) == told(base[1] / "whole"), "samples too, though no two arms were there together"


def test_the_best_arm_stays_with_all_its_stages(go, out):
    winner = json.loads((out / "results.json").read_text())["verdict"]["winner"]
    best = {"same": "a"}.get(winner, winner)
    assert go("keep=best") == []
    assert models(out) == [n for n in ALL if n.startswith(f"{best}/")]
    assert go("keep=best") == []


def test_what_people_put_there_is_not_removed(go, out):
    mine = out / "arms/a/seed-0/stage-0/model/notes.txt"
    mine.write_text("mine")
    assert go("keep=outcomes") == []
    assert models(out) == ALL[:1]
    assert mine.read_text() == "mine"


def test_a_kill_while_weights_are_removed(go, out, monkeypatch):
    """The mark comes first: what is left of the weights is never taken for a model."""
    with monkeypatch.context() as patch:
        patch.setattr(weights, "sweep", lambda stage: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            go("keep=outcomes")
    (out / "arms/a/seed-0/stage-0/model/model.safetensors").unlink()
    assert released(out / "arms/a/seed-0/stage-0")
    assert go("keep=outcomes") == []
    assert models(out) == []
    (out / "arms/a/seed-0/stage-0/model").mkdir()  # what such a kill leaves
    assert go("keep=all", only=["a"]) == ALL[:1]


def prepared(recipe, base, *overrides):
    made = load(recipe, overrides)
    return prepare(made, base[1], folder_of(made))


def test_sizes_of_each_way(recipe, base, tmp_path):
    (tmp_path / "out").mkdir()
    found = {keep: disk(prepared(recipe, base, f"keep={keep}")) for keep in ("all", "best", "outcomes")}
    for keep, one in found.items():
        assert one["kept"] == one[f"keep_{keep}"]
    weights = found["all"]["keep_all"] - found["all"]["keep_outcomes"]
    best = found["all"]["keep_best"] - found["all"]["keep_outcomes"]
    assert best == pytest.approx(weights * 2 / 3), "two of three stages a seed"
    assert found["all"]["needed"] == found["best"]["needed"] > found["outcomes"]["needed"]
    more = disk(prepared(recipe, base, "train.keep=best"))
    assert more["kept"] == found["all"]["kept"]
    assert more["needed"] > found["all"]["needed"]


def test_what_decides_a_stage(recipe, base):
    def parts(*overrides):
        made = prepared(recipe, base, *overrides)
        return fingerprint_of(made, made.arms["a"][0], "a", 0, 0)

    plain = parts()
    assert not {"keep", "patience", "validate_every", "validate_on"} & set(plain["train"])
    assert "validation" not in plain
    for same in ("keep=outcomes", "train.validate_every=2"):
        assert parts(same) == plain
    best = parts("train.keep=best")
    assert best["train"] == {**plain["train"], "keep": "best", "validate_every": 0}
    assert best["validation"] != parts("train.keep=best", "data.docs.validation=0.3")["validation"]
    assert parts("train.patience=2")["train"]["patience"] == 2


@pytest.mark.parametrize(
    ("overrides", "said", "hint"),
    [
        (["data.docs.validation=0", "train.keep=best"], "train.keep: nothing is held out", "data.docs.validation=0.05"),
        (
            ["data.docs.validation=0", "train.patience=2"],
            "train.patience: nothing is held",
            "data.docs.validation=0.05",
        ),
        (["data.docs.validation=0.9"], "held_out 0.2 and validation 0.9 leave nothing", ""),
        (["train.validate_on=dox"], "train.validate_on: no data 'dox'", "docs"),
        (["data.docs.validation=0", "train.validate_on=docs"], "trains on 'docs'", "name another source"),
        (["evaluate={}", "keep=outcomes"], "keep: outcomes: no task gives outcomes", "evaluate.tasks"),
        (["train.keep=first"], "train.keep: Input should be 'last' or 'best'", ""),
        (["train.patience=0"], "train.patience", ""),
    ],
)
def test_refused(recipe, overrides, said, hint):
    with pytest.raises(UserError, match=re.escape(said)) as error:
        load(recipe, overrides)
    assert hint in error.value.hint


def test_a_source_of_its_own(recipe, base):
    """It is validated on whole, and no record of it is trained on."""
    (base[1] / "dev.jsonl").write_text('{"text": "w1 w2 w3"}\n{"text": "w4 w5"}\n')
    dev = ["data.dev={path: dev.jsonl}", "train.validate_on=dev", "train.keep=best"]
    made = prepared(recipe, base, *dev)
    (found,) = made.arms["a"]
    assert [r.text for r in found.validation] == ["w1 w2 w3", "w4 w5"]
    plain = prepared(recipe, base).arms["a"][0]
    assert [r.id for r in found.records] == [r.id for r in plain.records]
    sides = [plain.records, plain.validation, made.documents["docs"].held_out]
    names = [{x.id.partition("#")[0] for x in side} for side in sides]
    assert all(names)
    assert sum(map(len, names)) == len(set.union(*names)) == 20


def test_a_test_item_among_the_validation_texts(recipe, base):
    """Choosing by what is asked in the test would be choosing on the test."""
    made = prepared(recipe, base)
    text = made.arms["a"][0].validation[0].text
    recipe["evaluate"]["tasks"][0]["rows"] = [{"q": text, "a": 0}]
    with pytest.raises(UserError, match="1 test items occur in the training or validation texts"):
        refuse_overlap(prepared(recipe, base))


def test_what_is_validated_on_is_said(recipe, base):
    """Fewer texts than `validated.FEW` are warned of where something is chosen by them."""
    made = prepared(recipe, base, "train.keep=best", "train.patience=2", "train.validate_every=3")
    (a, first, second) = validated(made)
    texts = made.arms["a"][0].validation
    assert a["texts"] == len(texts) > 0
    assert a["tokens"] == sum(len(t.text.split()) for t in texts)
    assert (second["arm"], second["stage"], second["every"]) == ("b", 1, 3)
    (line,) = validated_lines([a, first])
    assert line == (
        f"every arm: {a['texts']} texts ({a['tokens']} target tokens) every 3 updates, keeps the best weights, ends "
        "after 2 without a lower loss"
    )
    assert any("too few to choose by" in w for w in made.warnings) == (len(texts) < 5)
    few = prepared(recipe, base, "train.keep=best", "data.docs.validation=0.05")
    validated(few)
    assert any("validation texts, too few to choose by" in w for w in few.warnings)
    assert not validated(prepared(recipe, base, "data.docs.validation=0"))
