"""The newest checkpoint that holds what was written is the one that training resumes from."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from contextune.core.files import WHOLE, checksums, files_in, seal
from contextune.core.progress import say_once
from contextune.train.checkpoints import last_good, last_whole, looks
from contextune.train.finished import repair, seal_stage


def checkpoint(folder: Path, step: int) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json"):
        (made / name).write_bytes(f"{name} {step} ".encode() * 100)
    seal(made, checksums(made, files_in(made)), step=step, identity="i", beside=checksums(folder, looks(folder)))
    return made


@pytest.fixture
def said(caplog):
    say_once.cache_clear()
    caplog.set_level(logging.WARNING, "contextune")
    return lambda: [r.getMessage() for r in caplog.records]


def empty(file: Path) -> None:
    file.write_bytes(b"")


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)


def nulls(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def gone(file: Path) -> None:
    file.unlink()


WAYS = [empty, half, flipped, nulls, gone]
FILES = ["model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json", WHOLE]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_one_is_passed_over(tmp_path, said, way, name):
    old, new = checkpoint(tmp_path, 4), checkpoint(tmp_path, 8)
    assert last_good(tmp_path) == new
    assert said() == []
    way(new / name)
    assert last_good(tmp_path) == old
    assert not new.exists()
    if (way, name) != (gone, WHOLE):  # that is a leftover of a kill
        (line,) = said()
        assert f"damaged or gone: checkpoint-8/{name}; training resumes from an earlier update" in line


def test_both_are_damaged(tmp_path, said):
    flipped(checkpoint(tmp_path, 4) / "optimizer.pt")
    empty(checkpoint(tmp_path, 8) / "model.safetensors")
    assert last_good(tmp_path) is None
    assert not list(tmp_path.iterdir())
    assert len(said()) == 2


@pytest.mark.parametrize("way", WAYS)
def test_what_a_callback_saw_is_seen_again(tmp_path, said, way):
    seen = tmp_path / "noting"
    seen.mkdir()
    (seen / "key").write_text("k")
    (seen / "000.json").write_text("0.123456")
    old = checkpoint(tmp_path, 4)
    (seen / "006.json").write_text("0.654321")
    new = checkpoint(tmp_path, 8)
    (seen / "scores.json").write_text("[]")
    (seen / "012.json").write_text("0.9")
    assert last_good(tmp_path) == new
    assert sorted(p.name for p in seen.iterdir()) == ["000.json", "006.json", "key", "scores.json"]
    way(seen / "006.json")
    assert last_good(tmp_path) == old
    assert sorted(p.name for p in seen.iterdir()) == ["000.json", "key", "scores.json"]
    way(seen / "000.json")
    assert last_good(tmp_path) is None
    assert looks(tmp_path) == []


def finished(folder: Path) -> Path:
    (folder / "model").mkdir(parents=True)
    for name in ("model.safetensors", "config.json", "tokenizer.json", "README.md"):
        (folder / "model" / name).write_text(f"{name} of the model")
    (folder / "losses.json").write_text('[{"step": 1, "loss": 2.5}]')
    (folder / "stage.json").write_text('{"seconds": 1, "updates": 1}')
    seal_stage(folder, folder / "model", "i")
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_a_finished_stage_is_looked_through(tmp_path, said, way):
    repair(finished(tmp_path / "whole"), "i")
    for name in ("losses.json", "stage.json"):
        folder = finished(tmp_path / name)
        before = (folder / name).read_text()
        way(folder / name)
        repair(folder, "i")
        assert (folder / name).read_text() == before
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        folder = finished(tmp_path / name)
        way(folder / "model" / name)
        repair(folder, "i")
        assert not (folder / "model").exists()
    folder = finished(tmp_path / "card")
    way(folder / "model" / "README.md")
    repair(folder, "i")
    assert (folder / "model").exists(), "the card is written again in any case"
    assert sum("written anew from a copy" in line for line in said()) == 2
    assert sum("the stage is trained again" in line for line in said()) == 3


@pytest.mark.parametrize("way", WAYS)
def test_without_its_checksums_it_is_taken_and_that_is_said(tmp_path, said, way):
    folder = finished(tmp_path / "a")
    way(folder / WHOLE)
    repair(folder, "i")
    assert "taken as it is, unchecked" in said()[0]
    repair(folder, "i")
    assert len(said()) == 1
    flipped(folder / "model" / "model.safetensors")
    repair(folder, "i")
    assert not (folder / "model").exists()


def test_whoever_looks_on_reads_no_weights(tmp_path):
    """After Ctrl-C there is no time for it."""
    new = checkpoint(tmp_path, 8)
    flipped(new / "model.safetensors")
    assert last_whole(tmp_path) == new
