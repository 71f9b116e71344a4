"""Work over all cores: results in order, and processes for the cores that this one may use."""

from __future__ import annotations

import os

import pytest

from contextune.core.parallel import mapped


@pytest.mark.parametrize("allowed", [1, 2])
def test_as_many_processes_as_cores_may_be_used(allowed, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)), raising=False)
    found = list(mapped(lambda i: (i, os.getpid()), range(20)))
    assert [i for i, _ in found] == list(range(20))
    assert (os.getpid() in {pid for _, pid in found}) == (allowed == 1)
