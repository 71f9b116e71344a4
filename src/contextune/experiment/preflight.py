"""`contextune check`: everything that can be known before training, in one place."""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console

from contextune import models
from contextune.core import asking, memory
from contextune.core.commands import refuse_commands
from contextune.core.errors import UserError
from contextune.core.memory import gib
from contextune.core.progress import human, plain_console
from contextune.data.contamination import Overlap
from contextune.train.callback import Training

from .accounting import accounting
from .context_shares import context_line, context_shares
from .disk import disk
from .estimate import estimate
from .memory import Chosen, memory_line, rows, settle
from .overlaps import refuse_overlap
from .power import power, power_line
from .prepare import Prepared
from .prepare.matching import held_against, match_of
from .run_files import claim, refuse_inputs
from .search import plan, plan_line
from .validated import validated, validated_lines
from .workers import side_by_side


def check(prepared: Prepared, measure: bool = True, stated: int | None = None) -> dict[str, Any]:
    """Accounting, overlap, disk, tasks, memory, and (with `measure`) time from one small probe.

    `stated`: bytes of a GPU that is not here, whose memory is counted and whose time is not. Raises UserError for
    whatever would stop the run.
    """
    refuse_commands(prepared.tasks)
    claim(prepared.out, keep=False)
    refuse_inputs(prepared.recipe, prepared.base, prepared.out)
    chosen: dict[str, Chosen] = {}
    measure = measure and stated is None and any(prepared.arms.values())
    if measure or stated is not None:  # what does not fit is said first
        chosen = settle(prepared, 1 if stated else side_by_side(prepared, 0), count=True, stated=stated)[1]
    space = enough(prepared)
    found = look_ahead(prepared)
    return {
        "schema": 1,
        "model": {"path": prepared.model, "parameters": prepared.parameters},
        "accounting": accounting(prepared),
        "reached": reached(prepared),
        "same_targets": same_targets(accounting(prepared)),
        "overlap": {"items": len(found.ids), "ids": list(found.ids)[:20]},
        "tasks": {
            t.name: {"kind": t.kind, "items": len(t.items), "metric": t.metric, "chat": t.chat} for t in prepared.tasks
        },
        "contexts": context_shares(prepared),
        "augment": pending(prepared),
        "power": power(prepared),
        "validation": validated(prepared),
        "search": plan(prepared),
        "disk": space,
        "warnings": prepared.warnings,
        "memory": rows(chosen, stated or memory.free()) if chosen else [],
        "estimate": estimate(prepared) if measure else None,
    }


def look_ahead(prepared: Prepared) -> Overlap:
    """What would go wrong after the first step, found before it. Raises UserError; less is a warning.

    `check` and the run's own beginning both look here, so that what one refuses the other does.
    """
    refuse_positions(prepared)
    refuse_lengths(prepared)
    warn_of_small_numbers(prepared)
    warn_of_threads(prepared)
    prepared.recipe.track.check()
    for warning in prepared.recipe.track.unused():
        prepared.warn(warning)
    for callback in prepared.recipe.evaluate.callbacks.values():
        callback.check(Training(prepared))
    return refuse_overlap(prepared)


def pending(prepared: Prepared) -> list[dict[str, Any]]:
    """For each augmented stage the texts that there are, and what is still to be asked of the writer."""
    prices = prepared.recipe.writer.prices
    return [
        {
            "arm": arm,
            "stage": i,
            "made": ready.augmented.account["made"],
            **(open_ := ready.augmented.pending),
            "price": (open_["read"] * prices["input"] + open_["write"] * prices["output"]) / 1e6 if prices else None,
        }
        for arm, stages in prepared.arms.items()
        for i, ready in enumerate(stages)
        if ready.augmented is not None
    ]


def enough(prepared: Prepared) -> dict[str, int]:
    """Bytes needed and free; UserError where the disk is too small for the run."""
    space = disk(prepared)
    if space["needed"] > space["free"]:
        raise UserError(
            f"output {prepared.out}: {space['free'] >> 20} MiB free, about {space['needed'] >> 20} MiB needed",
            "free some space, give another output=FOLDER, keep: outcomes, use an adapter, or fewer arms and seeds",
        )
    return space


def same_targets(accounting: list[dict[str, Any]]) -> bool:
    """Whether every arm that trains on a source trains on the same number of its tokens, over all its updates."""
    return all(len(set(counts.values())) == 1 for counts in _learned(accounting).values())


