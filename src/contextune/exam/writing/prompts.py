"""What a writer is asked in a language, from a YAML file beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError, nearest
from contextune.core.yaml_files import read_yaml

from ..languages import Language

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Prompt:
    """A prompt with gaps, and what its answer begins with."""

    prompt: str
    begin: str
    max_tokens: int


@dataclass(frozen=True)
class Prompts:
    """The prompts of a language by what is asked for, and how the written questions are asked."""

    language: str
    of: dict[str, Prompt]
    asked: str
    asked_behind: str
    says_or_not: str
    says_not: str
    refers: tuple[str, ...]
    keys: dict[str, Any]
    """The file, for a hash."""


def load(language: Language) -> Prompts:
    """Raises UserError where there are no prompts in the language."""
    known = sorted(f.stem for f in HERE.glob("*.yaml"))
    if language.name not in known:
        raise UserError(
            f"--writer: there are no prompts for a writer in the language '{language.name}'",
            f"{nearest(language.name, known)}; an exam by rule needs no writer",
        )
    keys = read_yaml(HERE / f"{language.name}.yaml")
    asked = {k: str(keys[k]) for k in ("asked", "asked_behind", "says_or_not")}
    of = {k: Prompt(v["prompt"].strip(), v["begin"], v["max_tokens"]) for k, v in keys.items() if isinstance(v, dict)}
    return Prompts(language.name, of, says_not=language.says_not, refers=tuple(keys["refers"]), keys=keys, **asked)
