"""Choose each arm's settings at each seed by successive halving, before anything is compared.

    search.json    what was tried, raw: {"ARM/seed-S": {"decides", "budget", "trials": [{rung, values, updates,
                   validation}], "choice"}}; `validation` is null where training diverged
    search/        trainings under way; each goes when its loss is in search.json

Seeds search apart, so that what a choice owes to chance is part of the variation between seeds, and an interval over
seeds covers it. All arms choose from the same settings for the same number of updates.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError
from contextune.core.files import digest, write_sealed
from contextune.core.progress import Reporter, read_or_say
from contextune.data.records import hashed

from . import fingerprint
from .halving import Done, Standing, Trial, Values, budget, shortened, standing
from .prepare import Prepared, PreparedStage
from .run_dir import fingerprint_of
from .training import train_stage
from .workers import Workers, advance

FILE, FOLDER = "search.json", "search"
LEAST = 4
"""Updates that the shortest trial has at least; fewer say nothing."""
Searches = dict[str, dict[str, Any]]
"""What stands in search.json."""


def search(prepared: Prepared, reporter: Reporter, workers: Workers | None = None) -> Prepared:
    """The run with what each arm has chosen at each seed. What an interrupted search has tried is not tried again."""
    if prepared.recipe.search is None:
        return prepared
    found = _begun(prepared)
    pairs = [(arm, seed) for seed in prepared.recipe.seeds for arm, stages in prepared.arms.items() if stages]
    spent = sum(trial["updates"] for one in found.values() for trial in one["trials"])
    with reporter.counting("searching", sum(one["budget"] for one in found.values()), spent) as line:

        def hear(message: dict[str, Any]) -> None:
            if "trial" in message:
                found[message["of"]]["trials"].append(message["trial"])
                write_sealed(prepared.out / FILE, _kept(prepared.out) | found)
                shutil.rmtree(prepared.out / FOLDER / message["of"] / message["folder"], ignore_errors=True)
            advance(line, message)

        while jobs := [job for arm, seed in pairs for job in _jobs(prepared, arm, seed, found)]:
            if workers is not None:
                workers.do(jobs, hear)
                continue
            for job in jobs:
                try_one(prepared, hear, **{k: v for k, v in job.items() if k != "do"})
    for arm, seed in pairs:
        _choose(prepared, arm, seed, found[name(arm, seed)])
    write_sealed(prepared.out / FILE, _kept(prepared.out) | found)
    shutil.rmtree(prepared.out / FOLDER, ignore_errors=True)
    for arm, seed in pairs:
        reporter.say(f"search   {arm} at seed {seed}: {said(found[name(arm, seed)])}")
    return chosen(prepared)


def name(arm: str, seed: int) -> str:
    return f"{arm}/seed-{seed}"


def chosen(prepared: Prepared) -> Prepared:
    """The run with what search.json says."""
    if (options := prepared.recipe.search) is None:
        return prepared
    found, arms = _kept(prepared.out), dict(prepared.arms)
    for arm, stages in arms.items():
        at = {seed: (found.get(name(arm, seed)) or {}).get("choice") for seed in prepared.recipe.seeds}
        arms[arm] = tuple(
            replace(r, chosen={seed: _whole(r, seed, c, options.longest) for seed, c in at.items() if c})
            for r in stages
        )
    kept = {k: v for k, v in prepared.kept.items() if k != "accounting"}  # was of the longest run
    return replace(prepared, arms=arms, kept=kept)


def said(found: Mapping[str, Any]) -> str:
    """What was chosen and how, in words."""
    last = [t for t in found["trials"] if t["values"] == found["choice"]][-1]
    spent = sum(t["updates"] for t in found["trials"])
    return (
        f"{settings(found['choice'])} (validation loss {last['validation']:.4f} after {last['updates']} updates; "
        f"{len(found['trials'])} trials, {spent} of at most {found['budget']} updates)"
    )


def settings(values: Values) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in values.items())


# ------------------------------------------------------------------------------------------- before anything is tried


def plan(prepared: Prepared) -> dict[str, Any] | None:
    """{"candidates": their number, "updates": {ARM: at most, a seed}, "equal"}; None where nothing is searched.

    Raises UserError where a search cannot be: no validation texts, trials that are too short, several processes.
    """
    if (options := prepared.recipe.search) is None:
        return None
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise UserError("search: several processes cannot search together", "search on one, then set what it chose")
    found: dict[str, int] = {}
    seed = prepared.recipe.seeds[0]
    for arm, stages in prepared.arms.items():
        if not stages:
            continue
        if not len(stages[-1].validation):
            raise UserError(
                f"search: arm {arm} has no texts to validate on",
                f"data.{stages[-1].stage.sources[0]}.validation=0.05 keeps a share out of training, train.validate_on "
                "names a source",
            )
        updates = _updates(prepared, arm, seed)
        shortest = min(
            shortened(_of_stage(ready, seed, options.candidates[t.candidate], options.longest), t.share)
            for t in standing(updates, {}).open
            for ready in stages
        )
        if shortest < LEAST:
            raise UserError(
                f"search: arm {arm}: {len(updates)} settings for as many updates as one run has ({budget(updates)}) "
                f"leave {shortest} to the shortest trial, and {LEAST} are the least",
                "name fewer settings, or train for more updates",
            )
        found[arm] = budget(updates)
    return {"candidates": len(options.candidates), "updates": found, "equal": len(set(found.values())) <= 1}


def plan_line(found: Mapping[str, Any]) -> str:
    """What `plan` found, in words."""
    each = found["updates"]
    if found["equal"]:
        spent = f"at most {next(iter(each.values()), 0):,} updates in every arm"
    else:
        spent = "not as many updates in every arm: " + ", ".join(f"{arm} at most {n:,}" for arm, n in each.items())
    return f"{found['candidates']} settings a seed, {spent}, as many as one run has"


# ------------------------------------------------------------------------------------------- trials


def try_one(
    prepared: Prepared,
    tell: Callable[[dict[str, Any]], None],
    arm: str,
    seed: int,
    rung: int,
    candidate: int,
    share: float,
) -> None:
    """Train a candidate in a folder of its own; `tell` is given its loss, as {"of", "folder", "trial"}."""
    from contextune.train.checkpoint_callbacks import Diverged  # imports torch

    options = prepared.recipe.search
    assert options is not None
    values, folder = options.candidates[candidate], f"{rung}-{candidate}"
    place = prepared.out / FOLDER / name(arm, seed) / folder
    stages = [_tried(ready, seed, values, options.longest, share) for ready in prepared.arms[arm]]
    start, made, loss = prepared.model, 0, None
    try:
        for index, ready in enumerate(stages):
            stage = place / f"stage-{index}"
            parts = {"of": name(arm, seed), "rung": rung, "stage": index, "train": ready.train.model_dump(mode="json")}
            made += ready.plan(seed).updates
            train_stage(prepared, ready, arm, seed, index, stage, start, parts, f"{arm} seed {seed}", tell)
            start = str(stage / "model")
        loss = json.loads((stage / "stage.json").read_text())["kept"]["validation"]
    except Diverged:
        pass
    trial = {"rung": rung, "values": values, "updates": made, "validation": loss}
    tell({"of": name(arm, seed), "folder": folder, "trial": trial})


def _begun(prepared: Prepared) -> Searches:
    """The searches of the run, as far as they are. UserError where another search stands in the folder."""
    known, found = _kept(prepared.out), Searches()
    for arm, stages in prepared.arms.items():
        for seed in prepared.recipe.seeds if stages else ():
            decides = json.loads(json.dumps(_decides(prepared, arm, seed), default=str))
            old = known.get(name(arm, seed))
            if old is not None and (differ := fingerprint.changed(old["decides"], decides)):
                raise UserError(
                    f"{prepared.out / FILE}: arm {arm} was searched with another recipe or other data; changed: "
                    f"{', '.join(differ[:6])}",
                    "give the run another folder with output=FOLDER, or start over with --fresh",
                )
            new = {"decides": decides, "budget": budget(_updates(prepared, arm, seed)), "trials": [], "choice": None}
            found[name(arm, seed)] = old or new
    return found


def _decides(prepared: Prepared, arm: str, seed: int) -> dict[str, Any]:
    """All that decides what is chosen."""
    assert prepared.recipe.search is not None
    stages = prepared.arms[arm]
    return {
        "search": prepared.recipe.search.model_dump(mode="json"),
        "validation": digest([hashed(r) for r in stages[-1].validation]),
        **{f"stage-{i}": fingerprint_of(prepared, ready, arm, i, seed) for i, ready in enumerate(stages)},
    }


def _kept(out: Path) -> Searches:
    return read_or_say(out / FILE, "what it lists is tried again") or {}


def _standing(prepared: Prepared, arm: str, seed: int, found: Mapping[str, Any]) -> Standing:
    assert prepared.recipe.search is not None
    place = {json.dumps(values): i for i, values in enumerate(prepared.recipe.search.candidates)}
    done: Done = {
        (t["rung"], place[json.dumps(t["values"])]): math.inf if t["validation"] is None else t["validation"]
        for t in found["trials"]
    }
    return standing(_updates(prepared, arm, seed), done)


def _jobs(prepared: Prepared, arm: str, seed: int, found: Searches) -> list[dict[str, Any]]:
    """The trials that are open, as workers are given them."""
    trials: tuple[Trial, ...] = _standing(prepared, arm, seed, found[name(arm, seed)]).open
    return [
        {"do": "try", "arm": arm, "seed": seed, "rung": t.rung, "candidate": t.candidate, "share": t.share}
        for t in trials
    ]


def _choose(prepared: Prepared, arm: str, seed: int, found: dict[str, Any]) -> None:
    choice = _standing(prepared, arm, seed, found).choice
    if choice is None:
        raise UserError(
            f"search: arm {arm} at seed {seed}: training diverged with every setting", "lower the values of search.lr"
        )
    assert prepared.recipe.search is not None
    found["choice"] = prepared.recipe.search.candidates[choice]


# ------------------------------------------------------------------------------------------- lengths


def _updates(prepared: Prepared, arm: str, seed: int) -> list[int]:
    """Updates of a whole run of each candidate, over all stages."""
    options = prepared.recipe.search
    assert options is not None
    return [sum(_of_stage(r, seed, c, options.longest) for r in prepared.arms[arm]) for c in options.candidates]


def _of_stage(ready: PreparedStage, seed: int, values: Values, longest: Values) -> int:
    """Updates of a stage with these values; a stage that was matched to another arm's stays so in proportion."""
    whole = replace(ready, chosen={}).plan(seed).updates
    return max(1, round(whole * values["steps"] / longest["steps"])) if "steps" in values else whole


def _whole(ready: PreparedStage, seed: int, values: Values, longest: Values) -> dict[str, Any]:
    """What changes in a stage's training by a choice."""
    return {**values, **({"steps": _of_stage(ready, seed, values, longest)} if "steps" in values else {})}


def _tried(ready: PreparedStage, seed: int, values: Values, longest: Values, share: float) -> PreparedStage:
    """A stage as it is trained in a trial."""
    steps = shortened(_of_stage(ready, seed, values, longest), share)
    return replace(ready, train=ready.train.model_copy(update={**values, "steps": steps}), chosen={})
