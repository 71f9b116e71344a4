from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contextune.core.errors import UserError
from contextune.report import write

from . import folder as made
from .reading import Node, read

ROW = {"made": 6, "right": 4, "wrong": 1, "open": 1, "unread": 0, "precision": 0.667, "recall": 0.5}


def account() -> dict[str, Any]:
    sample = {
        "text": made.EVIL,
        "source": made.RIGHT_TO_LEFT,
        "operation": "reversal/1",
        "reason": "names: <i>Zeno</i>",
    }
    return {
        "made": 10,
        "kept": 4,
        "by_operation": {"reversal": {"made": 6, "kept": 4}, "<b>x</b>": {"made": 4, "kept": 0}},
        "filters": [
            {"filter": "malformed", "in": 10, "out": 10, "reasons": {}, "samples": []},
            {"filter": "unsupported_entities", "in": 10, "out": 4, "reasons": {"names": 6}, "samples": [sample]},
        ],
        "shortfall": {"atleast": 2, "records": {"r1": 1}},
        "exact": {"made": {"all": ROW}, "kept": {"all": {**ROW, "precision": 1.0}}},
        "mix": {"original": {"records": 3, "tokens": 40, "share": 0.8, "repeats": 1.0}},
        "leak": {"reversal": {"items": 40, "verbatim": 20, "share": 0.5, "answers": 0}},
    }


def page(folder: Path, value: object, rows: str = "") -> Node:
    made.make(folder)
    made.dump(folder / "augmented" / "cft.stage-0.json", value)
    (folder / "augmented" / "cft.stage-0.jsonl").write_text(rows, encoding="utf-8")
    return read(write(folder).read_text(encoding="utf-8"))


def test_every_number_and_text_is_there(tmp_path: Path) -> None:
    rows = '{"operation": "reversal", "prompt": "q: ", "text": "kept one", "from": "its source", "kept": true}\n'
    rows += '{"operation": "reversal", "text": "refused one", "source": "r", "kept": false}\n{"cut'
    section = page(tmp_path / "run", account(), rows).by_id("augmented")
    counts, exact, mix, leak = section.all("table")
    assert counts.values() == [6, 4, 4, 0, 10, 4]
    assert exact.values() == [6, 4, 1, 1, 0, 0.667, 0.5, 6, 4, 1, 1, 0, 1.0, 0.5]
    assert mix.values() == [3, 40, 0.8, 1.0]
    assert leak.values() == [40, 20, 0.5, 0]
    bars = [[r.attributes["width"] for r in row.all("rect")] for row in section.one("div", "chart").all("div", "row")]
    assert bars == [["100.0%", "0.0%"], ["100.0%", "0.0%"], ["40.0%", "60.0%"]]
    for text in (
        "q: kept one",
        "its source",
        made.EVIL,
        made.RIGHT_TO_LEFT,
        "<i>Zeno</i>",
        "<b>x</b>",
        "1 records have",
    ):
        assert text in section.text
    assert "refused one" not in section.text
    assert not section.all("script")


def test_a_run_without_it_has_no_section(tmp_path: Path) -> None:
    whole = read(write(made.make(tmp_path / "run")).read_text(encoding="utf-8"))
    assert not [n for n in whole.all() if n.attributes.get("id") == "augmented"]


@pytest.mark.parametrize("value", [{}, {"filters": None, "leak": [], "by_operation": 3, "made": "x", "exact": 1}])
def test_what_is_missing_leaves_a_gap(tmp_path: Path, value: object) -> None:
    assert page(tmp_path / "run", value).by_id("augmented").all("table")[0].values() == []


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cft\.stage-0\.json: expected a JSON dict"):
        page(tmp_path / "run", [])
