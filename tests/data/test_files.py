"""Files as they lie about: linked, compressed, in another encoding, of another kind; nothing vanishes unmentioned."""

# ruff: noqa: E501
from __future__ import annotations

import bz2
import gzip
import json
import lzma

import pytest

from contextune import data
from contextune.core.errors import UserError
from contextune.data.options import Source


def zstd(content: bytes) -> bytes:
    import pyarrow as pa

    return bytes(pa.compress(content, codec="zstd", asbytes=True))


PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
CONTENT = {
    "a.jsonl": '{"text": "ä b"}\n', "a.json": '[{"text": "ä b"}]', "a.csv": 'text,n\n"ä b",1\n', "a.tsv": "text\tn\nä b\t1\n",
    "a.txt": "ä b", "a.md": "ä b", "a.ndjson": '{"text": "ä b"}',
}  # fmt: skip


def refused(source: Source, folder) -> UserError:
    with pytest.raises(UserError) as e:
        data.load(source, folder)
    return e.value


@pytest.mark.parametrize("suffix", PACK)
def test_every_text_format_is_read_compressed(suffix, write, tmp_path):
    for name, content in CONTENT.items():
        write(PACK[suffix](content.encode()), f"d/{name}{suffix}")
    found = data.load(Source(path="d"), tmp_path)
    assert [d.text for d in found.documents] == ["ä b"] * len(CONTENT)
    assert found.passed_over == ()
    two = PACK[suffix](b'{"text": "a"}\n') + PACK[suffix](b'{"text": "b"}\n')
    assert data.load(write(two, f"two.jsonl{suffix}"), tmp_path).read == 2
    assert data.load(write(two, f"two{suffix}", format="jsonl"), tmp_path).read == 2


