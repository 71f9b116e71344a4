"""What a machine refuses: one sentence with the place and the fix, status 2, and the same command ends equal later."""

from __future__ import annotations

import builtins
import errno
import io
import os
import random
import sqlite3
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from safetensors import SafetensorError

from contextune.core.errors import UserError
from contextune.core.machine import FIXES, refusal, refusals
from contextune.experiment.workers import _killed
from tests.faults.small_run import ending, write_recipe, write_task

FULL, QUOTA, BROKEN, LARGE = errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG
RUN = ("run", "recipe.yaml", "--workers", "1")


def call(arguments: list[str], capsys) -> tuple[int, str]:
    from contextune.cli import main

    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    return ended.value.code, captured.out + captured.err


@contextmanager
def failing(monkeypatch, folder: Path, nth: int, number: int):
    """Within: from the n-th opening of a file in `folder` for writing on all fail; yields the files opened before."""
    found, opens = [], io.open

    def opened(file, mode="r", *args, **more):
        path = os.path.abspath(file) if isinstance(file, (str, os.PathLike)) else ""
        if path.startswith(str(folder)) and set(mode) & set("wax+") and not path.endswith(".lock"):
            found.append(path)
            if len(found) >= nth:
                raise OSError(number, os.strerror(number))  # as of a write: it does not name the file
        return opens(file, mode, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(io, "open", opened)
        patch.setattr(builtins, "open", opened)
        yield found


@pytest.fixture(scope="module")
def plain(tiny, tmp_path_factory) -> dict[str, str]:
    from contextune import run
    from contextune.core.progress import Reporter

    folder = tmp_path_factory.mktemp("plain")
    run(write_recipe(folder, tiny), overrides=[f"output={folder / 'out'}"], reporter=Reporter.silent())
    return {k: v for k, v in ending(folder / "out").items() if k != "recipe.yaml" and not k.endswith("README.md")}


def test_each_phase_of_a_run(plain, tiny, tmp_path, monkeypatch, capsys):
    """Preparing, training, what is written when all is scored; then there is room again."""
    file, out = write_recipe(tmp_path, tiny), tmp_path / "out"
    for nth, number in ((3, FULL), (6, QUOTA), (14, BROKEN), (14, FULL)):
        with failing(monkeypatch, out, nth, number):
            status, said = call(["run", str(file), f"output={out}", "--workers", "1"], capsys)
        last = said.splitlines()[-2:]
        assert status == 2, said
        assert last[0].startswith(f"error: {out}"), said
        assert last[0].endswith(f": {os.strerror(number)}"), said
        assert last[1] == f"hint: {FIXES[number]}; the same command resumes"
        assert not list(out.rglob("*.part*"))
    assert call(["run", str(file), f"output={out}", "--workers", "1"], capsys)[0] == 0
    found = ending(out)
    assert {k: found[k] for k in plain} == plain


OTHER = {
    "Rust": (SafetensorError("I/O error: No space left on device (os error 28)"), FULL),
    "Rust, files": (SafetensorError("Too many open files (os error 24)"), errno.EMFILE),
    "SQLite": (sqlite3.OperationalError("database or disk is full"), FULL),
    "SQLite, a disk": (sqlite3.OperationalError("disk I/O error"), BROKEN),
    "a library's own": (ImportError("libx.so: cannot open shared object file: Too many open files"), errno.EMFILE),
    "a quota": (OSError(QUOTA, "Disk quota exceeded"), QUOTA),
    "a file's name": (PermissionError(errno.EACCES, "Permission denied", "runs/x/y"), errno.EACCES),
    "a network disk": (OSError(errno.ESTALE, "Stale file handle"), errno.ESTALE),
    "a long name": (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), errno.ENAMETOOLONG),
}


@pytest.mark.parametrize("case", OTHER)
def test_what_the_machine_refuses_is_one_sentence(case):
    error, number = OTHER[case]
    with pytest.raises(UserError) as e, refusals("runs/x", "the same command resumes"):
        raise error
    place = getattr(error, "filename", None) or "runs/x"
    assert e.value.message == f"{place}: {os.strerror(number)}"
    assert e.value.hint == f"{FIXES[number]}; the same command resumes"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is no memory left"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "no memory left"),
        (ImportError("libx.so: failed to map segment from shared object"), "there is no memory left"),
        (RuntimeError("std::bad_alloc"), "there is no memory left"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "there is no memory left"),
        (RuntimeError("can't start new thread"), "no further thread or process is allowed"),
        (FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), "no folder for temporary files"),
    ],
)
def test_memory_threads_and_temporary_files(error, said):
    found = refusal(error)
    assert said in found.message
    assert found.hint


