"""Signals at any moment: the command says what is kept and how to resume, and the same command ends bit-equal."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import random
import shutil
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from contextune.core.errors import UserError
from contextune.core.progress import keeping
from contextune.experiment.run_dir import locked
from tests.faults.small_run import Server, ending, printed, wait_for, write_recipe

KILL, TERM, INT, HUP, QUIT = (getattr(signal, f"SIG{n}") for n in ("KILL", "TERM", "INT", "HUP", "QUIT"))


def long_command(how: str) -> None:
    """Registers `work`, a command that lasts; called in a process of its own."""
    from contextune.cli import signals
    from contextune.core import registry

    signals.AGAIN = 0.3 if how == "swallowed" else 30
    if how == "ignored":
        signal.signal(HUP, signal.SIG_IGN)

    def work() -> None:
        with keeping(lambda: "kept in runs/x"):
            print("ready", flush=True)
            if how == "swallowed":
                with suppress(BaseException):
                    time.sleep(20)
            try:
                time.sleep(1.2 if how == "ignored" else 20)
            finally:
                time.sleep({"slow": 20, "brief": 0.4}.get(how, 0))

    registry.commands("long")(lambda app: app.command()(work))


RESUME = "give the same command again: what was kept is not done again"
ONE = {
    "Ctrl-C": ("plain", [(0, INT)], 130, ["kept in runs/x", "interrupted", RESUME]),
    "TERM": ("plain", [(0, TERM)], 143, ["kept in runs/x", "stopped by SIGTERM", RESUME]),
    "HUP": ("plain", [(0, HUP)], 129, ["kept in runs/x", "stopped by SIGHUP", RESUME]),
    "timeout sends two": ("brief", [(0, TERM), (0.1, TERM)], 143, ["kept in runs/x", "stopped by SIGTERM", RESUME]),
    "swallowed by a library": ("swallowed", [(0, INT)], 130, ["kept in runs/x", "interrupted", RESUME]),
    "a second one": ("slow", [(0, INT), (0.9, INT)], 130, []),
    "another second one": ("slow", [(0, TERM), (0.9, INT)], 130, []),
    "PIPE": ("ignored", [(0, signal.SIGPIPE)], 0, []),
    "nohup": ("ignored", [(0, HUP)], 0, []),
    "KILL": ("plain", [(0, KILL)], 137, []),
}


def test_each_signal_once(light, tmp_path):
    """All at the same time, each in a process of its own."""
    began = {}
    for name, (how, *_) in ONE.items():
        (tmp_path / name).mkdir()
        began[name] = light.start(tmp_path / name, "work", before=[f"{__name__}:long_command", how])
    for name in ONE:
        assert wait_for(lambda name=name: "ready" in printed(tmp_path / name)), printed(tmp_path / name)
    for at, wait in ((0, 0), (0.1, 0.1), (0.9, 0.8)):
        time.sleep(wait)
        for name, (_, signals, *_) in ONE.items():
            for number in (n for moment, n in signals if moment == at):
                os.kill(began[name], number)
    found = {}
    for name, pid in began.items():
        status = light.wait(pid, 10)
        found[name] = status, [line for line in printed(tmp_path / name).splitlines()[1:] if line]
    assert found == {name: (status, said) for name, (_, _, status, said) in ONE.items()}


# The lock


def said_once(monkeypatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr("contextune.experiment.run_dir.say_once", found.append)
    return found


def test_the_lock_says_who_holds_it(tmp_path):
    with locked(tmp_path), pytest.raises(UserError) as e, locked(tmp_path):
        pass
    assert f"another run is working in this folder (process {os.getpid()} on {platform.node()}, since 20" in str(
        e.value
    )
    with locked(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == ""


@pytest.mark.parametrize(
    ("left", "warned"),
    [
        (f"process 999999 on {platform.node()}, since 2020-01-01 00:00:00", False), ("", False),
        ("process 1 on another-host, since 2020-01-01 00:00:00", True), ("\udcff\udcc3garbage", True),
        ("x" * 10_000, True),
    ],
)  # fmt: skip
def test_a_stale_lock_is_taken(tmp_path, monkeypatch, left, warned):
    said = said_once(monkeypatch)
    (tmp_path / ".lock").write_text(left, "utf-8", "surrogateescape")
    with locked(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / ".lock").read_text()
    assert bool(said) == warned
    assert not said or "did not end by itself" in said[0]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_locks(tmp_path, monkeypatch, number):
    said = said_once(monkeypatch)

    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path):
        pass
    assert "locks do not work on this disk" in said[0]


# The campaign


PHASES = {
    "prepare": lambda out: out.exists(),
    "train": lambda out: any(out.glob("arms/*/*/*")),
    "checkpoint": lambda out: any(out.glob("arms/*/*/*/checkpoint-*")),
    "evaluate": lambda out: (out / "outcomes").exists(),
    "report": lambda out: (out / "results.json").exists(),
}
LENGTH = {"prepare": 0.6, "train": 0.6, "checkpoint": 0.4, "evaluate": 0.3, "report": 0.2}
"""Seconds at most between a phase's first sign and the signal."""
VARIANTS = {
    "full": {},
    "lora": {"train": {"max_length": 48, "steps": 8, "batch": 4, "lr": 0.01, "save": 1,
                       "adapter": {"kind": "lora", "rank": 4, "dropout": 0.2}}},
    "stages": {"arms": {"two": {"stages": [
        {"data": "docs"}, {"data": "docs", "train": {"epochs": 1, "steps": None}},
    ]}}},
}  # fmt: skip
AFTER = {TERM: "stopped by SIGTERM", INT: "interrupted", HUP: "stopped by SIGHUP"}


