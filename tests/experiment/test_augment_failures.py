"""`contextune augment FILE`: what succeeded is written, what failed is listed, and one store serves every --out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextune.cli import main
from contextune.experiment.augment import recipe_of, store_of
from contextune.experiment.prepare import prepare
from tests.generation.stub import Reply, Stub, said

pytest.importorskip("openai")

TEXTS = {
    "good": "Anna Keller founded the pump company in Basel.",
    "cut": "The suction hose must not be longer than seven metres.",
    "none": "Use only the grease KX-7 for the bearings.",
    "copy": "The red lamp means that the water is hot.",
}
DEMONSTRATION = "Brannock stone is heavier than glimmer sand."


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as e:
        main([str(a) for a in arguments])
    return int(e.value.code or 0)


def reply(number: int, body: dict) -> Reply:
    name = next(n for n, text in TEXTS.items() if text in said(body))
    return {
        "good": Reply("- Basel is where Anna Keller founded the pump company."),
        "cut": Reply("- and on", finish="length" if body["max_tokens"] < 512 else "stop"),
        "none": Reply("I cannot."[: 0 if body["seed"] else None] or " "),
        "copy": Reply(f"- {DEMONSTRATION}"),
    }[name]


@pytest.fixture
def notes(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONTEXTUNE_API_KEY", raising=False)
    write(tmp_path / "notes.jsonl", *TEXTS)
    return tmp_path / "notes.jsonl"


def write(file: Path, *names: str) -> None:
    file.write_text("".join(json.dumps({"id": n, "text": TEXTS[n]}) + "\n" for n in names))


def asked(stub: Stub, *more: object) -> int:
    return command("augment", "notes.jsonl", "--operation", "restate", "--server", stub.url, "--name", "m", *more)


def rows(file: str) -> list[dict]:
    return [json.loads(line) for line in Path(file).open()]


def test_what_succeeded_is_written_and_what_failed_is_listed(notes, capsys):
    with Stub(reply) as stub:
        assert asked(stub, "--out", "a.jsonl") == 0
        assert {r["source"] for r in rows("a.jsonl")} >= {"good", "cut"}
        assert all(DEMONSTRATION not in r["text"] for r in rows("a.jsonl"))
        lost = {r["source"]: r["reason"] for r in rows("a.failures.jsonl")}
        assert lost["copy"] == "a demonstration of the prompt"
        shown = capsys.readouterr().out
        assert "what failed is listed in a.failures.jsonl" in shown
        assert "answers gave none" in shown
        seen = len(stub.seen)
        write(notes, "good", "cut")
        assert asked(stub, "--out", "elsewhere/b.jsonl") == 0
        assert len(stub.seen) == seen, "another --out finds the same store"
        assert not Path("elsewhere/b.failures.jsonl").exists()


def test_a_share_of_failures_on_the_command_line(notes, capsys):
    with Stub(lambda n, body: Reply("no", 400) if TEXTS["none"] in said(body) else reply(n, body)) as stub:
        assert asked(stub, "--failures", "0.5") == 0
        assert asked(stub, "--failures", "0.1") == 1
    assert "made: 1 of 4 requests failed, failures allows 10%" in capsys.readouterr().err
    assert rows("made.jsonl"), "it is written all the same"


def test_nothing_made_is_exit_1_with_the_reason(notes, capsys):
    write(notes, "copy", "none")
    with Stub(lambda n, body: Reply("out of order", 400)) as stub:
        assert asked(stub, "--originals") == 1
    assert "nothing was made, made.jsonl is not written: 2 times: 400: out of order" in capsys.readouterr().err
    assert not Path("made.jsonl").exists()
    assert len(rows("made.failures.jsonl")) == 2


def test_the_pocket_model_is_no_silent_writer(notes, capsys):
    for looking in ((), ("--dry-run",)):
        assert command("augment", "notes.jsonl", "--operation", "restate", *looking) == 2
        said = capsys.readouterr().err
        assert "no writer is named" in said
        assert "--model" in said
    assert not Path("notes.store").exists()
    assert command("augment", "notes.jsonl", "--operation", "restate", "--model", "pocket", "--dry-run") == 0


@pytest.mark.parametrize(
    ("source", "store"),
    [
        ("notes.jsonl", "notes.store"),
        ("folder", "folder.store"),
        ("folder/", "folder.store"),
        ("folder/*.jsonl", "folder.store"),
        ("notes.jsonl.gz", "notes.store"),
        ("*.jsonl", "out/x.store"),
        ("user/dataset", "out/x.store"),
    ],
)
def test_one_store_for_every_output(tmp_path, monkeypatch, source, store):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for name in ("notes.jsonl", "notes.jsonl.gz"):
        Path(name).write_text("")
    assert store_of([source], Path("out/x.jsonl")) == Path(store)
    Path("out/x.store").mkdir(parents=True)
    assert store_of([source], Path("out/x.jsonl")) == Path("out/x.store"), "one of an earlier version is used"


def test_a_writer_with_a_table_of_positions_may_write(notes, tmp_path, tokenizer):
    """How long a text may be here is no length that is trained on, so the table does not limit it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    writer = tmp_path / "writer"
    GPT2LMHeadModel(GPT2Config(vocab_size=100, n_embd=32, n_layer=1, n_head=2, n_positions=1024)).save_pretrained(
        writer
    )
    tokenizer.save_pretrained(writer)
    recipe = recipe_of(
        [str(notes)],
        tmp_path / "made.jsonl",
        {"model": str(writer), "kind": "text", "columns": {}, "augment": {"operations": ["restate"]}, "writer": {},
         "store": None},
    )  # fmt: skip
    prepared = prepare(recipe, tmp_path, tmp_path / "made.store", plan=True)
    assert not [text for text in prepared.warnings if "positions" in text]


RECIPE = {
    "name": "r",
    "model": "pocket",
    "data": {"notes": {"path": "notes.jsonl"}},
    "arms": {"made": {"data": "notes", "augment": {"operations": ["restate"], "prompt_style": "plain"}}},
    "train": {"steps": 1, "batch": 2},
    "evaluate": {"samples": 0, "tasks": [{"world": "reversals", "options": {"size": "small", "facts": 6}}]},
}


@pytest.mark.parametrize("what", ["augment", pytest.param("run", marks=pytest.mark.slow)])
def test_a_writer_that_always_fails_on_one_of_four_ends_no_command(notes, capsys, monkeypatch, what):
    """The same in every run: nothing to be gained by asking again, and the rest is used."""
    from contextune.core import registry
    from contextune.generation.local import LocalEngine
    from contextune.generation.protocol import Failure

    class Writer:
        identity = name = "fails on one"

        def complete(self, requests):
            for i, request in enumerate(requests):
                bad = TEXTS["none"] in request.prompt
                yield i, Failure(f"over-long: cut at {request.max_tokens} tokens") if bad else "- A kept fact."

    monkeypatch.setattr(LocalEngine, "open", classmethod(lambda cls, writer, path, say: Writer()))
    assert registry.engines.find("local") is LocalEngine
    Path("r.yaml").write_text(json.dumps(RECIPE))
    for _ in range(2):
        assert command(what, "r.yaml", *(["--fresh"] if what == "run" else ["--out", "made.jsonl"])) == 0
    said = "".join(capsys.readouterr())
    assert ("1 of 4 requests failed" if what == "augment" else "1 of 4 requests have no answer (none#0 restate") in said
    assert "run again" not in said
    if what == "augment":
        assert [r["source"] for r in rows("made.failures.jsonl")] == ["none#0"]
        assert len(rows("made.jsonl")) == 1, "the same text again is a duplicate"
