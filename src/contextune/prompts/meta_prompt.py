"""The meta-prompt: what a model is asked when it is to write a learning prompt for one text."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from contextune.core.errors import UserError
from contextune.core.options import MOST, Options

from . import templates as jinja
from .yaml_models import BUILT_IN, digest, find, read


class MetaPrompt(Options):
    """`ask` is what the model is given, `template` how its answer precedes the text."""

    name: str = Field(min_length=1)
    version: int = Field(ge=1, le=MOST)
    licence: str = ""
    source: str = ""
    ask: str
    template: str = "{{ prompt }} "

    @field_validator("ask")
    @classmethod
    def _asks(cls, ask: str) -> str:
        return jinja.check(ask, "text")

    @field_validator("template")
    @classmethod
    def _usable(cls, template: str) -> str:
        return jinja.check(template, "prompt")

    def question(self, text: str) -> str:
        return jinja.render(self.ask, text=text)

    def render(self, prompt: str) -> str:
        """What precedes the text."""
        return jinja.render(self.template, prompt=prompt)

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def hash(self) -> str:
        return digest(self.ask, self.template)


def load_meta(path: str | None = None, folder: Path | None = None) -> MetaPrompt:
    """The meta-prompt of a YAML file, the package's own where none is given; UserError as for prompt sets."""
    if path is None:
        return read(BUILT_IN / "meta.yaml", MetaPrompt)
    if Path(path).suffix not in (".yaml", ".yml"):
        raise UserError(f"{path}: unknown kind of meta-prompt file", "expected .yaml or .yml")
    return read(find(path, folder), MetaPrompt)
