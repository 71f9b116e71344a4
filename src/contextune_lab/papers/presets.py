"""Presets: settings found for a model, as data: sizes, rates, updates and worlds by study, in presets/NAME.yaml.

A study's own settings are for the pocket model; a preset replaces some of them. A model without a preset of its own
uses `other`; `--set preset=NAME` chooses another.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from contextune.core.errors import UserError, nearest
from contextune.core.options import Options
from contextune.core.yaml_files import read_yaml

from .claims import StudyOptions

FOLDER = Path(__file__).with_suffix("")
POCKET, OTHER = "pocket", "other"
Setup = TypeVar("Setup", bound=Options)


def names() -> list[str]:
    return sorted([POCKET, *(file.stem for file in FOLDER.glob("*.yaml"))])


def name_of(wanted: StudyOptions) -> str:
    """The preset that is asked for, else the model's own, else that of all other models."""
    known = names()
    chosen = wanted.text("preset", wanted.model if wanted.model in known else OTHER)
    if chosen not in known:
        raise UserError(f"--set preset={chosen}: unknown", nearest(chosen, known))
    return chosen


def of(study: str, wanted: StudyOptions, usual: Setup) -> Setup:
    """`usual` with what the preset has in its place."""
    name = name_of(wanted)
    changed = {} if name == POCKET else read(name).get(study, {})
    return type(usual)(**{**dict(usual), **changed})


def key(study: str, wanted: StudyOptions) -> list[object]:
    """What a finished study depends on beside the options; empty for the pocket model."""
    name = name_of(wanted)
    return [] if name == POCKET else [name, read(name).get(study, {})]


@cache
def read(name: str) -> Mapping[str, Mapping[str, object]]:
    """By study: the keys of its setup that differ."""
    return read_yaml(FOLDER / f"{name}.yaml")
