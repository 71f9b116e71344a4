"""results.json (docs/architecture.md), recomputed from the per-item outcomes alone."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core.errors import UserError, nearest

from .. import metrics
from ..scoring import outcomes
from . import answers, first_kl, notes, verdict
from .published import figures
from .statistics import Estimate, bootstrap, mean

if TYPE_CHECKING:
    from contextune.evaluate.options import Compare

Columns = Mapping[str, list[Any]]
Estimates = dict[tuple[str, str], Estimate]


@dataclass(frozen=True)
class _File:
    about: dict[str, Any]
    columns: Columns

    @property
    def questions(self) -> list[tuple[str, str]]:
        return list(zip(self.columns["item"], self.columns["prompt_hash"], strict=True))


class _Run:
    """Outcomes by arm, task and seed; complete, and the same items everywhere."""

    def __init__(self, folder: Path, arms: Mapping[str, str], untrained: Collection[str] | None) -> None:
        self.files: dict[str, dict[str, dict[int, _File]]] = {arm: {} for arm in arms}
        self.beside: dict[str, dict[str, dict[int, _File]]] = {arm: {} for arm in arms}
        """What is said of arms and is no task, in the same way."""
        self.folder = folder / "outcomes" if (folder / "outcomes").is_dir() else folder
        for path in sorted(self.folder.glob("*.parquet")):
            found = outcomes.read(path)
            columns = found.to_pydict()
            arm, task, seed = (columns[c][0] for c in ("arm", "task", "seed"))
            about = outcomes.about(found)
            held = self.beside if metrics.find(about["metric"]).of_arm else self.files
            if arm in self.files:
                held[arm].setdefault(task, {})[seed] = _File(about, columns)
        alone = {arm for arm in arms if self._seeds(arm) == {0}}
        self.untrained = set(alone if len(alone) < len(arms) else ()) if untrained is None else set(untrained)
        self.seeds = sorted({s for arm in arms if arm not in self.untrained for s in self._seeds(arm)}) or [0]
        self.tasks: dict[str, _File] = {}
        for tasks in self.files.values():
            for task, of_seed in tasks.items():
                self.tasks.setdefault(task, next(iter(of_seed.values())))
        self._refuse_gaps()

    def _seeds(self, arm: str) -> set[int]:
        return {seed for of_task in self.files[arm].values() for seed in of_task}

    def of(self, arm: str, task: str) -> list[_File]:
        """By seed; one alone for the untrained arm."""
        found = self.files[arm][task]
        return [found[seed] for seed in ([0] if arm in self.untrained else self.seeds)]

    def _refuse_gaps(self) -> None:
        if not self.tasks:
            arms = ", ".join(self.files) or "any arm"
            raise UserError(f"{self.folder}: no outcomes of {arms}", "run the evaluation first")
        for arm, tasks in self.files.items():
            for task, first in self.tasks.items():
                for seed in [0] if arm in self.untrained else self.seeds:
                    file = self.folder / outcomes.file_name(arm, seed, task)
                    if seed not in tasks.get(task, {}):
                        raise UserError(f"{file}: missing", "arms are compared on the same tasks and seeds; score it")
                    if tasks[task][seed].questions != first.questions:
                        raise UserError(f"{file}: not the same items as in other arms or seeds", "score it again")


def summarise(
    folder: Path, compare: Compare, arms: Mapping[str, str], name: str, untrained: Collection[str] | None = None
) -> dict[str, Any]:
    """The content of results.json from the outcomes in `folder` (a run's folder, or its `outcomes`).

    `arms` maps names to a line about each, in the recipe's order; files of other arms are not looked at. `untrained`
    names the arms without stages; by default those that have seed 0 alone while others have more. Values are shares
    (0.25, not 25). Raises UserError where a file is missing, broken, or of other items.
    """
    run = _Run(Path(folder), arms, untrained)
    deciding = _deciding(run, compare.tasks)
    first = next((a for a in arms if a not in run.untrained), next(iter(arms)))
    cells = _bootstrap(run, list(arms), compare.resamples, compare.seed_sd)
    scores = {arm: mean([cells[arm, t] for t in deciding]) for arm in arms} if deciding else {}
    tasks = {task: _task(run, task) for task in run.tasks}
    baseline = compare.baseline if compare.baseline is not None and compare.baseline in arms else first
    of_arms = {arm: _arm(run, arm, about, cells, scores, compare.confidence, baseline) for arm, about in arms.items()}
    lowest = {task: _lowest(run, task, about) for task, about in tasks.items()}
    found = [*notes.undertrained(Path(folder), arms), *notes.saturated(of_arms, tasks, lowest)]
    judged = verdict.reach(
        scores,
        baseline,
        compare.confidence,
        untrained=run.untrained,
        seeds=len(run.seeds),
        stated=compare.seed_sd is not None,
        items=sum(tasks[t]["n"] for t in deciding),
        floor=sum(lowest[t] for t in deciding) / len(deciding) if deciding else None,
        notes=_said(found, deciding, len(arms)),
    )
    made = {"schema": 1, "name": name, "verdict": judged, "arms": of_arms, "tasks": tasks, "notes": found}
    made["floors"] = _floors(run, tasks, cells, deciding)
    if moved := first_kl.of_arms(run.beside, compare.resamples, compare.confidence):
        made["first_kl"] = moved
    if said := answers.of(Path(folder), cells, tasks, compare.confidence, run.untrained):
        made["answers"] = said
    printed = figures(compare.published)
    return {**made, **({"published": printed} if printed else {})}


def _said(found: list[notes.Note], deciding: list[str], arms: int) -> list[str]:
    """The notes in sentences; the floor of a task that decides alone, and that of a single arm, are said elsewhere."""
    shown = [n for n in found if n["kind"] != "floor" or (arms > 1 and [n["task"]] != deciding)]
    return list(notes.sentences(shown).values())


def estimates(folder: Path, arms: Collection[str], resamples: int = 2000) -> Estimates:
    """(arm, task) to its value with replicates drawn together, so that differences between cells are paired.

    A measure stands beside the tasks as (arm, "measure:listen"), the mean of its tasks. Raises UserError where
    outcomes are missing.
    """
    run = _Run(Path(folder), dict.fromkeys(arms, ""), None)
    cells = dict(_bootstrap(run, list(arms), resamples))
    for arm in arms:
        by_measure: dict[str, list[Estimate]] = {}
        for task, file in run.tasks.items():
            if metrics.find(file.about["metric"]).higher_is_better:
                by_measure.setdefault(f"measure:{file.about['measure']}", []).append(cells[arm, task])
        cells |= {(arm, name): mean(found) for name, found in by_measure.items()}
    return cells


def _deciding(run: _Run, wanted: tuple[str, ...]) -> list[str]:
    """Tasks whose metric, a share where more is better, goes into the score: those named, else all but retention."""
    from ..tasks.load import members

    able = [t for t, f in run.tasks.items() if metrics.find(f.about["metric"]).higher_is_better]
    if not wanted:
        return [t for t in able if run.tasks[t].about["measure"] != "retain"]
    chosen = list(dict.fromkeys(m for name in wanted for m in ([name] if name in run.tasks else members(name))))
    for task in chosen:
        if task not in run.tasks:
            raise UserError(f"compare.tasks: no outcomes of a task '{task}'", nearest(task, run.tasks))
        if task not in able:
            what = f"'{task}' is measured by {run.tasks[task].about['metric']}"
            raise UserError(f"compare.tasks: {what}, which cannot be averaged into a score", "leave it out")
    return chosen


def _bootstrap(
    run: _Run, arms: list[str], resamples: int, seed_sd: float | None = None
) -> dict[tuple[str, str], Estimate]:
    cells = {
        (arm, task): [metrics.find(file.about["metric"]).of(file.columns) for file in run.of(arm, task)]
        for arm in arms
        for task in run.tasks
    }
    items = {task: len(file.columns["item"]) for task, file in run.tasks.items()}
    clusters = {task: file.columns["cluster"] for task, file in run.tasks.items()}
    about = {task: metrics.find(file.about["metric"]) for task, file in run.tasks.items()}
    stated = {(a, t): seed_sd for a, t in cells if seed_sd and a not in run.untrained and about[t].higher_is_better}
    bounds = {task: metric.bounds for task, metric in about.items()}
    return bootstrap(cells, items, len(run.seeds), resamples, clusters=clusters, seed_sd=stated, bounds=bounds)


def _task(run: _Run, task: str) -> dict[str, Any]:
    about, columns = run.tasks[task].about, run.tasks[task].columns
    keys = ("kind", "metric", "measure", "chance", "about", "prompt", "prompt_hash")
    return {k: about[k] for k in keys} | {
        "n": len(columns["item"]),
        "cut": sum("cut" in json.loads(fields) for fields in columns["fields"]),
        "majority": metrics.majority(columns, about["metric"]),
        "higher_is_better": metrics.find(about["metric"]).higher_is_better,
    }


def _lowest(run: _Run, task: str, about: Mapping[str, Any]) -> float:
    """What needs neither the text nor a context: chance, or the best constant answer where that is more."""
    known = (about["chance"], about["majority"], run.tasks[task].about.get("floors", {}).get("constant"))
    return max((v for v in known if v is not None), default=0.0)


FLOORS = ("chance", "constant", "copier", "deaf", "untrained")


def _floors(run: _Run, tasks: Mapping[str, Any], cells: Estimates, deciding: list[str]) -> dict[str, Any]:
    """What stands beside the arms' values, by task, and averaged over the tasks of each measure and over
    those that decide; null where unknown.

    deaf: the trained arm that scores most without the context (any arm, where none is trained); untrained: the best
    of those.
    """
    by_task: dict[str, dict[str, float | None]] = {}
    trained = [arm for arm in run.files if arm not in run.untrained] or list(run.files)
    for task, about in tasks.items():
        told = run.tasks[task].about.get("floors", {})
        of_deaf = metrics.find(about["metric"]).of_deaf  # which keeps all that it knows
        deaf = [v for arm in trained if not of_deaf and (v := _deaf(run, arm, task)) is not None]
        plain = [cells[arm, task].value for arm in run.untrained if about["higher_is_better"]]
        by_task[task] = {
            "chance": about["chance"],
            "constant": _either(told.get("constant"), about["majority"]),
            "copier": told.get("copier"),
            "deaf": max(deaf, default=None),
            "untrained": max(plain, default=None),
        }
    by_measure: dict[str, dict[str, float | None]] = {}
    for measure in dict.fromkeys(t["measure"] for t in tasks.values() if t["higher_is_better"]):
        of = [by_task[n] for n, t in tasks.items() if t["measure"] == measure and t["higher_is_better"]]
        by_measure[measure] = {key: _average([floors[key] for floors in of]) for key in FLOORS}
    score = {key: _average([by_task[task][key] for task in deciding]) if deciding else None for key in FLOORS}
    return {"tasks": by_task, "measures": by_measure, "score": score}


def _either(*values: float | None) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _average(values: list[float | None]) -> float | None:
    """Null where it is unknown of some task: a mean over others would stand beside another mean."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _deaf(run: _Run, arm: str, task: str) -> float | None:
    """The mean worth of an arm's answers without the context, over items that have one; None where none was asked."""
    metric = metrics.find(run.tasks[task].about["metric"])
    found = [v for file in run.of(arm, task) for v in file.columns["deaf"] if v is not None]
    return sum(found) / len(found) if found and not metric.of_classes else None


def _arm(
    run: _Run, arm: str, about: str, cells: Any, scores: Mapping[str, Estimate], confidence: float, baseline: str
) -> dict[str, Any]:
    measures: dict[str, list[Estimate]] = {}
    for task, file in run.tasks.items():
        if metrics.find(file.about["metric"]).higher_is_better:
            measures.setdefault(file.about["measure"], []).append(cells[arm, task])
    score = scores.get(arm)
    difference = scores[arm] - scores[baseline] if score and arm != baseline else None
    return {
        "about": about,
        "seeds": [0] if arm in run.untrained else run.seeds,
        "score": score.value if score else None,
        "interval": score.interval(confidence) if score else None,
        "difference": _shown(difference, confidence) if difference else None,
        "tasks": {task: _cell(run, arm, task, cells[arm, task], confidence) for task in run.tasks},
        "measures": {name: _shown(mean(found), confidence) for name, found in measures.items()},
    }


def _cell(run: _Run, arm: str, task: str, estimate: Estimate, confidence: float) -> dict[str, Any]:
    files = run.of(arm, task)
    metric = files[0].about["metric"]
    return {
        "metric": metric,
        **_shown(estimate, confidence),
        "n": len(files[0].columns["item"]),
        "metrics": _averaged([metrics.summary(f.columns, metric) for f in files]),
    } | ({"without_context": deaf} if (deaf := _deaf(run, arm, task)) is not None else {})


def _averaged(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean over seeds, key by key."""
    mean_of = lambda values: sum(values) / len(values)  # noqa: E731
    return {
        key: _averaged([f[key] for f in found]) if isinstance(value, dict) else mean_of([f[key] for f in found])
        for key, value in found[0].items()
    }


def _shown(estimate: Estimate, confidence: float) -> dict[str, Any]:
    return {"value": estimate.value, "interval": estimate.interval(confidence)}
