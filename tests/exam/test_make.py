"""An exam from documents: what it asks, what is never among its options, what it does with a folder."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from contextune.core.errors import UserError
from contextune.data import load
from contextune.data.options import Source
from contextune.evaluate.tasks.load import load_task
from contextune.exam import decisions, languages
from contextune.exam.forms import FORMS
from contextune.exam.make import Exam, Settings, build, make

from .conftest import RIVERS, TOWNS, town


def quiet(text: str) -> None:
    pass


def made(folder: Path, **settings: object) -> Exam:
    documents = load(Source(path=str(folder)), Path())
    return build(documents, Settings(**settings), languages.load("en"), decisions.Decisions())


def row(exam: Exam, form: str, text: str) -> dict:
    """The item of a form on the statement that holds a text."""
    (id,) = {one.statement.id for one in exam.asked if f"{one.statement.text} {one.statement.value.text}" == text}
    return next(r for r in exam.items[form] if r["statement"] == id)


HARBOUR = "The harbour of Belmora was built by Otto Kessel in 1808. 1808"


def test_items_as_they_are(towns):
    exam = made(towns)
    told = row(exam, "learn_told", HARBOUR)
    assert told["prompt"] == "The harbour of Belmora was built by Otto Kessel in"
    assert told["options"][told["answer"]] == " 1808."
    assert sorted(map(len, told["options"])) == [6, 6, 6, 6]
    turned = row(exam, "generalise_gap", HARBOUR)
    assert turned["prompt"] == (
        "From “Belmora”. Something has been taken out of this sentence: "
        "“The harbour of Belmora was built by ____ in 1808.”\n"
        "What was taken out is the name"
    )
    assert turned["options"][turned["answer"]] == " Otto Kessel"
    asked = row(exam, "generalise_reworded", HARBOUR)
    assert asked["prompt"] == (
        "From “Belmora”. Which year is missing in the following sentence?\n"
        "“The harbour of Belmora was built by Otto Kessel in ____.”\nThe missing year is:"
    )
    edited = row(exam, "listen_edited", HARBOUR)
    new = edited["options"][edited["answer"]].strip(" .")
    assert new != "1808"
    assert " 1808." in edited["options"]
    *texts, asks = edited["prompt"].split("\n\n")
    assert asks == "The harbour of Belmora was built by Otto Kessel in"
    assert len(texts) == 3
    wrong = [o.strip(" .") for o in edited["options"] if o.strip(" .") not in ("1808", new)]
    assert sorted(sum(o in t for t in texts) for o in wrong) == [1, 1]  # each in a text of its own
    assert [t for t in texts if not any(o in t for o in wrong)] == [
        f"Belmora lies on the river Marn. The harbour of Belmora was built by Otto Kessel in {new}. It is larger than "
        "most. In 1904, Hugo Pell painted the old bridge across the Marn."
    ]
    assert edited["alone"] == "The harbour of Belmora was built by Otto Kessel in"
    unanswerable = [r for r in exam.items["resist_unanswerable"] if r["statement"] == told["statement"]]
    assert {r["options"][r["answer"]] for r in unanswerable} == {" 1808", " The text does not say."}
    assert ["Belmora" in r["prompt"].rpartition("\n\n")[0] for r in unanswerable] == [True, False]


def test_an_adverbial_at_the_beginning_moves_to_the_end(towns):
    exam = made(towns)
    text = "In 1904, Hugo Pell painted the old bridge across the Marn. Marn"
    assert row(exam, "generalise_reworded", text)["prompt"].split("\n")[1] == (
        "“Hugo Pell painted the old bridge across the ____ in 1904.”"
    )


def test_every_statement_has_an_item_in_every_form_and_no_place_is_favoured(towns):
    exam = made(towns, items=40)
    ids = [one.statement.id for one in exam.asked]
    assert len(ids) == len(set(ids)) == 40
    assert set(exam.items) == set(FORMS)
    for form, rows in exam.items.items():
        assert Counter(r["statement"] for r in rows) == Counter(ids * (2 if form == "resist_unanswerable" else 1))
        places = Counter(r["answer"] for r in rows)
        assert max(places.values()) - min(places[i] for i in range(4)) <= 1, form
        assert all(len(set(r["options"])) == 4 for r in rows)


def test_a_wrong_option_is_true_nowhere(towns):
    """Not in the passage, and in no sentence about what the statement is about."""
    exam, whole = made(towns), {n: town(i) for i, n in enumerate(TOWNS)}
    for one in exam.asked:
        said = one.statement
        for option in (*one.wrong, *one.turned):
            assert not re.search(rf"\b{option}\b", one.passage.text), (said.text, option)
        sentences = [s for text in whole.values() for s in re.split(r"(?<=\.)\s", text)]
        for anchor in said.anchors:
            about = " ".join(s for s in sentences if re.search(rf"\b{anchor.text}\b", s))
            assert not any(re.search(rf"\b{o}\b", about) for o in one.wrong), (said.text, one.wrong)


def test_what_an_anchor_has_elsewhere_is_no_wrong_option(towns):
    """Zarah crossed six of ten rivers, in six years; each sentence is a passage of its own."""
    crossed = [f"Zarah crossed the river {r} in {1801 + 7 * i}." for i, r in enumerate(RIVERS[:6])]
    (towns / "z.md").write_text("\n\n".join(crossed), encoding="utf-8")
    asked = [one for one in made(towns, items=1000).asked if "Zarah" in one.statement.text]
    assert {one.statement.value.kind for one in asked} == {"name", "year"}
    assert {o for one in asked if one.statement.value.kind == "name" for o in one.wrong} <= set(RIVERS[6:])
    years = {o for one in asked if one.statement.value.kind == "year" for o in one.wrong}
    assert not years & {str(1801 + 7 * i) for i in range(6)}


def test_passages_hold_what_they_should(towns):
    near = (
        "The old harbour of Belmora on the river Marn, the bridge across it, and Otto Kessel, as he built it by 1808."
    )
    (towns / "z.md").write_text(near, encoding="utf-8")
    exam = made(towns)
    by = {one.statement.id: one for one in exam.asked}
    for form, rows in exam.items.items():
        for r in rows:
            one, gold = by[r["statement"]], r["options"][r["answer"]]
            value, new = one.statement.value.text, one.wrong[0]
            passage = r["prompt"].rpartition("\n\n")[0]
            there = lambda text, passage=passage: re.search(rf"\b{re.escape(text)}\b", passage) is not None  # noqa: E731
            if form.startswith("listen_edited"):
                assert there(new)
                assert not there(value)
                assert all(there(o) for o in one.wrong)
                assert gold.startswith(f" {new}")
                assert any(o.startswith(f" {value}") for o in r["options"])
            elif form.startswith("listen_passage"):
                assert there(value)
                assert all(there(o) for o in one.wrong)  # copying a text is guessing
                assert gold.startswith(f" {value}")
            elif form == "listen_reversed_question":
                assert there(gold.strip())
                assert gold == f" {one.anchor.text}"
                assert all(there(o) for o in one.turned)
            elif form == "resist_near_question":
                assert all(there(o) for o in one.wrong)
                assert not there(value)
            elif form in ("resist_other", "resist_near", "resist_lure"):
                assert passage
                assert not there(value)
                assert gold.startswith(f" {value}")
            if form == "resist_lure":
                assert any(there(o) for o in one.wrong)


@pytest.mark.parametrize(
    "said",
    ["It is larger than most.", "It was closed", "is a list", "is code", "wrote a book", "| 1 |", "# "],
    ids=["pronoun", "pronoun-of-passage", "list", "code", "references", "table", "heading"],
)
def test_what_is_not_asked(towns, said):
    assert not any(said in one.statement.text for one in made(towns, items=1000).asked)


def test_the_last_of_an_enumeration_is_not_asked(towns):
    said = "Ardenholm has ferries to Belmora, Castrin and Dunvale."
    (towns / "z.md").write_text(said, encoding="utf-8")
    assert not any(one.statement.text == said for one in made(towns, items=1000).asked)


def test_more_documents_leave_ids_as_they_are(towns):
    before = {(one.statement.id, one.statement.text) for one in made(towns, items=1000).asked}
    extra = town(3).replace("Dunvale", "Newgate").replace("Orke", "Wye").replace("Jens Halder", "Ben Carp")
    (towns / "A.md").write_text(extra.replace("Paul Darn", "Ann Ost").replace("1822", "1823"), encoding="utf-8")
    after = {(one.statement.id, one.statement.text) for one in made(towns, items=1000).asked}
    assert len(after) > len(before)
    assert len(before - after) <= len(before) // 20


def test_bit_for_bit_and_at_rest(towns, tmp_path):
    once = make((str(towns),), tmp_path / "a", Settings(20), quiet, Path())
    make((str(towns),), tmp_path / "b", Settings(20), quiet, Path())
    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert len(files) > 12
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    stamp = (tmp_path / "a" / "exam.json").stat().st_mtime_ns
    again = make((str(towns),), tmp_path / "a", Settings(20), quiet, Path())
    assert again.unchanged
    assert not once.unchanged
    assert (tmp_path / "a" / "exam.json").stat().st_mtime_ns == stamp
    (tmp_path / "a" / "items" / "learn_told.jsonl").unlink()  # half of it is gone: made again
    assert not make((str(towns),), tmp_path / "a", Settings(20), quiet, Path()).unchanged
    assert (tmp_path / "a" / "items" / "learn_told.jsonl").exists()


def test_a_folder_loads_as_tasks(towns, tmp_path):
    make((str(towns),), tmp_path / "exam", Settings(20), quiet, Path())
    tasks = {t.name: t for t in load_task("exam/", tmp_path)}
    assert set(tasks) == {f"exam.{form}" for form in FORMS}
    assert {t.measure for t in tasks.values()} == {"learn", "generalise", "listen", "resist"}
    assert tasks["exam.resist_unanswerable"].chance == 0.5
    assert tasks["exam.learn_told"].chance == 0.25
    item = tasks["exam.listen_edited"].items[0]
    assert item.alone
    assert item.prompt.endswith(item.alone)
    assert item.prompt != item.alone
    clusters = {i.cluster for t in tasks.values() for i in t.items}
    assert len(clusters) == len({i.cluster for i in tasks["exam.learn_told"].items})
    with pytest.raises(UserError, match=r"a folder without a file tasks\.yaml"):
        load_task("towns", tmp_path)


def test_decisions_are_honoured(towns, tmp_path):
    out = tmp_path / "exam"
    first = make((str(towns),), out, Settings(10), quiet, Path())
    a, b, c = (one.statement.id for one in first.asked[:3])
    lines = [
        {"id": a, "decision": "reject"},
        {"id": b, "form": "generalise_gap", "decision": "reject"},
        {"id": c, "form": "learn_told", "decision": "mend", "prompt": "Mended", "options": [" x", " y"], "answer": 1},
        {"id": "gone", "decision": "accept"},
    ]
    (out / "decisions.jsonl").write_text("".join(json.dumps(d) + "\n" for d in lines), encoding="utf-8")
    second = make((str(towns),), out, Settings(10), quiet, Path())
    ids = [one.statement.id for one in second.asked]
    assert a not in ids
    assert len(ids) == 10
    assert b not in {r["statement"] for r in second.items["generalise_gap"]}
    assert b in {r["statement"] for r in second.items["learn_told"]}
    mended = next(r for r in second.items["learn_told"] if r["statement"] == c)
    assert (mended["prompt"], mended["options"], mended["answer"], mended["made_by"]) == (
        "Mended",
        [" x", " y"],
        1,
        "person",
    )
    assert second.counts["decisions"] == {"accepted": 0, "rejected": 2, "mended": 1, "of_no_item": ["gone"]}
    lines[1:1] = [{"id": first.asked[-1].statement.id, "decision": "accept"}]
    (out / "decisions.jsonl").write_text("".join(json.dumps(d) + "\n" for d in lines), encoding="utf-8")
    assert make((str(towns),), out, Settings(3), quiet, Path()).asked[0].statement.id == first.asked[-1].statement.id


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "decisions.jsonl:1: not valid JSON"),
        ("[]", "expected an object"),
        ('{"decision": "accept"}', "id: expected an item's id"),
        ('{"id": "a", "decision": "maybe"}', "decision: found 'maybe'"),
        ('{"id": "a", "decision": "accept", "form": "learn"}', "form: no form 'learn'"),
        ('{"id": "a", "decision": "accept", "form": ["learn_told"]}', "form: no form ['learn_told']"),
        ('{"id": "a", "decision": "reject", "form": {"learn_told": 1}}', "form: no form {'learn_told': 1}"),
        ('{"id": "\\ud800", "decision": "reject"}', "id: half of a surrogate pair"),
        ('{"id": "a", "decision": "mend", "form": "learn_told", "prompt": "\\ud800"}', "prompt: half of a surrogate"),
        ('{"id": "a", "decision": "mend", "form": "learn_told", "options": ["a", "\\u0000"]}', "options: a NUL"),
        ('{"id": "a", "decision": "accept", "why": 1}', "unknown key 'why'"),
        ('{"id": "a", "decision": "accept", "prompt": "x"}', "'prompt' has no effect on accept"),
        ('{"id": "a", "decision": "mend", "prompt": "x"}', "mend: no form"),
        ('{"id": "a", "decision": "mend", "form": "learn_told"}', "expected one of prompt, options, answer"),
        ('{"id": "a", "decision": "mend", "form": "learn_told", "prompt": " "}', "prompt: expected a text"),
        ('{"id": "a", "decision": "mend", "form": "learn_told", "options": ["x"]}', "options: found"),
        ('{"id": "a", "decision": "mend", "form": "learn_told", "options": ["x", " x"]}', "options: found"),
        ('{"id": "a", "decision": "mend", "form": "learn_told", "answer": true}', "answer: expected an index"),
        (
            '{"id": "a", "decision": "mend", "form": "learn_told", "options": ["x", "y"], "answer": 2}',
            "answer: expected",
        ),
    ],
)
def test_a_decision_that_cannot_be_honoured(tmp_path, line, found):
    (tmp_path / "decisions.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(found)):
        decisions.read(tmp_path / "decisions.jsonl")


def test_what_is_not_ours_stays(towns, tmp_path):
    out = tmp_path / "exam"
    out.mkdir()
    (out / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="holds files that no exam of Contextune wrote"):
        make((str(towns),), out, Settings(5), quiet, Path())
    (out / "thesis.txt").unlink()
    make((str(towns),), out, Settings(5), quiet, Path())
    told = out / "items" / "learn_told.jsonl"
    told.write_text(told.read_text("utf-8").replace('"answer": ', '"answer": 7'), encoding="utf-8")
    edited = told.read_bytes()
    with pytest.raises(UserError, match=r"learn_told\.jsonl: the file exists, and it is not as Contextune wrote it"):
        make((str(towns),), out, Settings(5), quiet, Path())
    assert told.read_bytes() == edited
    with pytest.raises(UserError, match=r"learn_told\.jsonl:1: answer: '7\d' is not among the options"):
        load_task("exam", tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.txt", b"", "empty, expected at least one row"),
        ("a.txt", b"Kalo met Mido in 1950.\n", "nothing can be asked by rule of 1 documents with 1 sentences"),
        ("a.txt", b"word " * 400_000, "nothing can be asked by rule"),
        ("a.txt", b"[" * 1_000_000, "nothing can be asked by rule"),
        pytest.param("a.txt", b"Kalo met Mido. " * 700_000, "nothing can be asked by rule", marks=pytest.mark.slow),
        (
            "a.txt",
            b"the sea is wide and the sky is far.\n\nrain falls on the hills and on the fields.\n",
            "nothing can be",
        ),
        ("a.txt", bytes(range(128, 256)) * 10, "not UTF-8"),
        ("a.txt", "華沙是波蘭的首都。她位於維斯瓦河畔。".encode() * 20, "a script without capitals"),
        ("a.bin", b"\0\1", "unknown suffix '.bin'"),
        (
            "a.md",
            b"# Only\n\n## headings\n",
            "nothing can be asked by rule of 1 documents with 0 sentences: they hold no prose",
        ),
    ],
    ids=[
        "empty",
        "one-sentence",
        "one-line",
        "brackets",
        "10-MB-line",
        "no-names",
        "binary",
        "no-capitals",
        "suffix",
        "headings",
    ],
)
def test_documents_of_which_nothing_can_be_asked(tmp_path, name, content, found):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(found)):
        make((name,), tmp_path / "exam", Settings(), quiet, tmp_path)
    assert not (tmp_path / "exam" / "exam.json").exists()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("language: xx\n", "the key 'version' is missing"),
        ("nonsense: 1\n", "unknown key 'nonsense'"),
        ("{en}missing: {}\n", "missing: expected kinds of values, found none"),
        ("{en}missing: {year: Jahr}\n", "missing: no 'name'"),
        ("{en}missing: {colour: colour}\n", "found the kind 'colour'"),
        ("{en}reworded: 'no parts'\n", "reworded: holds []"),
        ("{en}reworded: '{'\n", "reworded: "),
        ("{en}verbs: 3\n", "verbs: expected words"),
    ],
)
def test_a_language_of_ones_own(tmp_path, text, found):
    keys = (languages.HERE / "en.yaml").read_text("utf-8")
    if text.startswith("{en}"):
        text = text.removeprefix("{en}")
        key = text.split(":")[0]
        text = re.sub(rf"^{key}: (?:>-\n(?:  .*\n)+|.*\n(?:  .*\n)*)", "", keys, flags=re.MULTILINE) + text
    (tmp_path / "xx.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(found)):
        languages.load(str(tmp_path / "xx.yaml"))
    with pytest.raises(UserError, match="language 'zz': the exam has no rules for it"):
        languages.load("zz")


PAIRS = ["Vure Keja", "Weji Thutha", "Bahu Wala", "Regi Lata", "Basu Refu", "Cheja Sone", "Kreshe Fofa", "Zocho Shohu"]
BARE = [f"{a} is deeper than {b}." for a, b in map(str.split, PAIRS)]


@pytest.mark.parametrize("openings", [[""], ["", "it is clear that ", "some say that "]], ids=["bare", "repeated"])
def test_a_fact_of_a_language_without_capitals_is_asked_once(openings, tmp_path):
    """A name that begins its sentence is one; the same fact behind another opening is no other fact."""
    folder = tmp_path / "facts"
    folder.mkdir()
    for i, fact in enumerate(BARE):
        (folder / f"{i}.md").write_text("\n\n".join(o + fact for o in openings) + "\n", encoding="utf-8")
    found = build(load(Source(path=str(folder)), Path()), Settings(language="pocket"), languages.load("pocket"),
                  decisions.Decisions())  # fmt: skip
    asked = Counter(re.sub(r"^(it is clear|some say) that ", "", one.statement.text) for one in found.asked)
    assert asked == Counter(BARE)
