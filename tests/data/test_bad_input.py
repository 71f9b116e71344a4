"""Every way that data can be wrong has a message that says where, what was found, and how to mend it."""

from __future__ import annotations

import builtins
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contextune import data
from contextune.core.errors import UserError
from contextune.data import raw
from contextune.data.options import Source
from contextune.data.records import records


@dataclass
class Bad:
    """`files` are written, `source` is loaded; message and hint must hold these words."""

    name: str
    says: str
    hint: str = ""
    files: dict[str, bytes | str] = field(default_factory=dict)
    source: dict = field(default_factory=dict)


def jsonl(*rows: object) -> dict[str, str]:
    return {"a.jsonl": "".join(json.dumps(row) + "\n" for row in rows)}


def chat(*messages: object) -> dict[str, str]:
    return jsonl({"messages": list(messages)})


USER, BOT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}
GOOD = {"text": "fine"}
PAIRS = {"kind": "pairs"}
MESSAGES = {"kind": "messages"}

FILES = [
    Bad("missing file", "article.jsonl: no such file in ", "did you mean 'articles.jsonl'?", {"articles.jsonl": "{}"},
        {"path": "article.jsonl"}),
    Bad("missing folder", "no/where.txt: no such file and no folder ", "paths are relative to /",
        source={"path": "no/where.txt"}),
    Bad("empty jsonl", "a.jsonl: empty, expected at least one row", "leave it out", {"a.jsonl": ""}),
    Bad("blank jsonl", "a.jsonl: empty", files={"a.jsonl": "\n  \n"}),
    Bad("empty json", "a.json: empty", files={"a.json": " "}),
    Bad("empty array", "a.json: empty", files={"a.json": "[ ]"}),
    Bad("empty csv", "a.csv: empty", files={"a.csv": ""}),
    Bad("csv with a header only", "a.csv: empty", files={"a.csv": "text\n"}),
    Bad("empty parquet", "a.parquet: empty", files={"a.parquet": b""}),
    Bad("empty text", "a.txt: empty", files={"a.txt": ""}),
    Bad("one empty text in a folder", "d/b.txt: empty", files={"d/a.txt": "a", "d/b.txt": ""}, source={"path": "d"}),
    Bad("folder without a readable file", "d: a folder without any file that ends in .jsonl", files={"d/x.png": "a"},
        source={"path": "d"}),
    Bad("folder without a file of the format", "d: a folder without any csv file (1 other files)",
        files={"d/x.txt": "a"}, source={"path": "d", "format": "csv"}),
    Bad("folder where a file was meant", "a.jsonl: a folder without any jsonl file", files={"a.jsonl/x.txt": "a"},
        source={"path": "a.jsonl", "format": "jsonl"}),
    Bad("unknown suffix", "a.doc: unknown suffix '.doc', expected one of .jsonl", "set the source's format",
        {"a.doc": "x"}),
    Bad("no suffix", "notes: unknown suffix ''", files={"notes": "x"}),
    Bad("glob without a match", "d/*.txt: no file matches", "**", {"d/e/a.txt": "a"}, {"path": "d/*.txt"}),
    Bad("no path at all", "path: an empty list", source={"path": ()}),
]  # fmt: skip

BYTES = [
    Bad("not UTF-8", "a.jsonl:2: not UTF-8, found 0xe9 at byte 27", "iconv",
        {"a.jsonl": b'{"text": "fine"}\n{"text": "\xe9t\xe9"}\n'}),
    Bad("not UTF-8 behind a byte order mark", "a.txt: not UTF-8, found 0xff at byte 4",
        files={"a.txt": b"\xef\xbb\xbfa\xff"}),
    Bad("UTF-16", "a.csv:1: not UTF-8, found 0xff at byte 0", files={"a.csv": "text\na\n".encode("utf-16")}),
    Bad("NUL bytes in text", "a.txt:1: column 'text': a NUL character at position 1", "binary", {"a.txt": b"a\0b"}),
    Bad("NUL bytes in JSON", "a.jsonl:1: not valid JSON (Invalid control character",
        files={"a.jsonl": b'{"text": "\0"}'}),
    Bad("escaped NUL", "a.jsonl:1: column 'text': a NUL character", files={"a.jsonl": '{"text": "a\\u0000"}'}),
    Bad("half a surrogate pair", "a.jsonl:1: column 'text': half of a surrogate pair at position 1",
        files={"a.jsonl": '{"text": "a\\ud83d"}'}),
]  # fmt: skip