def _learned(accounting: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Target tokens by source and arm, over all updates of all stages."""
    found: dict[str, dict[str, int]] = {}
    for row in accounting:
        arms = found.setdefault(row["source"], {})
        arms[row["arm"]] = arms.get(row["arm"], 0) + row["learned"]
    return found


def reached(prepared: Prepared) -> list[str]:
    """For each stage in words: its updates, and how often its rows are trained on; once where all stages are alike."""
    seed = prepared.recipe.seeds[0]
    found: dict[str, str] = {}
    held = held_against(prepared.recipe)
    for arm, stages in prepared.arms.items():
        for i, ready in enumerate(stages):
            plan = ready.plan(seed)
            whole, rest = divmod(plan.draws, plan.rows)
            if whole == 0:
                seen = f"{rest:,} of {plan.rows:,} rows are reached"
            elif rest:
                seen = f"{plan.rows:,} rows, {rest:,} of them seen {whole + 1} times, the others {_times(whole)}"
            else:
                seen = f"{plan.rows:,} rows, each seen {_times(whole)}"
            name = arm + (f" ({i + 1})" if i else "")
            match = match_of(prepared.recipe, arm)
            as_many = f" (as many {match} as {held})" if match and held not in (None, arm) else ""
            found[name] = f"{plan.updates:,} updates of {plan.batch}: {seen}{as_many}"
    if len(set(found.values())) == 1 and len(found) > 1:
        return [f"every arm: {next(iter(found.values()))}"]
    return [f"{name}: {text}" for name, text in found.items()]


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def target_line(accounting: list[dict[str, Any]]) -> str:
    """Target tokens over all updates: the same in every arm, or of each."""
    arms: dict[str, int] = {}
    for row in accounting:
        arms[row["arm"]] = arms.get(row["arm"], 0) + row["learned"]
    if not arms:
        return "none, nothing is trained"
    if same_targets(accounting):
        return "the same in every arm" + (f" ({next(iter(arms.values())):,})" if len(set(arms.values())) == 1 else "")
    return "not the same in every arm: " + ", ".join(f"{arm} {n:,}" for arm, n in arms.items())


WORTH = 1 << 30
"""Bytes of weights from which `check` says what each `keep` would leave."""
FEW = 5
"""Fewer items, documents or updates than this say nothing."""


def refuse_positions(prepared: Prepared) -> None:
    """UserError where a stage trains on longer sequences than the model has positions for; else a warning."""
    empty = prepared.kept.get("skeleton")
    longest = max((ready.train.max_length for stages in prepared.arms.values() for ready in stages), default=0)
    if empty is not None:
        for warning in models.check_positions(empty, longest, prepared.model):
            prepared.warn(warning)


def refuse_lengths(prepared: Prepared) -> None:
    """UserError where a task's answers or options are longer than what the model reads."""
    empty = prepared.kept.get("skeleton")
    if empty is None:
        return
    reads = asking.window(empty, prepared.tokenizer)
    for task in prepared.tasks:
        if task.kind == "generate" and task.max_tokens >= reads:
            raise UserError(
                f"task {task.name}: max_tokens is {task.max_tokens:,}, the model {prepared.model} reads {reads:,} "
                "tokens in all, the prompt included",
                "lower the task's max_tokens",
            )
        for item in task.items if task.kind == "choice" else ():
            for option in item.options:  # a token has at least a byte; a few are special
                if len(option.encode()) + 8 > reads:
                    n = len(asking.asked_pair(task.asked(item), option, prepared.tokenizer)[1])
                    if n > reads:
                        raise UserError(
                            f"task {task.name}: item {item.id}: an option has {n:,} tokens, the model "
                            f"{prepared.model} reads {reads:,}",
                            "shorten the option",
                        )


def warn_of_threads(prepared: Prepared) -> None:
    cores = os.cpu_count() or 1
    for asked in {ready.train.threads for stages in prepared.arms.values() for ready in stages}:
        if asked > cores:
            prepared.warn(f"train.threads is {asked}, this machine has {_counted(cores, 'core')}: {cores} are used")


def warn_of_small_numbers(prepared: Prepared) -> None:
    """Numbers that are too small to mean anything become warnings."""
    for arm, stages in prepared.arms.items():
        for ready in stages:
            plan = ready.plan(prepared.recipe.seeds[0])
            if plan.updates < FEW:
                prepared.warn(
                    f"arm {arm}: {_counted(plan.updates, 'update')} in all, too few to learn from; "
                    "raise train.epochs or train.steps, or lower train.batch"
                )
            if plan.batch > plan.rows:
                prepared.warn(
                    f"arm {arm}: train.batch {plan.batch} is more than its {_counted(plan.rows, 'row')}, which an "
                    "update then holds more than once"
                    if plan.draws > plan.rows
                    else f"arm {arm}: train.batch {plan.batch} is more than its {_counted(plan.rows, 'row')}"
                )
            if plan.rows < FEW:
                prepared.warn(f"arm {arm}: {_counted(plan.rows, 'row')} to train on")
    for task in prepared.tasks:
        if len(task.items) < FEW:
            what = "held-out document" if task.kind == "perplexity" else "item"
            prepared.warn(f"task {task.name}: {_counted(len(task.items), what)}, too few to tell arms apart")


def _counted(n: int, what: str) -> str:
    return f"one {what}" if n == 1 else f"{n} {what}s"


COLUMNS = {
    "arm": "arm",
    "source": "source",
    "rows": "rows",
    "tokens_in": "in",
    "trained": "trained",
    "context": "context",
    "cut": "cut",
    "dropped": "dropped",
    "duplicated": "twice",
}


def accounting_table(rows: list[dict[str, Any]]) -> Any:
    """What goes in and what is trained on, an epoch; a later stage of an arm is marked by its number."""
    from rich.table import Table

    table = Table(
        box=None, pad_edge=False, padding=(0, 1), title="tokens an epoch", title_justify="left", header_style="dim"
    )
    for key, title in COLUMNS.items():
        table.add_column(title, justify="left" if key in ("arm", "source") else "right", no_wrap=True)
    for row in rows:
        named = {**row, "arm": row["arm"] + (f" ({row['stage'] + 1})" if row["stage"] else "")}
        table.add_row(*(f"{named[c]:,}" if isinstance(named[c], int) else str(named[c]) for c in COLUMNS))
    return table


def augment_line(row: dict[str, Any]) -> str:
    """What an augmented stage has, and what it will cost; steps that hang on earlier answers cannot be counted yet."""
    line = f"{row['arm']}: {row['made']} texts are there"
    if not row["requests"]:
        return f"{line}, nothing is left to be asked"
    price = f", at most {row['price']:.2f} at the writer's prices" if row["price"] is not None else ""
    return (
        f"{line}; {row['requests']} requests or more are still to be asked: {row['read']:,} tokens to read and at most "
        f"{row['write']:,} to write{price}; what they will give is not counted above"
    )


def show(found: dict[str, Any]) -> None:
    console = plain_console()
    console.print(f"model    {found['model']['path']}, {found['model']['parameters'] / 1e6:.1f} M parameters")
    console.print(accounting_table(found["accounting"]))
    for line in found["reached"]:
        console.print(f"training {line}")
    console.print(f"target tokens: {target_line(found['accounting'])}", style="" if found["same_targets"] else "yellow")
    for row in found["contexts"]:
        console.print(f"contexts {context_line(row)}")
    for name, task in found["tasks"].items():
        asked = ", asked through the chat template" if task["chat"] else ""
        console.print(f"task     {name}: {task['items']} items, {task['kind']}, {task['metric']}" + asked)
    if found["power"]:
        console.print(f"power    {power_line(found['power'])}")
    for line in validated_lines(found["validation"]):
        console.print(f"validate {line}")
    if found["search"]:
        console.print(f"search   {plan_line(found['search'])}", style="" if found["search"]["equal"] else "yellow")
    for row in found["augment"]:
        console.print(f"augment  {augment_line(row)}")
    console.print(f"overlap  {found['overlap']['items']} test items occur in the training texts (13-grams)")
    space = {k: gib(v) for k, v in found["disk"].items()}
    ways = ", ".join(f"keep: {way} {space[f'keep_{way}']}" for way in ("all", "best", "outcomes"))
    worth = found["disk"]["keep_all"] - found["disk"]["keep_outcomes"] >= WORTH
    console.print(
        f"disk     {space['kept']} when it is done, {space['needed']} at most before, {space['free']} free"
        + f" ({ways})" * worth
    )
    for row in found["memory"]:
        console.print(f"memory   {memory_line(row)}")
    if found["estimate"]:
        show_estimate(found["estimate"], console)
    for text in found["warnings"]:
        console.print(f"warning  {text}", style="yellow")
    console.print("all is well; contextune run trains it" if not found["warnings"] else "contextune run trains it")


def show_estimate(guess: dict[str, Any], console: Console) -> None:
    for row in guess["stages"]:
        console.print(
            f"time     {row['arm']}: {row['updates']} updates, {row['seconds_per_update']:.3f} s each, "
            f"{row['tokens_per_second']:,.0f} tokens/s; {row['tokens']:,} tokens at once"
        )
    parts = ", ".join(f"{what} {human(seconds)}" for what, seconds in guess["parts"].items() if seconds >= 0.5)
    beside = f", {guess['beside']} trainings side by side" if guess["beside"] > 1 else ""
    console.print(f"time     about {human(guess['seconds'])} in all{beside}" + (f" ({parts})" if parts else ""))
    console.print(f"memory   about {gib(guess['memory'])} at most, {gib(guess['free'])} free")
