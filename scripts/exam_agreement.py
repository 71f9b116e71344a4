"""Does an exam say of a generated world what the world's own tests say? The table of docs/exam.md.

    OMP_NUM_THREADS=1 python scripts/exam_agreement.py FOLDER [--seeds 3] [--steps 300]

The training texts of the pocket model's world are written as ten Markdown files; an exam is made of them, and arms of
recipes/quickstart.yaml are trained on the world and asked both. A measure is the mean of its tasks, each from chance
(0) to all right (1), as tasks of two, four and no options have different chances. Intervals are those
of a report: items and seeds drawn anew, 95 %. Given again, it resumes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from contextune.core import registry
from contextune.evaluate.analysis.statistics import Estimate, mean
from contextune.evaluate.analysis.summary import estimates
from contextune.exam.make import Settings, make
from contextune.experiment.run import run

MEASURES = ("learn", "generalise", "listen", "resist")
"""Retain is asked by the same tasks in both."""
ARMS = ("none", "cpt", "augmented", "contextune")
WORLD = {"world": "reversals", "options": {"size": "small"}}


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


def measures(run_folder: Path) -> dict[tuple[str, str, bool], Estimate]:
    """(arm, measure, whether of the exam) -> the mean of its tasks, each from chance 0 to 1."""
    tasks = json.loads((run_folder / "results.json").read_text(encoding="utf-8"))["tasks"]
    cells, found = estimates(run_folder, ARMS), defaultdict(list)
    for arm in ARMS:
        for name, about in tasks.items():
            if about.get("measure") in MEASURES:
                chance, e = about.get("chance") or 0.0, cells[arm, name]
                value, draws, *bounds = ((x - chance) / (1 - chance) for x in (e.value, e.draws, *e.bounds))
                found[arm, about["measure"], name.startswith("exam.")].append(Estimate(value, draws, tuple(bounds)))
    return {key: mean(parts) for key, parts in found.items()}


def table(found: dict[tuple[str, str, bool], Estimate]) -> str:
    lines = ["| arm | measure | the world's tests | the exam | intervals overlap |", "| --- | --- | --- | --- | --- |"]
    for arm in ARMS:
        for measure in MEASURES:
            both = [found[arm, measure, of] for of in (False, True)]
            (low, high), (least, most) = (e.interval(0.95) or [e.value, e.value] for e in both)
            shown = (
                f"{e.value:.2f} [{a:.2f}, {b:.2f}]"
                for e, (a, b) in zip(both, ((low, high), (least, most)), strict=True)
            )
            overlap = "yes" if low <= most and least <= high else "no"
            lines.append(f"| {arm} | {measure} | {' | '.join(shown)} | {overlap} |")
    return "\n".join(lines)


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
    print(table(measures(folder / "run")))


if __name__ == "__main__":
    main()
