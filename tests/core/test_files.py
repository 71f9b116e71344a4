"""Files are whole or unchanged, and damage is told."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys

import pytest

from contextune.core import files
from contextune.core.files import Damaged


def test_synced_before_and_after_it_takes_its_place(tmp_path, monkeypatch):
    seen: list[str] = []
    monkeypatch.setattr(files, "sync", lambda path: seen.append("folder" if path.is_dir() else "file"))
    monkeypatch.setattr(files.os, "replace", lambda a, b, real=os.replace: (seen.append("move"), real(a, b)))
    files.write_json(tmp_path / "a.json", {"a": 1})
    assert seen == ["file", "move", "folder"]


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch, where, number):
    def full(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    file = tmp_path / "a.json"
    files.write_json(file, {"old": 1})
    if where != "write":
        monkeypatch.setattr(files.os, where, full)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))), files.replacing(file) as part:  # noqa: PT012
        part.write_text("half of")
        if where == "write":
            full()
    assert json.loads(file.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    def refuses(place: int, real=os.fsync) -> None:
        if os.path.isdir(f"/proc/self/fd/{place}"):
            raise OSError(errno.EINVAL, "as some network file systems do")
        real(place)

    monkeypatch.setattr(files.os, "fsync", refuses)
    files.write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"


def test_names_as_long_as_they_may_be(tmp_path):
    file = tmp_path / ("ä" * 127)
    files.write_text(file, "x")
    assert file.read_text() == "x"


VALUE = {"a": [1, 2.5, None, "ä"], "b": {"c": "text"}, "seconds": 0.1}


def test_every_flipped_bit_is_told(tmp_path):
    file = tmp_path / "a.json"
    files.write_sealed(file, VALUE)
    whole = file.read_bytes()
    assert files.read_sealed(file) == VALUE
    told = 0
    for place in range(len(whole)):
        for bit in (1, 4, 64):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            try:
                same = files.read_sealed(file) == VALUE
            except Damaged:
                told += 1
            else:
                assert same, "white space, at most"
    assert told > 2.5 * len(whole) - 3 * whole.count(b" ")


@pytest.mark.parametrize("cut", [0, 1, 30, -1, -2])
def test_every_cut_is_told(tmp_path, cut):
    file = tmp_path / "a.json"
    files.write_sealed(file, VALUE)
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(Damaged):
        files.read_sealed(file)


@pytest.mark.parametrize("content", [b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b"\0" * 50, b'{"a": 1}', b"null"])
def test_what_was_never_sealed(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(Damaged):
        files.read_sealed(tmp_path / "a.json")


def test_none_where_there_is_none_and_older_ones(tmp_path):
    assert files.read_sealed(tmp_path / "a.json") is None
    (tmp_path / "a.json").write_text('{"a": 1}')
    assert files.read_sealed(tmp_path / "a.json", older=True) == {"a": 1}


def test_checked_bytes(tmp_path):
    file = tmp_path / "a"
    assert files.read_checked(file) is None
    files.write_checked(file, b"state")
    assert files.read_checked(file) == b"state"
    for content in (b"", file.read_bytes()[:-1], file.read_bytes()[:20], b"\0" * 37):
        file.write_bytes(content)
        with pytest.raises(Damaged):
            files.read_checked(file)


def test_a_folder_knows_its_files(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "in/b", "c"):
        (tmp_path / name).write_text(name)
    files.seal(tmp_path, files.checksums(tmp_path, files.files_in(tmp_path)), step=3)
    made = files.sealed(tmp_path)
    assert made is not None
    assert made["step"] == 3
    assert files.faults(tmp_path, made["sums"]) == []
    (tmp_path / "a").write_text("b")
    (tmp_path / "in" / "b").unlink()
    (tmp_path / "more").write_text("not ours")
    assert files.faults(tmp_path, made["sums"]) == ["a", "in/b"]


def test_leftovers_of_the_dead_are_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / "deep" / f".0123456789ab.{dead.pid}.part"
    left.parent.mkdir()
    alive, users = tmp_path / f".0123456789ab.{os.getpid()}.part", tmp_path / "my.1.part"
    for file in (left, alive, users):
        file.write_text("x")
    files.sweep(tmp_path)
    assert not left.exists()
    assert alive.exists()
    assert users.exists()