JSON = [
    Bad("truncated jsonl", "a.jsonl:2: not valid JSON (Unterminated string", "is the file cut off?",
        {"a.jsonl": '{"text": "a"}\n{"text": "b'}),
    Bad("pretty-printed json named jsonl", "a.jsonl:1: not valid JSON", "one complete object",
        {"a.jsonl": '{\n"text": "a"\n}'}),
    Bad("jsonl line not an object", "a.jsonl:2: expected an object, found an array", '{"text": "…"}',
        jsonl(GOOD, ["a"])),
    Bad("jsonl line null", "a.jsonl:1: expected an object, found null", files=jsonl(None)),
    Bad("json nested too deeply", "a.jsonl:1: not valid JSON (nested too deeply)", files={"a.jsonl": "[" * 200_000}),
    Bad("json number too long", "a.jsonl:1: not valid JSON (Exceeds", files={"a.jsonl": '{"n": ' + "1" * 5000 + "}"}),
    Bad("json not an array", "a.json: expected an array of objects, found an object", "format: jsonl",
        {"a.json": '{"text": "a"}\n{"text": "b"}'}),
    Bad("json of a text", "a.json: expected an array of objects, found '\"text\"'", files={"a.json": '"text"'}),
    Bad("truncated json", "a.json:2: not valid JSON (Expecting value at line 2, column 1)", "cut off",
        {"a.json": '[{"text": "a"},\n'}),
    Bad("json cut after a row", "a.json:1: expected ',' or ']' after it, found the end", "cut off",
        {"a.json": '[{"text": "a"}'}),
    Bad("json array of texts", "a.json:1: expected an object, found a text", files={"a.json": '["a"]'}),
    Bad("two json arrays", "a.json: text after the end of the array",
        files={"a.json": '[{"text": "a"}] [{"text": "b"}]'}),
]  # fmt: skip

TABLES = [
    Bad("csv without a header", "a.csv:2: no column 'text'; found The cat sat., 1", "columns: {text: The cat sat.}",
        {"a.csv": "The cat sat.,1\nThe dog ran.,0\n"}),
    Bad("csv with a column twice", "a.csv:1: the column 'x' occurs twice",
        "is the line with the columns' names missing?",
        {"a.csv": "x,x\n1,2\n"}),
    Bad("csv row too long", "a.csv:3: 3 cells, expected 2 (text, n)", "in quotes", {"a.csv": "text,n\na,1\nb, c,2\n"}),
    Bad("csv row too short", "a.csv:2: 1 cells, expected 2", files={"a.csv": "text,n\na\n"}),
    Bad("csv with an open quote", "a.csv:3: not valid CSV (unexpected end of data)", "doubled",
        {"a.csv": 'text\nfine\n"open\nto the end\n'}),
    Bad("csv with semicolons", "a.csv:1: one column 'text;n', separated by ';' it seems", "with commas",
        {"a.csv": "text;n\na;1\n"}),
    Bad("csv with tabs", "separated by '\\t' it seems", ".tsv", {"a.csv": "text\tn\na\t1\n"}),
    Bad("corrupt parquet", "a.parquet: not a readable Parquet file", "write it again",
        {"a.parquet": b"PAR1 no parquet"}),
    Bad("text as parquet", "a.txt: not a readable Parquet file", files={"a.txt": "text"}, source={"format": "parquet"}),
]  # fmt: skip

