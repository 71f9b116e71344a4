"""A corpus prepared in the cache holds, bit for bit, what the same source gives when it is read into memory."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import signal
import time

import pytest

from contextune.core import cache, files
from contextune.core.errors import UserError
from contextune.data import building, corpus, load
from contextune.data.corpus import beginning, open_corpus
from contextune.data.records import records as cut
from contextune.data.splits import place_of
from contextune.data.token_counts import lengths

from .conftest import SENTENCES


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CONTEXTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(building, "BATCH", 500)


def texts(n: int = 40) -> list[dict]:
    rng = random.Random(7)
    rows = [
        {"text": " ".join(rng.choices([*SENTENCES, "café – “naïve”.", "二字。", "a <s> b"], k=9)), "n": i}
        for i in range(n)
    ]
    return [*rows, {"text": rows[3]["text"].upper(), "n": -1}, {"text": "  Lead. \n\n Trail  ", "n": None}]


def pairs(n: int = 30) -> list[dict]:
    return [{"prompt": f"Q {i}?", "completion": "word " * (1 + i % 4) + ".", "id": i, "kind": [i]} for i in range(n)]


def chats(n: int = 12) -> list[dict]:
    said = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "It stops."}]
    return [{"messages": said * (1 + i % 3), "topic": f"t{i}"} for i in range(n)]


SOURCES = {
    "text": (texts, {}),
    "held out": (texts, {"held_out": 0.3}),
    "limit": (texts, {"limit": 11, "chunk": 16}),
    "control tokens": (texts, {"control_tokens": "keep"}),
    "whole texts": (texts, {"chunk": "none", "overlong": "drop"}),
    "pairs": (pairs, {"kind": "pairs", "separator": " ", "held_out": 0.2}),
    "preferences": (
        lambda: [{**row, "worse": f"no {row['id']}"} for row in pairs()],
        {"kind": "pairs", "columns": {"rejected": "worse"}},
    ),
    "preferred conversations": (
        lambda: [
            {"c": [*m, {"role": "assistant", "content": "yes"}], "r": [*m, {"role": "assistant", "content": "no"}]}
            for m in ([{"role": "user", "content": f"Q {i}?"}] for i in range(30))
        ],
        {"kind": "messages", "columns": {"messages": "c", "rejected": "r"}},
    ),
    "overlong pairs": (pairs, {"kind": "pairs", "overlong": "drop"}),
    "conversations": (chats, {"kind": "messages"}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_kept_is_what_is_read(name, write, tmp_path, chatty):
    make, options = SOURCES[name]
    source, budget = write(make(), **options), {"overlong pairs": 9, "conversations": 60}.get(name, 30)
    documents = load(source, tmp_path)
    made = cut(documents.documents, source, chatty, budget)
    kept = open_corpus(source, tmp_path, chatty, budget)
    assert list(kept.documents.documents) == list(documents.documents)
    assert list(kept.documents.held_out) == list(documents.held_out)
    for what in ("read", "repeated", "characters", "files", "passed_over", "fingerprint"):
        assert getattr(kept.documents, what) == getattr(documents, what), what
    assert list(kept.records.records) == list(made.records)
    assert (kept.records.overlong, kept.records.notes) == (made.overlong, made.notes)
    assert list(kept.lengths) == lengths(made.records, chatty)
    assert kept.digest == files.digest(
        [
            (r.id, [s.text for s in r.segments], r.ends, *([[s.text for s in r.rejected]] if r.rejected else []))
            for r in made.records
        ]
    )
    assert kept.records.records[-1] == made.records[-1]
    assert kept.records.records[2:7:2] == list(made.records[2:7:2])


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [
        ([{"text": "a", "id": 1}, {"text": "b", "id": 1}], {}, "the id '1' is already at a.jsonl:1"),
        ([{"text": "a"}, {"body": "b"}], {}, "a.jsonl:2: no column 'text'"),
        (pairs(3), {"kind": "pairs", "budget": 1}, "its target has"),
        ([{"text": "a"}], {"held_out": 0.5}, "different documents to divide"),
    ],
)
def test_what_is_refused_is_refused_in_the_same_words(rows, options, says, write, tmp_path, bpe):
    budget = options.pop("budget", 20)
    source = write(rows, **options)
    with pytest.raises(UserError, match=says) as kept:
        open_corpus(source, tmp_path, bpe, budget)
    with pytest.raises(UserError, match=says) as read:
        cut(load(source, tmp_path).documents, source, bpe, budget)
    assert (kept.value.message, kept.value.hint) == (read.value.message, read.value.hint)
    assert not list((tmp_path / "cache" / "corpora").glob("*.part")), "nothing half-made stays"


def built(monkeypatch) -> list[int]:
    times: list[int] = []
    build = building.build
    monkeypatch.setattr(building, "build", lambda *args: (times.append(1), build(*args)))
    return times


def test_it_is_made_once_and_again_where_something_that_decides_it_changes(write, tmp_path, bpe, chatty, monkeypatch):
    times, source = built(monkeypatch), write(texts())
    file = tmp_path / "a.jsonl"

    def opened(source=source, tokenizer=bpe, budget=30) -> int:
        open_corpus(source, tmp_path, tokenizer, budget)
        return len(times)

    assert opened() == 1
    assert opened() == 1
    os.utime(file, (1, 1))
    assert opened() == 1, "the same content at another time"
    was = file.read_bytes()
    file.write_bytes(was.replace(b"energy", b"ENERGY", 1))
    os.utime(file, (1, 1))
    assert opened() == 2, "another content of the same size at the same time"
    file.write_bytes(was)
    assert opened() == 2, "the first content again"
    assert opened(budget=29) == 3
    assert opened(tokenizer=chatty) == 4
    assert opened(source=source.model_copy(update={"held_out": 0.1})) == 5
    file.rename(tmp_path / "b.jsonl")
    assert opened(source=source.model_copy(update={"path": "b.jsonl"})) == 6, "ids name the file"


def test_a_damaged_one_is_made_again(write, tmp_path, bpe, monkeypatch):
    times, source = built(monkeypatch), write(texts())
    kept = open_corpus(source, tmp_path, bpe, 30)
    (folder,) = (p for p in (tmp_path / "cache" / "corpora").iterdir() if p.is_dir())
    with (folder / "records.arrow").open("r+b") as file:
        file.truncate(100)
    again = open_corpus(source, tmp_path, bpe, 30)
    assert len(times) == 2
    assert again.digest == kept.digest


def test_values_that_json_would_change_are_not_kept(tmp_path, bpe):
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    from contextune.data.options import Source

    pq.write_table(pa.table({"text": ["a b", "c"], "day": [datetime.date(2020, 1, 1)] * 2}), tmp_path / "d.parquet")
    said: list[str] = []
    assert open_corpus(Source(path="d.parquet"), tmp_path, bpe, 30, said.append) is None
    assert "a column holds what JSON does not" in said[-1]


def _open(source, folder, tokenizer, queue) -> None:
    said: list[str] = []
    kept = open_corpus(source, folder, tokenizer, 30, said.append)
    queue.put((kept.digest, [text.split(" (")[0].partition(" in ")[0] for text in said]))


def test_several_processes_share_one_preparation(write, tmp_path, bpe, monkeypatch):
    source, context = write(texts(400)), multiprocessing.get_context("fork")
    monkeypatch.setattr(building, "prepare", slow(building.prepare))
    queue = context.Queue()
    processes = [context.Process(target=_open, args=(source, tmp_path, bpe, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert len({digest for digest, _ in found}) == 1
    assert sum("kept" in said for _, said in found) == 1, "one of them made it"
    assert sum("another process reads and cuts the same corpus; waiting for it" in said for _, said in found) == 2


def slow(function):
    def later(*args):
        time.sleep(0.01)
        return function(*args)

    return later


def test_what_a_killed_one_has_left_is_not_used_and_removed(write, tmp_path, bpe, monkeypatch):
    source, context = write(texts(400)), multiprocessing.get_context("fork")
    monkeypatch.setattr(building, "prepare", slow(building.prepare))
    process = context.Process(target=_open, args=(source, tmp_path, bpe, context.Queue()))
    process.start()
    folder, end = tmp_path / "cache" / "corpora", time.monotonic() + 30
    while not list(folder.glob(".*.part/records.arrow")) and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert list(folder.glob(".*.part"))
    assert not any(map(cache.is_whole, folder.iterdir()))
    documents = load(source, tmp_path)
    kept = open_corpus(source, tmp_path, bpe, 30)
    assert kept.documents.fingerprint == documents.fingerprint
    assert not list(folder.glob(".*.part"))


def test_a_disk_without_locks_will_do(write, tmp_path, bpe, monkeypatch):
    def no_locks(file, how) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    said: list[str] = []
    assert open_corpus(write(texts()), tmp_path, bpe, 30, said.append) is not None
    assert "locks do not work on this disk (Function not implemented)" in said[0]


def test_a_cache_that_cannot_be_written_is_named(write, tmp_path, bpe, monkeypatch):
    source = write(texts())
    monkeypatch.setenv("CONTEXTUNE_CACHE", str(tmp_path / "a.jsonl"))
    with pytest.raises(UserError, match=r"a\.jsonl.*: the place is taken") as e:
        open_corpus(source, tmp_path, bpe, 30)
    assert "CONTEXTUNE_CACHE" in e.value.hint


def test_what_was_not_used_for_longest_is_removed(write, tmp_path, bpe, monkeypatch):
    source = write(texts())
    for budget in (20, 21, 22):
        open_corpus(source, tmp_path, bpe, budget)
        (newest,) = (p for p in (tmp_path / "cache" / "corpora").iterdir() if p.is_dir() and p.stat().st_mtime > 1000)
        os.utime(newest, (budget, budget))
    open_corpus(source, tmp_path, bpe, 20)  # used again
    monkeypatch.setattr(corpus, "MOST", 1)
    said: list[str] = []
    open_corpus(source, tmp_path, bpe, 23, said.append)
    assert sum(text.startswith("removed") for text in said) == 3
    assert len(list((tmp_path / "cache" / "corpora").iterdir())) == 2, "one corpus, and its lock"


def test_the_beginning_is_that_of_the_whole(write, tmp_path, bpe):
    rows = texts(300)
    for held in (0.0, 0.2):
        source = write(rows, held_out=held)
        whole = open_corpus(source, tmp_path, bpe, 30)
        first = beginning(source, tmp_path, bpe, 30, 20)
        assert first.documents.read < whole.documents.read
        assert list(first.records.records) == whole.records.records[: len(first.records.records)]
        assert list(first.documents.held_out) == list(whole.documents.held_out)[: len(first.documents.held_out)]
    assert beginning(write(rows[:5]), tmp_path, bpe, 30, 1000) is None, "there are not so many"
    assert beginning(write(rows, held_out=1e-6), tmp_path, bpe, 30, 20) is None, "who is held out is not known yet"


def test_who_is_trained_on_must_be_known_too(write, tmp_path, bpe):
    places = [place_of(f"a.jsonl:{n}", 2) for n in range(1, 301)]
    assert max(places[:64]) < 0.99 < max(places[64:]), "of the first alone, another would be left to train on"
    source = write(texts(300), held_out=0.99)
    whole, first = open_corpus(source, tmp_path, bpe, 30, seed=2), beginning(source, tmp_path, bpe, 30, 1, 2)
    assert list(first.records.records) == whole.records.records[: len(first.records.records)]


def test_json_of_records_is_what_is_hashed():
    made = [("é\n", ["\u2028", 'a"'], True), ("b", ["\\"], False)]
    text = "[" + ", ".join(json.dumps(r, ensure_ascii=False) for r in made) + "]"
    assert text == json.dumps(made, sort_keys=True, ensure_ascii=False)
    assert cache.folder()
