"""Nothing is asked twice, nothing is lost: duplicates, failures, kills, concurrent writers."""

from __future__ import annotations

import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contextune.core.errors import UserError
from contextune.generation import Answer, Cost, Failure, Request, Store, ask, status, trace
from tests.generation.fake import Fake, numbered, words

ROOT = Path(__file__).parents[2]


def start(*args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.generation.fake", *map(str, args)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "store.sqlite"


def test_answers_in_order_and_once(path):
    """Equal requests are asked once, whatever their source, and a second run asks nothing."""
    requests = [*numbered(0, 5), dataclasses.replace(numbered(2, 3)[0], source="another row"), *numbered(3, 6)]
    engine = Fake()
    with Store(path) as store:
        answers = ask(engine, requests, store)
    assert answers == [f"answer to {r.prompt}" for r in requests]
    assert sorted(r.prompt for r in engine.asked) == [f"question-{i}" for i in range(6)]
    assert next(r for r in engine.asked if r.prompt == "question-2").source == "row 2"
    with Store(path) as store:
        assert ask(Fake(lambda r: "never"), requests, store) == answers
        assert ask(Fake(), [], store) == []


def test_an_engine_is_not_started_for_nothing():
    class Costly(Fake):
        def complete(self, requests):
            raise AssertionError("asked")

    with Store(None) as store:
        ask(Fake(), numbered(0, 3), store)
        assert len(ask(Costly(), numbered(0, 3), store)) == 3


BASE = Request("p", 8, 0.5, 1, ("x",), "op/1", "row")
CHANGES = {
    "prompt": "q", "max_tokens": 9, "temperature": 0.6, "seed": 2, "stop": ("y",), "operation": "op/2",
    "schema": "{}", "cut": True, "turns": (("user", "q"),), "begin": "b",
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_all_that_decides_the_answer_is_in_the_key(name):
    changed = dataclasses.replace(BASE, **{name: CHANGES[name]})
    assert changed.key("a") != BASE.key("a")
    engine = Fake()
    with Store(None) as store:
        ask(engine, [BASE], store)
        ask(engine, [changed], store)
    assert engine.asked == [BASE, changed]


def test_key():
    assert {*CHANGES, "source", "judge"} == {f.name for f in dataclasses.fields(Request)}
    assert BASE.key("a") != BASE.key("b")
    assert dataclasses.replace(BASE, source="other", judge=str).key("a") == BASE.key("a")
    assert Request("p", temperature=0).key("a") == Request("p", temperature=0.0).key("a")
    assert Request("p", stop=("a", "b")).key("e") != Request("p", stop=("ab",)).key("e")
    # Answers of old runs are found under it.
    assert Request("p").key("engine") == "a1990dbc0d92b7909d7f1d2bb053d617"


def test_another_engine_is_asked_anew(path):
    with Store(path) as store:
        ask(Fake(identity="a"), numbered(0, 4), store)
        other = Fake(lambda r: "other", identity="b")
        assert ask(other, numbered(0, 4), store) == ["other"] * 4
        assert ask(Fake(lambda r: "never", identity="a"), numbered(0, 1), store) == ["answer to question-0"]


def test_failures_are_listed_and_retried(path):
    flaky = Fake(lambda r: Failure("server said 500") if r.prompt.endswith(("1", "3")) else "fine")
    with Store(path) as store:
        with pytest.raises(UserError) as e:
            ask(flaky, numbered(0, 5), store)
        assert e.value.message.split("\n") == [
            "2 of 5 requests have no answer:",
            "  row 1: server said 500",
            "  row 3: server said 500",
        ]
        assert "run again" in e.value.hint
        with pytest.raises(UserError, match="2 of 5"):
            ask(Fake(lambda r: Failure("still")), numbered(0, 5), store)
        fixed = Fake()
        answers = ask(fixed, numbered(0, 5), store)
    assert answers == ["fine", "answer to question-1", "fine", "answer to question-3", "fine"]
    assert sorted(r.prompt for r in fixed.asked) == ["question-1", "question-3"]
    rows = sqlite3.connect(path).execute("SELECT attempts, reason FROM answers ORDER BY prompt").fetchall()
    assert rows == [(1, None), (3, None), (1, None), (3, None), (1, None)]


def test_many_failures_are_counted():
    with Store(None) as store, pytest.raises(UserError) as e:
        ask(Fake(lambda r: Failure("no")), numbered(0, 25), store)
    assert e.value.message.split("\n")[0] == "25 of 25 requests have no answer:"
    assert e.value.message.split("\n")[-1] == "  and 15 more"


def test_an_engine_that_skips_a_request():
    class Lazy(Fake):
        def complete(self, requests):
            yield 1, "here"

    with Store(None) as store, pytest.raises(UserError, match="row 0: the engine gave no answer"):
        ask(Lazy(), numbered(0, 2), store)


def test_an_engine_that_breaks_loses_nothing(path):
    class Breaks(Fake):
        def complete(self, requests):
            yield 0, "first"
            raise RuntimeError("out of memory")

    with Store(path) as store:
        with pytest.raises(RuntimeError, match="out of memory"):
            ask(Breaks(), numbered(0, 3), store)
        assert ask(Fake(), numbered(0, 3), store) == ["first", "answer to question-1", "answer to question-2"]


def test_an_empty_text_is_an_answer():
    engine = Fake(lambda r: "")
    with Store(None) as store:
        assert ask(engine, numbered(0, 1), store) == ask(engine, numbered(0, 1), store) == [""]
    assert len(engine.asked) == 1


def test_the_first_answer_stays():
    request = numbered(0, 1)[0]
    with Store(None) as store:
        store.put(request, "fake", Failure("first"))
        store.put(request, "fake", "one")
        store.put(request, "fake", "two")
        store.put(request, "fake", Failure("late"))
        assert store.get([request.key("fake"), "unknown"]) == {request.key("fake"): "one"}


def test_progress():
    seen: list[tuple[int, int]] = []
    with Store(None) as store:
        ask(Fake(), numbered(0, 2), store)
        ask(Fake(), [*numbered(0, 4), *numbered(0, 4)], store, lambda done, all: seen.append((done, all)))
    assert seen == [(3, 4), (4, 4)]


def test_more_rows_than_a_statement_holds():
    with Store(None) as store:
        assert len(ask(Fake(), numbered(0, 1203), store)) == 1203
        assert ask(Fake(lambda r: "never"), numbered(0, 1203), store)[-1] == "answer to question-1202"


def test_killed_and_resumed(path, tmp_path):
    """kill -9 in the midst of 200 requests: what was delivered is not asked again, and all is there in the end."""
    log = tmp_path / "first.log"
    process = start(path, log, 0, 200)
    deadline = time.monotonic() + 60
    while len(words(log, "delivered")) < 50 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    process.communicate()

    delivered = {*words(log, "delivered")}
    assert 50 <= len(delivered) < 200
    resumed = Fake()
    with Store(path) as store:
        answers = ask(resumed, numbered(0, 200), store)
    again = [r.prompt for r in resumed.asked]
    assert len({*again}) == len(again)
    assert not delivered & {*again}
    # One more may have been kept and not yet logged as delivered.
    assert 200 - len(delivered) - len(again) in (0, 1)
    for i, answer in enumerate(answers):
        fresh = f"question-{i}" in again
        assert answer == (f"answer to question-{i}" if fresh else f"{process.pid} question-{i}")


def test_concurrent_writers(path, tmp_path):
    """Two processes that open the store at once, with half of their requests in common, end with the same answers."""
    processes = [start(path, tmp_path / f"{low}.log", low, low + 100) for low in (0, 50)]
    outputs = []
    for process in processes:
        out, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        outputs.append(out.splitlines())
    assert [len(o) for o in outputs] == [100, 100]
    assert outputs[0][50:] == outputs[1][:50]
    asked = [words(tmp_path / f"{low}.log", "asked") for low in (0, 50)]
    assert {*asked[0]} | {*asked[1]} == {f"question-{i}" for i in range(150)}
    untouched = Fake(lambda r: "never")
    with Store(path) as store:
        assert ask(untouched, numbered(0, 150), store) == outputs[0] + outputs[1][50:]


def test_not_a_store(tmp_path):
    (tmp_path / "text").write_text("This is not a database, but a text of some length. " * 20)
    with pytest.raises(UserError, match=r"text: cannot be used as the store .* not a database"):
        Store(tmp_path / "text")
    with pytest.raises(UserError, match="cannot be used as the store"):
        Store(tmp_path / "text" / "below")
    with pytest.raises(UserError, match="cannot be used as the store"):
        Store(tmp_path)
    db = sqlite3.connect(tmp_path / "newer")
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(UserError, match="a store of version 9, expected 3"):
        Store(tmp_path / "newer")


def test_a_foreign_database_is_left_alone(tmp_path):
    db = sqlite3.connect(tmp_path / "other")
    db.execute("CREATE TABLE answers (mine TEXT)")
    db.close()
    before = (tmp_path / "other").read_bytes()
    with pytest.raises(UserError, match="other: another program's database"):
        Store(tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == before


def test_a_full_disk(path):
    with Store(path) as store:
        store._db.execute("PRAGMA max_page_count = 6")
        with pytest.raises(UserError, match=r"an answer cannot be kept \(database or disk is full\)"):
            ask(Fake(lambda r: "long " * 4000), numbered(0, 3), store)


def test_opened_at_once(tmp_path):
    """Eight threads open a store that is not there yet."""
    for i in range(4):
        gate = threading.Barrier(8)

        def write(j, path=tmp_path / f"{i}.sqlite", gate=gate):
            gate.wait()
            with Store(path) as store:
                store.put(Request(f"{j}"), "fake", "x")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        with Store(tmp_path / f"{i}.sqlite") as store:
            assert len(store.get([Request(f"{j}").key("fake") for j in range(8)])) == 8


def test_two_processes_pay_once(path, tmp_path):
    """The same list in two processes at once: no request is asked by both."""
    processes = [start(path, tmp_path / f"{i}.log", 0, 100) for i in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == 100
    asked = [w for i in range(2) for w in words(tmp_path / f"{i}.log", "asked")]
    assert sorted(asked) == sorted(f"question-{i}" for i in range(100))


def test_failures_in_their_place(path):
    engine = Fake(lambda r: Failure("no") if r.prompt.endswith("1") else "yes")
    with Store(path) as store:
        assert ask(engine, numbered(0, 3), store, on_failure="return") == ["yes", Failure("no"), "yes"]


def test_an_older_store_keeps_its_answers(path):
    path.parent.mkdir()
    db = sqlite3.connect(path)
    db.execute(
        "CREATE TABLE answers (key TEXT PRIMARY KEY, text TEXT, reason TEXT, attempts INTEGER NOT NULL, engine TEXT"
        " NOT NULL, operation TEXT NOT NULL, source TEXT NOT NULL, prompt TEXT NOT NULL, sampling TEXT NOT NULL,"
        " written REAL NOT NULL)"
    )
    request = numbered(0, 1)[0]
    db.execute(
        "INSERT INTO answers VALUES (?,'old',NULL,1,'fake','test/1','row 0','question-0','{}',1.0)",
        (request.key("fake"),),
    )
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    with Store(path) as store:
        assert ask(Fake(), numbered(0, 2), store) == ["old", "answer to question-1"]
    assert status(path)["answered"] == 2


def test_status_and_trace(path):
    cost = Cost(10, 4, 0.5)
    with Store(path) as store:
        store.put(numbered(0, 1)[0], "e", Answer("text", cost))
        for _ in range(2):
            store.put(numbered(1, 2)[0], "e", Failure("over-long", cost=cost))
        store.put(Request("p", operation="other/2", source="row 9"), "e", Failure("not asked: spent", asked=False))
        store.claim(["x"], 0)
        shown = status(path)
        assert (shown["answered"], shown["failed"], shown["asking"]) == (1, 2, 1)
    assert shown["reasons"] == {"over-long": 1, "not asked: spent": 1}
    assert shown["operations"] == {"other/2": {"answered": 0, "failed": 1}, "test/1": {"answered": 1, "failed": 1}}
    assert shown["tokens"] == {"read": 30, "wrote": 12}
    assert [(f["source"], f["attempts"]) for f in shown["failures"]] == [("row 1", 2), ("row 9", 0)]
    key = numbered(0, 1)[0].key("e")
    for given in (key, key[:8]):
        row = trace(path, given)
        assert (row["text"], row["source"], row["prompt"]) == ("text", "row 0", "question-0")
        assert row["sampling"] == {"max_tokens": 64, "temperature": 0.0, "seed": 0, "stop": []}
    for bad in ("", "f" * 32, "*"):
        with pytest.raises(UserError, match="key"):
            trace(path, bad)
    with pytest.raises(UserError, match="there is no store"):
        status(path.parent / "none")