COLUMNS = [
    Bad("wrong column", "a.jsonl:1: no column 'body' (the 'text'); found bodi, title", "did you mean 'bodi'?",
        jsonl({"bodi": "a", "title": "b"}), {"columns": {"text": "body"}}),
    Bad("default column missing", "a.jsonl:1: no column 'text'; found article, n", "columns: {text: article}",
        jsonl({"article": "long", "n": "b"})),
    Bad("column missing in a later row", "a.jsonl:2: no column 'text'; found txt", "did you mean 'txt'?",
        jsonl(GOOD, {"txt": "a"})),
    Bad("no such column of the kind", "columns: 'prompt' is not a column of kind text", "known: id, text", jsonl(GOOD),
        {"columns": {"prompt": "text"}}),
    Bad("null", "a.jsonl:2: column 'text': expected text, found null", "remove the row", jsonl(GOOD, {"text": None})),
    Bad("a number", "a.jsonl:1: column 'text': expected text, found the number 3", "in quotes", jsonl({"text": 3})),
    Bad("a list", "column 'text': expected text, found a list", files=jsonl({"text": ["a"]})),
    Bad("true", "column 'completion': expected text, found true", files=jsonl({"prompt": "a", "completion": True}),
        source=PAIRS),
    Bad("a fraction", "column 'completion': expected text, found the number 0.5",
        files=jsonl({"prompt": "a", "completion": 0.5}), source=PAIRS),
    Bad("empty text in a row", "a.jsonl:1: column 'text': expected text, found an empty text", "fill it",
        jsonl({"text": ""})),
    Bad("white space only", "a.jsonl:1: column 'text': expected text, found white space only",
        files=jsonl({"text": " \n"})),
    Bad("white space file", "a.txt:1: column 'text': expected text, found white space only", files={"a.txt": " \n"}),
    Bad("duplicate ids", "a.jsonl:3: the id 'x' is already at a.jsonl:1", "make ids unique",
        jsonl(*({"text": t, "id": i} for t, i in (("a", "x"), ("b", "y"), ("c", "x"))))),
    Bad("ids that only look different", "a.jsonl:2: the id '1' is already at",
        files=jsonl({"text": "a", "id": 1}, {"text": "b", "id": "1"})),
    Bad("null id", "a.jsonl:1: column 'doi': expected an id", files=jsonl({"text": "a", "doi": None}),
        source={"columns": {"id": "doi"}}),
    Bad("fractional id", "expected an id (text or a whole number), found the number 1.5",
        files=jsonl({"text": "a", "id": 1.5})),
    Bad("id column missing", "a.jsonl:1: no column 'doi' (the 'id')", files=jsonl(GOOD),
        source={"columns": {"id": "doi"}}),
    Bad("empty completion", "a.jsonl:1: column 'answer': expected text, found an empty text",
        files=jsonl({"prompt": "a", "answer": ""}), source={**PAIRS, "columns": {"completion": "answer"}}),
    Bad("empty prompt", "a.jsonl:1: column 'prompt': expected text, found an empty",
        files=jsonl({"prompt": "", "completion": "b"}), source=PAIRS),
    Bad("pairs from texts", "a.txt:1: no column 'completion'; found text", files={"a.txt": "a"}, source=PAIRS),
    Bad("too few to hold out", "held_out is 0.5, but there are 1 different documents", "more documents", jsonl(GOOD),
        {"held_out": 0.5}),
]  # fmt: skip

ROW = {"question": "Q", "answer": "A", "input": None}
QA = {**PAIRS, "columns": {"prompt": "question", "completion": "answer"}}
TEMPLATES = [
    Bad("undefined variable", "a.jsonl:1: template: 'qestion' is undefined", "did you mean 'question'?", jsonl(ROW),
        {**QA, "template": "{{ qestion }}"}),
    Bad("the answer in the context", "a.jsonl:1: template: 'answer' is undefined", "would give the answer away",
        jsonl(ROW),
        {**QA, "template": "{{ question }} {{ answer }}"}),
    Bad("null in the template", "a.jsonl:1: template: 'input' is null", "{{ input or '' }}", jsonl(ROW),
        {**QA, "template": "{{ question }} {{ input }}"}),
    Bad("syntax error", "template: line 2: ", "{{ prompt }}", jsonl(ROW), {**QA, "template": "a\n{{ prompt"}),
    Bad("an error within", "a.jsonl:1: template: ZeroDivisionError", files=jsonl(ROW),
        source={**QA, "template": "{{ 1 / 0 }}"}),
    Bad("reaching outside", "a.jsonl:1: template: SecurityError", files=jsonl(ROW),
        source={**QA, "template": "{{ ''.__class__.__mro__ }}"}),
]  # fmt: skip

