"""Queries are judged by the rows they return; they read one file and nothing else."""

from __future__ import annotations

import sqlite3

import pytest

from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.evaluate import metrics
from contextune.evaluate.metrics import sql
from contextune.evaluate.scoring.grading import grade
from contextune.evaluate.tasks.load import load_task

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    file = tmp_path_factory.mktemp("sql") / "shop.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(
            "CREATE TABLE staff (id INTEGER, name TEXT, pay REAL);"
            "INSERT INTO staff VALUES (1, 'Ann', 0.1), (2, 'Bob', 0.2), (3, 'Cid', 0.3), (4, 'Ann', 0.1);"
        )
    connection.close()
    return file


@pytest.mark.parametrize(
    ("output", "gold", "why"),
    [
        ("select NAME from staff", "SELECT name FROM staff", ""),
        ("SELECT name FROM staff ORDER BY id DESC", "SELECT name FROM staff", ""),
        ("SELECT id FROM staff ORDER BY id DESC", "SELECT id FROM staff ORDER BY id", "in another order"),
        ("SELECT DISTINCT name FROM staff", "SELECT name FROM staff", "other rows: 3, expected 4"),
        ("SELECT pay + pay + pay FROM staff WHERE id = 1", "SELECT pay FROM staff WHERE id = 3", ""),
        ("SELECT 2", "SELECT id FROM staff WHERE name = 'Bob'", ""),
        ("SELECT nam FROM staff", "SELECT 1", "no such column: nam"),
        ("SELEC 1", "SELECT 1", 'near "SELEC": syntax error'),
        ("SELECT 1; SELECT 2", "SELECT 1", "You can only execute one statement at a time."),
        ("", "SELECT 1", "other rows: 0, expected 1"),
        ("DELETE FROM staff", "SELECT 1", "not authorized"),
        ("ATTACH DATABASE '/tmp/other.sqlite' AS o", "SELECT 1", "not authorized"),
        ("PRAGMA writable_schema = 1", "SELECT 1", "not authorized"),
        (f"{ENDLESS} SELECT count(*) FROM c", "SELECT 1", "longer than 0.3 s"),
        (f"{ENDLESS} SELECT x FROM c", "SELECT 1", "more than 100,000"),
        ("SELECT zeroblob(100000000)", "SELECT 1", "too big"),
        ("SELECT 1", "SELECT nope", "the gold query fails"),
    ],
)  # fmt: skip
def test_judgement(shop, output, gold, why):
    found = sql.judge(shop, output, gold, seconds=0.3 if "longer" in why else 120)
    assert (found == "") if why == "" else (why in found), found
    assert sql.execute(shop, "SELECT count(*) FROM staff").rows == ((4,),), "the file was written to"


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from t order\n by a", True),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 3)", False),
        ("SELECT a FROM t WHERE b = 'order by' -- order by", False),
        ('SELECT "order by" FROM t', False),
        ("SELECT rank() OVER (ORDER BY a) FROM t", False),
    ],
)
def test_ordered(query, ordered):
    assert sql.ordered(query) is ordered


def test_normal():
    assert sql.normal("SELECT  Name ,count( * ) FROM Staff;") == sql.normal("select name, COUNT(*) from staff")
    assert sql.normal("SELECT 'Ann'") != sql.normal("SELECT 'ann'")
    assert sql.normal("SELECT a>=1") != sql.normal("SELECT a>1")


def spec(shop, **keys):
    rows = [{"q": "how many?", "a": "SELECT count(*) FROM staff"}]
    return {"name": "shop", "kind": "generate", "metric": "execution", "database": str(shop), "rows": rows,
            "prompt": "{{ q }}", "answer": "{{ a }}", **keys}  # fmt: skip


def test_a_task_keeps_the_reason(shop, tmp_path):
    (task,) = load_task(spec(shop), tmp_path)
    (right,), (wrong,) = grade(task, task.items, ["select COUNT(id) from staff"]), grade(task, task.items, ["SELECT 5"])
    assert (right.correct, right.predicted, right.notes) == (1.0, task.items[0].gold, {})
    assert (wrong.correct, wrong.predicted, wrong.notes) == (0.0, "SELECT 5", {"reason": "other rows: 1, expected 1"})


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"database": ""}, "the metric 'execution' needs the key 'database'"),
        ({"database": "nowhere.sqlite"}, "database: no such file"),
        ({"metric": "exact_match"}, "the key 'database' has no effect"),
        ({"answer": "SELECT nope"}, "the gold query fails: no such column: nope"),
        ({"metric": "comet", "database": ""}, "the metric 'comet' needs the key 'command'"),
        ({"metric": "comet", "database": "", "command": "no-such-program-here"}, "there is no program"),
        ({"metric": "tree_match", "database": ""}, "answer: not a tree"),
    ],
)
def test_bad_tasks(shop, tmp_path, keys, why):
    made = {k: v for k, v in spec(shop, **keys).items() if v != ""}
    with pytest.raises(UserError, match=why):
        load_task(made, tmp_path)


def test_the_share_comes_from_what_was_judged():
    columns = {"item": ["a", "b"], "kind": ["generate"] * 2, "correct": [1.0, 0.0], "gold": ["x", "y"],
               "output": ["x", "z"]} | {c: [[], []] for c in ("options", "sums", "tokens", "bytes")}  # fmt: skip
    assert metrics.evaluate(columns, "execution") == 0.5
    assert set(metrics.summary(columns, "execution")) >= {"execution", "sql_match"}
    assert "execution" not in metrics.summary(columns, "exact_match")


def test_graded_by_the_tasks_own_metric():
    task = Task("t", "generate", (), "tree_match")
    (found,) = grade(task, [Item("0", "", "[A b ]")], ["[A b]"])
    assert (found.correct, found.predicted) == (1.0, "[A b ]")
