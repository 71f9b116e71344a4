"""A folder of the cache is there whole or not at all, through errors, kills, races and damage."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from contextune.core import cache
from contextune.core.errors import UserError


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "model[1]"


def write(to: Path, text: str = "weights") -> None:
    (to / "deep").mkdir()
    (to / "deep" / "file").write_text(text)


def never(to: Path) -> None:
    pytest.fail("made again")


def left(target: Path) -> list[str]:
    return sorted(p.name for p in target.parent.iterdir())


def test_it_is_made_once(target):
    assert cache.make_once(target, write) == target
    assert cache.make_once(target, never, thorough=True) == target
    assert left(target) == [target.name]
    assert (target / "deep" / "file").read_text() == "weights"


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), SystemExit(143)])
def test_what_is_interrupted_leaves_nothing(target, error):
    def make(to: Path) -> None:
        write(to)
        raise error

    with pytest.raises(type(error)):
        cache.make_once(target, make)
    assert left(target) == []


def test_what_a_killed_process_has_left_is_removed(target):
    target.parent.mkdir()
    dead, living, other = (
        target.with_name(f".{name}.xyz.{pid}.part")
        for name, pid in ((target.name, 2**22 + 1), (target.name, os.getppid()), ("other", 2**22 + 1))
    )
    for part in (dead, living, other):
        part.mkdir()
        write(part)
    cache.make_once(target, write)
    assert not dead.exists()
    assert living.exists()
    assert other.exists()


@pytest.mark.parametrize(
    ("damage", "thorough"),
    [
        (lambda target: (target / "deep" / "file").write_text("half"), False),
        (lambda target: (target / "deep" / "file").unlink(), False),
        (lambda target: (target / "whole.json").unlink(), False),
        (lambda target: (target / "whole.json").write_text("{}"), False),
        (lambda target: (target / "deep" / "file").write_text("WEIGHTS"), True),
    ],
)
def test_what_is_damaged_is_made_again(target, damage, thorough):
    cache.make_once(target, write)
    damage(target)
    assert not cache.is_whole(target, thorough)
    cache.make_once(target, write, thorough)
    assert cache.is_whole(target, thorough=True)
    assert left(target) == [target.name]


def test_the_first_of_several_to_finish_wins(target):
    def make(to: Path) -> None:
        cache.make_once(target, write)  # another process is faster
        write(to, "later")

    assert cache.make_once(target, make) == target
    assert (target / "deep" / "file").read_text() == "weights"
    assert left(target) == [target.name]


def test_a_full_disk_is_one_sentence_that_names_the_way_out(target):
    def make(to: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match="No space left") as e:
        cache.make_once(target, make)
    assert "CONTEXTUNE_CACHE" in e.value.hint
    assert left(target) == []


def test_a_file_in_its_place_is_left(target):
    target.parent.mkdir()
    target.write_text("mine")
    with pytest.raises(UserError, match="the place is taken"):
        cache.make_once(target, write)
    assert target.read_text() == "mine"
