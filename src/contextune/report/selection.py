"""What was chosen by validation loss: of each training the update that was kept, of each search the settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from contextune.core.errors import UserError
from contextune.core.files import Damaged, read_sealed

from .looks import ArmLook
from .numbers import finite, num
from .read import AGAIN, Run, _json
from .tables import Cell, Column, Table, arm, number

SEARCH = "search.json"


def kept(run: Run, looks: Mapping[str, ArmLook]) -> Table | None:
    """One row an arm, seed and stage whose validation loss was measured."""
    rows = []
    for path in sorted(run.folder.glob("arms/*/seed-*/stage-*/stage.json")):
        seed, stage = (re.fullmatch(r"(?:seed|stage)-(\d+)", part) for part in path.parts[-3:-1])
        made = _json(path, dict)
        found = made.get("kept")
        if path.parts[-4] in looks and seed and stage and isinstance(found, dict):
            cells = (int(seed[1]), int(stage[1]), made.get("updates"), found.get("update"), found.get("validation"))
            rows.append((arm(looks[path.parts[-4]]), *map(number, cells)))
    heads = ("Seed", "Stage", "Updates made", "Update kept", "Validation loss")
    return Table((Column("Arm", numeric=False), *map(Column, heads)), tuple(rows)) if rows else None


def searches(run: Run, looks: Mapping[str, ArmLook]) -> Table | None:
    """One row an arm and seed: what it chose, and what it would have had with the choices of the other arms."""
    found = _searches(run)
    rows = []
    for name, one in found.items():
        who, seed = _of(name)
        if who not in looks or not one["choice"]:
            continue
        own = _tried(one, one["choice"])
        spent = sum(trial["updates"] for trial in one["trials"])
        last = own[max(own)]
        cells = (
            Cell(settings(one["choice"])), number(last["validation"]), number(last["updates"]),
            Cell("; ".join(_others(name, found)) or "they chose the same"), number(spent), number(one["budget"]),
        )  # fmt: skip
        rows.append((arm(looks[who]), number(seed), *cells))
    if not rows:
        return None
    heads = (
        Column("Arm", numeric=False), Column("Seed"), Column("Chosen", numeric=False), Column("Validation loss"),
        Column("After updates"), Column("With the choice of another arm", numeric=False), Column("Updates in all"),
        Column("At most"),
    )  # fmt: skip
    return Table(heads, tuple(rows))


def settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in values.items())


def _others(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    """The choices of the other arms at the same seed: this arm's loss with each, beside that with its own choice after
    a trial of the same rung."""
    one, seen = found[name], [found[name]["choice"]]
    own = _tried(one, one["choice"])
    for other, its in found.items():
        if _of(other)[1] != _of(name)[1] or not its["choice"] or its["choice"] in seen:
            continue
        seen.append(its["choice"])
        said = f"{settings(its['choice'])} ({_of(other)[0]})"
        if not (tried := _tried(one, its["choice"])):
            yield f"{said}: unknown, not tried"
            continue
        rung = max(tried)
        loss = tried[rung]["validation"]
        here, there = ("diverged" if x is None else num(finite(x)) for x in (loss, own[rung]["validation"]))
        yield f"{said}: {here} after {tried[rung]['updates']} updates, own choice {there}"


def _tried(one: Mapping[str, Any], values: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """The trials of a setting, by rung."""
    return {trial["rung"]: trial for trial in one["trials"] if trial["values"] == values}


def _of(name: str) -> tuple[str, int]:
    """("a", 0) of "a/seed-0"."""
    who, _, seed = name.rpartition("/seed-")
    return who, int(seed)


def _searches(run: Run) -> dict[str, Any]:
    try:
        return read_sealed(run.folder / SEARCH) or {}
    except Damaged as e:
        raise UserError(str(e), AGAIN) from None