CONVERSATIONS = [
    Bad("not a list", "a.jsonl:1: expected a list of messages, found the text 'Hi'", "role: user",
        jsonl({"messages": "Hi"})),
    Bad("empty list", "a.jsonl:1: expected a list of messages, found an empty list", files=chat()),
    Bad("not an object", "a.jsonl:1: message 2: expected an object with role and content", files=chat(USER, "Hello.")),
    Bad("unknown role", "a.jsonl:1: message 1: unknown role 'usr'", "did you mean 'user'?",
        chat({**USER, "role": "usr"}, BOT)),
    Bad("another tool's role", "message 1: unknown role 'human'", "did you mean 'user'?",
        chat({**USER, "role": "human"}, BOT)),
    Bad("missing content", "a.jsonl:1: message 1: no 'content'; found role", "content", chat({"role": "user"}, BOT)),
    Bad("missing role", "a.jsonl:1: message 1: no 'role'; found from, value", "role",
        chat({"from": "human", "value": "Hi"})),
    Bad("null content", "message 2 (assistant): expected text, found null", files=chat(USER, {**BOT, "content": None})),
    Bad("content of parts", "message 1 (user): expected text, found a list",
        files=chat({**USER, "content": [{}]}, BOT)),
    Bad("empty answer", "message 2 (assistant): expected text, found white space",
        files=chat(USER, {**BOT, "content": " "})),
    Bad("no assistant", "a.jsonl:1: no assistant message among 1 (user)", "give it one", chat(USER)),
]  # fmt: skip

OPTIONS = [
    Bad("template without pairs", "the option 'template' has no effect on a source of path and kind text",
        "set kind: pairs",
        jsonl(GOOD), {"template": "{{ text }}"}),
    Bad("chunk with pairs", "the option 'chunk' has no effect", "remove it", jsonl(GOOD), {**PAIRS, "chunk": 64}),
    Bad("split of a file", "the option 'split' has no effect on a source of path", files=jsonl(GOOD),
        source={"split": "test"}),
    Bad("options of a file", "the option 'options' has no effect", files=jsonl(GOOD), source={"options": {"n": 1}}),
    Bad("columns of a world", "the option 'columns' has no effect on a source of world",
        source={"world": "toy", "path": None, "columns": {"text": "a"}}),
    Bad("unknown world", "unknown world 'nosuchworld'", source={"world": "nosuchworld", "path": None}),
]  # fmt: skip

TABLE = [
    *FILES, *BYTES, *JSON, *TABLES, *COLUMNS, *TEMPLATES, *OPTIONS,
    *(Bad(b.name, b.says, b.hint, b.files, {**MESSAGES, **b.source}) for b in CONVERSATIONS),
]  # fmt: skip


@pytest.mark.parametrize("bad", TABLE, ids=[b.name.replace(" ", "-") for b in TABLE])
def test_bad_input(bad: Bad, tmp_path: Path, write):
    for name, content in bad.files.items():
        write(content, name)
    source = Source(**{"path": next(iter(bad.files), None), **bad.source})
    with pytest.raises(UserError) as e:
        data.load(source, tmp_path)
    assert bad.says in e.value.message
    assert bad.hint in e.value.hint
    assert len(e.value.message) < 400


