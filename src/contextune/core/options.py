"""The base of everything that a recipe says: unknown keys are errors, and values do not change."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from .errors import UserError, shown
from .ownership import NAME
from .registry import Registry

Name = Annotated[str, Field(pattern=rf"^{NAME.pattern}$", max_length=80)]
"""A name that can be part of a file's name."""

ODD = re.compile("[\0\ud800-\udfff]")
"""Characters that no text in UTF-8 has."""
MOST = 1_000_000_000
"""Rows, updates or tokens: no option counts further."""
LONGEST = 16_777_216
"""Tokens of a sequence, or computed at once."""
LARGEST_SEED = 2**32 - 1
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
"""What numpy and scikit-learn take for a seed, too."""


def _samples(temperature: float) -> float:
    if 0 < temperature < 1e-3:
        raise ValueError(f"temperature is {temperature:g}; 0 is greedy, to sample takes at least 0.001")
    return temperature


Temperature = Annotated[float, Field(ge=0, le=100), AfterValidator(_samples)]
"""0 is greedy."""


MARK = "registered"
"""In a JSON Schema, what stands for all that is registered of a kind; `experiment.schema` writes it out."""


class Options(BaseModel):
    """Options of one thing. They live beside what they configure.

    Numbers are finite, and each has a smallest and a largest value; a truth is no number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    renamed: ClassVar[dict[str, str]] = {}
    """Keys of an earlier version: what they are called now."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_renamed(cls, value: Any) -> Any:
        for old, new in cls.renamed.items():
            if isinstance(value, dict) and old in value:
                raise ValueError(f"the key '{old}' is now called '{new}'")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_odd(cls, value: Any, info: ValidationInfo) -> Any:
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
        for text in parts:
            if isinstance(text, str) and (odd := ODD.search(text)):
                what = "a NUL character" if odd[0] == "\0" else "half of a surrogate pair"
                raise ValueError(f"{what} at position {odd.start()} of a text, which no file can hold")
        if any(isinstance(p, bool) for p in parts) and _is_number(_annotation(cls, info)):
            raise ValueError("a number is expected, and yes, no, on, off, true and false are truths")
        if isinstance(value, float) and value.is_integer() and _kinds(_annotation(cls, info)).isdisjoint({float, Any}):
            return int(value)  # 1e30, of which pydantic says no more than that it cannot parse it
        return value


def _annotation(options: type[Options], info: ValidationInfo) -> Any:
    return options.model_fields[info.field_name or ""].annotation


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


@cache
def _is_number(annotation: Any) -> bool:
    """Whether an annotation has numbers somewhere, and no truths."""
    kinds = _kinds(annotation)
    return bool(kinds & {int, float}) and bool not in kinds


def _kinds(annotation: object) -> set[object]:
    return {annotation}.union(*map(_kinds, get_args(annotation)))


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


def whole(value: Any, what: str, least: int = 0, most: int = MOST) -> int:
    """The value where it is a whole number in these bounds. Raises UserError that names `what`."""
    if type(value) is not int or not least <= value <= most:
        raise UserError(f"{what} is {shown(value)}, expected a whole number from {least:,} to {most:,}", fix("int"))
    return value


class Refused(ValueError):
    """A value that cannot be, with the fix of its own."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


T = TypeVar("T")


def parse_options(parse: Callable[[], T], where: str) -> T:
    """What `parse` returns; a mistake in the options becomes a UserError of `where`, the key and the problem."""
    try:
        return parse()
    except ValidationError as e:
        problem = e.errors(include_url=False)[0]
        key = "".join(f".{p}" for p in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}{key}: {message}{found(problem)}", fix_of(problem)) from None
    except ValueError as e:
        raise UserError(f"{where}: {e}", getattr(e, "hint", "") or fix("value_error")) from None


def found(problem: Mapping[str, Any]) -> str:
    """What pydantic found, where its message does not say so."""
    said = problem["type"] == "value_error" or isinstance(problem["input"], dict)
    return "" if said else f", found {shown(problem['input'])}"


_FIXES = {
    "string": "write one text, in quotes where YAML would read a number or a truth",
    "dict": "write a mapping: {KEY: VALUE}",
    "model": "write a mapping: {KEY: VALUE}",
    "mapping": "write a mapping: {KEY: VALUE}",
    "tuple": "write a list: [A, B]",
    "list": "write a list: [A, B]",
    "int": "write a whole number",
    "float": "write a number, such as 0.1 or 1e-4",
    "finite": "write a number, such as 0.1 or 1e-4",
    "bool": "write true or false",
    "literal": "write one of these words",
    "greater": "give a number in that range",
    "less": "give a number in that range",
    "invalid": "write the key in quotes",
    "too": "give as many as that",
}


def fix_of(problem: Mapping[str, Any]) -> str:
    """The fix of a problem of pydantic's: that of what was raised, else of its type."""
    if problem["input"] is None and problem["type"].endswith("_type"):
        return "give it a value, or leave the key out"
    return getattr(problem.get("ctx", {}).get("error"), "hint", "") or fix(problem["type"])


def fix(kind: str) -> str:
    """The fix of a problem of pydantic's, by its type."""
    special = {
        "string_pattern_mismatch": "use letters, digits and _ . + - alone, with a letter or a digit first",
        "string_too_long": "shorten it",
        "string_too_short": "fill it",
    }
    return special.get(kind) or _FIXES.get(kind.partition("_")[0], "contextune schema prints what each key takes")
