"""Published figures: they add up as printed, stand beside the run's own, and never become markup."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from contextune import report
from contextune.core.errors import UserError
from contextune.evaluate.analysis import published
from contextune.evaluate.tasks.load import members, names
from contextune.experiment import recipe

from .folder import dump, make

KNOWN = yaml.safe_load(published.FILE.read_text(encoding="utf-8"))
MISPRINTED = {("cft-financial-7b", "none"): 61.85, ("cft-medical-7b-base", "cft_ift"): 44.30}
"""What the figures average to, where the paper prints another average."""


@pytest.mark.parametrize("name", KNOWN)
def test_averages_are_those_of_the_figures(name):
    table = KNOWN[name]
    for arm, values in table["arms"].items():
        assert len(values) == len(table["tasks"])
        expected = MISPRINTED.get((name, arm), table["averages"][arm])
        assert sum(values) / len(values) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize("name", KNOWN)
def test_tasks_are_built_in_ones(name):
    assert {m for task in KNOWN[name]["tasks"] for m in members(task)} <= {m for n in names() for m in members(n)}


def with_published(folder: Path, name: str) -> Path:
    """A run whose recipe names published figures: `summarise` puts them into its results."""
    run = make(folder)
    results = json.loads((run / "results.json").read_text())
    dump(run / "results.json", {**results, "published": published.figures(name)})
    return run


def test_shown_beside_the_runs_own(tmp_path):
    run = with_published(tmp_path / "run", "cft-financial-7b")
    results = json.loads((run / "results.json").read_text())
    results["arms"]["cft"]["tasks"]["fiqa"] = {"metric": "weighted_f1", "value": 0.4321, "interval": [0.4, 0.5], "n": 9}
    dump(run / "results.json", results)
    html = report.write(run).read_text(encoding="utf-8")
    assert "Beside the published figures" in html
    assert "43.21<small>paper 67.69</small>" in html
    assert "–<small>paper 38.23</small>" in html, "what the run has not measured is shown all the same"


def test_nothing_without_the_key(tmp_path):
    assert "published figures" not in report.write(make(tmp_path / "run")).read_text(encoding="utf-8")


def test_data_is_escaped(tmp_path, monkeypatch):
    evil = {
        "source": "<b>x</b>",
        "tasks": ["<i>t</i>"],
        "arms": {"cft": [1.0]},
        "averages": {"cft": 1.0},
        "notes": ["<u>"],
    }
    monkeypatch.setattr(published, "_known", lambda: {"evil": evil})
    html = report.write(with_published(tmp_path / "run", "evil")).read_text(encoding="utf-8")
    assert "&lt;b&gt;x" in html
    assert not any(tag in html for tag in ("<b>x", "<i>t", "<u>"))


def test_an_unknown_name_is_refused():
    plain = {"model": "pocket", "data": {"d": {"path": "d.txt"}}, "arms": {"a": {"data": "d"}}}
    with pytest.raises(UserError, match=r"compare\.published.*no published figures.*cft-medical-7b"):
        recipe.parse({**plain, "compare": {"published": "cft-medical-7"}})
