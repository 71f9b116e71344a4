"""The page on which inferred texts are accepted and rejected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextune.core.decisions import sum_of
from contextune.report import made_texts, write

from . import folder as made
from .reading import read


def row(id: str, text: str, kept: bool = True, **more: object) -> str:
    return json.dumps({"id": id, "prompt": "", "text": text, "from": "its source", "operation": "reversal"} | more | {
        "kept": kept
    })  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = made.make(tmp_path / "run")
    (run / "augmented").mkdir()
    (run / "augmented" / "cft.stage-0.jsonl").write_text(
        "\n".join([row("a#0", "one"), row("b#0", made.EVIL, kept=False), '{"cut'])
    )
    (run / "augmented" / "cpt.stage-0.jsonl").write_text(
        "\n".join([row("a#0", "one"), row("a#0", "other", prompt="q: ")])
    )
    return run


def test_each_text_once_beside_its_source(run: Path) -> None:
    path = made_texts.write(run)
    assert path == run / "augmented.html"
    page = read(path.read_text(encoding="utf-8"))
    texts = page.all("article", "made")
    found = [[t.attributes[f"data-{k}"] for k in ("id", "sum", "kept", "arms")] for t in texts]
    assert found == [
        ["a#0", sum_of("", "one"), "kept", '["cft", "cpt"]'],
        ["b#0", sum_of("", made.EVIL), "left out", '["cft"]'],
        ["a#0", sum_of("q: ", "other"), "kept", '["cpt"]'],
    ]
    assert "its source" in texts[0].text
    assert made.EVIL.split()[0] in texts[1].text
    assert "q: other" in texts[2].text
    assert [s.attributes["data-by"] for s in page.all("select")] == ["operation", "arm", "filters", "decision"]


def test_what_was_decided_stands_in_the_page(run: Path) -> None:
    said = [{"id": "a#0", "sum": sum_of("", "one"), "decision": "reject"}]
    (run / "decisions.jsonl").write_text(json.dumps(said[0]))
    page = read(made_texts.write(run).read_text(encoding="utf-8"))
    assert json.loads(page.by_id("texts").attributes["data-decided"]) == said
    (run / "decisions.jsonl").write_text("{")  # the run says what is wrong with it
    assert made_texts.write(run)


def test_the_report_leads_there(run: Path) -> None:
    made.dump(run / "augmented" / "cft.stage-0.json", {"made": 2, "kept": 1})
    links = [a.attributes.get("href") for a in read(write(run).read_text(encoding="utf-8")).all("a")]
    assert "augmented.html" in links
    assert (run / "augmented.html").is_file()


def test_more_than_a_page_holds_is_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_texts, "MOST", 2)
    page = read(made_texts.write(run).read_text(encoding="utf-8"))
    assert len(page.all("article", "made")) == 2
    assert "The first 2 texts are shown" in page.text


def test_a_run_that_infers_nothing_has_no_such_page(tmp_path: Path) -> None:
    run = made.make(tmp_path / "run")
    assert made_texts.write(run) is None
    write(run)
    assert not (run / "augmented.html").exists()
