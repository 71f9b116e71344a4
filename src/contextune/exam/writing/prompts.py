"""What a writer is asked in a language, from a YAML file beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError, nearest
from contextune.core.items import Turns
from contextune.core.yaml_files import read_yaml

from ..languages import Language

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Prompt:
    """An instruction, a solved example, an input with gaps, and what the answer begins with."""

    instruction: str
    input: str
    begin: str
    max_tokens: int
    example: str = ""
    reply: str = ""

    def text(self, parts: dict[str, str]) -> str:
        """For a model that continues texts."""
        shown = f"{self.example}\n{self.reply}" if self.example else ""
        blocks = [self.instruction.format_map(parts), shown, self.input.format_map(parts)]
        return "\n\n".join(filter(None, blocks)) + (f"\n{self.begin}" if self.begin else "")

    def turns(self, parts: dict[str, str]) -> Turns:
        """For a model that holds conversations: the example is an exchange that went before."""
        instruction = self.instruction.format_map(parts)
        asked = ("user", f"{instruction}\n\n{self.input.format_map(parts)}")
        if not self.example:
            return (asked,)
        return ("user", f"{instruction}\n\n{self.example}"), ("assistant", self.reply), asked


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
    of = {k: _prompt(v) for k, v in keys.items() if isinstance(v, dict)}
    return Prompts(language.name, of, says_not=language.says_not, refers=tuple(keys["refers"]), keys=keys, **asked)


def _prompt(said: dict[str, Any]) -> Prompt:
    parts: dict[str, Any] = {k: v.strip() if isinstance(v, str) else v for k, v in said.items()}
    return Prompt(**parts)