def test_other_errors_are_faults_of_ours(tmp_path):
    missing = FileNotFoundError(2, "No such file", "x")
    for error in (ValueError("shapes differ"), missing, ConnectionResetError(104, "reset")):
        assert refusal(error, tmp_path) is None
    known = UserError("known: No space left on device")
    assert refusal(known) is None
    with pytest.raises(UserError) as e, refusals(tmp_path):
        raise known
    assert e.value is known


def test_what_is_removed_meanwhile_is_named(tmp_path, monkeypatch):
    gone = refusal(FileNotFoundError(2, "No such file", str(tmp_path / "a" / "b")), tmp_path)
    assert "was removed while it was needed" in gone.message
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    assert refusal(FileNotFoundError(2, "No such file")).message == "the working directory is gone"
    monkeypatch.chdir(tmp_path)


def test_a_name_that_the_system_cannot_write(monkeypatch):
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    with pytest.raises(UnicodeEncodeError) as e:
        "café".encode("ascii")
    assert "encoding of file names, ascii" in refusal(e.value).message


def test_a_killed_worker_is_named():
    found = _killed(9)
    assert found["error"] == "a worker process was ended by signal SIGKILL"
    assert "--workers 1" in found["hint"]


# The campaign


@contextmanager
def disk(folder: Path, options: str):
    """A disk of its own in memory; skips where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True).returncode:
        pytest.skip("mounting a disk in memory is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def grow(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def one_sentence(status: int, said: str, *words: str) -> None:
    assert status == 2, said
    assert "Traceback" not in said
    assert "fault in" not in said
    *_, error, hint = said.splitlines()
    assert error.startswith("error: "), said
    assert hint.startswith("hint: "), said
    assert not words or any(w in error for w in words), said


@pytest.fixture(scope="module")
def wanted(heavy, tiny, tmp_path_factory) -> dict[str, str]:
    """What a run, its augmented file and a scored model end with where there is all they need."""
    folder = tmp_path_factory.mktemp("wanted")
    write_recipe(folder, tiny)
    assert heavy.run(folder, *RUN)[0] == 0
    return ending(folder / "out")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_full_disk_at_any_write(heavy, wanted, tiny, tmp_path, seed):
    """Disks of growing size: each start goes as far as there is room, and the last ends as if there had been enough."""
    rng = random.Random(seed)
    with disk(tmp_path / "out", "size=8k"):
        write_recipe(tmp_path, tiny)
        statuses = []
        for _ in range(60):
            status, said = heavy.run(tmp_path, *RUN)
            statuses.append(status)
            if status == 0:
                break
            one_sentence(status, said, "No space left on device", "free, about", "cannot be")
            size = int(os.statvfs(tmp_path / "out").f_blocks * 4096 + rng.choice((8, 20, 40, 100, 200)) * 1024)
            grow(tmp_path / "out", f"size={size}")
        assert statuses[-1] == 0
        assert len(statuses) > 4
        assert ending(tmp_path / "out") == wanted


@pytest.mark.slow
def test_no_more_files(heavy, wanted, tiny, tmp_path):
    with disk(tmp_path / "out", "size=8m,nr_inodes=3"):
        write_recipe(tmp_path, tiny)
        for n in range(3, 90, 4):
            status, said = heavy.run(tmp_path, *RUN)
            if status == 0:
                break
            one_sentence(status, said, "No space left on device", "cannot be")
            grow(tmp_path / "out", f"nr_inodes={n + 4}")
        assert status == 0
        assert ending(tmp_path / "out") == wanted


@pytest.mark.slow
@pytest.mark.parametrize("number", [FULL, QUOTA, BROKEN, errno.EROFS, errno.EACCES])
def test_every_opened_file_once(heavy, wanted, tiny, tmp_path, number):
    write_recipe(tmp_path, tiny)
    for nth in range(1, 60, 3):
        status, said = heavy.run(tmp_path, *RUN, fault={"nth": nth, "errno": number, "under": f"{tmp_path}/out"})
        if status == 0:
            break
        one_sentence(status, said, os.strerror(number))
    assert heavy.run(tmp_path, *RUN)[0] == 0
    assert ending(tmp_path / "out") == wanted


LIMITS = {
    "file size": ("RLIMIT_FSIZE", (100, 1000, 5000, 20_000, 60_000, 120_000), ("File too large", "cannot be")),
    "open files": ("RLIMIT_NOFILE", (4, 5, 6, 7, 8, 9, 11), ("Too many open files", "cannot be", "does not load")),
}


@pytest.mark.slow
@pytest.mark.parametrize("limit", LIMITS)
def test_limits(heavy, wanted, tiny, tmp_path, limit):
    name, values, words = LIMITS[limit]
    write_recipe(tmp_path, tiny)
    refused = 0
    for value in values:
        status, said = heavy.run(tmp_path, *RUN, limits={name: value})
        if status:
            refused += 1
            if not (limit == "file size" and not said):  # what is printed lands in a file too
                one_sentence(status, said, *words)
    assert refused > 1
    assert heavy.run(tmp_path, *RUN)[0] == 0
    assert ending(tmp_path / "out") == wanted


@pytest.mark.slow
def test_little_memory(heavy, wanted, tiny, tmp_path):
    """From none at all to enough: one sentence, or a run that ends."""
    write_recipe(tmp_path, tiny)
    size = int(Path(f"/proc/{heavy.process.pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    for more in (0, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 128 << 20, 256 << 20):
        status, said = heavy.run(tmp_path, *RUN, limits={"RLIMIT_AS": size + more})
        if status:
            one_sentence(status, said)
    assert heavy.run(tmp_path, *RUN)[0] == 0
    assert ending(tmp_path / "out") == wanted


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_folders_that_cannot_be_written_to(heavy, tiny, tmp_path):
    """As another user: the run's folder, parts of it, the home, and the recipe's folder."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    for file in (tiny, *tiny.iterdir()):
        file.chmod(0o755)
    for folder in tiny.parents:
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    write_recipe(tmp_path, tiny)
    nobody = {"user": 65534, "environment": {"HOME": "/root"}}
    one_sentence(*heavy.run(tmp_path, *RUN, **nobody), "cannot be written (Permission denied)")
    out = tmp_path / "out"
    assert heavy.run(tmp_path, *RUN)[0] == 0
    out.chmod(0o777)  # the files in it stay root's
    one_sentence(*heavy.run(tmp_path, *RUN, "train.lr=0.1", **nobody), "Permission denied", "changed: train.lr")
    one_sentence(*heavy.run(tmp_path, *RUN, **nobody), "Permission denied")
    one_sentence(*heavy.run(tmp_path, *RUN, "--fresh", **nobody), "Permission denied")
    before = ending(out)
    out.chmod(0o755)
    one_sentence(*heavy.run(tmp_path, "report", "out", **nobody), "Permission denied")
    assert ending(out) == before