def refusing(error: OSError, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Opening that file fails; all others open."""
    opens = Path.open

    def fail(self, *args, **options):
        if self.name == name:
            raise error
        return opens(self, *args, **options)

    monkeypatch.setattr(Path, "open", fail)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(13, "Permission denied"), "a.txt: no permission to read it"),
        (IsADirectoryError(21, "Is a directory"), "a.txt: a folder, expected a file"),
        (OSError(5, "Input/output error"), r"a.txt: cannot be read \(Input/output error\)"),
    ],
)
def test_what_the_system_refuses(error, says, write, tmp_path, monkeypatch):
    source = write("text", "a.txt")
    refusing(error, monkeypatch, "a.txt")
    with pytest.raises(UserError, match=says):
        data.load(source, tmp_path)


def test_a_folder_that_cannot_be_listed(write, tmp_path, monkeypatch):
    """os.walk passes over it; a corpus must not shrink silently."""
    write("a", "d/a.txt")
    write("b", "d/locked/b.txt")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"d: cannot be listed .*Permission denied.*locked"):
        data.load(Source(path="d"), tmp_path)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match=r"a\.jsonl: neither a file nor a folder"):
        data.load(Source(path="a.jsonl"), tmp_path)


@pytest.mark.parametrize(
    ("error", "says", "hint"),
    [
        (ConnectionError("Couldn't reach 'who/what' on the Hub"), "Couldn't reach", "is the network there?"),
        ("DatasetNotFoundError", "no such dataset, or no access to it", "check the id"),
        (ValueError("Unknown split \"train\". Should be one of ['training', 'test']."), "Unknown split", "'training'"),
        (ValueError("BuilderConfig 'eng' not found. Available: ['english', 'de']"), "not found", "'english'"),
        (RuntimeError("Dataset scripts are no longer supported, but found what.py"), "no longer supported", "page"),
        (TimeoutError(), "TimeoutError", "network"),
    ],
)
def test_the_hub_refuses(error, says, hint, monkeypatch, tmp_path):
    import datasets

    raised = datasets.exceptions.DatasetNotFoundError("no") if isinstance(error, str) else error

    def fail(*args, **options):
        raise raised

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(UserError, match=says) as e:
        data.load(Source(hub="who/what", config="eng"), tmp_path)
    assert "who/what" in e.value.message
    assert hint in e.value.hint


def test_an_empty_split_of_the_hub(monkeypatch, tmp_path):
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **o: datasets.Dataset.from_list([]))
    with pytest.raises(UserError, match="who/what: empty"):
        data.load(Source(hub="who/what"), tmp_path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
def test_a_line_of_ten_megabytes_is_read(name, write, tmp_path):
    text = "word " * 2_000_000
    content = {
        "a.jsonl": json.dumps({"text": text}),
        "a.json": json.dumps([{"text": text}]),
        "a.csv": f"text\n{text}\n",
    }
    begin = time.process_time()
    found = data.load(write(content.get(name, text), name), tmp_path)
    assert found.characters == 10_000_000
    assert time.process_time() - begin < 10


def test_a_line_beyond_the_limit_is_refused_before_it_is_read_whole(write, tmp_path, monkeypatch):
    monkeypatch.setattr(raw, "LIMIT", 100)
    for name in ("a.jsonl", "a.csv"):
        source = write('{"text": "a"}\n' + '{"text": "' + "x" * 1000 + '"}', name)
        with pytest.raises(UserError, match=rf"{name}:2: more than 100 bytes in one line"):
            data.load(source, tmp_path)


def test_a_file_beyond_the_limit(write, tmp_path, monkeypatch):
    from contextune.data import readers as read

    monkeypatch.setattr(read, "LIMIT", 100)
    with pytest.raises(UserError, match=r"a\.txt: more than 100 bytes at once") as e:
        data.load(write("x" * 101, "a.txt"), tmp_path)
    assert "several files" in e.value.hint


def test_a_cell_beyond_the_limit(write, tmp_path, monkeypatch):
    """Lines are short, the cell that they make is not."""
    from contextune.data import readers as read

    monkeypatch.setattr(read, "LIMIT", 100)
    with pytest.raises(UserError, match=r"a\.csv:2: not valid CSV \(field larger than field limit \(100\)\)"):
        data.load(write('text\n"' + "line\n" * 30 + '"\n', "a.csv"), tmp_path)


def test_a_budget_too_small_for_a_character_names_the_row(write, tmp_path, bpe):
    source = write([{"text": "fine"}, {"text": "a 🙂"}])
    found = data.load(source, tmp_path)
    with pytest.raises(UserError, match="at least 8 are needed"):
        records(found.documents, source, bpe, 3)


def test_nothing_is_opened_for_writing(write, tmp_path, monkeypatch):
    source = write([GOOD])
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    monkeypatch.setattr(builtins, "open", None)
    data.load(source, tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
