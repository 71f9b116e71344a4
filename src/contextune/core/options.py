"""The base of everything that a recipe says: unknown keys are errors, and values do not change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from .errors import UserError
from .ownership import NAME
from .registry import Registry

Name = Annotated[str, Field(pattern=rf"^{NAME.pattern}$", max_length=80)]
"""A name that can be part of a file's name."""


MARK = "registered"
"""In a JSON Schema, what stands for all that is registered of a kind; `experiment.schema` writes it out."""


class Options(BaseModel):
    """Options of one thing. They live beside what they configure."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")
    renamed: ClassVar[dict[str, str]] = {}
    """Keys of an earlier version: what they are called now."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_renamed(cls, value: Any) -> Any:
        for old, new in cls.renamed.items():
            if isinstance(value, dict) and old in value:
                raise ValueError(f"the key '{old}' is now called '{new}'")
        return value


class Named(Options):
    """Options of something that a recipe calls by name: `NAME`, or `{KEY: NAME, option: value}`.

    Subclasses are registered, which gives them their `name`; `key` is the word of their kind.
    """

    key: ClassVar[str] = "name"
    name: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _without_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get(cls.key) == cls.name and cls.key not in cls.model_fields:
            return {k: v for k, v in value.items() if k != cls.key}
        return value

    @classmethod
    def option_names(cls) -> list[str]:
        """The keys that a recipe may write: the one that names it, and its options."""
        return [cls.key, *cls.model_fields]

    def plain(self) -> dict[str, Any]:
        """As a recipe writes it; what is at its default is left out."""
        return {self.key: self.name, **self.model_dump(mode="json", exclude_defaults=True)}

    def full(self) -> dict[str, Any]:
        """Name and every option: what a fingerprint is made of."""
        return {self.key: self.name, **self.model_dump(mode="json")}


def named(registry: Registry, key: str) -> Any:
    """The annotation of an option that holds a registered thing; a value is a name or a mapping with `key`."""

    def parse(value: object) -> Any:
        return parse_named(value, registry, key)

    return Annotated[
        Any,
        BeforeValidator(parse),
        PlainSerializer(lambda thing: thing.plain()),
        WithJsonSchema({MARK: registry.kind}),
    ]


def name_in(registry: Registry, *also: str) -> AfterValidator:
    """The check of an option that holds a name alone: a registered one, or one of `also`."""

    def known(name: str) -> str:
        if name not in also and name not in registry:
            registry.find(name)
        return name

    return AfterValidator(known)


def parse_named(value: object, registry: Registry, key: str) -> Any:
    """The options of a registered thing, from its name or a mapping.

    Raises UserError where the name is unknown, ValueError where the value has another form.
    """
    if isinstance(value, Named):
        return value
    if isinstance(value, str):
        value = {key: value}
    if not isinstance(value, dict) or key not in value:
        article = "an" if registry.what[0] in "aeiou" else "a"
        raise ValueError(f"{article} {registry.what} is a name or a mapping with the key '{key}'")
    rest = {k: v for k, v in value.items() if k != key}
    return registry.find(str(value[key])).model_validate(rest)


T = TypeVar("T")


def parse_options(parse: Callable[[], T], where: str) -> T:
    """What `parse` returns; a mistake in the options becomes a UserError of `where`, the key and the problem."""
    try:
        return parse()
    except ValidationError as e:
        problem = e.errors(include_url=False)[0]
        key = "".join(f".{p}" for p in problem["loc"])
        raise UserError(f"{where}{key}: {problem['msg'].removeprefix('Value error, ')}") from None
    except ValueError as e:
        raise UserError(f"{where}: {e}") from None
