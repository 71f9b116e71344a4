"""Hold `contextune check`'s estimate against the run itself: CPU seconds by part, and memory at the peak.

    OMP_NUM_THREADS=1 python scripts/estimate_trial.py recipe.yaml [key=value …]

CPU time of one thread, so that what else the machine does has no part in it. The estimate and the run are two
processes, so that each has a peak of its own; the run's folder is emptied first.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARTS = {"train_all": "training", "evaluate_all": "evaluation", "samples": "samples"}


def estimated(recipe: Any, base: Path) -> dict[str, Any]:
    time.perf_counter = time.process_time  # what the probe measures by
    from contextune.experiment import estimate as estimating
    from contextune.experiment.prepare import prepare
    from contextune.experiment.run_dir import folder_of

    estimating.side_by_side = lambda *_: 1  # as the run below
    found = estimating.estimate(prepare(recipe, base, folder_of(recipe), plan=True))
    many = sum(max(1, len(recipe.seeds) * bool(arm.stages)) for arm in recipe.arms.values())
    tasks = {name: seconds * many for name, seconds in found["tasks"].items()}
    return {**found["parts"], **tasks, "memory": found["memory"], "opening": found["opening"]}


def measured(recipe: Any, base: Path) -> dict[str, Any]:
    from contextune.experiment import run as running
    from contextune.experiment import scoring

    parts: dict[str, float] = {}
    score = scoring._score

    def scored(prepared: Any, model: Any, task: Any, *rest: Any) -> Any:
        began = time.process_time()
        found = score(prepared, model, task, *rest)
        parts[task.name] = parts.get(task.name, 0.0) + time.process_time() - began
        return found

    scoring._score = scored

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **keys: Any) -> Any:
            began = time.process_time()
            try:
                return work(*args, **keys)
            finally:
                parts[PARTS[name]] = time.process_time() - began

        return wrapped

    for name in PARTS:
        setattr(running, name, timed(name, getattr(running, name)))
    running.run(recipe, base=base, fresh=True, workers=1)
    return parts


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("recipe", type=Path)
    options.add_argument("overrides", nargs="*")
    options.add_argument("--half", choices=["estimated", "measured"], help="one of the two, in this process")
    asked = options.parse_args()
    if asked.half is None:
        command = [sys.executable, __file__, str(asked.recipe), *asked.overrides, "--half"]
        halves = {}
        for half in ("estimated", "measured"):
            done = subprocess.run(
                [*command, half], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
            if done.returncode:
                sys.exit(done.stderr[-3000:])
            halves[half] = json.loads(done.stdout.splitlines()[-1])
        guess, real = halves["estimated"], halves["measured"]
        rows = [(part, guess[part], real[part], "s") for part in guess if part in real and part not in ("peak", "cpu")]
        rows.append(("memory", guess["memory"] / 2**20, real["peak"] / 2**20, "MiB"))
        for part, ours, theirs, unit in rows:
            ratio = f"{ours / theirs:.2f}" if theirs else "–"
            print(f"{part:12} estimated {ours:8.1f} {unit}  measured {theirs:8.1f} {unit}  ratio {ratio}")
        print(f"opening a training: {guess['opening']:.1f} s")
        print(f"check itself {guess['cpu']:.1f} s CPU, {guess['peak'] >> 20} MiB at its peak")
        return
    from contextune.experiment import recipe as recipes

    recipe = recipes.load(asked.recipe, asked.overrides)
    found = {"estimated": estimated, "measured": measured}[asked.half](recipe, asked.recipe.parent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(json.dumps({**found, "peak": peak, "cpu": time.process_time()}))


if __name__ == "__main__":
    main()
