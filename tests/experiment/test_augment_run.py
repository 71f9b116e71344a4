"""Augmentation in a run, with the pocket model as the writer: accounting, provenance, a kill in the midst of it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from contextune import load
from contextune.cli import main
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey
from contextune.experiment.accounting import accounting
from contextune.experiment.overlaps import refuse_overlap
from contextune.experiment.preflight import pending
from contextune.experiment.prepare import prepare
from contextune.experiment.run_dir import fingerprint_of, folder_of

OPTIONS = {"size": "small", "facts": 6, "preambles": 2, "probes": 2}
LOCAL = {"operations": ["rephrase", "reversal"], "filters": ["duplicate"], "failures": 0.5}
"""A small writer may ramble on here and there; that is no matter of these tests."""
RECIPE = {
    "name": "tiny",
    "model": "pocket",
    "data": {"facts": {"world": "reversals", "options": OPTIONS}},
    "arms": {
        "plain": {"data": "facts"},
        "local": {"data": "facts", "augment": LOCAL},
    },
    "writer": {"tokens": 64},
    "train": {"steps": 2, "batch": 4, "max_length": 64},
    "evaluate": {"tasks": [{"world": "reversals", "options": OPTIONS}], "samples": 0},
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("augment")
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump({**RECIPE, "output": str(folder / "out")}))
    return file


@pytest.fixture(scope="module")
def written(bench) -> Path:
    """The recipe with its texts written and filtered: what a run would train on."""
    assert command("augment", bench, "--out", bench.parent / "made.jsonl") == 0
    return bench


def prepared(file: Path, *overrides: str, plan: bool = False):
    recipe = load(file, list(overrides))
    return prepare(recipe, file.parent, folder_of(recipe), plan=plan)


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as e:
        main([str(a) for a in arguments])
    return int(e.value.code or 0)


def test_looking_asks_nothing(bench, tmp_path, capsys):
    made = prepared(bench, f"output={tmp_path / 'o'}", plan=True)
    (row,) = pending(made)
    assert (row["arm"], row["made"], row["requests"], row["price"]) == ("local", 0, 24, None)
    assert row["read"] > 24 * 5
    assert not (tmp_path / "o").exists()
    assert command("check", bench, "--quick", f"output={tmp_path / 'o'}") == 0
    assert "local: 0 texts are there; 24 requests or more are still to be asked" in capsys.readouterr().out
    assert command("preview", bench, "--arm", "local", f"output={tmp_path / 'o'}") == 0
    assert "24 requests or more" in capsys.readouterr().err
    assert not (tmp_path / "o" / "generated.sqlite").exists()


def test_prices_are_those_of_the_writer(bench, tmp_path):
    server = "writer={server: 'http://localhost:1/v1', name: m, prices: {input: 1000000, output: 2000000}}"
    made = prepared(bench, server, f"output={tmp_path / 'o'}", "arms.local.augment.prompt_style=pocket", plan=True)
    (row,) = pending(made)
    assert row["price"] == row["read"] + 2 * row["write"]


@pytest.mark.slow
def test_from_the_recipe_to_the_account(bench, capsys):
    assert command("train", bench) == 0
    out = bench.parent / "out"
    shown = capsys.readouterr().out
    assert "facts+reversal" in shown
    assert "facts+rephrase" in shown
    made = prepared(bench)
    rows = {(r["arm"], r["source"]): r for r in accounting(made)}
    account = json.loads((out / "augmented/local.stage-0.json").read_text())
    lines = [json.loads(line) for line in (out / "augmented/local.stage-0.jsonl").open()]
    assert rows["plain", "facts"]["trained"] == rows["local", "facts"]["trained"]
    kept = account["by_operation"]
    assert {k: v["kept"] for k, v in kept.items()} == {
        n: rows["local", f"facts+{n}"]["rows"] for n in ("rephrase", "reversal")
    }
    assert sum(line["kept"] for line in lines) == account["kept"] == len(made.arms["local"][0].records) - 12
    assert 20 <= account["made"] == len(lines) <= 24
    assert account["filters"][0]["filter"] == "duplicate"
    assert account["leak"]["reversal"]["items"] == 6
    assert account["leak"]["reversal"]["verbatim"] >= 4, "the pocket model reverses most of them right"
    assert not refuse_overlap(made).ids, "what was inferred is not refused"


def test_a_made_text_is_traced_to_its_source(written, capsys):
    bench = written
    line = next(json.loads(x) for x in (bench.parent / "out/augmented/local.stage-0.jsonl").open())
    assert command("augment", bench, "--trace", line["id"], "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["asked"]["prompt"] == f"{found['source_text']}\nrephrase:"
    assert found["asked"]["text"].strip() == found["text"]
    assert found["asked"]["engine"] == found["writer"]
    assert found["asked"]["sampling"]["max_tokens"] == 40
    assert command("augment", bench, "--trace", line["id"]) == 0
    assert "pocket" in capsys.readouterr().out
    assert command("augment", bench, "--trace", "nobody") == 2
    assert "no made text has the id 'nobody'" in capsys.readouterr().err


def test_status(written, capsys):
    assert command("augment", written, "--status", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(o["operation"], o["answered"] + o["failed"], o["missing"]) for o in found["operations"]] == [
        ("rephrase", 12, 0), ("reversal", 12, 0),
    ]  # fmt: skip
    assert found["store"]["answered"] + found["store"]["failed"] == 24


def test_what_decides_is_part_of_a_runs_identity(bench):
    made = prepared(bench)
    before = fingerprint_of(made, made.arms["local"][0], "local", 0, 0)
    same = prepared(bench, "arms.local.augment.failures=0.6")
    assert fingerprint_of(same, same.arms["local"][0], "local", 0, 0) == before
    other = prepared(bench, "arms.local.augment.filters=[]")
    changed = fingerprint_of(other, other.arms["local"][0], "local", 0, 0)
    assert changed["augment"] != before["augment"]
    assert changed["augmented"] != before["augmented"]
    assert "augment" not in fingerprint_of(made, made.arms["plain"][0], "plain", 0, 0), "other arms are as they were"


@pytest.mark.slow
def test_killed_while_texts_are_written(bench, tmp_path):
    """SIGKILL after the first answers; the same command then gives the same records and asks the rest only."""
    out, recipe = tmp_path / "out", yaml.safe_load(bench.read_text())
    recipe["data"]["facts"]["options"] = {**OPTIONS, "preambles": 10}
    recipe["output"] = str(out)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    arguments = [sys.executable, "-m", "contextune", "augment", str(tmp_path / "recipe.yaml"), "--json"]
    arguments += ["--out", str(tmp_path / "made.jsonl")]
    process = subprocess.Popen(arguments, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    while process.poll() is None and answered(out) < 5:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = answered(out)
    assert 5 <= first < 120, "it was killed in the midst"
    kept = dict(rows(out))
    done = subprocess.run(arguments, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = dict(rows(out))
    assert all(after[key] == value for key, value in kept.items()), "nothing was asked twice"
    whole = prepared(tmp_path / "recipe.yaml", f"output={tmp_path / 'whole'}")
    again = prepared(tmp_path / "recipe.yaml")
    assert answered(out) == answered(tmp_path / "whole") > 110
    assert whole.arms["local"][0].records == again.arms["local"][0].records
    assert len((tmp_path / "made.jsonl").read_text().splitlines()) == json.loads(done.stdout)["rows"]


def rows(out: Path) -> list[tuple[str, tuple[str, int, float]]]:
    if not (out / "generated.sqlite").exists():
        return []
    with sqlite3.connect(f"file:{out / 'generated.sqlite'}?mode=ro", uri=True) as db:
        try:
            found = db.execute("SELECT key, text, attempts, written FROM answers WHERE text IS NOT NULL").fetchall()
        except sqlite3.OperationalError:
            return []
    return [(key, rest) for key, *rest in found]


def answered(out: Path) -> int:
    return len(rows(out))


def test_what_is_replayed_has_no_context_and_stands_in_none(tmp_path):
    mix = {"weights": {"replay": 1}, "replay": {"data": "general"}}
    shown = {"policy": "random", "similarity": {"kind": "overlap"}, "max_random_similarity": None}
    arm = {"data": "facts", "augment": {"mix": mix}, "context": shown}
    general = {"world": "general", "options": {"rows": 20, "facts": 2}}
    file = tmp_path / "recipe.yaml"
    spec = {**RECIPE, "data": {**RECIPE["data"], "general": general}, "arms": {"replayed": arm}}
    file.write_text(yaml.safe_dump({**spec, "output": str(tmp_path / "out")}))
    (stage,) = prepared(file).arms["replayed"]
    drawn = {r.id: stage.context.draw(r, DrawKey(0, 0)) for r in stage.records}
    replayed = {r.id for r, origin in zip(stage.records, stage.origins, strict=True) if origin == "general"}
    assert len(replayed) == 20
    assert all(bool(d.segments) == (id not in replayed) for id, d in drawn.items())
    assert not {e for d in drawn.values() for e in d.provenance.get("examples", [])} & replayed


def test_check_prints_what_is_not_as_it_should_be(tmp_path, capsys):
    file = tmp_path / "recipe.yaml"
    arm = {"data": "facts", "context": {"policy": "contrastive", "similarity": {"kind": "overlap"}}}
    file.write_text(yaml.safe_dump({**RECIPE, "arms": {"shown": arm}, "output": str(tmp_path / "out")}))
    assert command("check", file, "--quick") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "warning context contrastive: no row's nearest example is of grade" in said
    assert "all is well" not in said


def test_files_without_a_recipe(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.jsonl").write_text(json.dumps({"id": "n", "body": "Kalo teaches Mido. Rune is up."}) + "\n")
    common = ("augment", "notes.jsonl", "--column", "text=body", "--split", "independent", "--out", "made.jsonl")
    asked = (*common, "--operation", "reversal", "--operation", "{operation: repeat, samples: 2}", "--originals")
    assert command(*asked, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    made = [json.loads(line) for line in (tmp_path / "made.jsonl").open()]
    assert found["rows"] == len(made) == 8
    assert [m["text"] for m in made if m["operation"] == "original"] == ["Kalo teaches Mido.", "Rune is up."]
    assert {m["id"]: m["text"] for m in made}["n/0+reversal/1#0"] == "Mido is taught by Kalo."
    pushed = {}
    monkeypatch.setattr(
        "datasets.Dataset.push_to_hub", lambda self, name, **o: pushed.update({name: self.to_list(), **o})
    )
    form = ("--format", "alpaca", "--push", "me/made")
    assert command(*common, "--operation", "reversal", *form) == 0
    assert pushed["me/made"][0] == {"instruction": "", "input": "", "output": "Mido is taught by Kalo."}
    assert pushed["private"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to augment"),
        (("x.jsonl",), "no operation is named"),
        (("x.jsonl", "--operation", "reversl"), "unknown operation 'reversl'"),
        (("x.jsonl", "--operation", "reversal", "--column", "text"), "--column text: expected our name=your column"),
        (("x.jsonl", "--operation", "reversal", "--format", "xml"), "unknown format 'xml'"),
        (("x.jsonl", "--operation", "reversal", "--server", "http://localhost:1/v1"), "needs both `server` and `name`"),
        (("x.jsonl", "--operation", "reversal"), "x.jsonl"),
        (("RECIPE", "--operation", "reversal"), "--operation has no effect on a recipe"),
        (("RECIPE", "--split", "independent"), "--split has no effect on a recipe"),
        (("RECIPE", "--arm", "plain"), "nothing is augmented in plain"),
    ],
)
def test_mistakes_on_the_command_line(bench, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert command("augment", *(bench if a == "RECIPE" else a for a in arguments)) == 2
    assert said in capsys.readouterr().err


def test_conversations_are_refused(tmp_path, tiny):
    turns = [{"role": "user", "content": "w0"}, {"role": "assistant", "content": "w1"}]
    (tmp_path / "c.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    recipe = {**RECIPE, "data": {"facts": {"path": "c.jsonl", "kind": "messages"}}, "output": str(tmp_path / "o"),
              "evaluate": {}, "model": str(tiny)}  # fmt: skip
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(UserError, match=r"data\.facts holds conversations"):
        prepared(tmp_path / "r.yaml")
