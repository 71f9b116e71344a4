"""Typed edits: a value of input and answer becomes another of its type, and nothing else changes."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

from contextune.contexts.editing.forms import read
from contextune.contexts.editing.values import Values
from contextune.core.sequence import Record, Segment


def pair(id: str, prompt: str, answer: str) -> Record:
    return Record(id, (Segment(f"{prompt}\n", "context"), Segment(f" {answer}", "target")), id)


def editor(*rows: tuple[str, str]) -> Values:
    records = [pair(f"r{i}", *row) for i, row in enumerate(rows)]
    return Values(SimpleNamespace(records=records, rows={}, key=lambda r: r.id))


def edits(values: Values, row: int = 0, seeds: int = 12) -> set[tuple[str, str]]:
    """What a row can become: (input, answer)."""
    record = values.pool.records[row]
    made = (values.vary(record, random.Random(seed)) for seed in range(seeds))
    return {(r.segments[0].text.strip(), r.target.strip()) for r in made if r is not None}


TREES = (
    ("Is it windy in Oslo now?", "[IN:GET_WEATHER [SL:ATTRIBUTE windy ] [SL:LOCATION Oslo ] ]"),
    ("Is it cold in Bergen now?", "[IN:GET_WEATHER [SL:ATTRIBUTE cold ] [SL:LOCATION Bergen ] ]"),
    ("Call Ada Berg", "[IN:CREATE_CALL [SL:CONTACT Ada Berg ] ]"),
)
QUERIES = (
    ("How many cities are in Iowa? (Iowa refers to state = 'Iowa')", "SELECT COUNT(*) FROM city WHERE state = 'Iowa'"),
    ("Name the cities of Utah.", "SELECT T1.name FROM city AS T1 WHERE T1.state = 'Utah'"),
    ("Who lives in Ames?", "SELECT person FROM home WHERE town = 'Ames'"),
)


def test_a_slot_takes_a_value_of_its_slot():
    assert edits(editor(*TREES)) == {
        ("Is it cold in Oslo now?", "[IN:GET_WEATHER [SL:ATTRIBUTE cold ] [SL:LOCATION Oslo ] ]"),
        ("Is it windy in Bergen now?", "[IN:GET_WEATHER [SL:ATTRIBUTE windy ] [SL:LOCATION Bergen ] ]"),
    }
    assert not edits(editor(*TREES), 2), "no other row has a contact"


def test_a_literal_takes_a_value_of_its_column():
    """Every place of the input changes with it; a town is no state."""
    assert edits(editor(*QUERIES)) == {
        (
            "How many cities are in Utah? (Utah refers to state = 'Utah')",
            "SELECT COUNT(*) FROM city WHERE state = 'Utah'",
        )
    }
    assert not edits(editor(*QUERIES), 2)


@pytest.mark.parametrize(
    ("rows", "changed"),
    [
        # JSON: by its key
        (
            (("Fly to Rome", '{"to": "Rome", "n": 1}'), ("Fly to Bonn", '{"to": "Bonn", "n": 2}')),
            {("Fly to Bonn", '{"to": "Bonn", "n": 1}')},
        ),
        ((("Fly to Rome", '{"to": "Rome"}'), ("Fly from Bonn", '{"from": "Bonn"}')), set()),
        # markup: by its element
        (
            (("Greet Ada today", "<p>Hi <b>Ada</b></p>"), ("Greet Kurt today", "<p>Hi <b>Kurt</b></p>")),
            {("Greet Kurt today", "<p>Hi <b>Kurt</b></p>")},
        ),
        # Python: by the argument
        (
            (("Fly to Rome", 'fly(to="Rome", n=1)'), ("Fly to Bonn", 'fly(to="Bonn", n=2)')),
            {("Fly to Bonn", 'fly(to="Bonn", n=1)')},
        ),
        ((("Fly to Rome", 'fly(to="Rome")'), ("Fly to Bonn", 'fly("Bonn")')), set()),
        # two languages: a name in the same place of both, and a number
        (
            (("She lives in Rome.", "Sie wohnt in Rome."), ("He works in Bonn.", "Er arbeitet in Bonn.")),
            {("She lives in Bonn.", "Sie wohnt in Bonn.")},
        ),
        (
            (("We saw 27 cats.", "Wir sahen 27 Katzen."), ("It has 31 rooms.", "Es hat 31 Zimmer.")),
            {("We saw 31 cats.", "Wir sahen 31 Katzen.")},
        ),
    ],
)
def test_by_where_a_value_occurs(rows, changed):
    assert edits(editor(*rows)) == changed


@pytest.mark.parametrize(
    ("why", "rows"),
    [
        (
            "a month is no place",
            (("She came in May.", "Sie kam im May."), ("He works in Bonn.", "Er arbeitet in Bonn.")),
        ),
        ("part of a longer word", (("We saw Bonn.", "Wir sahen Bonns Kirche."), ("We saw Rome.", "Wir sahen Rome."))),
        (
            "it stands elsewhere too",
            (("In Bonn, is Bonn old?", "[IN:AGE [SL:CITY Bonn ] ]"), ("Is Rome old?", "[IN:AGE [SL:CITY Rome ] ]")),
        ),
        (
            "two types",
            (("Bonn to Bonn", "[IN:GO [SL:FROM Bonn ] [SL:TO Bonn ] ]"), ("Rome", "[IN:GO [SL:FROM Rome ] ]")),
        ),
        (
            "an encoded value",
            (
                ("How many women? (women refers to sex = 'female')", "SELECT COUNT(*) FROM p WHERE sex = 'female'"),
                ("How many male cats?", "SELECT COUNT(*) FROM p WHERE sex = 'male'"),
            ),
        ),
        (
            "an encoded value",
            (
                ("Good ones (good refers to id = 3)", "SELECT a FROM p WHERE q = 'good'"),
                ("A bad one", "SELECT a FROM p WHERE q = 'bad'"),
            ),
        ),
        (
            "a keyword",
            (("Select the Sum of a", "SELECT SUM(a) FROM t"), ("Select the Avg of a", "SELECT AVG(a) FROM t")),
        ),
        (
            "it would not be SQL",
            (
                ("Give Iowa", "SELEC name FRM city WHRE state = 'Iowa'"),
                ("Give Utah", "SELEC name FRM city WHRE state = 'Utah'"),
            ),
        ),
        (
            "code of an unknown language",
            (("Greet Ada", 'void f() { greet("Ada"); }'), ("Greet Kurt", 'void f() { greet("Kurt"); }')),
        ),
        (
            "a computed number",
            (("We saw 27 cats and 3 dogs.", "We saw 27 cats, so 30 animals."), ("We saw 31 cats.", "We saw 31 cats.")),
        ),
        (
            "a converted number",
            (
                ("It is 27 km (17 miles) away.", "Es ist 27 km (17 Meilen) weg."),
                ("It is 31 km away.", "Es ist 31 km weg."),
            ),
        ),
        (
            "a number of a name",
            (("He flew Apollo 11 once.", "Er flog Apollo 11 mal."), ("We saw 31 cats.", "Wir sahen 31 Katzen.")),
        ),
        (
            "an article",
            (("Is it a plum today?", "[IN:F [SL:A plum ] ]"), ("Is it a apple today?", "[IN:F [SL:A apple ] ]")),
        ),
    ],
)
def test_what_cannot_be_edited_safely_is_left(why, rows):
    assert not edits(editor(*rows)), why


@pytest.mark.parametrize(
    ("answer", "form", "values"),
    [
        ("[IN:A [SL:B x y ] [SL:C [IN:D [SL:E z ] ] ] ]", "tree", ["x y", "z"]),
        ("(S (NP John) (VP ran))", "tree", ["John", "ran"]),
        ("SELECT a FROM t WHERE b = 'x' AND c > 5 LIMIT 3", "sql", ["x", "5", "3"]),
        ("SELECT a FROM t WHERE b LIKE '%x y%'", "sql", ["x y"]),
        ('{"a": ["x", {"b": 2}]}', "json", ["x", "2"]),
        ("<a>x <b>y</b></a>", "markup", ["x", "y"]),
        ("f('x', k=2)", "python", ["x", "2"]),
        ("[to Mido, send Kalo].", "text", []),
        ("Two words; no more.", "text", []),
        ("<a>not closed", "unknown", []),
        ("if (x) { y(); }", "unknown", []),
        ("SELECT FROM WHERE", "unknown", []),
        ('{"a": ', "unknown", []),
    ],
)
def test_forms(answer, form, values):
    found = read(answer)
    assert (found[0], [v.text for v in found[1]]) == (form, values)
    assert all(answer[v.start : v.end] == v.text for v in found[1])


def test_every_edit_reads_as_before(tokenizer):
    """Whatever is drawn: the answer has the form, and all its other values, of the record."""
    values = editor(*TREES, *QUERIES)
    for record in values.pool.records:
        for seed in range(20):
            if (edit := values.edit(record, random.Random(seed))) is None:
                continue
            (form, before), (other, after) = read(record.target), read(edit.asked.target)
            assert form == other
            assert [v.kind for v in before] == [v.kind for v in after]
            changed = [(a.text, b.text) for a, b in zip(before, after, strict=True) if a.text != b.text]
            assert changed == [(edit.what["from"], edit.what["to"])]


def test_an_edited_query_runs(tmp_path):
    """With a database only what runs there is shown: a column that it lacks makes every edit fail."""
    for name, column in (("right", "state"), ("wrong", "country")):
        with closing(sqlite3.connect(tmp_path / name)) as made:
            made.execute(f"CREATE TABLE city (name TEXT, {column} TEXT)")
    values = editor(*QUERIES)
    values.database = tmp_path / "right"
    assert edits(values)
    values.database = tmp_path / "wrong"
    assert not edits(values)


def test_a_value_that_only_the_answer_has_is_told_by_another_row():
    """Typed by all the other words; every place of both rows changes."""
    rows = [
        ("The capital of Peru is", "Lima."),
        ("The capital of Cuba is", "Havana."),
        ("Peru is ruled from", "Lima, by the sea."),
    ]
    records = [pair(f"r{i}", *row) for i, row in enumerate(rows)]
    scores = SimpleNamespace(scores=lambda rows, places: np.ones((1, len(places))))
    values = Values(SimpleNamespace(records=records, rows={"r0": 0}, key=lambda r: r.id, space=scores))
    edit = values.edit(records[0], random.Random(0))
    assert edit.asked.target == " Havana."
    assert [r.target for r in edit.telling] == [" Havana, by the sea."]


def test_json_stays_json():
    """Escapes, numbers and keys that look like values are not touched."""
    rows = [(f"Send {n} to Kurt", json.dumps({n: "Kurt", "q": f'say "{n}"', "to": n})) for n in ("Ada", "Eve")]
    assert not edits(editor(*rows)), "the value is a key as well"
