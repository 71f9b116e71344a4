"""Updates drawn ahead in another process: the same bits, in order, bounded, with the errors of a draw made here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contextune.contexts.policy import parse
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.train import ahead, stage
from contextune.train.options import Train

from .kills import killed

ROOT = Path(__file__).resolve().parents[2]
needs_fork = pytest.mark.skipif(not ahead.possible(), reason="one core, or no Linux")
pytestmark = needs_fork


class Numbered:
    """Update t is [t]; notes in a folder who drew what."""

    def __init__(self, folder: Path, size: int = 12, fails: int = -1, slow: float = 0.0) -> None:
        self.folder, self.size, self.fails, self.slow = folder, size, fails, slow

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, step: int) -> list[int]:
        (self.folder / f"{step}-{os.getpid()}").touch()
        time.sleep(self.slow)
        if step == self.fails:
            raise UserError(f"update {step}: its record is gone", "put it back")
        return [step]

    def drawn(self) -> dict[int, set[int]]:
        """Processes by update."""
        found: dict[int, set[int]] = {}
        for file in self.folder.iterdir():
            step, process = map(int, file.name.split("-"))
            found.setdefault(step, set()).add(process)
        return found


def soon(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def ended(process: int) -> bool:
    try:
        return " Z " in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_in_order_by_another_process_and_bounded(tmp_path):
    updates = Numbered(tmp_path)
    with ahead.ahead(updates) as made:
        soon(lambda: len(updates.drawn()) == ahead.AHEAD)
        time.sleep(0.2)
        assert set(updates.drawn()) == set(range(ahead.AHEAD)), "no more than the bound before any is taken"
        for step in range(12):
            assert made[step] == [step]
            assert len(made.pending) < ahead.AHEAD
            assert max(updates.drawn()) <= step + ahead.AHEAD
    assert all(os.getpid() not in processes for processes in updates.drawn().values())


def test_a_resume_draws_nothing_of_what_was_done(tmp_path):
    updates = Numbered(tmp_path)
    with ahead.ahead(updates, 7) as made:
        assert [made[step] for step in range(7, 12)] == [[7], [8], [9], [10], [11]]
        assert set(updates.drawn()) == {7, 8, 9, 10, 11}
        assert [made[3], made[9]] == [[3], [9]], "out of turn"


def test_errors_are_raised_here(tmp_path):
    updates = Numbered(tmp_path, fails=2)
    with ahead.ahead(updates) as made:
        assert [made[0], made[1]] == [[0], [1]]
        with pytest.raises(UserError, match="update 2: its record is gone") as e:
            made[2]
        assert e.value.hint == "put it back"
        assert e.value.__cause__ is None
        assert made[3] == [3]


def test_what_is_waited_is_counted(tmp_path):
    with ahead.ahead(Numbered(tmp_path, slow=0.05, size=4)) as made:
        assert [made[step] for step in range(4)] == [[0], [1], [2], [3]]
        assert made.waited > 0.1


def test_a_process_that_is_ended_from_outside_is_done_without(tmp_path):
    updates = Numbered(tmp_path)
    with ahead.ahead(updates) as made:
        assert made[0] == [0]
        soon(lambda: len(updates.drawn()) > ahead.AHEAD - 1)
        (process,) = made.pool._processes
        os.kill(process, signal.SIGKILL)
        assert [made[step] for step in range(1, 12)] == [[step] for step in range(1, 12)]
    assert os.getpid() in updates.drawn()[11]


def test_a_process_that_stands_still_is_done_without_and_ended(tmp_path, monkeypatch):
    """As where a lock was held when it was forked."""
    updates = Numbered(tmp_path)
    with ahead.ahead(updates) as made:
        assert made[0] == [0]
        monkeypatch.setattr(ahead, "PATIENCE", 0.3)  # only now: on a loaded machine a fork alone takes as long
        (process,) = made.pool._processes
        os.kill(process, signal.SIGSTOP)
        assert [made[step] for step in range(1, 12)] == [[step] for step in range(1, 12)]
        assert made.pool is None
    soon(lambda: ended(process))
    assert os.getpid() in updates.drawn()[11]


@pytest.mark.slow
def test_a_process_forked_while_standard_input_is_read_draws(tmp_path):
    """As a worker's is, whose jobs come from there: the fork would wait for the lock of a file that is read."""
    code = (
        "import sys; from contextune.experiment import workers; from contextune.train import ahead\n"
        "from tests.train.test_ahead import Numbered; from pathlib import Path\n"
        "def work(jobs, tell):\n"
        "    with ahead.ahead(Numbered(Path(sys.argv[1]))) as made:\n"
        "        assert [made[s] for s in range(12)] == [[s] for s in range(12)] and made.pool is not None\n"
        "workers.work = work; workers.main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.wait(ahead.PATIENCE - 10) == 0  # standard input stays open, and nothing is written to it
    finally:
        process.kill()
        process.stdin.close()


def test_where_no_process_can_be_forked(tmp_path, monkeypatch):
    monkeypatch.setattr(ahead, "possible", lambda: False)
    updates = Numbered(tmp_path)
    with ahead.ahead(updates) as made:
        assert [made[step] for step in range(12)] == [[step] for step in range(12)]
        assert made.waited > 0
    assert all(processes == {os.getpid()} for processes in updates.drawn().values())


EXAMPLES = parse({"policy": "random", "k": 3, "similarity": "overlap"})


def job(records, tokenizer, tiny, folder, **options):
    context = EXAMPLES.bind(BindContext(tokenizer, tuple(records)))
    train = Train(**{"steps": 8, "batch": 6, "lr": 1e-2, "max_length": 200, "threads": 1, "save": 3, **options})
    return stage.TrainJob(records, context, tokenizer, train, 3, str(tiny), folder)


@pytest.mark.slow
def test_a_stage_is_the_same_bit_for_bit_killed_and_resumed_too(records, tokenizer, tiny, tmp_path, monkeypatch):
    """Drawn here; drawn ahead; drawn ahead and ended after the fifth update."""
    made = {f: job(records, tokenizer, tiny, tmp_path / f, share=2) for f in ("here", "ahead", "killed")}
    with monkeypatch.context() as patched:
        patched.setattr(ahead, "possible", lambda: False)
        stage.run(made["here"])
    stage.run(made["ahead"])
    killed(made["killed"], 5)
    stage.run(made["killed"])
    weights = [(tmp_path / f / "model" / "model.safetensors").read_bytes() for f in made]
    assert weights[0] == weights[1] == weights[2]
    kept = json.loads((tmp_path / "ahead" / "stage.json").read_text())
    assert 0 <= kept["waited"] < kept["seconds"]
