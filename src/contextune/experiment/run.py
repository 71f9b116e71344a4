"""The main job: check, train all arms at all seeds, evaluate, report.

Killed at any moment, it resumes when the same command is given again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from itertools import product
from pathlib import Path
from typing import Any

from contextune.core import registry
from contextune.core.commands import refuse_commands
from contextune.core.environment import environment, quiet_libraries, rank
from contextune.core.files import Damaged, checksums, digest, read_sealed, signed, write_json, write_sealed, write_text
from contextune.core.machine import refusals
from contextune.core.ownership import set_aside
from contextune.core.progress import Reporter, keeping, plain_console
from contextune.core.yaml_files import dump
from contextune.evaluate.analysis.summary import summarise
from contextune.train.options import most_at_once

from . import augment_files, memory, questions, retrieval_file, tracking, weights
from .accounting import accounting
from .context_shares import context_line, context_shares
from .measures_table import measures_table
from .model_card import card
from .preflight import accounting_table, enough, look_ahead, reached
from .prepare import Prepared, prepare
from .prepare.data import DATE
from .recipe import RecipeLike, as_recipe, folder_of, parse
from .run_dir import RESUMES, kept, locked, stage_folder
from .run_files import CARD, claim, clear, may_clear, refuse_inputs
from .scoring import evaluate_all, refuse_gone, samples, score_one
from .search import chosen, plan, plan_line, search, try_one
from .training import train_all, train_one
from .validated import validated, validated_lines
from .workers import Message, Workers, side_by_side, start_workers

Result = dict[str, Any]


def run(
    recipe: RecipeLike,
    *,
    base: Path | str | None = None,
    only: Iterable[str] | str = (),
    overrides: Iterable[str] | str = (),
    fresh: bool = False,
    evaluate: bool = True,
    reporter: Reporter | None = None,
    command: str = "",
    workers: int = 1,
) -> Result:
    """Train every arm of a recipe (a file, its values, or a Recipe) at every seed, evaluate, and write the report.

    Returns what stands in `results.json`, with the run's `folder` added. Paths in the recipe are relative to `base`
    (default: the recipe file's folder, else the working directory). `workers` processes train side by side; 0 chooses:
    one a core for models that run on one thread. What your own script registers is not known to other processes: it
    needs `workers=1`, or a plug-in. What an earlier run of the same recipe has finished is not done again.
    Raises UserError before the first step for whatever the last one would need.
    """
    recipe, base = as_recipe(recipe, base, overrides)
    reporter = reporter or Reporter(plain_console(stderr=True))
    reporter.quiet = reporter.quiet or rank() != 0
    out = folder_of(recipe)
    quiet_libraries()
    if fresh:
        may_clear(out)
    claim(out)
    refuse_inputs(recipe, base, out)
    with refusals(out, RESUMES), keeping(lambda: kept(out)), locked(out):
        if fresh and rank() == 0:
            clear(out)
        prepared = prepare(recipe, base, out, only, reporter.say)
        preflight(prepared, reporter)
        prepared = settle_memory(prepared, workers, reporter)
        if rank() == 0:
            augment_files.write(prepared)
        record(prepared, command, "training")
        if evaluate:
            refuse_gone(prepared)
        if prepared.recipe.search is not None:
            with open_workers(prepared, workers) as pool:
                prepared = search(prepared, reporter, pool)
        tracking.begin(prepared)
        with open_workers(prepared, workers) as pool:
            for part in weights.parts(prepared) if evaluate else [prepared]:
                train_all(part, reporter, pool)
                if evaluate and rank() == 0:
                    ask(part, reporter, pool)
                    if prepared.recipe.keep == "outcomes":
                        weights.release(part, None)
        if not evaluate or rank() != 0:
            return {"folder": str(out)}
        return {**judge(prepared, reporter, command), "folder": str(out)}


def open_workers(prepared: Prepared, asked: int) -> AbstractContextManager[Workers | None]:
    """The processes that train and score side by side; `asked` 0 chooses one a core for models on one thread."""
    n = side_by_side(prepared, asked)
    start = {
        "recipe": json.loads(prepared.recipe.model_dump_json(exclude_defaults=True)),
        "base": str(prepared.base),
        "out": str(prepared.out),
        "only": list(prepared.arms),
    }
    return start_workers(n, f"{__name__}:worker", start)


def worker(start: dict[str, Any]) -> Callable[[Message, Callable[[Message], None]], None]:
    """In a worker process: what does one job of the run that `start` describes."""
    made = parse(start["recipe"])
    prepared = prepare(made, Path(start["base"]), Path(start["out"]), start["only"])
    prepared = chosen(memory.with_tokens(prepared, memory.read(prepared.out)))
    duties: dict[str, Callable[..., None]] = {"train": train_one, "score": score_one, "try": try_one}
    return lambda job, tell: duties[job["do"]](prepared, tell=tell, **{k: v for k, v in job.items() if k != "do"})


def settle_memory(prepared: Prepared, workers: int, reporter: Reporter) -> Prepared:
    """The run with tokens at once that fit into memory, kept in its folder. UserError where a stage does not fit."""
    settled, chosen = memory.settle(prepared, side_by_side(prepared, workers))
    if rank() == 0:
        memory.write(prepared, chosen)
    for name, found in chosen.items():
        if found.tokens < most_at_once() and prepared.recipe.train.tokens == "auto":
            reporter.say(f"{name}: {found.tokens:,} tokens at once, as the free memory allows")
        if found.recomputes and prepared.recipe.train.checkpointing == "auto":
            reporter.say(f"{name}: activations are recomputed, as the free memory holds no row without")
    return settled


def preflight(prepared: Prepared, reporter: Reporter) -> None:
    """What can be known before the first step to go wrong at the last."""
    refuse_commands(prepared.tasks)
    enough(prepared)
    look_ahead(prepared)
    validates = validated_lines(validated(prepared))
    for warning in prepared.warnings:
        reporter.say(f"warning: {warning}", "yellow")
    reporter.show(accounting_table(accounting(prepared)))
    for line in reached(prepared):
        reporter.say(line)
    for line in validates:
        reporter.say(f"validate {line}")
    if (found := plan(prepared)) is not None:
        reporter.say(f"search   {plan_line(found)}", "" if found["equal"] else "yellow")
    for row in context_shares(prepared):
        reporter.say(f"contexts {context_line(row)}")


def ask(prepared: Prepared, reporter: Reporter, workers: Workers | None = None) -> None:
    """Score every arm and write samples: all that weights are needed for."""
    if prepared.tasks:
        evaluate_all(prepared, reporter, workers)
    if prepared.recipe.evaluate.samples:
        samples(prepared)


def judge(prepared: Prepared, reporter: Reporter, command: str = "") -> Result:
    """Write results and the report from what was scored, then let go of the weights that are not kept."""
    results: Result = {}
    write_json(prepared.out / "accounting.json", accounting(prepared))
    write_json(prepared.out / "contexts.json", context_shares(prepared))
    retrieval_file.write(prepared)
    questions.write(prepared)
    if prepared.tasks:
        about = {arm: prepared.recipe.arms[arm].about for arm in prepared.arms}
        plain = [arm for arm in prepared.arms if prepared.recipe.is_untrained(arm)]
        results = summarise(prepared.out, prepared.recipe.compare, about, prepared.recipe.name, plain)
        write_json(prepared.out / "results.json", results)
    for arm, stages in prepared.arms.items():
        for seed, i in product(prepared.recipe.seeds, range(len(stages))):
            text = card(prepared, arm, seed, results if results and i == len(stages) - 1 else None)
            file = stage_folder(prepared.out, arm, seed, i) / "model" / CARD
            if not file.parent.is_dir():  # not kept
                continue
            set_aside(file)
            write_text(file, text)
    record(prepared, command, "done")
    weights.release(prepared, results["verdict"]["winner"] if results else None)
    page = registry.reports.find("html")(prepared.out, command)
    if results:
        reporter.show(measures_table(results))
        reporter.say(results["verdict"]["sentence"], "bold")
        tracking.log_measures(prepared, results)
    for line in tracking.lines(prepared):
        reporter.say(f"tracked: {line}")
    reporter.say(f"report: {page}")
    return results


def _shown(out: Path) -> list[str]:
    """Files that a report shows and no command but the run's own writes."""
    made = [
        out / "recipe.yaml",
        out / "accounting.json",
        out / "samples.json",
        out / questions.FILE,
        *out.glob(retrieval_file.FILE),
    ]
    made += out.glob(f"{augment_files.FOLDER}/*")
    made += out.glob("arms/*/seed-*/stage-*/losses.json")
    return sorted(str(f.relative_to(out)) for f in made if f.exists())


def record(prepared: Prepared, command: str, status: str) -> None:
    """Write the resolved recipe and the circumstances, for the report and so that the run can be repeated."""
    if rank() != 0:
        return
    out = prepared.out
    old: dict[str, Any] = {}
    with suppress(Damaged):  # said when its date was read
        old = read_sealed(out / "run.json", older=True) or {}
    plain = json.loads(prepared.recipe.model_dump_json(exclude_defaults=True))
    set_aside(out / "recipe.yaml")
    write_text(out / "recipe.yaml", signed(dump(plain)))
    sums = checksums(out, _shown(out)) if status == "done" else {}
    write_sealed(
        out / "run.json",
        {
            "schema": 1, "identity": digest(plain), "status": status,
            "command": command or old.get("command", ""),
            "began": prepared.began.strftime(DATE), "ended": time.strftime(DATE),
            "environment": environment(), "warnings": prepared.warnings, "base": str(prepared.base.resolve()),
            "model": prepared.model, "parameters": prepared.parameters, "sums": sums,
        },
    )  # fmt: skip
