"""From a recipe to a report: arms train on the same targets, a killed run goes on, numbers can be rebuilt."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from contextune import DrawKey, load, render, run
from contextune.contexts import compose
from contextune.core.progress import Reporter
from contextune.experiment.accounting import accounting
from contextune.experiment.prepare import prepare
from contextune.experiment.preview import preview
from contextune.experiment.run_dir import folder_of
from tests.conftest import words


@pytest.fixture(scope="module")
def bench(tmp_path_factory, tiny) -> Path:
    """A recipe with texts, pairs, two tasks and six arms."""
    folder, rng = tmp_path_factory.mktemp("bench"), random.Random(0)
    rows = [{"id": f"doc{i}", "text": ". ".join(words(rng, 3, 12) for _ in range(8)) + "."} for i in range(16)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    pairs = [{"prompt": words(rng, 2, 20), "completion": words(rng, 1, 3)} for _ in range(12)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in pairs))
    items = [{"q": words(rng, 2, 4), "a": rng.randrange(2)} for _ in range(10)]
    (folder / "items.jsonl").write_text("".join(json.dumps(r) + "\n" for r in items))
    (folder / "short.yaml").write_text(yaml.safe_dump({
        "name": "short", "version": 1, "licence": "CC0-1.0", "source": "test",
        "template": "{{ category }} {{ prompt }} ",
        "prompts": [{"id": f"p{i}", "category": "w1", "text": f"w2 w{i}"} for i in range(5)],
    }))  # fmt: skip
    own = {"policy": "prompts", "set": "short.yaml"}
    recipe = {
        "name": "six", "model": str(tiny), "output": str(folder / "out"), "seeds": [0, 1],
        "data": {
            "docs": {"path": "docs.jsonl", "held_out": 0.2},
            "pairs": {"path": "pairs.jsonl", "kind": "pairs", "template": "{{ prompt }} ", "separator": ""},
        },
        "arms": {
            "none": None,
            "cpt": {"data": "docs"},
            "cft": {"data": "docs", "context": own},
            "random": {"data": "docs", "context": {"policy": "random_tokens", "set": "short.yaml"}},
            "ift": {"data": "pairs"},
            "cft_ift": {"stages": [{"data": "docs", "context": own}, {"data": "pairs", "train": {"epochs": 2}}]},
        },
        "train": {"max_length": 48, "epochs": 2, "batch": 8, "lr": 0.01, "save": 2},
        "evaluate": {"tasks": [
            {"name": "pick", "kind": "choice", "path": "items.jsonl", "prompt": "{{ q }}", "options": [" w1", " w2"],
             "answer": "{{ a }}"},
            {"name": "say", "kind": "generate", "path": "items.jsonl", "prompt": "{{ q }}", "answer": "w{{ a }}",
             "metric": "exact_match", "max_tokens": 3},
        ], "perplexity": ["docs"], "samples": 2},
        "compare": {"resamples": 100},
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return folder / "recipe.yaml"


@pytest.fixture(scope="module")
def done(bench) -> dict:
    return run(bench, reporter=Reporter.silent())


def prepared(bench):
    recipe = load(bench)
    return prepare(recipe, bench.parent, folder_of(recipe))


def targets(rows: list[dict]) -> list[list[int]]:
    return [[t["label"] for t in row["epochs"][0]["tokens"] if t["label"] != -100] for row in rows]


def test_every_arm_trains_on_the_same_target_tokens(bench):
    made = prepared(bench)
    shown = {arm: [r for r in preview(made, 0, 10_000) if r["arm"] == arm and not r["stage"]] for arm in made.arms}
    assert targets(shown["cpt"]) == targets(shown["cft"]) == targets(shown["random"]) == targets(shown["cft_ift"])
    lengths = {arm: [len(r["epochs"][0]["tokens"]) for r in shown[arm]] for arm in ("cpt", "cft", "random")}
    assert lengths["cft"] == lengths["random"] == [n + 3 for n in lengths["cpt"]], "the control matches in length"


def test_accounting_adds_up(bench):
    rows = accounting(prepared(bench))
    assert [(r["arm"], r["stage"], r["source"]) for r in rows] == [
        ("cpt", 0, "docs"), ("cft", 0, "docs"), ("random", 0, "docs"), ("ift", 0, "pairs"),
        ("cft_ift", 0, "docs"), ("cft_ift", 1, "pairs"),
    ]  # fmt: skip
    by_arm = {(r["arm"], r["source"]): r for r in rows}
    cpt, cft = by_arm["cpt", "docs"], by_arm["cft", "docs"]
    assert cpt["trained"] == cft["trained"]
    assert cpt["context"] == cpt["rows"], "one BOS each"
    assert cft["context"] == 4 * cft["rows"]
    documents = len(prepared(bench).documents["docs"].documents)
    assert cpt["trained"] == cpt["tokens_in"] + documents, "an end of text a document, not a chunk"


def test_accounting_is_what_rendering_gives(bench):
    """Counted from lengths, held against every rendered row; a tight max_length so that some context is cut."""
    recipe = load(bench, ["arms.ift.train={max_length: 17}"])
    made = prepare(recipe, bench.parent, folder_of(recipe))
    for arm, stages in made.arms.items():
        for index, ready in enumerate(stages):
            rows = [r for r in accounting(made) if (r["arm"], r["stage"]) == (arm, index)]
            drawn = [compose(r, ready.context, DrawKey(recipe.seeds[0], 0)) for r in ready.records]
            shown = [render(d, made.tokenizer, ready.train.max_length) for d in drawn]
            assert sum(r["trained"] for r in rows) == sum(s.trained for s in shown)
            assert sum(r["context"] for r in rows) == sum(len(s) - s.trained for s in shown)
            assert sum(r["cut"] for r in rows) == sum(s.cut for s in shown)
    assert any(r["cut"] for r in accounting(made))


def test_a_prompt_is_drawn_anew_each_epoch(bench):
    rows = [r for r in preview(prepared(bench), 0, 10_000) if r["arm"] == "cft"]
    drawn = [tuple(e["provenance"]["prompt"] for e in r["epochs"]) for r in rows]
    assert len(set(drawn)) > 8
    assert any(a != b for a, b in drawn)


def test_what_a_run_leaves_behind(done):
    out = Path(done["folder"])
    assert done["schema"] == 1
    assert set(done["arms"]) == {"none", "cpt", "cft", "random", "ift", "cft_ift"}
    assert done["arms"]["cpt"]["seeds"] == [0, 1]
    assert done["tasks"]["pick"]["n"] == 10
    assert done["verdict"]["sentence"]
    assert json.loads((out / "results.json").read_text()) == {k: v for k, v in done.items() if k != "folder"}
    for name in ("recipe.yaml", "run.json", "accounting.json", "samples.json", "report.html"):
        assert (out / name).stat().st_size > 20, name
    asked = json.loads((out / "questions.json").read_text())
    assert {task: len(items) for task, items in asked.items()}["pick"] == 10
    assert all(text for items in asked.values() for text in items.values())
    assert len(list((out / "outcomes").glob("*.parquet"))) == 3 * (1 + 5 * 2)
    card = (out / "arms/cft_ift/seed-1/stage-1/model/README.md").read_text()
    assert "More Information Needed" not in card
    assert "| pick | " in card
    page = (out / "report.html").read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)


def test_finished_work_is_not_done_again(done, bench):
    out = Path(done["folder"])
    before = {p: p.stat().st_mtime_ns for p in (*out.rglob("*.safetensors"), *out.rglob("*.parquet"))}
    again = run(bench, reporter=Reporter.silent())
    assert again == done
    assert {p: p.stat().st_mtime_ns for p in (*out.rglob("*.safetensors"), *out.rglob("*.parquet"))} == before


def test_numbers_are_rebuilt_from_outcomes_alone(done):
    from contextune.experiment.rebuild import rebuild
    from contextune.report import write

    out = Path(done["folder"])
    (out / "results.json").unlink()
    (out / "report.html").unlink()
    assert rebuild(out) == {k: v for k, v in done.items() if k != "folder"}
    write(out)
    assert (out / "report.html").exists()


def test_an_arm_may_be_added(done, bench):
    """What stands there is kept; only what is new is trained."""
    weights = Path(done["folder"]) / "arms/cpt/seed-0/stage-0/model/model.safetensors"
    before = weights.stat().st_mtime_ns
    recipe = load(bench, ["arms.more={data: docs, context: {policy: prompts, set: short.yaml, per: document}}"])
    found = run(recipe, base=bench.parent, reporter=Reporter.silent())
    assert "more" in found["arms"]
    assert weights.stat().st_mtime_ns == before


def test_from_python_without_a_file(tiny, tmp_path):
    from contextune.experiment.recipe import parse

    (tmp_path / "a.txt").write_text("w1 w2 w3. " * 30)
    recipe = parse({
        "model": str(tiny), "data": {"a": {"path": "a.txt"}}, "arms": {"cpt": {"data": "a"}},
        "output": str(tmp_path / "o"),
        "train": {"steps": 2, "batch": 2, "max_length": 64},
    })  # fmt: skip
    assert run(recipe, base=tmp_path, reporter=Reporter.silent()) == {"folder": str(tmp_path / "o")}
    assert (tmp_path / "o/arms/cpt/seed-0/stage-0/model/model.safetensors").exists()


@pytest.mark.parametrize(("seed", "workers"), [(0, 1), pytest.param(1, 2, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_and_ends_the_same(done, bench, tmp_path, seed, workers):
    """SIGKILL at random moments of training and evaluation; then weights bit for bit and every outcome are the same."""
    rng, out = random.Random(seed), tmp_path / "out"
    arguments = [sys.executable, "-m", "contextune", "run", str(bench), f"output={out}", "--json",
                 "--arm", "cft_ift", "--arm", "cpt", "--workers", str(workers)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for _ in range(3):
        process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(4, 9))
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    found = json.loads(last.stdout)
    for weights in out.rglob("model/model.safetensors"):
        ours, theirs = load_file(weights), load_file(Path(done["folder"]) / weights.relative_to(out))
        assert all((ours[name] == theirs[name]).all() for name in theirs), weights
    assert len(list(out.rglob("model/model.safetensors"))) == 6
    for arm in ("cpt", "cft_ift"):
        for task, scores in found["arms"][arm]["tasks"].items():
            assert scores["value"] == done["arms"][arm]["tasks"][task]["value"], (arm, task)
    assert not list(out.rglob("*.part*"))
