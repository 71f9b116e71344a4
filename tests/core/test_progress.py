"""What is said of long work, and how often."""

from __future__ import annotations

from contextune.core import progress


def test_every_is_true_once_in_so_many_seconds(monkeypatch):
    now = iter([0.0, 5.0, 15.0, 15.5, 15.6, 30.0, 31.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    is_due = progress.every(15)
    assert [is_due() for _ in range(6)] == [False, False, True, False, False, True]