@pytest.mark.slow
def test_other_commands_on_a_full_disk(heavy, tiny, tmp_path):
    """augment, its store, evaluate, adapt, report, preview --html, init, scratch; each again with room."""
    write_recipe(tmp_path, tiny)
    assert heavy.run(tmp_path, *RUN)[0] == 0
    write_task(tmp_path)
    made = ["augment", "docs.jsonl", "--operation", "rephrase", "--model", str(tiny), "--filter", "none"]
    small = tmp_path / "small"
    commands = [
        [*made, "--out", "small/made.jsonl"], [*made, "--out", "made.jsonl", "--store", "small/store"],
        ["evaluate", str(tiny), "--task", "task.yaml", "--out", "small/scored"],
        ["report", "out", "small/copy", "--out", "small/page.html"],
        ["init", "quickstart", "small/mine.yaml", "--force"],
        ["preview", "recipe.yaml", "output=small/shown", "--html"],
        ["scratch", "small/model", "--text", "docs.jsonl", "--width", "64", "--layers", "1", "--vocabulary", "300"],
    ]  # fmt: skip
    for command in commands:
        for room in ("size=4k", "size=16k"):
            with disk(small, room):
                (small / "filler").write_bytes(b"x" * 4096)
                if command[0] == "report":
                    grow(small, "size=4m")
                    subprocess.run(["cp", "-r", tmp_path / "out", small / "copy"], check=True)
                    fill(small)
                status, said = heavy.run(tmp_path, *command)
                if status or room == "size=4k":
                    one_sentence(status, said, "No space left on device", "cannot be", "disk is full")
                    assert not [p for p in small.rglob("*") if ".part" in p.name and p.stat().st_size]
                grow(small, "size=64m")
                (small / "filler").unlink()
                if status:
                    status, said = heavy.run(tmp_path, *command)
                assert status == 0, (command, said)


def fill(folder: Path) -> None:
    with suppress(OSError):
        for size in (4096, 1):
            with (folder / "filler").open("ab", buffering=0) as file, suppress(OSError):
                while file.write(b"x" * size):
                    pass
