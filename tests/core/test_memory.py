"""Free memory inside of control groups, as Linux writes them; a machine's own limits are not asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextune.core.memory import cgroups, exhausted, gib

GIB = 2**30


def group(folder: Path, version: int, limit: object, used: int, inactive: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {inactive}\n")


def own(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "cgroup"
    file.write_text(text)
    return file


def test_version_2_counts_every_group_above(tmp_path):
    group(tmp_path / "fs/pod", 2, 4 * GIB, 3 * GIB, inactive=GIB)
    group(tmp_path / "fs/pod/box", 2, "max", GIB)
    assert list(cgroups(tmp_path / "fs", own(tmp_path, "0::/pod/box\n"))) == [2 * GIB]


def test_inside_a_container_the_path_is_that_outside(tmp_path):
    group(tmp_path / "fs", 2, 8 * GIB, GIB)
    assert list(cgroups(tmp_path / "fs", own(tmp_path, "0::/docker/abc\n"))) == [7 * GIB]


def test_version_1(tmp_path):
    group(tmp_path / "fs/memory", 1, 2**63 - 4096, GIB)
    group(tmp_path / "fs/memory/box", 1, 6 * GIB, 2 * GIB)
    file = own(tmp_path, "5:cpu,cpuacct:/box\n4:memory:/box\n0::/\n")
    assert list(cgroups(tmp_path / "fs", file)) == [4 * GIB]


@pytest.mark.parametrize("text", ["", "0::/\n", "4:memory:/nowhere\n"])
def test_no_limit(tmp_path, text):
    assert list(cgroups(tmp_path / "fs", own(tmp_path, text))) == []
    assert list(cgroups(tmp_path, tmp_path / "no such file")) == []


def test_words():
    assert (gib(5.3e9), gib(5.3e6)) == ("4.9 GiB", "5 MiB")
    assert exhausted(MemoryError())
    assert exhausted(RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"))
    assert exhausted(RuntimeError("CUDA out of memory."))
    assert not exhausted(RuntimeError("shapes differ"))
