"""What an arm looks like: the same colour, name and marks wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .read import Run

COLOURS = 8
"""Colours of arms in style.css; after that they come round again."""


@dataclass(frozen=True)
class ArmLook:
    name: str
    colour: str
    about: str = ""
    untrained: bool = False
    baseline: bool = False


def arms(run: Run) -> list[str]:
    """Names of arms in the order of the results, then those that only the recipe or the training has."""
    places = (run.results.get("arms"), run.recipe.get("arms"), run.training)
    return list(dict.fromkeys(str(name) for place in places if isinstance(place, dict) for name in place))


def untrained(run: Run, arm: str) -> bool:
    """Whether the recipe gives the arm neither stages nor models of another. Without a recipe nothing is claimed."""
    specs = run.recipe.get("arms")
    if not isinstance(specs, dict) or arm not in specs:
        return False
    spec = specs[arm]
    return not (isinstance(spec, dict) and (spec.get("stages") or spec.get("data") or spec.get("weights_of")))


def colours(runs: Iterable[Run]) -> dict[str, str]:
    """A class of style.css for each arm; one that is trained nowhere is grey."""
    runs = list(runs)
    names = list(dict.fromkeys(name for run in runs for name in arms(run)))
    trained = [n for n in names if any(n in arms(run) and not untrained(run, n) for run in runs)]
    return {name: f"a{trained.index(name) % COLOURS}" if name in trained else "au" for name in names}


def looks(run: Run, colour: dict[str, str]) -> dict[str, ArmLook]:
    verdict = run.results.get("verdict") or {}
    specs = run.recipe.get("arms") or {}
    scores = run.results.get("arms") or {}
    found = {}
    for name in arms(run):
        spec = specs.get(name) if isinstance(specs, dict) else None
        about = (scores.get(name) or {}).get("about") or (spec.get("about") if isinstance(spec, dict) else "")
        found[name] = ArmLook(
            name,
            colour[name],
            str(about or ""),
            untrained(run, name),
            name == verdict.get("baseline"),
        )
    return found
