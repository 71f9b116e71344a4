"""Queries are judged by the rows they return; they read one file and nothing else."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

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
        ("", "SELECT 1", "no query"),
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


DOUBLED = "hex(zeroblob(4900000))"


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT instr({DOUBLED}, hex(zeroblob(2400000)) || '1')",
        "SELECT printf('%.*c', 2000000000, 'x')",
        f"SELECT instr({DOUBLED} || 'y', hex(zeroblob(3000000)) || 'x')",
        f"SELECT replace({DOUBLED}, hex(zeroblob(2000000)) || '1', '') FROM staff",
    ],
    ids=["instr", "printf", "instr twice", "replace"],
)  # fmt: skip
def test_a_function_that_looks_at_no_clock_ends(shop, query, monkeypatch):
    monkeypatch.setattr(sql, "GRACE", 0.1)
    began = time.monotonic()
    assert sql.execute(shop, query, seconds=0.2).failed == "longer than 0.2 s"
    assert time.monotonic() - began < 5
    assert sql.execute(shop, "SELECT 1").rows == ((1,),), "and the next query is answered"


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (f"{ENDLESS} SELECT zeroblob(9000000) FROM c", "more than 32 MiB of rows"),
        (f"{ENDLESS} SELECT {DOUBLED} FROM c", "more than 32 MiB of rows"),
        ("SELECT " + ", ".join(["zeroblob(1000000)"] * 1900), "of memory"),
        ("SELECT '" + "x" * 11_000_000 + "'", "too big"),
    ],
    ids=["blobs", "texts", "one wide row", "a long query"],
)
def test_memory_is_bounded(shop, query, why):
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert why in sql.execute(shop, query, seconds=60).failed
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


@pytest.mark.parametrize("silence", ["", "  \n", ";", " ; ", "-- nothing", "/* nothing */", "/* no end"])
def test_silence_is_wrong_also_where_no_row_is_right(shop, silence):
    nothing = "SELECT name FROM staff WHERE id > 99"
    assert sql.judge(shop, silence, nothing) == "no query"
    assert sql.judge(shop, "SELECT id FROM staff WHERE 0", nothing) == ""
    assert sql.judge(shop, nothing, silence) == "the gold query fails: no query"


@pytest.mark.parametrize(
    "query",
    [
        "EXPLAIN DELETE FROM staff", "BEGIN EXCLUSIVE", "VACUUM INTO '/tmp/other.sqlite'", "REINDEX", "ANALYZE",
        "CREATE TEMP TABLE t (a)", "SELECT load_extension('x')", "SELECT fts3_tokenizer('simple')",
        "SELECT * FROM pragma_database_list", "SAVEPOINT s", "DETACH main", "SELECT 1; DROP TABLE staff",
        "SELECT id FROM staff ORDER BY random()", "SELECT randomblob(4)", "WITH a AS (SELECT 1) DELETE FROM staff",
        "SELECT 1 \0", "SELECT '\ud800'",
    ],
)  # fmt: skip
def test_what_is_no_plain_reading_fails(shop, query):
    before = shop.read_bytes()
    assert sql.execute(shop, query).failed
    assert shop.read_bytes() == before
    assert [p.name for p in shop.parent.iterdir()] == [shop.name]


def test_nothing_is_locked_and_what_lies_beside_is_not_overlooked(tmp_path):
    file = tmp_path / "w.sqlite"
    with closing(sqlite3.connect(file)) as writer:
        writer.execute("CREATE TABLE t (a)")
        writer.execute("BEGIN EXCLUSIVE")
        assert sql.execute(file, "SELECT count(*) FROM t").rows == ((0,),)
        writer.rollback()
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO t VALUES (1)")
        writer.commit()
        with pytest.raises(UserError, match=r"changes that are not in it yet lie in w\.sqlite-wal"):
            sql.execute(file, "SELECT count(*) FROM t")
    assert sql.execute(file, "SELECT count(*) FROM t").rows == ((1,),)
    assert [p.name for p in tmp_path.iterdir()] == ["w.sqlite"]


def test_gold_is_asked_again_when_the_file_changes(tmp_path):
    file = tmp_path / "c.sqlite"
    for n in (1, 2):
        with closing(sqlite3.connect(file)) as writer:
            writer.execute(f"CREATE TABLE t{n} (a)")
            writer.commit()
        assert sql.judge(file, f"SELECT {n}", "SELECT count(*) FROM sqlite_master") == ""


def test_values_are_compared_as_python_does(shop):
    pairs = [("1", "1.0", True), ("'1'", "1", False), ("x'31'", "'1'", False), ("NULL", "0", False),
             ("NULL", "NULL", True), ("0.1 + 0.2", "0.3", True), ("-0.0", "0", True), ("9e999", "9e999", True),
             ("9e999", "-9e999", False), ("9007199254740993", "9007199254740992", False)]  # fmt: skip
    for one, other, same in pairs:
        assert (sql.judge(shop, f"SELECT {one}", f"SELECT {other}") == "") is same, (one, other)


def test_a_gold_query_that_fails_is_an_error_that_names_the_item(shop):
    task = Task("shop", "generate", (), "execution")
    item = Item("7", "", "SELECT nope", fields={"database": str(shop)})
    with pytest.raises(UserError, match=r"task shop: item 7: the gold query fails: no such column: nope"):
        grade(task, [item], ["SELECT 1"])


def test_gold_without_rows_is_said(shop, tmp_path, caplog):
    load_task(spec(shop, answer="SELECT id FROM staff WHERE 0"), tmp_path)
    assert "1 of 1 gold queries return no row, e.g. item 0: any query that returns none is right" in caplog.text


@pytest.mark.parametrize("part", ["'", '"', "`", "/*", "--", "(", "''/*", "order by "])
def test_spelling_takes_time_in_proportion_to_length(part):
    began = time.monotonic()
    sql.ordered(part * 50_000)
    sql.normal(part * 50_000)
    assert time.monotonic() - began < 5