@pytest.mark.parametrize("suffix", PACK)
def test_a_broken_archive_is_named(suffix, write, tmp_path):
    whole = PACK[suffix]("".join(f'{{"text": "{i} {i * 7919 % 997}"}}\n' for i in range(4000)).encode())
    for content in (whole[: len(whole) // 2], b'{"text": "plain"}\n'):
        found = refused(write(content, f"a.jsonl{suffix}"), tmp_path)
        assert f"a.jsonl{suffix}: not a whole {suffix} file" in found.message


def test_links_are_followed_and_what_leads_nowhere_is_named(write, tmp_path):
    write("a", "d/a.txt")
    write("b", "elsewhere/b.txt")
    (tmp_path / "elsewhere/back").symlink_to("../d")
    for name, target in (("more", "../elsewhere"), ("gone.txt", "nowhere.txt"), ("again.txt", "a.txt"), ("up", "..")):
        (tmp_path / "d" / name).symlink_to(target)
    found = data.load(Source(path="d"), tmp_path)
    assert [d.text for d in found.documents] == ["a", "b"]
    assert set(found.passed_over) == {
        "d/gone.txt (a broken link)",
        "d/more/back/ (a link to a folder that it is in)",
        "d/up/ (a link to a folder that it is in)",
        "d/again.txt (a link to d/a.txt)",
    }


def test_what_is_passed_over_is_named(write, tmp_path):
    for name in (
        "a.txt",
        "b.doc",
        "c.pdf.gz",
        "e.odt",
        "f.rst",
        ".hidden",
        ".git/config",
        "g.tar.gz",
        "h.parquet.gz",
        "i",
    ):
        write("a", f"d/{name}")
    found = data.load(Source(path="d"), tmp_path)
    assert (found.files, found.ignored) == (1, 9)
    assert "d/.git/ (hidden)" in found.passed_over
    assert "d/b.doc" in found.passed_over
    (tmp_path / "d/x.txt").symlink_to("nowhere")
    (tmp_path / "d/folder").mkdir()
    found = data.load(Source(path="d/*.txt"), tmp_path)
    assert found.passed_over == ("d/x.txt (a broken link)",)
    assert "a broken link, to nowhere" in refused(Source(path="d/x.txt"), tmp_path).message


def test_tsv_in_a_folder(write, tmp_path):
    write('text\tn\n"a\t1\n', "d/a.tsv")
    found = data.load(Source(path="d", format="tsv"), tmp_path)
    assert found.documents[0].text == '"a'


TWICE = {
    "a key": ("a.jsonl", '{"text": "a", "text": "b"}', "a.jsonl:1: the key 'text' occurs twice"),
    "a key within": ("a.jsonl", '{"text": "a", "m": [{"x": {"k": 1, "k": 2}}]}', "a.jsonl:1: the key 'k' occurs twice"),
    "a key in an array": ("a.json", '[{"text": "a"}, {"text": "a", "n": 1, "n": 1}]', "a.json:2: the key 'n' occurs"),
    "escaped": ("a.jsonl", '{"text": "a", "te\\u0078t": "b"}', "the key 'text' occurs twice"),
    "a column": ("a.tsv", "text\tx\ttext\n1\t2\t3\n", "a.tsv:1: the column 'text' occurs twice"),
}


@pytest.mark.parametrize("name", TWICE)
def test_a_name_that_occurs_twice(name, write, tmp_path):
    file, content, says = TWICE[name]
    assert says in refused(write(content, file), tmp_path).message


def test_a_parquet_column_that_occurs_twice(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.array(["a"])
    pq.write_table(pa.Table.from_arrays([text, text], names=["text", "text"]), tmp_path / "a.parquet")
    assert "a.parquet: the column 'text' occurs twice" in refused(Source(path="a.parquet"), tmp_path).message
    inner = pa.StructArray.from_arrays([text, text], names=["k", "k"])
    listed = pa.ListArray.from_arrays(pa.array([0, 1]), inner)
    pq.write_table(pa.Table.from_arrays([text, listed], names=["text", "m"]), tmp_path / "b.parquet")
    assert "b.parquet: the column 'm.k' occurs twice" in refused(Source(path="b.parquet"), tmp_path).message


KINDS = {
    "UTF-16": ("é text\n".encode("utf-16"), "byte order mark of UTF-16", "iconv -f UTF-16 "),
    "UTF-16 without a mark": ("a text\n".encode("utf-16-le"), "every other byte is NUL as in UTF-16LE", "-f UTF-16LE"),
    "big-endian": ("a text\n".encode("utf-16-be"), "as in UTF-16BE", "-f UTF-16BE"),
    "UTF-32": ("text".encode("utf-32"), "byte order mark of UTF-32", "iconv -f UTF-32 "),
    "Latin-1": ("été".encode("latin-1"), "found 0xe9 at byte 0", "iconv -f LATIN1"),
    "gzip": (gzip.compress(b"text"), "it begins as gzip does", "name it .gz"),
    "zstd": (zstd(b"text"), "it begins as zstd does", "name it .zst"),
    "zip": (b"PK\x03\x04\x14\0", "it begins as zip", "unpack it"),
    "PDF": (b"%PDF-1.7\n\xe2\xe3", "it begins as PDF does", "name it .pdf"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
def test_another_encoding_or_kind_has_its_own_advice(name, kind, write, tmp_path):
    content, says, hint = KINDS[kind]
    found = refused(write(content, name), tmp_path)
    assert name in found.message
    assert says in found.message
    assert hint in found.hint


def test_the_faults_of_all_files_are_told_at_once(write, tmp_path):
    for name, content in {
        "a.txt": b"fine", "b.txt": b"", "c.csv": b"text;n\na;1\n", "e.txt": "a".encode("utf-16"),
        "f.txt": "été".encode("latin-1"), "g.jsonl": b'{"body": "a"}\n{"body": "b"}', "h.jsonl": b'{"text": "fine"}',
    }.items():  # fmt: skip
        write(content, f"d/{name}")
    found = refused(Source(path="d"), tmp_path)
    lines = found.message.splitlines()
    assert lines[0] == "5 faults"
    for name, fix in (("b.txt", "fill it"), ("c.csv:1", "commas"), ("e.txt", "UTF-16"), ("f.txt", "LATIN1"),
                      ("g.jsonl:1", "columns: {text: body}")):  # fmt: skip
        at = next(i for i, line in enumerate(lines) if f"d/{name}: " in line)
        assert fix in lines[at + 1]
    assert data.load(Source(path="d", limit=1), tmp_path).read == 1  # no further than the limit


SUGGESTIONS = [
    ("messages", {"id": "7", "conversations": [{"role": "user"}]}, "columns: {messages: conversations}"),
    ("messages", {"id": "7", "text": "a"}, "{messages: COLUMN}; no column here holds a list of messages; it looks like kind: text"),
    ("messages", {"instruction": "a", "output": "b"}, "kind: pairs, columns: {prompt: instruction, completion: output}"),
    ("pairs", {"instruction": "do it, and at length", "input": "x", "output": "done", "prompt": "p"}, "{completion: output}"),
    ("pairs", {"prompt": "p", "id": "a", "doi": "long long long"}, "columns: {completion: COLUMN}"),
    ("pairs", {"question": "a", "completion": "b", "id": "1"}, "columns: {prompt: question}"),
    ("pairs", {"prompt": "a", "label": 3}, "columns: {completion: label}"),
    ("text", {"id": "a long identifier", "url": "http://a.long.address", "story": "b"}, "columns: {text: story}"),
    ("text", {"messages": [{"role": "user"}], "n": 1}, "no column here holds a text; it looks like kind: messages"),
    ("text", {"title": "a", "whole": "a longer text"}, "columns: {text: whole}"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "row", "hint"), SUGGESTIONS)
def test_a_suggested_column_fits(kind, row, hint, write, tmp_path):
    source = write(json.dumps(row), kind=kind)
    assert hint in refused(source, tmp_path).hint
