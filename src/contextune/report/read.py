"""A run's folder, read as it is; what is missing stays empty, what is broken is an error."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError
from contextune.core.files import Damaged, faults, read_sealed
from contextune.core.yaml_files import parse_yaml

AGAIN = "give the same contextune run again: it makes anew what is damaged or missing"
SCHEMA = 1
"""The version of results.json that these pages read."""

Curve = list[tuple[int, float]]
"""(update, loss), over all stages of one arm at one seed."""


@dataclass(frozen=True)
class TrainingRecord:
    """One arm at one seed: its loss, where its stages end (updates), and how long it took."""

    curve: Curve
    ends: tuple[int, ...]
    seconds: float | None


@dataclass(frozen=True)
class Run:
    folder: Path
    recipe_text: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    accounting: list[dict[str, Any]] = field(default_factory=list)
    contexts: list[dict[str, Any]] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    questions: dict[str, dict[str, str]] = field(default_factory=dict)
    """By task and item what was asked."""
    training: dict[str, dict[int, TrainingRecord]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.results.get("name") or self.recipe.get("name") or self.folder.resolve().name)


def read(folder: Path) -> Run:
    """Everything a page shows. UserError where the folder is no run's or a file in it cannot be read."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder", "a run's folder is runs/NAME; contextune run RECIPE makes one")
    if not any((folder / name).exists() for name in ("results.json", "run.json", "recipe.yaml")):
        raise UserError(
            f"{folder}: not a run's folder (no results.json, run.json or recipe.yaml)", "expected runs/NAME"
        )
    results = _json(folder / "results.json", dict)
    if results and results.get("schema", SCHEMA) != SCHEMA:
        raise UserError(
            f"{folder / 'results.json'}: schema is {results['schema']!r}, this version reads {SCHEMA}",
            "make the report with the contextune that made the run, or evaluate again",
        )
    info = _info(folder)
    text = _text(folder / "recipe.yaml")
    return Run(
        folder,
        text,
        _yaml(folder / "recipe.yaml", text),
        info,
        _json(folder / "accounting.json", list),
        _json(folder / "contexts.json", list),
        results,
        _json(folder / "samples.json", list),
        _json(folder / "questions.json", dict),
        _training(folder),
    )


def _info(folder: Path) -> dict[str, Any]:
    """What is in run.json, once the files that it has checksums of are found to be whole."""
    try:
        info = read_sealed(folder / "run.json", older=True) or {}
    except Damaged as e:
        raise UserError(str(e), AGAIN) from None
    if wrong := faults(folder, info.get("sums") or {}):
        raise UserError(f"{folder}: damaged or gone: {', '.join(wrong)}", AGAIN)
    return info


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _json(path: Path, kind: type) -> Any:
    """The file's value, or an empty one of `kind` where there is no file."""
    if not path.exists():
        return kind()
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:
        raise UserError(f"{path}: not valid JSON ({e})", AGAIN) from None
    if not isinstance(value, kind):
        found = f"expected a JSON {kind.__name__}, found {type(value).__name__}"
        raise UserError(f"{path}: {found}", AGAIN)
    return value


def _yaml(path: Path, text: str) -> dict[str, Any]:
    value = parse_yaml(text, str(path))[1] if text else None
    return value if isinstance(value, dict) else {}


def _training(folder: Path) -> dict[str, dict[int, TrainingRecord]]:
    """Losses by arm and seed; the stages of an arm follow one another on one axis of updates."""
    stages: dict[tuple[str, int], list[tuple[int, Path]]] = {}
    for path in folder.glob("arms/*/seed-*/stage-*/losses.json"):
        seed, stage = (re.fullmatch(r"(?:seed|stage)-(\d+)", part) for part in path.parts[-3:-1])
        if seed and stage:
            stages.setdefault((path.parts[-4], int(seed[1])), []).append((int(stage[1]), path))
    found: dict[str, dict[int, TrainingRecord]] = {}
    for (arm, number), paths in sorted(stages.items()):
        found.setdefault(arm, {})[number] = _join([path for _, path in sorted(paths)])
    return found


def _join(paths: list[Path]) -> TrainingRecord:
    curve: Curve = []
    ends: list[int] = []
    seconds: list[float | None] = []
    for path in paths:
        start, rows = ends[-1] if ends else 0, _json(path, list)
        try:
            curve += [(start + int(row["step"]), float(row["loss"])) for row in rows]
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{path}: expected rows with numbers 'step' and 'loss'", AGAIN) from None
        ends.append(curve[-1][0] if rows else start)
        seconds.append(_seconds(path.with_name("stage.json"), rows))
    known = [s for s in seconds if s is not None]
    return TrainingRecord(curve, tuple(ends), sum(known) if len(known) == len(seconds) else None)


def _seconds(path: Path, rows: list[dict[str, Any]]) -> float | None:
    value = _json(path, dict).get("seconds", rows[-1].get("seconds") if rows else None)
    return float(value) if isinstance(value, int | float) else None
