"""A plug-in package, installed: its policy, filter, metric and command work wherever those of the package do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parent / "plugin"
TEXTS = [{"id": f"t{i}", "text": f"Kalo teaches Mido and Rune number {i}.", "title": f"Kalo {i}"} for i in range(8)]
RECIPE = """
name: mine
model: pocket
data: {notes: {path: notes.jsonl}}
arms:
  plain: {data: notes}
  heading: {data: notes, context: {policy: heading, max_tokens: 8}}
  inferred: {data: notes, augment: {operations: [repeat], filters: [{filter: short, words: 3}]}}
seeds: [0, 1]
train: {steps: 3, batch: 4, lr: 1e-3, max_length: 64, save: 1}
evaluate: {tasks: [task.yaml], samples: 0}
"""
TASK = """
kind: generate
metric: token_recall
max_tokens: 4
rows: [{q: "who teaches Mido?", a: Kalo}, {q: "who teaches Rune?", a: Kalo}]
prompt: "question: {{ q }} answer:"
answer: "{{ a }}"
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The plug-in as an installed distribution: its package and its metadata on the path, as pip leaves them."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", site]
    made = subprocess.run([*command, PLUGIN], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TEXTS))
    (tmp_path / "mine.yaml").write_text(RECIPE)
    (tmp_path / "task.yaml").write_text(TASK)
    return tmp_path


def run(env, folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "contextune", *arguments], cwd=folder, env=env, capture_output=True, text=True
    )


def test_command(installed, folder):
    made = run(installed, folder, "count", "notes.jsonl")
    assert (made.returncode, made.stdout.strip()) == (0, str(len((folder / "notes.jsonl").read_text().split())))
    assert run(installed, folder, "count", "nothing").returncode == 2
    assert "count" in run(installed, folder, "--help").stdout


def test_without_the_plugin_its_names_are_unknown(folder):
    made = run(os.environ, folder, "check", "mine.yaml", "--quick")
    assert made.returncode == 2
    assert "unknown context policy 'heading'" in made.stderr


def test_schema_preview_and_check(installed, folder):
    schema = json.loads(run(installed, folder, "schema").stdout)
    assert schema["$defs"]["policies.heading"]["properties"]["max_tokens"]["default"] == 32
    assert schema["$defs"]["filters.short"]["properties"]["filter"] == {"const": "short"}

    shown = json.loads(run(installed, folder, "preview", "mine.yaml", "--arm", "heading", "--json").stdout)
    (first, second) = (epoch["tokens"] for epoch in shown[0]["epochs"])
    context = [t for t in first if t["role"] == "context"]
    assert "title: Kalo" in "".join(t["text"] for t in context)
    assert len(context) == 8
    assert first == second

    found = json.loads(run(installed, folder, "check", "mine.yaml", "--quick", "--json").stdout)
    trained = {row["arm"]: row["trained"] for row in found["accounting"] if row["source"] == "notes"}
    assert trained["plain"] == trained["heading"]
    assert {row["arm"]: row["context"] for row in found["accounting"]}["heading"] > 8 * 8


@pytest.mark.slow
def test_run_with_workers_and_resumed(installed, folder):
    """Two processes find the plug-in by themselves; a run that lost its results and one model ends in the same bits."""
    made = run(installed, folder, "run", "mine.yaml", "--workers", "2")
    assert made.returncode == 0, made.stderr
    out = folder / "runs" / "mine"
    results = json.loads((out / "results.json").read_text())
    assert results["tasks"]["task"]["metric"] == "token_recall"
    model = out / "arms" / "heading" / "seed-1" / "stage-0" / "model"
    bits = (model / "model.safetensors").read_bytes()
    for name in ("model", "stage.json", "losses.json"):
        subprocess.run(["rm", "-r", str(model.parent / name)], check=True)
    (out / "results.json").unlink()
    again = run(installed, folder, "run", "mine.yaml", "--workers", "1")
    assert again.returncode == 0, again.stderr
    assert "resuming the run" in again.stdout
    assert (model / "model.safetensors").read_bytes() == bits
    assert json.loads((out / "results.json").read_text())["arms"] == results["arms"]
