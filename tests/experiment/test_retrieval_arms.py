"""Retrieval as an arm: other questions to the same models, on the same items, without another training."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from contextune import load, run
from contextune.core.errors import UserError
from contextune.core.progress import Reporter
from contextune.evaluate.scoring import outcomes
from contextune.experiment.prepare import prepare
from contextune.experiment.rebuild import rebuild
from tests.conftest import words


def recipe(folder: Path, tiny: Path) -> dict:
    rng = random.Random(1)
    rows = [{"id": f"d{i}", "text": f"w{i} {words(rng, 6, 9)}"} for i in range(12)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    items = [{"q": " ".join(r["text"].split()[:3]), "a": i % 2, "p": r["text"]} for i, r in enumerate(rows)]
    (folder / "items.jsonl").write_text("".join(json.dumps(r) + "\n" for r in items))
    ask = {"kind": "choice", "path": "items.jsonl", "prompt": "{{ q }}", "options": [" w1", " w2"], "answer": "{{ a }}"}
    before = {"retrieve": "docs", "k": 2, "separator": " w91 "}
    return {
        "name": "rag", "model": str(tiny), "output": str(folder / "out"), "seeds": [0, 1],
        "data": {"docs": {"path": "docs.jsonl"}},
        "arms": {
            "base": None,
            "base+retrieval": {"before": before},
            "base+passage": {"before": {"retrieve": "docs", "oracle": True, "separator": " w91 "}},
            "cpt": {"data": "docs"},
            "cpt+retrieval": {"weights_of": "cpt", "before": before},
        },
        "train": {"max_length": 48, "steps": 3, "batch": 4, "lr": 0.01},
        "evaluate": {"tasks": [
            {"name": "known", "measure": "learn", "passage": "{{ p }}", **ask},
            {"name": "told", "measure": "listen", "query": "", **ask},
            {"name": "before", "measure": "retain", **ask},
        ], "samples": 0},
        "compare": {"resamples": 100},
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny) -> Path:
    made = tmp_path_factory.mktemp("rag")
    run(recipe(made, tiny), base=made, workers=1, reporter=Reporter.silent())
    return made


def test_models_are_trained_once_and_asked_twice(folder):
    assert sorted(p.name for p in (folder / "out/arms").iterdir()) == ["cpt"]
    files = {p.name for p in (folder / "out/outcomes").glob("*.parquet")}
    assert {f"cpt+retrieval.seed-{s}.{t}.parquet" for s in (0, 1) for t in ("known", "told", "before")} <= files
    assert "base+retrieval.seed-0.known.parquet" in files
    assert "base+retrieval.seed-1.known.parquet" not in files


def test_items_are_the_same_and_answers_are_not(folder):
    def column(arm, name, task="known"):
        return outcomes.read(folder / f"out/outcomes/{arm}.seed-0.{task}.parquet")[name].to_pylist()

    assert column("cpt", "prompt_hash") == column("cpt+retrieval", "prompt_hash")
    assert column("cpt", "sums") != column("cpt+retrieval", "sums")
    assert column("base+retrieval", "sums") != column("base+passage", "sums")
    assert column("cpt", "sums", "told") == column("cpt+retrieval", "sums", "told")  # these have their passage
    assert column("base", "sums", "before") == column("base+passage", "sums", "before")  # nothing answers these
    assert column("base", "sums", "before") != column("base+retrieval", "sums", "before")  # retrieval does not know


def test_what_was_shown_is_kept_and_the_untrained_arms_are_told(folder):
    found = json.loads((folder / "out/retrieval.json").read_text())
    assert set(found) == {"base+retrieval", "base+passage", "cpt+retrieval"}
    assert found["cpt+retrieval"]["weights_of"] == "cpt"
    assert not found["cpt+retrieval"]["untrained"]
    known = found["base+retrieval"]["tasks"]["known"]
    assert known["behind_passages"] == 12
    assert known["right"] == 1.0
    assert set(found["base+passage"]["tasks"]) == {"known"}
    results = rebuild(folder / "out")
    assert results["arms"]["cpt+retrieval"]["seeds"] == [0, 1]
    assert results["arms"]["base+retrieval"]["seeds"] == [0]
    assert [a["question"].split()[0] for a in results["answers"]] == ["What", "Does", "What", "From"]
    page = (folder / "out/report.html").read_text()
    assert "Tuning or retrieval?" in page
    assert all(a["question"] in page for a in results["answers"])


def test_given_again_nothing_is_done_and_another_k_asks_that_arm_alone(folder, tiny):
    files = {p: p.stat().st_mtime_ns for p in (folder / "out").rglob("*.parquet")}
    again = recipe(folder, tiny)
    run(again, base=folder, workers=1, reporter=Reporter.silent())
    assert {p: p.stat().st_mtime_ns for p in files} == files
    again["arms"]["cpt+retrieval"]["before"] = {**again["arms"]["cpt+retrieval"]["before"], "k": 1}
    run(again, base=folder, workers=1, reporter=Reporter.silent())
    new = {p.name for p, then in files.items() if p.stat().st_mtime_ns != then}
    assert new == {f"cpt+retrieval.seed-{s}.{t}.parquet" for s in (0, 1) for t in ("known", "before")}


def test_an_arm_alone_brings_the_one_that_trains_its_models(folder, tiny):
    made = prepare(load(recipe(folder, tiny)), folder, folder / "out", only=["cpt+retrieval"])
    assert list(made.arms) == ["cpt", "cpt+retrieval"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights_of": "cpr"}, r"weights_of 'cpr' is no arm: name a trained one.*did you mean 'cpt'"),
        ({"weights_of": "base"}, "weights_of 'base' is not trained"),
        ({"weights_of": "cpt", "data": "docs"}, "stages, and weights_of"),
        ({"before": {"retrieve": "dogs"}}, r"no data 'dogs'.*did you mean 'docs'"),
        ({"before": {"retrieve": "pairs"}}, "data.pairs holds pairs"),
        ({"before": {"retrieve": "docs", "kk": 3}}, r"unknown key 'arms.odd.before.kk'"),
        ({"before": {"policy": "prompts"}}, r"the key 'arms.odd.before.retrieve' is missing|unknown key"),
    ],
)
def test_a_variant_that_cannot_be_is_refused(tmp_path, tiny, change, said):
    made = recipe(tmp_path, tiny)
    made["data"]["pairs"] = {"path": "docs.jsonl", "kind": "pairs"}
    made["arms"]["odd"] = change
    with pytest.raises(UserError) as e:
        load(made)
    import re

    assert re.search(said, f"{e.value.message} {e.value.hint}"), e.value
