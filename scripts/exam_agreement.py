"""Does an exam say of a generated world what the world's own tests say? The table of docs/exam.md.

    OMP_NUM_THREADS=1 python scripts/exam_agreement.py FOLDER [--seeds 3] [--steps 300]

The training texts of the pocket model's world are written as ten Markdown files; an exam is made of them, and arms of
recipes/quickstart.yaml are trained on the world and asked both. A measure is the mean of its tasks, each from chance
(0) to all right (1), as tasks of two, four and no options have different chances. Intervals: facts and seeds drawn
anew 2,000 times, 95 %. Given again, it resumes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import yaml

from contextune.core import registry
from contextune.exam.make import Settings, make
from contextune.experiment.run import run

MEASURES = ("learn", "generalise", "listen", "resist")
"""Retain is asked by the same tasks in both."""
ARMS = ("none", "cpt", "augmented", "contextune")
WORLD = {"world": "reversals", "options": {"size": "small"}}
DRAWS = 2000


def write(folder: Path) -> None:
    """The world's training texts, a paragraph each, in ten documents."""
    texts = [r.text.strip() for r in registry.worlds.get(WORLD["world"])(size="small").records["train"]]
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(10):
        (folder / f"part-{i}.md").write_text("\n\n".join(texts[i::10]) + "\n", encoding="utf-8")


def recipe(folder: Path, seeds: int, steps: int) -> dict[str, Any]:
    """The quickstart's arms, asked by the exam too."""
    made = yaml.safe_load((Path(__file__).parent.parent / "recipes" / "quickstart.yaml").read_text(encoding="utf-8"))
    made["arms"] = {name: arm for name, arm in made["arms"].items() if name in ARMS}
    made |= {"seeds": list(range(seeds)), "output": str(folder / "run"), "compare": {"baseline": "cpt"}}
    made["train"] |= {"steps": steps}
    made["evaluate"] = {"tasks": [str(folder / "exam"), WORLD], "samples": 0}
    return made


def outcomes(run_folder: Path) -> dict[tuple[str, str, bool], dict[str, dict[tuple[int, str], list[float]]]]:
    """(arm, measure, whether of the exam) -> task -> (seed, cluster) -> outcomes, from chance 0 to 1."""
    tasks = json.loads((run_folder / "results.json").read_text(encoding="utf-8"))["tasks"]
    found: Any = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for file in sorted((run_folder / "outcomes").glob("*.parquet")):
        for row in parquet.read_table(file, columns=["arm", "seed", "task", "item", "correct", "cluster"]).to_pylist():
            task = tasks.get(row["task"])
            if task is not None and task.get("measure") in MEASURES:
                chance = task.get("chance") or 0.0
                at = found[row["arm"], task["measure"], row["task"].startswith("exam.")][row["task"]]
                at[row["seed"], row["cluster"] or row["item"]].append((row["correct"] - chance) / (1 - chance))
    return found


def estimate(tasks: dict[str, dict[tuple[int, str], list[float]]], rng: Any) -> tuple[float, float, float]:
    """The mean over tasks and its interval. Seeds are drawn anew, and clusters of each task."""
    seeds = sorted({seed for groups in tasks.values() for seed, _ in groups})
    tables = []
    for groups in tasks.values():
        clusters = sorted({cluster for _, cluster in groups})
        tables.append(np.array([[np.mean(groups[s, c]) for c in clusters] for s in seeds]))
    draws = []
    for _ in range(DRAWS):
        rows = rng.integers(0, len(seeds), len(seeds))
        means = [t[rows][:, rng.integers(0, t.shape[1], t.shape[1])].mean() for t in tables]
        draws.append(np.mean(means))
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(np.mean([t.mean() for t in tables])), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    write(folder / "documents")
    make((str(folder / "documents"),), folder / "exam", Settings(language="pocket"), print, folder)
    spec = folder / "agreement.yaml"
    spec.write_text(yaml.safe_dump(recipe(folder, asked.seeds, asked.steps)), encoding="utf-8")
    run(spec)
    found, rng = outcomes(folder / "run"), np.random.default_rng(0)
    print("| arm | measure | the world's tests | the exam | intervals overlap |\n| --- | --- | --- | --- | --- |")
    for arm in ARMS:
        for measure in MEASURES:
            world, exam = (estimate(found[arm, measure, of], rng) for of in (False, True))
            overlap = world[1] <= exam[2] and exam[1] <= world[2]
            shown = " | ".join(f"{v:.2f} [{low:.2f}, {high:.2f}]" for v, low, high in (world, exam))
            print(f"| {arm} | {measure} | {shown} | {'yes' if overlap else 'no'} |")


if __name__ == "__main__":
    main()
