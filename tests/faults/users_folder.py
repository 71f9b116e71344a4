"""A user's folder with a recipe and its run, for tests that see what becomes of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from contextune.cli import main
from contextune.core.progress import Reporter
from contextune.experiment.run import run

WORDS = "w0 w1 w2 w3 w4 w5 w6 w7 w8 w9"
TASK = {"name": "quiz", "path": "quiz.jsonl", "prompt": "{{ q }}", "options": [" w1", " w2"], "answer": "{{ a }}"}


@pytest.fixture(scope="session")
def users_run(tiny, tmp_path_factory) -> Path:
    """A user's folder, with a recipe whose run is in `out`."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "docs.jsonl").write_text("".join(json.dumps({"text": f"{WORDS} w{i}"}) + "\n" for i in range(4)))
    (folder / "quiz.jsonl").write_text('{"q": "w5 w6", "a": 0}\n{"q": "w7", "a": 1}\n')
    recipe = {
        "name": "mine", "model": str(tiny), "output": "out", "data": {"docs": {"path": "docs.jsonl"}},
        "arms": {"none": None, "cpt": {"data": "docs"}},
        "train": {"steps": 2, "batch": 2, "max_length": 32, "save": 1, "schedule": "constant"},
        "evaluate": {"tasks": [TASK], "samples": 1}, "compare": {"resamples": 100},
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with chdir(folder):
        run("recipe.yaml", reporter=Reporter.silent())
    return folder


@pytest.fixture
def mine(users_run, tmp_path, monkeypatch) -> Path:
    """A copy of it, of which each test may spoil something; the working directory."""
    shutil.copytree(users_run, tmp_path / "user", symlinks=True)
    monkeypatch.chdir(tmp_path / "user")
    return tmp_path / "user"


def content(folder: Path) -> dict[str, str]:
    """Hashes of all files and what links point to."""
    return {
        str(p.relative_to(folder)): os.readlink(p) if p.is_symlink() else hashlib.md5(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if (p.is_symlink() or p.is_file()) and not p.name.startswith((".contextune-", ".lock"))
    }


def call(capsys, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0), capsys.readouterr().err
