"""A folder of PDFs, the ready recipe, an exam, check, run, chat: as a user types it, and with no file edited by hand
but the recipe.
"""

from __future__ import annotations

import io
import json
import re
import textwrap
from pathlib import Path

import pytest

from contextune.cli import main
from tests.data.rich.made import pdf
from tests.exam.conftest import TOWNS, town

EDITS = {  # as the recipe's head says, and shorter
    "model: my-model": "model: pocket",
    "lr: 2e-5": "lr: 1e-3",
    "epochs: 3": "steps: 4",
    "max_length: 512": "max_length: 192",
    "seeds: [0, 1, 2]": "seeds: [0]",
    "tasks: [exam/]": "tasks: [exam/]\n  limit: 4",
}


def typed(*words: str) -> int:
    with pytest.raises(SystemExit) as e:
        main(list(words))
    return int(e.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten PDFs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "documents").mkdir()
    for i, name in enumerate(TOWNS):
        text = town(i).partition("## References")[0]
        lines = [line for part in text.split("\n\n") for line in [*textwrap.wrap(part, 80), ""]]
        (tmp_path / "documents" / f"{name}.pdf").write_bytes(pdf([lines], title=name))
    return tmp_path


def test_init_says_the_steps(folder, capsys):
    """Each a command that there is, for the copy under its own name."""
    assert typed("init", "documents", "mine.yaml") == 0
    said = capsys.readouterr().out
    steps = re.findall(r"^ +contextune (\w+) (\S+)", said, re.MULTILINE)
    assert steps == [("exam", "documents/"), ("check", "mine.yaml"), ("run", "mine.yaml"), ("chat", "runs/documents")]


@pytest.mark.slow
def test_from_ten_pdfs_to_an_answer(folder, capsys, monkeypatch):
    assert typed("init", "documents") == 0
    recipe = (folder / "documents.yaml").read_text()
    for old, new in EDITS.items():
        assert old in recipe
        recipe = recipe.replace(old, new)
    (folder / "documents.yaml").write_text(recipe)
    assert typed("check", "documents.yaml") == 2  # the exam is not there yet
    assert "contextune exam DOCUMENTS --out exam" in capsys.readouterr().err
    assert typed("exam", "documents/", "--out", "exam/") == 0
    assert typed("check", "documents.yaml") == 0
    assert "contextune run trains it" in capsys.readouterr().out
    chosen = [word for arm in ("base", "base+retrieval", "cpt", "cpt+retrieval") for word in ("--arm", arm)]
    assert typed("run", "documents.yaml", *chosen) == 0
    results = json.loads((folder / "runs" / "documents" / "results.json").read_text())
    assert set(results["arms"]) == {"base", "base+retrieval", "cpt", "cpt+retrieval"}
    asked = json.loads((folder / "runs" / "documents" / "questions.json").read_text())
    assert any(TOWNS[0] in text for items in asked.values() for text in items.values())
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.StringIO("Who built the harbour of Belmora?\n"))
    assert typed("chat", "runs/documents", "--documents", "documents/", "--max-tokens", "8") == 0
    assert "cpt" in capsys.readouterr().out
