"""A damaged store: what is whole stays, the rest is asked again, and that is said."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from contextune.core.errors import UserError
from contextune.core.progress import say_once
from contextune.generation import Store, ask, status, store
from tests.generation.fake import Fake, numbered

COUNT = 400


@pytest.fixture
def path(tmp_path, caplog) -> Path:
    say_once.cache_clear()
    caplog.set_level(logging.WARNING, "contextune")
    path = tmp_path / "generated.sqlite"
    with Store(path) as made:
        ask(Fake(), numbered(0, COUNT), made)
    store._checked.clear()
    return path


def again(path: Path, caplog) -> tuple[int, str]:
    """(requests asked again, what was said); all answers are there in the end."""
    engine = Fake()
    with Store(path) as made:
        assert ask(engine, numbered(0, COUNT), made) == [f"answer to {r.prompt}" for r in numbered(0, COUNT)]
    store._checked.clear()
    with Store(path) as made, closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert ask(Fake(lambda r: "never"), numbered(0, COUNT), made)[0] == "answer to question-0"
    assert status(path)["answered"] == COUNT
    return len(engine.asked), "\n".join(r.getMessage() for r in caplog.records)


def flip(path: Path, place: int, count: int = 1) -> None:
    content = bytearray(path.read_bytes())
    for i in range(place, place + count):
        content[i] ^= 0x04
    path.write_bytes(content)


def test_whole(path, caplog):
    assert again(path, caplog) == (0, "")


def test_a_letter_of_an_answer(path, caplog):
    flip(path, path.read_bytes().index(b"answer to question-7") + 3)
    asked, said = again(path, caplog)
    assert asked == 1
    assert "1 answers are damaged, and asked again" in said


def test_no_utf8(path, caplog):
    content = path.read_bytes()
    path.write_bytes(content.replace(b"answer to question-7\x00", b"\xffnswer to question-7\x00", 1).replace(
        b"answer to question-31", b"\xff\xfeswer to question-31", 1))  # fmt: skip
    asked, said = again(path, caplog)
    assert asked >= 1
    assert "damaged" in said


def test_half_a_file(path, caplog):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    asked, said = again(path, caplog)
    assert 0 < asked < COUNT, "some are saved"
    assert f"{COUNT - asked} answers are saved from it" in said
    assert (path.parent / "generated.sqlite.damaged").exists()
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize("page", range(1, 12))
def test_pages_of_noise(path, caplog, page):
    flip(path, page * 4096, 64)
    asked, said = again(path, caplog)
    assert asked < COUNT or page == 1, "the table's root"
    assert "damaged" in said or not asked


def test_an_empty_file(path, caplog):
    path.write_bytes(b"")
    asked, said = again(path, caplog)
    assert asked == COUNT
    assert "is empty: what was asked before is asked again" in said


def test_gone(path, caplog):
    path.unlink()
    assert again(path, caplog)[0] == COUNT


@pytest.mark.parametrize("place", [0, 3, 60, 63])
def test_advice_that_works(path, caplog, place):
    """The file's mark or its version: it may be another program's, so it is left alone."""
    flip(path, place)
    before = path.read_bytes()
    with pytest.raises(UserError) as e:
        Store(path)
    assert e.value.hint.startswith(f"move {path} away (what is in it is then asked again)")
    assert path.read_bytes() == before
    path.rename(path.with_suffix(".moved"))
    assert again(path, caplog)[0] == COUNT


@pytest.mark.parametrize("part", ["half", "empty", "flipped", "gone"])
def test_a_log_that_was_not_written_back(tmp_path, caplog, part):
    """Killed while its log held answers, and then the log lost some."""
    say_once.cache_clear()
    whole, path = tmp_path / "whole.sqlite", tmp_path / "generated.sqlite"
    with Store(whole) as made:
        ask(Fake(), numbered(0, COUNT), made)
        for end in ("", "-wal"):
            (tmp_path / f"generated.sqlite{end}").write_bytes(Path(f"{whole}{end}").read_bytes())
    log = tmp_path / "generated.sqlite-wal"
    if part == "flipped":
        flip(log, log.stat().st_size // 2)
    elif part == "gone":
        log.unlink()
    else:
        log.write_bytes(log.read_bytes()[: log.stat().st_size // 2 if part == "half" else 0])
    with closing(sqlite3.connect(path)) as db:  # as of a process that is gone; here it is this one
        db.execute("DELETE FROM claims")
        db.commit()
    assert 0 < again(path, caplog)[0] <= COUNT


def test_answers_are_synced(tmp_path, monkeypatch):
    seen: list[str] = []
    monkeypatch.setattr(store, "sync", lambda file: seen.append(file.name))
    monkeypatch.setattr(store, "_PAUSE", 0)
    with Store(tmp_path / "s") as made:
        ask(Fake(), numbered(0, 3), made)
    assert seen == ["s-wal"] * 4


def test_an_answer_of_an_earlier_version_has_no_checksum(path, caplog):
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE answers DROP COLUMN sum")
        db.execute("PRAGMA user_version = 2")
        db.commit()
    assert again(path, caplog) == (0, "")
