from __future__ import annotations

import json

import pytest

from contextune import data
from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.sequence import Record, Segment
from contextune.core.world import World
from contextune.data import readers as read
from contextune.data import splits as split
from contextune.data.hashing import digest, of_file
from contextune.data.options import Source

ROWS = [{"text": f"Text number {i}.", "topic": i % 3} for i in range(40)]


def values(source, folder):
    return [dict(r.values) for r in read.rows(source, folder)]


def test_all_formats_give_the_same_documents(write, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"text": "one, two", "n": "1"}, {"text": 'a "quoted"\nline', "n": "2"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    sources = {
        "jsonl": write(rows),
        "json": write(json.dumps(rows, indent=1), "a.json"),
        "csv": write('text,n\n"one, two",1\n"a ""quoted""\nline",2\n', "a.csv"),
        "tsv": write('text\tn\none, two\t1\n"a ""quoted""\nline"\t2\n', "a.tsv"),
        "parquet": Source(path="a.parquet"),
    }
    for name, source in sources.items():
        assert values(source, tmp_path) == rows, name
        assert [d.text for d in data.load(source, tmp_path).documents] == [r["text"] for r in rows]


def test_rows_are_where_an_editor_finds_them(write, tmp_path):
    csv = list(read.rows(write('text\n\n"two\nlines"\nlast\n', "a.csv"), tmp_path))
    assert [(r.origin, r.values["text"]) for r in csv] == [("a.csv:3", "two\nlines"), ("a.csv:5", "last")]
    jsonl = list(read.rows(write('{"text": "a"}\n\n{"text": "b"}'), tmp_path))
    assert [r.origin for r in jsonl] == ["a.jsonl:1", "a.jsonl:3"]


def test_a_byte_order_mark_is_no_part_of_the_text(write, tmp_path):
    bom = b"\xef\xbb\xbf"
    assert values(write(bom + b'{"text": "a"}\n'), tmp_path) == [{"text": "a"}]
    assert values(write(bom + b'[{"text": "a"}]', "a.json"), tmp_path) == [{"text": "a"}]
    assert values(write(bom + b"text\na\n", "a.csv"), tmp_path) == [{"text": "a"}]
    assert values(write(bom + b"a", "a.txt"), tmp_path) == [{"text": "a"}]


def test_windows_line_ends_of_a_text_file_become_newlines(write, tmp_path):
    assert values(write(b"one\r\ntwo\r\n", "a.txt"), tmp_path) == [{"text": "one\ntwo\n"}]


def test_a_folder_is_read_whole_sorted_and_counts_what_it_passes_over(write, tmp_path):
    for name in ("d/b.txt", "d/a/z.md", "d/a.txt", "d/c.jsonl", "d/photo.png", "d/.hidden/x.txt", "d/.x.txt"):
        write(b'{"text": "row"}' if name.endswith("l") else name.encode(), name)
    found = data.load(Source(path="d"), tmp_path)
    assert [(d.id, d.origin) for d in found.documents] == [
        ("a.txt", "d/a.txt:1"),
        ("a/z.md", "d/a/z.md:1"),
        ("b.txt", "d/b.txt:1"),
        ("c.jsonl:1", "d/c.jsonl:1"),
    ]
    assert found.passed_over == ("d/.hidden/ (hidden)", "d/.x.txt (hidden)", "d/photo.png")
    only = data.load(Source(path="d", format="text"), tmp_path)
    assert (only.read, only.ignored) == (3, 4)


def test_globs_and_lists(write, tmp_path):
    for name in ("d/1.txt", "d/e/1.txt", "d/e/2.txt"):
        write(name, name)
    ids = lambda path: [d.id for d in data.load(Source(path=path), tmp_path).documents]  # noqa: E731
    assert ids("d/*.txt") == ["1.txt"]
    assert ids("d/**/*.txt") == ["1.txt", "e/1.txt", "e/2.txt"]
    assert ids(("d/e/2.txt", "d/1.txt", "d/**/2.txt")) == ["2.txt", "1.txt"], "a file named twice is read once"
    assert ids(("d/1.txt", "d/e/1.txt")) == ["d/1.txt", "d/e/1.txt"], "names that clash are written out"
    assert ids(str(tmp_path / "d" / "*.txt")) == ["1.txt"]


def test_ids_do_not_depend_on_where_the_files_lie(write, tmp_path):
    write(ROWS, "here/a.jsonl")
    write(ROWS, "there/deep/a.jsonl")
    a = data.load(Source(path="here/a.jsonl"), tmp_path)
    b = data.load(Source(path="deep/a.jsonl"), tmp_path / "there")
    assert a.fingerprint == b.fingerprint
    assert a.documents[0].id == b.documents[0].id == "a.jsonl:1"


def test_limit_and_counts(write, tmp_path):
    rows = [{"text": t} for t in ("one", "two", "one", "three")]
    found = data.load(write(rows), tmp_path)
    assert (found.read, found.duplicates, found.characters, len(found.documents)) == (4, 1, 14, 4)
    assert [d.text for d in data.load(write(rows, limit=2), tmp_path).documents] == ["one", "two"]


def test_a_limit_reads_no_further(write, tmp_path):
    assert data.load(write('{"text": "a"}\nbroken', limit=1), tmp_path).read == 1


def test_fields_hold_the_other_columns(write, tmp_path):
    source = write([{"body": "a", "doi": "x/1", "year": 2003}], columns={"text": "body", "id": "doi"})
    (document,) = data.load(source, tmp_path).documents
    assert (document.id, document.text, document.fields) == ("x/1", "a", {"year": 2003})


def test_a_key_that_is_null_is_no_key_of_a_message(write, tmp_path):
    """Parquet gives every message all keys of its struct; chat templates ask whether a key is there."""
    said = [{"role": "user", "content": "Hi", "name": None}, {"role": "assistant", "content": "Ho", "name": "Bo"}]
    (document,) = data.load(write([{"messages": said}], kind="messages"), tmp_path).documents
    assert document.messages == ({"role": "user", "content": "Hi"}, said[1])


def test_the_fingerprint_follows_content_order_and_options(write, tmp_path):
    base = data.load(write(ROWS), tmp_path).fingerprint
    assert base == data.load(write(ROWS), tmp_path).fingerprint
    assert len(base) == 32
    changed = [
        write([*ROWS[:-1], {**ROWS[-1], "text": "Other."}], "1/a.jsonl"),
        write(ROWS[::-1], "2/a.jsonl"),
        write(ROWS[:-1], "3/a.jsonl"),
        write([{**r, "topic": 0} for r in ROWS], "4/a.jsonl"),
        write(ROWS, chunk=64),
        write(ROWS, held_out=0.2),
    ]
    prints = [data.load(source, tmp_path).fingerprint for source in changed]
    assert len({base, *prints}) == 7
    held = write(ROWS, held_out=0.2)
    assert data.load(held, tmp_path, seed=1).fingerprint != data.load(held, tmp_path).fingerprint


def test_golden_digests(tmp_path):
    """A change of these numbers takes every finished run for a different one."""
    assert digest() == "cae66941d9efbd404e4d88758ea67670"
    assert digest("text", {"b": 1, "a": [None, "é"]}) == digest("text", {"a": [None, "é"], "b": 1})
    assert digest(1, 23) != digest(12, 3)
    (tmp_path / "f").write_bytes(b"")
    assert of_file(tmp_path / "f") == "cae66941d9efbd404e4d88758ea67670"


def test_hub_rows_come_with_their_place(monkeypatch, tmp_path):
    import datasets

    asked = {}

    def fake(*args, **options):
        asked.update(args=args, **options)
        return datasets.Dataset.from_list([{"text": "a"}, {"text": "b"}])

    monkeypatch.setattr(datasets, "load_dataset", fake)
    found = data.load(Source(hub="who/what", config="en", split="test"), tmp_path)
    assert [(d.id, d.origin) for d in found.documents] == [
        ("test:1", "who/what[test]:1"),
        ("test:2", "who/what[test]:2"),
    ]
    assert asked == {"args": ("who/what", "en"), "split": "test"}


@pytest.fixture
def world(monkeypatch):
    def build(size: int = 4) -> World:
        made = [Record(f"r{i}", (Segment(f"fact {i}", "target"),), document=f"d{i // 2}") for i in range(size)]
        return World("toy", {"train": tuple(made), "none": ()}, {})

    monkeypatch.setitem(registry.worlds._known, "toy", build)


def test_a_world_gives_its_records(world, tmp_path, bpe):
    from contextune.data.records import records

    source = Source(world="toy", options={"size": 6})
    found = data.load(source, tmp_path)
    assert [(d.id, [r.id for r in d.records]) for d in found.documents] == [
        ("d0", ["r0", "r1"]),
        ("d1", ["r2", "r3"]),
        ("d2", ["r4", "r5"]),
    ]
    assert (found.read, found.characters) == (3, 36)
    assert [r.id for r in records(found.documents, source, bpe, 64).records] == ["r0", "r1", "r2", "r3", "r4", "r5"]
    assert data.load(Source(world="toy"), tmp_path).fingerprint != found.fingerprint
    for group in ("tran", "none"):
        with pytest.raises(UserError, match=f"no records '{group}'"):
            data.load(Source(world="toy", split=group), tmp_path)


def test_the_import_is_light():
    import subprocess
    import sys

    code = (
        "import sys, contextune.data, contextune.data.records, contextune.data.contamination;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'datasets', 'pyarrow', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def documents(n: int, same: int = 0) -> list[data.Document]:
    return [data.Document(f"d{i}", "", text=f"text {i if i >= same else 0}") for i in range(n)]


def test_a_split_is_disjoint_whole_and_near_its_share():
    found = documents(2000)
    train, out = split.split(found, 0.1, seed=0)
    assert sorted(d.id for d in train + out) == sorted(d.id for d in found)
    assert 160 < len(out) < 240
    assert split.split(found, 0.1, seed=0) == (train, out)
    assert split.split(found, 0.1, seed=1)[1] != out
    assert list(train) == sorted(train, key=found.index)


def test_golden_split():
    """A change of these names moves texts between training and test of everybody's data."""
    assert [d.id for d in split.split(documents(30), 0.2, 0)[1]] == ["d2", "d6", "d16", "d23", "d29"]


def test_new_documents_move_no_old_ones():
    few, many = documents(200), documents(400)
    old = {d.id for d in split.split(few, 0.2, 3)[1]}
    assert old == {d.id for d in split.split(many, 0.2, 3)[1]} & {d.id for d in few}


def test_copies_stand_on_one_side():
    """A text that is trained on is not held out under another id."""
    train, out = split.split(documents(60, same=30), 0.5, 0)
    copies = [d in out for d in documents(60)[:1] + documents(60, same=30)[1:30]]
    assert len({d.content for d in train} & {d.content for d in out}) == 0
    assert len(set(copies)) == 1


@pytest.mark.parametrize("share", [0.0001, 0.9999])
@pytest.mark.parametrize("seed", range(5))
def test_both_sides_hold_something(share, seed):
    train, out = split.split(documents(2), share, seed)
    assert (len(train), len(out)) == (1, 1)


@pytest.mark.parametrize(("n", "same"), [(0, 0), (1, 0), (5, 5)])
def test_too_few_to_divide(n, same):
    with pytest.raises(UserError, match=r"held_out is 0\.5, but there are"):
        split.split(documents(n, same), 0.5, 0)
    assert split.split(documents(n, same), 0.0, 0) == (tuple(documents(n, same)), ())
