"""Standard streams that are closed, full, gone or of another encoding end no command and harm no work."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
import time

import pytest

from contextune.cli import streams
from contextune.cli.common import print_json
from tests.faults.small_run import ending, write_recipe, write_task


def text_to(number: int, encoding: str = "utf-8") -> io.TextIOWrapper:
    raw = streams.Lasting(number, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "contextune", line_buffering=True)


def test_a_reader_that_goes_is_no_error():
    reads, writes = os.pipe()
    stream = text_to(writes)
    print("heard", file=stream)
    assert os.read(reads, 100) == b"heard\n"
    os.close(reads)
    for _ in range(3):
        print("not heard", file=stream)
    assert stream.buffer.raw.failed.errno == errno.EPIPE
    os.close(writes)


def test_a_full_disk_is_remembered():
    number = os.open("/dev/full", os.O_WRONLY)
    stream = text_to(number)
    for _ in range(3):
        print("lost", file=stream)
    assert stream.buffer.raw.failed.errno == errno.ENOSPC
    os.close(number)


def test_a_full_pipe_that_does_not_block_is_waited_for():
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    text, got = "x" * 300_000, []

    def read():
        time.sleep(0.05)
        while (part := os.read(reads, 65_536)) != b"":
            got.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    stream = text_to(writes)
    print(text, end="", file=stream)
    stream.flush()
    os.close(writes)
    reader.join()
    assert b"".join(got).decode() == text


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", r"1-2 ... x \xe9 [[\u2581 \ud800"), ("latin-1", r"1-2 ... × é [[\u2581 \ud800"),
        ("cp1252", r"1–2 … × é [[\u2581 \ud800"), ("utf-8", r"1–2 … × é ⟦▁ \ud800"),
        ("koi8-r", r"1-2 ... x \xe9 [[\u2581 \ud800"), ("utf-16", r"1–2 … × é ⟦▁ \ud800"),
    ],
)  # fmt: skip
def test_any_character_can_be_printed_in_any_encoding(encoding, printed, tmp_path):
    with (tmp_path / "out").open("wb") as file:
        print("1–2 … × é ⟦▁ \ud800", file=text_to(file.fileno(), encoding))
    assert (tmp_path / "out").read_text(encoding) == printed + "\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_json_in_any_encoding(encoding, tmp_path, monkeypatch):
    value = {"é": ["▁w1", "😀", "\ud800"]}
    with (tmp_path / "out").open("wb") as file:
        stream = text_to(file.fileno(), encoding)
        monkeypatch.setattr("sys.stdout", stream)
        print_json(value)
    assert json.loads((tmp_path / "out").read_text(encoding)) == value


COMMANDS = (["recipes"], ["prompts", "--json"], ["augment", "--help"])
STREAMS = {
    "closed": {"closed": [0, 1, 2]}, "reader gone": {"stdout": "gone"}, "ascii": {"encoding": "ascii"},
    "latin-1": {"encoding": "latin-1"}, "zero wide": {"environment": {"COLUMNS": "0"}},
    "one wide": {"environment": {"COLUMNS": "1"}}, "no colour": {"environment": {"NO_COLOR": "1", "TERM": "dumb"}},
    "no home": {"environment": {"HOME": None}},
    "no such home": {"environment": {"HOME": "/nonexistent", "TMPDIR": "/no"}},
    "no directory": {"gone": True},
}  # fmt: skip


@pytest.mark.parametrize("case", ["closed", "reader gone", "ascii", "one wide", "no such home", "no directory"])
def test_light_commands(light, tmp_path, case):
    """Each ends with 0, without a traceback; the last of them are errors of the user's, and stay 2."""
    for command in COMMANDS:
        assert light.run(tmp_path, *command, **STREAMS[case])[0] == 0, command
    status, said = light.run(tmp_path, "run", "no.yaml", **STREAMS[case])
    assert status == 2, said
    assert "Traceback" not in said


def test_a_full_standard_output_is_said_at_the_end(light, tmp_path):
    status, said = light.run(tmp_path, "recipes", stdout="/dev/full")
    assert status == 2
    assert said.startswith("error: standard output: No space left on device; what was printed is not whole\nhint: ")


def test_what_is_opened_next_is_not_a_closed_stream(light, tmp_path):
    """With 0 to 2 closed the copied recipe would be file 0, and what is printed would land in it."""
    assert light.run(tmp_path, "init", "quickstart", "mine.yaml", closed=[0, 1, 2])[0] == 0
    assert light.run(tmp_path, "init", "quickstart", "other.yaml")[0] == 0
    assert (tmp_path / "mine.yaml").read_bytes() == (tmp_path / "other.yaml").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("case", [*STREAMS, "full"])
def test_every_command(heavy, tiny, tmp_path, case):
    """check, preview, run, report, augment, evaluate; the run ends as it does with all streams."""
    how = {"full": {"stdout": "/dev/full"}}.get(case) or STREAMS[case]
    write_recipe(tmp_path, tiny)
    write_task(tmp_path)
    rephrase = "{operation: rephrase, max_tokens: 64}"
    augment = ["augment", "docs.jsonl", "--operation", rephrase, "--model", str(tiny), "--filter", "none"]
    commands = [
        ["check", "recipe.yaml"], ["check", "recipe.yaml", "--json", "--quick"], ["preview", "recipe.yaml"],
        ["preview", "recipe.yaml", "output=shown", "--html"], ["run", "recipe.yaml", "--workers", "1"],
        ["report", "out"],
        [*augment, "--out", "made.jsonl"], ["evaluate", str(tiny), "--task", "task.yaml", "--out", "scored"],
        ["worlds", "reversals"], ["run", "recipe.yaml", "--dry-run"],
    ]  # fmt: skip
    for command in commands:
        status, said = heavy.run(tmp_path, *command, **how)
        gone = case == "no directory" and command[0] not in ("worlds",)
        expected = 2 if gone or case == "full" else 0
        assert status == expected, (command, said)
        assert "Traceback" not in said
        assert "fault in" not in said
    if case != "no directory":
        write_recipe(tmp_path / "plain", tiny)
        assert heavy.run(tmp_path / "plain", "run", "recipe.yaml", "--workers", "1")[0] == 0
        assert ending(tmp_path / "out") == ending(tmp_path / "plain" / "out")
