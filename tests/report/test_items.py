"""What each arm answered: right in more than half of its seeds, filters, and the cut of long lists."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contextune.core.errors import UserError
from contextune.report import items, looks, write
from contextune.report import read as reading

from . import folder as made
from .reading import read


def outcomes(run: Path, arm: str, seed: int, task: str, rows: list[tuple[str, str | None, float | None]]) -> None:
    """Rows (item, answer, correct), all of them with the gold `<b>7</b>`."""
    common = {"arm": arm, "seed": seed, "task": task, "gold": "<b>7</b>", "output": None}
    table = pa.Table.from_pylist([{**common, "item": i, "predicted": p, "correct": c} for i, p, c in rows])
    (run / "outcomes").mkdir(exist_ok=True)
    pq.write_table(table, run / "outcomes" / f"{arm}.seed-{seed}.{task}.parquet")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = made.make(tmp_path / "run")
    outcomes(run, "untrained", 0, "topic", [("t0", "one", 0.0), ("t1", "<b>7</b>", 1.0)])
    for seed, right in enumerate((1.0, 0.0, 1.0)):
        outcomes(run, "cft", seed, "topic", [("t0", f"said {seed}", right), ("t1", made.EVIL, 0.5)])
    outcomes(run, "cft", 0, "notes", [("n0", None, None)])
    return run


def answers(run: Path) -> items.Answers | None:
    found = reading.read(run)
    return next(iter(items.pages(found, looks.looks(found, looks.colours([found])))), None)


def test_answers_of_an_item_stand_side_by_side(run: Path) -> None:
    page = read(write(run).read_text(encoding="utf-8"))
    first, second = page.by_id("items").all("article", "answered")
    arms = [option.text for option in page.by_id("items").all("select")[1].all("option")]
    assert arms == ["any", "untrained", "cft"]
    told = [
        [" ".join(li.text.split()) for li in item.all("li")]
        + [item.attributes["data-right"], item.attributes["data-wrong"]]
        for item in (first, second)
    ]
    assert told == [
        ["untrained wrong one", "cft right 2 of 3 said 0", "1 ", "0 "],
        ["untrained right <b>7</b>", f"cft wrong 0 of 3 {' '.join(made.EVIL.split())}", "0 ", "1 "],
    ]
    assert "expected <b>7</b>" in " ".join(first.text.split())
    assert "2 items: what each arm answered" in page.by_id("items").text
    assert "are shown" not in page.by_id("items").text


def test_of_too_many_as_many_of_each_task_are_shown_and_it_is_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(run, "cft", 0, "reversal", [(f"r{i}", "x", 1.0) for i in range(9)])
    monkeypatch.setattr(items, "MOST", 6)
    found = answers(run)
    assert found is not None
    assert (found.total, found.each, set(found.tasks)) == (11, 4, {"reversal", "topic"})
    assert [i.id for i in found.items if i.task == "reversal"] == ["r0", "r1", "r2", "r3"]
    assert [i.id for i in found.items if i.task == "topic"] == ["t0", "t1"]
    said = " ".join(read(write(run).read_text(encoding="utf-8")).by_id("items").text.split())
    assert "6 of 11 items" in said
    assert "There are 11 items; the first 4 of each task are shown." in said


def test_the_others_are_on_pages_of_their_own(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each item is on one page; pages link to one another; those that are no longer needed go."""
    outcomes(run, "cft", 0, "reversal", [(f"r{i}", "x", 1.0) for i in range(9)])
    monkeypatch.setattr(items, "MOST", 3)
    first = read(write(run).read_text(encoding="utf-8"))
    there = sorted((run / "answers").iterdir())
    assert [p.name for p in there] == ["2.html", "3.html", "4.html"]
    pages = [first, *(read(p.read_text(encoding="utf-8")) for p in there)]
    shown = [[" ".join(i.text.split()).split(" ")[2] for i in page.all("article", "answered")] for page in pages]
    assert sorted(id for ids in shown for id in ids) == sorted(["t0", "t1", *(f"r{i}" for i in range(9))])
    assert [len(ids) for ids in shown] == [2, 3, 3, 3]
    links = [[a.attributes["href"] for a in page.by_id("items").all("a")] for page in pages]
    assert links[0] == ["answers/2.html", "answers/3.html", "answers/4.html"]
    assert links[1] == ["../report.html#items", "3.html", "4.html"]
    monkeypatch.setattr(items, "MOST", 6)
    write(run)
    assert [p.name for p in (run / "answers").iterdir()] == ["2.html"]


def test_long_answers_are_cut(run: Path) -> None:
    outcomes(run, "cft", 0, "topic", [("t0", "x" * 601, 1.0)])
    found = answers(run)
    assert found is not None
    assert found.items[0].answers[1].text == "x" * 600 + " …"


def test_without_outcomes_there_is_no_such_section(tmp_path: Path) -> None:
    run = made.make(tmp_path / "run")
    assert answers(run) is None
    assert 'id="items"' not in write(run).read_text(encoding="utf-8")


def test_a_broken_file_is_named(run: Path) -> None:
    (run / "outcomes" / "cft.seed-0.topic.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"cft\.seed-0\.topic\.parquet: not readable"):
        write(run)


def test_what_was_asked_stands_above_the_answers(run: Path) -> None:
    """Runs of before it was kept have no such file; what it lacks is left out."""
    made.dump(run / "questions.json", {"topic": {"t0": f"passage\n\n{made.EVIL}"}})
    first, second = read(write(run).read_text(encoding="utf-8")).by_id("items").all("article", "answered")
    assert " ".join(made.EVIL.split()) in " ".join(first.one("div", "asked-of").text.split())
    assert not second.all("div", "asked-of")
    assert not [a for a in answers(run).items if a.question and a.id != "t0"]
