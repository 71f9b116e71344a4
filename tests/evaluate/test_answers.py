"""Tuning beside retrieval in sentences: the paired differences they rest on, and the count of tokens."""

from __future__ import annotations

import json

import numpy as np
import pytest

from contextune.core.errors import UserError
from contextune.evaluate.analysis import answers
from contextune.evaluate.analysis.statistics import Estimate

TASKS = {
    f"exam.{m}": {"measure": m, "higher_is_better": True} for m in ("learn", "generalise", "listen", "resist", "retain")
}
VALUES = {
    "base": (0.30, 0.30, 0.90, 0.50, 0.40),
    "base+retrieval": (0.70, 0.60, 0.90, 0.50, 0.38),
    "base+passage": (0.95, 0.85, 0.90, 0.50, 0.40),
    "cpt": (0.60, 0.40, 0.80, 0.50, 0.41),
    "cpt+retrieval": (0.72, 0.62, 0.80, 0.50, 0.41),
}


def cells(values=VALUES, sd=0.01):
    rng = np.random.default_rng(0)
    return {
        (arm, task): Estimate(v, v + sd * rng.standard_normal(2000))
        for arm, row in values.items()
        for task, v in zip(TASKS, row, strict=True)
    }


def retrieval(folder, **more):
    row = {"items": 100, "behind_passages": 100, "tokens": 200.0, "passages": 4.0, "right": 0.9}
    told = {
        arm: {
            "weights_of": "cpt" if arm.startswith("cpt") else None, "untrained": arm.startswith("base"),
            "oracle": arm.endswith("passage"), "source": "docs", "k": 4, "tasks": {"exam.learn": row},
        }
        for arm in VALUES
        if "+" in arm
    }  # fmt: skip
    (folder / "retrieval.json").write_text(json.dumps(told | more))
    # 10 rows of 100 target and 20 context tokens, five passes: 6,000 tokens in training, worth 18,000 read ones
    cost = {"arm": "cpt", "rows": 10, "trained": 1000, "context": 200, "learned": 5000}
    (folder / "accounting.json").write_text(json.dumps([cost, {**cost, "arm": "cft"}]))


def said(folder, values=VALUES, sd=0.01):
    found = answers.of(folder, cells(values, sd), TASKS, 0.95, {"base", "base+retrieval", "base+passage"})
    return [a["answer"] for a in found]


def test_what_is_known_added_lost_and_paid(tmp_path):
    retrieval(tmp_path)
    known, adds, lost, cost = said(tmp_path)
    assert known.startswith(
        "The best tuned arm is cpt: of what the documents say, in their words (learn) it answers 60.0 %"
    )
    assert "more than the untrained model's 30.0 % (+30.0 points" in known
    assert "Retrieval adds to the untrained model: base+retrieval 65.0 % (+35.0 points" in adds
    assert "Retrieval adds to the tuned model: cpt+retrieval 67.0 % (+17.0 points" in adds
    assert "Tuned and without documents, cpt knows less than base+retrieval (-15.0 points" in adds
    assert "finds half or more of the right passage for 90% of the questions" in adds
    assert "With the right passage the untrained model (base+passage) answers 90.0 %." in adds
    assert lost.startswith("cpt lost in listen, using the passage it is given (-10.0 points")
    assert "Not clear: resist" in lost
    # 18,000 / 200 tokens a question = 90 questions a day where it is tuned daily, 3 where monthly
    assert cost.startswith("From 3 a day, if the model is tuned again every 30 days, or 90 a day if every day")


def test_what_is_not_clear_is_not_called_a_difference(tmp_path):
    retrieval(tmp_path)
    _, adds, lost, _ = said(tmp_path, sd=0.5)
    assert lost.startswith("Nothing that cpt has clearly lost.")
    assert "changes nothing that is clear for the untrained model" in adds


def test_without_retrieval_nothing_is_answered(tmp_path):
    assert said(tmp_path) == []


def test_a_broken_file_is_an_error(tmp_path):
    (tmp_path / "retrieval.json").write_text("{")
    with pytest.raises(UserError, match=r"retrieval\.json: not JSON"):
        said(tmp_path)
