"""Ctrl-C says what is kept and how to go on, in every long command, and exits with 130."""

from __future__ import annotations

import json

import pytest

from contextune import run
from contextune.cli import main
from contextune.core.progress import Reporter, keeping
from contextune.experiment import augment, scoring
from contextune.experiment import run as experiment
from contextune.experiment.run_dir import kept
from contextune.train.checkpoints import WHOLE


def interrupt(*args, **more):
    raise KeyboardInterrupt


def test_what_is_kept_in_words(tmp_path):
    assert kept(tmp_path) == f"kept in {tmp_path}: nothing yet"
    arms = tmp_path / "arms"
    (arms / "cpt" / "seed-0" / "stage-0" / "model").mkdir(parents=True)
    (arms / "cpt" / "seed-1" / "stage-0" / "model").mkdir(parents=True)
    (arms / "cft" / "seed-0" / "stage-1" / "checkpoint-40").mkdir(parents=True)
    (arms / "cft" / "seed-0" / "stage-1" / "checkpoint-40" / WHOLE).write_text("{}")
    (arms / "cft" / "seed-1" / "stage-0").mkdir(parents=True)
    (tmp_path / "outcomes").mkdir()
    (tmp_path / "outcomes" / "cpt.seed-0.quiz.parquet").write_text("")
    (tmp_path / "generated.sqlite").write_text("")
    assert kept(tmp_path) == (
        f"kept in {tmp_path}: 2 finished stages, cft seed 0 at update 40, 1 scored task, what a writer has written"
    )


def test_said_only_on_an_interrupt(capsys):
    with keeping(lambda: "never"):
        pass
    with pytest.raises(ValueError, match="other"), keeping(lambda: "never"):
        raise ValueError("other")
    with pytest.raises(KeyboardInterrupt), keeping(lambda: "kept in runs/x"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "\nkept in runs/x\n"


@pytest.fixture
def recipe(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs.jsonl").write_text('{"text": "w1 w2 w3"}\n' * 4)
    (tmp_path / "task.yaml").write_text(
        'kind: generate\nrows: [{q: w1, a: w2}]\nprompt: "{{ q }}"\nanswer: "{{ a }}"\n'
    )
    values = {"model": str(tiny), "data": {"docs": {"path": "docs.jsonl"}}, "output": "out",
              "arms": {"cpt": {"data": "docs", "augment": "rephrase"}}, "train": {"max_length": 64}}  # fmt: skip
    (tmp_path / "r.yaml").write_text(json.dumps(values))
    return values


@pytest.mark.parametrize(
    ("where", "command", "said"),
    [
        ((experiment, "train_all"), ["run", "r.yaml", "arms={cpt: {data: docs}}"], "kept in out: nothing yet"),
        ((experiment, "prepare"), ["train", "r.yaml"], "kept in out: nothing yet"),
        ((augment, "prepare"), ["augment", "r.yaml"], "kept in out: nothing yet"),
        ((scoring.outcomes, "table"), ["evaluate", "MODEL", "--task", "task.yaml"], "nothing is kept in runs/evaluate"),
    ],
)
def test_every_long_command(where, command, said, recipe, monkeypatch, capsys):
    monkeypatch.setattr(*where, interrupt)
    with pytest.raises(SystemExit) as stopped:
        main([part.replace("MODEL", recipe["model"]) for part in command])
    assert stopped.value.code == 130
    *_, first, second, third = capsys.readouterr().err.splitlines()
    assert first.startswith(said)
    assert (second, third) == ("interrupted", "give the same command again: what was kept is not done again")


def test_from_python_it_is_an_interrupt(recipe, monkeypatch, capsys):
    monkeypatch.setattr(experiment, "prepare", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, reporter=Reporter.silent())
    assert "kept in out" in capsys.readouterr().err