def campaign(server: Server, folder: Path, tiny: Path, runs: int, seed: int, seconds: float = 1e9) -> Counter:
    """`runs` runs, each met by up to four signals and then let end; what there was of each kind."""
    rng, found, end = random.Random(seed), Counter(), time.monotonic() + seconds
    wanted = {}
    for name, changes in VARIANTS.items():
        write_recipe(folder / name, tiny, **changes)
        assert server.run(folder / name, "run", "recipe.yaml", "--workers", "1")[0] == 0, printed(folder / name)
        wanted[name] = ending(folder / name / "out")
    for n in range(runs):
        if time.monotonic() > end:
            break
        variant = rng.choice(list(VARIANTS))
        here = folder / f"run-{n}"
        write_recipe(here, tiny, **VARIANTS[variant])
        for _ in range(rng.randint(1, 4)):
            phase, number = rng.choice(list(PHASES)), rng.choice((KILL, KILL, TERM, TERM, INT, INT, HUP, QUIT, None))
            found += strike(server, here, phase, number, rng)
        status, said = server.run(here, "run", "recipe.yaml", "--workers", "1")
        found["runs"] += 1
        equal = status == 0 and ending(here / "out") == wanted[variant]
        found["bit-equal" if equal else "lost"] += 1
        assert equal, (variant, n, status, said)
        shutil.rmtree(here)
    return found


def strike(server: Server, here: Path, phase: str, number: signal.Signals | None, rng: random.Random) -> Counter:
    """One start that is met by a signal (None: stopped and continued) in a phase; checks how it ends."""
    clock = rng.randrange(1000) if rng.random() < 0.3 else None
    out = here / "out"
    length = 2.5 if PHASES[phase](out) else LENGTH[phase]  # of a resumed run the first sign is there at once
    pid = server.start(here, "run", "recipe.yaml", "--workers", "1", clock=clock)

    def ended() -> bool:
        return " Z " in state(pid)

    def send(pid: int, number: int) -> None:
        with suppress(ProcessLookupError):  # no group of its own yet
            return whom(pid, number)
        os.kill(pid, number)

    whom = os.killpg if rng.random() < 0.5 else os.kill
    wait_for(lambda: PHASES[phase](out) or ended())
    time.sleep(rng.uniform(0, length))
    if number is None:
        send(pid, signal.SIGSTOP)
        time.sleep(rng.uniform(0, 0.3))
        send(pid, signal.SIGPIPE)
        send(pid, signal.SIGCONT)
        assert server.wait(pid) == 0, printed(here)
        return Counter({"signals": 3, "STOP, PIPE and CONT": 1})
    over = ended()
    send(pid, number)
    twice = rng.random() < 0.3
    if twice:
        time.sleep(rng.uniform(0, 0.7))
        if not ended():
            send(pid, rng.choice((number, TERM, KILL)))
    status, said = server.wait(pid), printed(here)
    assert "Traceback" not in said, said
    assert "fault in" not in said, said
    allowed = {0, 128 + number, *((128 + TERM, 128 + KILL) if twice else ())}
    assert status in allowed, (status, said)
    if status == 128 + number and number in AFTER and not twice and said and said.splitlines()[-1] != RESUME:
        assert "report: " in said, (phase, number, said)  # all was done: nothing is left to be said
    return Counter(
        {"signals": 1 + twice, f"{phase}": 1, signal.Signals(number).name: 1, "too late": over or status == 0}
    )


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return " Z "


@pytest.mark.slow
def test_signals_at_random_moments(heavy, tiny, tmp_path, capsys):
    found = campaign(heavy, tmp_path, tiny, runs=12, seed=1)
    assert found["bit-equal"] == found["runs"] == 12
    with capsys.disabled():
        print(f"\n{dict(found)}")


