"""Prompt sets: what a policy draws from.

learning   the ten ways of reading of contextual fine-tuning
negative   what would spoil each of them
neutral    sentences of the same length that say nothing about how to read
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache, partial
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from contextune.core.errors import UserError, nearest
from contextune.core.options import MOST, Options, parse_options

from . import templates as jinja
from .yaml_models import BUILT_IN, Problem, digest, find, read, read_text

FORM = "{{ category }}: {{ prompt }} "
"""How a prompt precedes a text (arXiv 2503.09032, Figure 1)."""


class Prompt(Options):
    id: str = Field(min_length=1)
    category: str = ""
    text: str

    @field_validator("text")
    @classmethod
    def _not_empty(cls, text: str) -> str:
        if not text.strip():
            raise Problem("the prompt is empty", "write a sentence or two, or remove the entry")
        return text.strip()


class PromptSet(Options):
    """Prompts that are drawn alike, and the template that puts one before a text."""

    name: str = Field(min_length=1)
    version: int = Field(ge=1, le=MOST)
    licence: str = ""
    source: str = ""
    template: str = FORM
    prompts: tuple[Prompt, ...] = Field(min_length=1)

    @field_validator("template")
    @classmethod
    def _usable(cls, template: str) -> str:
        return jinja.check(template, "prompt", "category")

    @model_validator(mode="after")
    def _distinct(self) -> PromptSet:
        for key in ("id", "text"):
            for i, j in _repeated([getattr(p, key) for p in self.prompts]):
                first = f"also that of prompts[{i}] ('{self.prompts[i].id}')"
                raise Problem(f"duplicate {key}, {first}", "list each prompt once", ("prompts", j, key))
        if "category" in jinja.variables(self.template):
            for i in (i for i, p in enumerate(self.prompts) if not p.category):
                raise Problem(
                    "the prompt has no category, which the template names",
                    'add one, or set template: "{{ prompt }} "',
                    ("prompts", i),
                )
        return self

    def render(self, prompt: Prompt) -> str:
        """What precedes a text, up to the text's first character."""
        return jinja.render(self.template, prompt=prompt.text, category=prompt.category)

    @property
    def hash(self) -> str:
        """Of all that decides what is drawn, so that a change of licence or source is no change of a run."""
        return digest(self.template, [[p.id, p.category, p.text] for p in self.prompts])

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p.category for p in self.prompts))

    def only(self, categories: Iterable[str]) -> PromptSet:
        """The prompts of some categories, all where none is named; UserError for a name that is not there."""
        chosen = frozenset(categories)
        for name in sorted(chosen - set(self.categories)):
            raise UserError(f"prompt set '{self.name}': unknown category '{name}'", nearest(name, self.categories))
        kept = tuple(p for p in self.prompts if p.category in chosen)
        return self.model_copy(update={"prompts": kept}) if chosen else self


def names() -> list[str]:
    """The sets that come with the package."""
    return sorted(p.stem for p in BUILT_IN.glob("*.yaml") if p.stem != "meta")


def load(name_or_path: str, folder: Path | None = None) -> PromptSet:
    """A set by name, or from a YAML file, or from a text file with one prompt a line (blank lines are nothing).

    Paths are relative to `folder`. Raises UserError with file, line and key.
    """
    if name_or_path in names():
        return _built_in(name_or_path)
    path = find(name_or_path, folder)
    if path.suffix in (".yaml", ".yml"):
        return read(path, PromptSet)
    if path.suffix == ".txt":
        return _lines(path)
    if path.suffix or len(Path(name_or_path).parts) > 1:
        raise UserError(f"{path}: unknown kind of prompt file", "expected .yaml, .yml or .txt")
    hint = f"{nearest(name_or_path, names())}; or give a .yaml or .txt file"
    raise UserError(f"unknown prompt set '{name_or_path}'", hint)


@cache
def _built_in(name: str) -> PromptSet:
    """Read once a process: a run asks for its sets again for every arm, seed and task."""
    return read(BUILT_IN / f"{name}.yaml", PromptSet)


def locate(name_or_path: str, folder: Path) -> str:
    """The set's name, or the absolute path of its file; `folder` is where relative paths begin."""
    path = Path(name_or_path).expanduser()
    is_file = name_or_path not in names() and (path.suffix or len(path.parts) > 1)
    return str((folder / path).absolute()) if is_file else name_or_path


def _lines(path: Path) -> PromptSet:
    rows = [(i, line.strip()) for i, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
    if not rows:
        raise UserError(f"{path}: no prompts in it", "write one prompt a line")
    for a, b in _repeated([text for _, text in rows]):
        raise UserError(f"{path}:{rows[b][0]}: the same prompt as line {rows[a][0]}", "list each prompt once")
    prompts = tuple(parse_options(partial(Prompt, id=f"line-{i}", text=text), f"{path}:{i}") for i, text in rows)
    return PromptSet(name=path.stem, version=1, source=path.name, template="{{ prompt }} ", prompts=prompts)


def _repeated(values: list[str]) -> Iterator[tuple[int, int]]:
    """(first place, later place) of values that stand twice."""
    first: dict[str, int] = {}
    for i, value in enumerate(values):
        if first.setdefault(value, i) != i:
            yield first[value], i
