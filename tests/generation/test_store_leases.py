"""Who asks what, where several processes fill one store at once."""

from __future__ import annotations

import os
import time

import pytest

from contextune.generation import Failure, Request, Store, ask
from contextune.generation.leases import LEASE
from tests.generation.fake import Fake, numbered


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.sqlite"


def two_stores(path):
    return Store(path), Store(path)


def test_who_claims_first_asks(path):
    one, two = two_stores(path)
    assert one.claim(["a", "b"], 0) == {"a", "b"}
    assert two.claim(["b", "c"], 0) == {"c"}
    assert not two.claims.clear()
    one.close()
    assert two.claim(["b"], 0) == {"b"}
    two.close()


def test_no_claim_on_what_is_answered_or_has_just_failed(path):
    one, two = two_stores(path)
    began = time.time()
    one.put(Request("p"), "e", "text")
    one.put(Request("q"), "e", Failure("no"))
    keys = [Request(p).key("e") for p in "pq"]
    assert two.claim(keys, began) == set()
    assert two.claim(keys, time.time() + 1) == {keys[1]}


@pytest.mark.parametrize(
    ("owner", "gone"),
    [
        ("{node}|{pid}|{born}|x", False),
        ("{node}|{pid}|1.0|x", True),  # its number is used again
        ("{node}|4194999|{born}|x", True),
        ("elsewhere|1|1.0|x", False),
        ("elsewhere|1|1.0|x|damaged", True),
        ("{node}{pid}|{born}|x", True),
        ("{node}|1x|{born}|x", True),
    ],
)
def test_owners_that_are_gone(path, owner, gone):
    import platform

    import psutil

    born = psutil.Process().create_time()
    with Store(path) as store:
        name = owner.format(node=platform.node(), pid=os.getpid(), born=born)
        store._db.execute("INSERT INTO claims VALUES ('a', ?, ?)", (name, time.time()))
        assert store.claims.clear() == gone
        assert store.claim(["a"], 0) == ({"a"} if gone else set())


def test_another_machine_has_its_lease(path):
    with Store(path) as store:
        store._db.execute("INSERT INTO claims VALUES ('a', 'elsewhere|1|1.0|x', ?)", (time.time() - LEASE - 1,))
        assert store.claims.clear() == 1


def test_an_engine_that_breaks_leaves_none(path):
    class Breaks(Fake):
        def complete(self, requests):
            raise RuntimeError("no")

    with Store(path) as one, Store(path) as two:
        with pytest.raises(RuntimeError):
            ask(Breaks(), numbered(0, 3), one)
        assert len(ask(Fake(), numbered(0, 3), two)) == 3


def test_what_another_asks_is_waited_for_and_taken_over(path, monkeypatch):
    """The other one answers one, fails one, and goes away without the third."""
    requests = numbered(0, 3)
    keys = [r.key("fake") for r in requests]
    other, pauses = Store(path), []
    assert len(other.claim(keys, 0)) == 3

    def step(seconds):
        pauses.append(seconds)
        if len(pauses) == 1:
            other.put(requests[0], "fake", "by the other")
        if len(pauses) == 2:
            other.put(requests[1], "fake", Failure("busy"))
        if len(pauses) == 3:
            other.close()

    monkeypatch.setattr(time, "sleep", step)
    engine, seen = Fake(), []
    with Store(path) as store:
        found = ask(engine, requests, store, lambda *at: seen.append(at), on_failure="return")
    assert found == ["by the other", Failure("busy"), "answer to question-2"]
    assert [r.prompt for r in engine.asked] == ["question-2"]
    assert seen[0] == (1, 3)
    assert seen[-1] == (2, 3)
