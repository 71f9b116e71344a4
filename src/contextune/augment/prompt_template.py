"""An operation's prompt as data: one YAML file for each style and operation, replaceable by the user's own.

id: reversal              version: 1
about: what it asks for, and whose idea it is
prompt: |                 jinja2; knows text, corpus, demonstrations and what the operation adds
  {% for d in demonstrations %}…{% endfor %}Sentence: {{ text }}
system: what is asked for  with it a prompt is one turn of a conversation, and each demonstration two of them: the
                          same prompt about its text, and its answer; a model without a chat template reads all as text
begin: "{{ last }}"       jinja2; what the answer must begin with, which the prompt may name as {{ begin }}
answer: lines             how the answer is read: text, lines, questions
each: passage             what it is asked for once: passage, sentence, pair (of names that no sentence holds together)
demonstrations:           worked cases, which a recipe can replace: demonstrations: mine.yaml
  - {text: …, made: [ … ]}
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from contextune.core import patterns
from contextune.core.errors import UserError, nearest
from contextune.core.items import Turns
from contextune.core.options import LONGEST, MOST, Options
from contextune.prompts import templates as jinja
from contextune.prompts.yaml_models import Problem, digest, find, read

BUILT_IN = Path(__file__).parent / "prompts"
PromptStyle = Literal["plain", "pocket"]
STYLES: tuple[PromptStyle, ...] = ("plain", "pocket")
KNOWN = (
    "text", "before", "corpus", "demonstrations", "first", "second", "last", "names", "strategy", "questions",
    "question", "begin",
)  # fmt: skip
"""What a prompt may name."""


class Demonstration(Options):
    """A worked case: a text and what should be made of it."""

    text: str = Field(min_length=1)
    made: tuple[str, ...] = Field(min_length=1)
    begin: str = Field("", description="what its answer begins with, where the prompt says so")
    names: str = Field("", description="what it is about, where the prompt says so")

    @property
    def values(self) -> dict[str, str]:
        """What fills a prompt about it."""
        return {"text": self.text, "begin": self.begin, "names": self.names}


class Demonstrations(Options):
    demonstrations: tuple[Demonstration, ...] = Field(min_length=1)


class PromptTemplate(Options):
    """How a writer is asked, and how its answer is read."""

    id: str = Field(min_length=1)
    version: int = Field(ge=1, le=MOST)
    about: str = ""
    system: str = Field("", description="what is asked for, before the demonstrations; the prompt is then one turn")
    prompt: str | tuple[str, ...] = Field(description="jinja2; several are asked one after the other")
    begin: str = Field("", description="jinja2; what the answer must begin with; empty: anything")
    answer: Literal["text", "lines", "questions"] = "text"
    each: Literal["passage", "sentence", "pair"] = "passage"
    only: str = Field(
        "", description="regular expression of sentences that count, where sentences or pairs are asked for"
    )
    asked: str = Field("", description="jinja2; what may precede the answer when it is trained on")
    max_tokens: int = Field(
        256, ge=1, le=LONGEST, description="tokens of an answer at most, unless the recipe says otherwise"
    )
    budget: int | None = Field(None, ge=1, le=LONGEST, description="tokens of the corpus at most; default: what fits")
    stop: tuple[str, ...] = ()
    demonstrations: tuple[Demonstration, ...] = ()

    @property
    def prompts(self) -> tuple[str, ...]:
        return (self.prompt,) if isinstance(self.prompt, str) else self.prompt

    @field_validator("only")
    @classmethod
    def _only(cls, pattern: str) -> str:
        try:
            patterns.refuse(pattern, "only")
        except UserError as e:
            raise Problem(e.message.removeprefix("only: "), e.hint) from None
        return pattern

    @field_validator("asked", "begin")
    @classmethod
    def _asked(cls, template: str) -> str:
        return _checked(template)

    @model_validator(mode="after")
    def _usable(self) -> PromptTemplate:
        for template in self.prompts:
            _checked(template)
            if "text" not in jinja.variables(template):
                raise Problem("the prompt leaves out the text", "write {{ text }} where it belongs", ("prompt",))
            if self.system and "demonstrations" in jinja.variables(template):
                raise Problem(
                    "with a system turn the demonstrations are turns of their own",
                    "leave {{ demonstrations }} out of the prompt, or what is asked for out of system",
                    ("prompt",),
                )
        return self

    def begins(self, **values: Any) -> str:
        """What the answer must begin with, in one line; "" for anything."""
        return " ".join(fill(self.begin, **values).split())

    def written(self, texts: Iterable[str]) -> str:
        """Texts as an answer has them."""
        return "\n".join(f"- {text}" if self.answer == "lines" else text for text in texts)

    def opening(self, **values: Any) -> str:
        """The answer's first characters, where they are settled."""
        return self.written([begin]) if (begin := self.begins(**values)) else ""

    def render(self, template: str, **values: Any) -> str:
        """A prompt as one text; what an operation does not give is empty."""
        values = {**values, "begin": self.begins(**values)}
        if turns := self.turns(template, **values):
            said = [text for _, text in turns]
            return "\n\n".join([said[0], *("\n".join(said[i : i + 2]) for i in range(1, len(said), 2))]) + "\n"
        return fill(template, **{**values, "demonstrations": self.demonstrations})

    def turns(self, template: str, **values: Any) -> Turns:
        """A prompt as a conversation, the demonstrations before it; () where the template is one text."""
        if not self.system:
            return ()
        asked = fill(template, **{**values, "begin": self.begins(**values)})
        shown = [
            turn
            for d in self.demonstrations
            for turn in (("user", fill(template, **d.values)), ("assistant", self.written(d.made)))
        ]
        return ("system", self.system.strip()), *shown, ("user", asked)

    @property
    def shows(self) -> bool:
        """Whether a prompt shows the demonstrations."""
        return bool(self.system) or any("demonstrations" in jinja.variables(t) for t in self.prompts)

    @property
    def shown(self) -> tuple[str, ...]:
        """Texts and answers of the demonstrations that a prompt shows, and the prompt's own lines beside them."""
        if not self.demonstrations or not self.shows:
            return ()
        own = [line.strip() for t in (self.system, *map(fill, self.prompts)) for line in t.splitlines() if line.strip()]
        return (*(text for d in self.demonstrations for text in (d.text, *d.made)), *own)

    @property
    def hash(self) -> str:
        """Of what decides the texts; what was left out is no part of it, so that older templates keep theirs."""
        said = self.model_dump(mode="json", exclude={"about"})
        added = {k for k in ("system", "begin") if not said[k]}
        for demonstration in said["demonstrations"]:
            for key in [k for k in ("begin", "names") if not demonstration[k]]:
                del demonstration[key]
        return digest({k: v for k, v in said.items() if k not in added})


