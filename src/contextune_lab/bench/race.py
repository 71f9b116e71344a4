"""Timing on a machine that is not quiet: runners take turns, and ratios are formed within a round."""

from __future__ import annotations

import ctypes
import math
import statistics
import time
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Runner = Callable[[], object]
RaceProgress = Callable[[str], None]


@dataclass(frozen=True)
class Times:
    """Seconds of one runner, a value a round: of the processor, all threads together; on a GPU, by the clock."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def times_faster(self, than: Times) -> tuple[float, float, float]:
        """How many times faster this is: median, lowest and highest ratio of a round."""
        ratios = [b / a for a, b in zip(self.seconds, than.seconds, strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)


def race(
    runners: Mapping[str, Runner],
    rounds: int,
    told: RaceProgress = lambda text: None,
    device: str = "cpu",
    limit: float = math.inf,
) -> tuple[dict[str, Times], dict[str, int | None]]:
    """Each runner once a round, beginning with another one each time; and the bytes that each needed.

    In a first round, to warm up, memory is measured instead of time. After `limit` seconds no other round begins.
    """
    began = time.monotonic()
    told("warming up")
    peaks = {name: peak(runner, device) for name, runner in runners.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    names = list(runners)
    for turn in range(rounds):
        if turn and time.monotonic() - began > limit:
            break
        told(f"round {turn + 1} of {rounds}")
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            begin = now(device)
            runners[name]()
            seconds[name].append(now(device) - begin)
    return {name: Times(tuple(values)) for name, values in seconds.items()}, peaks


def now(device: str) -> float:
    """Seconds; a GPU's work is waited for, since it goes on beside the processor's."""
    if device == "cpu":
        return time.process_time()
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


def results(times: Mapping[str, Times], peaks: Mapping[str, int | None]) -> dict[str, dict[str, Any]]:
    """Of each runner seconds, memory, and how many times faster `ours` is."""
    return {
        name: {
            "seconds": t.median,
            "range": [min(t.seconds), max(t.seconds)],
            "peak": peaks[name],
            "ours_is_faster": times["ours"].times_faster(t),
        }
        for name, t in times.items()
    }


def matmul(device: str = "cpu") -> tuple[Runner, float]:
    """A runner of plain matrix products, of the shapes of a model's layers, and what it computes in GFLOP.

    fp32 on a processor, bf16 on a GPU.
    """
    import torch

    if device == "cpu":
        gflop, rows, width, out, dtype = 4.0, 1024, 512, 1408, torch.float32
    else:
        gflop, rows, width, out, dtype = 20_000.0, 8192, 2048, 8192, torch.bfloat16
    a, b = (torch.randn(*shape, device=device, dtype=dtype) for shape in ((rows, width), (width, out)))
    into = torch.empty(rows, out, device=device, dtype=dtype)
    once = 2e-9 * rows * width * out
    times = max(1, round(gflop / once))

    def run() -> None:
        for _ in range(times):
            torch.mm(a, b, out=into)

    return run, times * once


def peak(runner: Runner, device: str = "cpu") -> int | None:
    """Bytes that a runner needed above what was there before it; None where the system does not say (not Linux)."""
    if device != "cpu":
        import torch

        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        runner()
        return torch.cuda.max_memory_allocated() - held
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    try:
        _give_back()
        before = _kilobytes(status, "VmRSS")
        reset.write_text("5")  # the high-water mark begins anew
        runner()
        return max(0, _kilobytes(status, "VmHWM") - before) * 1024
    except OSError:
        runner()
        return None


def _give_back() -> None:
    """What was freed returns to the system, so that it does not hide what is needed anew (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _kilobytes(status: Path, key: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])


def spread(values: Seq[float], digits: int = 2) -> str:
    """`median (lowest to highest)`."""
    middle, low, high = values
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
