"""The main job: check, train all arms at all seeds, evaluate, report.

Killed at any moment, it goes on when the same command is given again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from . import crew as crews
from . import identity
from . import recipe as recipes
from .augment import files as augmented
from .card import card
from .checking import accounting_table, enough, refuse_overlap
from .environment import environment, quiet_libraries, rank
from .errors import UserError
from .folder import clear, folder_of, identity_of, locked, model_of, stage_folder
from .prepare import Prepared, Ready, prepare, writable
from .progress import Reporter
from .recipe import Recipe

Result = dict[str, Any]
Look = Callable[[int, Any], None]
PAUSE = 0.2
"""Seconds between two readings of a training, at least."""


def run(
    recipe: Recipe | str | Path,
    *,
    base: Path | None = None,
    only: Iterable[str] = (),
    overrides: Iterable[str] = (),
    fresh: bool = False,
    evaluate: bool = True,
    reporter: Reporter | None = None,
    command: str = "",
    workers: int = 1,
) -> Result:
    """Train every arm of a recipe (a Recipe or a file) at every seed, evaluate, and write the report.

    Returns what stands in `results.json`, with the run's `folder` added. Paths in the recipe are relative to `base`
    (default: the recipe file's folder). `workers` processes train side by side; 0 chooses: one a core for models
    that run on one thread. Policies and worlds of your own, registered in your script, need `workers=1`.
    What an earlier run of the same recipe has finished is not done again.
    Raises UserError before the first step for whatever the last one would need.
    """
    if not isinstance(recipe, Recipe):
        base = base or Path(recipe).parent
        recipe = recipes.load(recipe, list(overrides))
    base = base or Path()
    reporter = reporter or Reporter(Console(stderr=True))
    reporter.quiet = reporter.quiet or rank() != 0
    out = folder_of(recipe)
    quiet_libraries()
    writable(out)
    with locked(out):
        if fresh and rank() == 0:
            clear(out)
        prepared = prepare(recipe, base, out, only, reporter.say)
        _ = prepared.probes  # a task that cannot be probed is found now
        preflight(prepared, reporter)
        if rank() == 0:
            augmented.write(prepared)
        record(prepared, command, "training")
        jobs = len(prepared.arms) * len(recipe.seeds)
        with crews.crew(prepared, crews.size(prepared, workers, jobs)) as hands:
            train_all(prepared, reporter, hands)
            if not evaluate or rank() != 0:
                return {"folder": str(out)}
            return {**judge(prepared, reporter, command, hands), "folder": str(out)}


def preflight(prepared: Prepared, reporter: Reporter) -> None:
    """What can be known before the first step to go wrong at the last."""
    enough(prepared)
    refuse_overlap(prepared)
    if prepared.recipe.evaluate.gradients is not None:
        from .lab import gradients_watch

        gradients_watch.check(prepared)
    for warning in prepared.warnings:
        reporter.say(f"warning: {warning}", "yellow")
    reporter.show(accounting_table(prepared.accounting))


def train_all(prepared: Prepared, reporter: Reporter, workers: crews.Crew | None = None) -> None:
    """Every arm at every seed; what is finished is passed over, what was begun goes on."""
    pairs = [(arm, seed) for seed in prepared.recipe.seeds for arm in prepared.arms]  # one of each arm first
    jobs = [(arm, seed, index, ready) for arm, seed in pairs for index, ready in enumerate(prepared.arms[arm])]
    folders = [stage_folder(prepared.out, a, s, i) for a, s, i, _ in jobs]
    parts = [identity_of(prepared, ready, arm, index, seed) for arm, seed, index, ready in jobs]
    begun = [identity.begun(f, p, f"arm {job[0]}") for f, p, job in zip(folders, parts, jobs, strict=True)]
    whole = [(f / "model").is_dir() for f in folders]
    if any(begun):
        reporter.say(f"going on with the run in {prepared.out}: {sum(whole)} of {len(jobs)} stages are finished")
    total = sum(ready.plan(seed).updates for _, seed, _, ready in jobs)
    done = sum(r.plan(s).updates for (_, s, _, r), w in zip(jobs, whole, strict=True) if w)
    open_pairs = [p for p in pairs if any(j[:2] == p and not w for j, w in zip(jobs, whole, strict=True))]
    with reporter.counting("training", total, done) as line:
        if workers is not None:
            todo = [{"do": "train", "arm": arm, "seed": seed} for arm, seed in open_pairs]
            return workers.do(todo, lambda message: crews.advance(line, message))
        for arm, seed in open_pairs:
            train_one(prepared, arm, seed, lambda message: crews.advance(line, message))
    return None


def train_one(prepared: Prepared, arm: str, seed: int, tell: Callable[[dict[str, Any]], None]) -> None:
    """All stages of an arm at one seed; `tell` is given progress: label, note, by (updates)."""
    for index, ready in enumerate(prepared.arms[arm]):
        _train(prepared, arm, seed, index, ready, tell)


def _train(
    prepared: Prepared, arm: str, seed: int, index: int, ready: Ready, tell: Callable[[dict[str, Any]], None]
) -> None:
    from .train import stage

    folder = stage_folder(prepared.out, arm, seed, index)
    start = str(stage_folder(prepared.out, arm, seed, index - 1) / "model") if index else prepared.model
    if rank() == 0:
        identity.begin(folder, identity_of(prepared, ready, arm, index, seed))
    label = f"{arm} seed {seed}" + (f" stage {index + 1}" if len(prepared.arms[arm]) > 1 else "")
    job = stage.Job(
        ready.records, ready.context, prepared.tokenizer, ready.train, seed, start, folder,
        prepared.recipe.model if not index else None, card(prepared, arm, seed),
        *watched(prepared, ready, arm, seed, folder),
    )  # fmt: skip
    last, spoke = 0, 0.0

    def progress(step: int, of: int, loss: float) -> None:
        nonlocal last, spoke
        if step == of or time.monotonic() - spoke > PAUSE:
            tell({"label": label, "note": f"loss {loss:.3f}", "by": step - last})
            last, spoke = step, time.monotonic()

    try:
        stage.run(job, progress)
    except OSError as e:
        raise UserError(
            f"{folder}: {e.strerror or e}", "make room or give another output=FOLDER; the same command goes on"
        ) from e


def watched(prepared: Prepared, ready: Ready, arm: str, seed: int, folder: Path) -> tuple[int, Look | None]:
    """How often training stops to be looked at, and who looks: those whose turn it is."""
    wanted, found = prepared.recipe.evaluate, list[tuple[int, Look]]()
    if wanted.probes is not None:
        from .evaluate.probing import Watcher

        found.append((wanted.probes.every, Watcher(prepared.probes, prepared.tokenizer, folder, wanted.tokens)))
    if wanted.gradients is not None:
        from .lab import gradients_watch

        view = gradients_watch.view(prepared, ready, arm)
        found.append((wanted.gradients.every, gradients_watch.Watcher(view, folder)))
    last = ready.plan(seed).updates

    def look(step: int, model: Any) -> None:
        for every, watcher in found:
            if step % every == 0 or step == last:
                watcher(step, model)

    return math.gcd(*(every for every, _ in found)), look if found else None


def judge(prepared: Prepared, reporter: Reporter, command: str = "", workers: crews.Crew | None = None) -> Result:
    """Score every trained arm, write samples, results and the report."""
    from . import report
    from .evaluate import summary
    from .evaluating import evaluate_all, samples

    results: Result = {}
    if prepared.tasks:
        evaluate_all(prepared, reporter, workers)
    if prepared.recipe.evaluate.samples:
        samples(prepared)
    identity.write_json(prepared.out / "accounting.json", prepared.accounting)
    if prepared.tasks:
        about = {arm: prepared.recipe.arms[arm].about for arm in prepared.arms}
        plain = [arm for arm, stages in prepared.arms.items() if not stages]
        results = summary.summarise(prepared.out, prepared.recipe.compare, about, prepared.recipe.name, plain)
        identity.write_json(prepared.out / "results.json", results)
        for arm, stages in prepared.arms.items():
            for seed in prepared.recipe.seeds if stages else ():
                (Path(model_of(prepared, arm, seed)) / "README.md").write_text(
                    card(prepared, arm, seed, results), "utf-8"
                )
    record(prepared, command, "done")
    page = report.write(prepared.out, command)
    if results:
        reporter.say(results["verdict"]["sentence"], "bold")
    reporter.say(f"report: {page}")
    return results


def record(prepared: Prepared, command: str, status: str) -> None:
    """The resolved recipe and the circumstances, for the report and for whoever repeats it."""
    if rank() != 0:
        return
    import yaml

    out = prepared.out
    old = json.loads((out / "run.json").read_text()) if (out / "run.json").exists() else {}
    plain = json.loads(prepared.recipe.model_dump_json(exclude_defaults=True))
    (out / "recipe.yaml").write_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), encoding="utf-8")
    identity.write_json(
        out / "run.json",
        {
            "schema": 1, "identity": identity.digest(plain), "status": status,
            "command": command or old.get("command", ""),
            "began": old.get("began", time.strftime("%Y-%m-%d %H:%M:%S")), "ended": time.strftime("%Y-%m-%d %H:%M:%S"),
            "environment": environment(), "warnings": prepared.warnings, "base": str(prepared.base.resolve()),
            "model": prepared.model, "parameters": prepared.parameters,
        },
    )  # fmt: skip