def fill(template: str, **values: Any) -> str:
    """A part of a prompt template; what is not given is empty."""
    return jinja.render(template, **{**dict.fromkeys(KNOWN, ""), **values})


def _checked(template: str) -> str:
    for name in sorted(jinja.names(template) - {*KNOWN}):
        raise Problem(f"unknown variable '{name}' in the prompt", nearest(name, KNOWN))
    shown = (Demonstration(text="x", made=("x",)),)
    jinja.attempt(template, {**dict.fromkeys(KNOWN, "x"), "demonstrations": shown}, "prompt")
    return template


def load(
    name: str, style: str, folder: Path | None = None, prompt: str | None = None, demonstrations: str | None = None
) -> PromptTemplate:
    """The prompt template of an operation in a style, or of the user's own files (relative to `folder`).

    Raises UserError with file, line and key, or where the style has no prompt template for the operation.
    """
    if prompt is not None:
        template = read(find(prompt, folder), PromptTemplate)
    elif (file := BUILT_IN / style / f"{name}.yaml").exists():
        template = read(file, PromptTemplate)
    else:
        there = ", ".join(sorted(p.stem for p in (BUILT_IN / style).glob("*.yaml")))
        raise UserError(
            f"the operation '{name}' has no prompt template in the style '{style}'",
            f"there are {there}; or use a larger writer with prompt_style: plain, or give prompt: mine.yaml",
        )
    if demonstrations is None:
        return template
    found = read(find(demonstrations, folder), Demonstrations).demonstrations
    if not template.shows:
        raise UserError(
            f"{demonstrations}: the prompt template '{template.id}' shows no demonstrations", "give a prompt too"
        )
    return template.model_copy(update={"demonstrations": found})


def built_in(style: str) -> Iterable[Path]:
    return sorted((BUILT_IN / style).glob("*.yaml"))