@pytest.mark.slow
@pytest.mark.parametrize("number", [KILL, TERM, INT])
def test_several_workers(heavy, tiny, tmp_path, number):
    """The parent is met, then a whole process group, then a worker alone; the same command ends equal."""
    write_recipe(tmp_path / "plain", tiny, seeds=[0, 1])
    assert heavy.run(tmp_path / "plain", "run", "recipe.yaml", "--workers", "1")[0] == 0
    here = tmp_path / "met"
    write_recipe(here, tiny, seeds=[0, 1])
    command = ["run", "recipe.yaml", "--workers", "2"]
    for send in (os.kill, os.killpg):
        pid = heavy.start(here, *command)
        assert wait_for(lambda pid=pid: len(children(pid)) == 2)
        workers = children(pid)
        assert wait_for(lambda send=send: any((here / "out").glob("arms/*/*/*")) or send is os.killpg)
        send(pid, number)
        assert heavy.wait(pid) == 128 + number
        assert wait_for(lambda workers=workers: not any(alive(w) for w in workers), 5), "workers outlive their parent"
        if number in AFTER:
            assert printed(here).splitlines()[-2:] == [AFTER[number], RESUME]
    pid = heavy.start(here, *command)
    assert wait_for(lambda: len(children(pid)) == 2)
    os.kill(children(pid)[0], number)
    status, said = heavy.wait(pid), printed(here)
    if number == KILL:
        assert status == 2
        assert "a worker process was ended by signal SIGKILL" in said
        status, said = heavy.run(here, *command)
    assert status == 0, said  # a worker does not hear the others
    assert ending(here / "out") == ending(tmp_path / "plain" / "out")


def children(pid: int) -> list[int]:
    file = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(p) for p in file.read_text().split()] if file.exists() else []


def alive(pid: int) -> bool:
    return " Z " not in state(pid)


@pytest.mark.slow
@pytest.mark.parametrize("number", [KILL, TERM])
def test_a_stopped_worker_ends_with_its_parent(heavy, tiny, tmp_path, number):
    write_recipe(tmp_path, tiny, seeds=[0, 1])
    pid = heavy.start(tmp_path, "run", "recipe.yaml", "--workers", "2")
    assert wait_for(lambda: any((tmp_path / "out").glob("arms/*/*/*")))
    workers = children(pid)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    os.kill(pid, number)
    assert heavy.wait(pid) == 128 + number
    assert wait_for(lambda: not any(alive(w) for w in workers), 5)


@pytest.mark.slow
def test_two_starts_at_once(heavy, tiny, tmp_path):
    """One wins; the other says who holds the folder and ends with 2; the winner is not harmed."""
    write_recipe(tmp_path / "plain", tiny)
    assert heavy.run(tmp_path / "plain", "run", "recipe.yaml", "--workers", "1")[0] == 0
    for n in range(4):
        here = tmp_path / f"{n}"
        write_recipe(here, tiny)
        command = ["run", "recipe.yaml", "--workers", "1", *(["--fresh"] if n % 2 else [])]
        pids = [heavy.start(here, *command) for _ in range(2)]
        states = [heavy.wait(pid) for pid in pids]
        assert sorted(states) == [0, 2]
        winner = pids[states.index(0)]
        said = printed(here)
        assert f"another run is working in this folder (process {winner} on {platform.node()}" in said
        assert ending(here / "out") == ending(tmp_path / "plain" / "out")


@pytest.mark.slow
def test_augment_and_evaluate(heavy, tiny, tmp_path):
    """What a writer has written is kept; another evaluate in the same folder is refused while one runs."""
    changes = {
        "arms": {
            "aug": {
                "data": "docs",
                "augment": {"operations": [{"operation": "rephrase", "max_tokens": 64}], "filters": []},
            }
        }
    }
    for name in ("plain", "met"):
        write_recipe(tmp_path / name, tiny, **changes)
    assert heavy.run(tmp_path / "plain", "augment", "recipe.yaml")[0] == 0, printed(tmp_path / "plain")
    rng, store = random.Random(3), tmp_path / "met" / "out" / "generated.sqlite"
    for number in (KILL, TERM, INT, KILL, HUP):
        pid = heavy.start(tmp_path / "met", "augment", "recipe.yaml")
        wait_for(store.exists, 5)
        time.sleep(rng.uniform(0, 0.5))
        os.kill(pid, number)
        assert heavy.wait(pid) in (0, 128 + number), printed(tmp_path / "met")
    assert heavy.run(tmp_path / "met", "augment", "recipe.yaml")[0] == 0
    assert ending(tmp_path / "met" / "out") == ending(tmp_path / "plain" / "out")


def test_an_interrupt_that_falls_into_a_destructor_is_raised_anew(monkeypatch, capsys):
    """Python only prints what a `__del__` raises: the command would go on."""
    from contextune.cli import signals

    class Dying:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)  # here the handler runs

    before = {n: signal.getsignal(n) for n in (*signals.ENDING, signal.SIGALRM)}
    monkeypatch.setattr(signals, "_first", None)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    try:
        signals.listen()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            [Dying()].clear() or time.sleep(2)
        assert time.monotonic() - began < 1
    finally:
        signals.caught()
        for number, handler in before.items():
            signal.signal(number, handler)
    assert not capsys.readouterr().err
