"""Everything that a recipe or the command line calls by name, and the one way to add to it.

    @registry.policies("source_line")        a class or a function, in any file
    class SourceLine(Policy): ...

    [project.entry-points.contextune]        so that the command line finds it, in the package's pyproject.toml
    "policies.source_line" = "my_package.source_line"

An entry point's name begins with the kind; its value is the module whose import registers. What comes with Contextune
is found in the same way. Modules of a kind are imported when something of that kind is first looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Any, TypeVar

from .errors import UserError, nearest

GROUP = "contextune"
"""The group of entry points."""
T = TypeVar("T")


class Registry(Mapping[str, Any]):
    """Things of one kind, by name. `what` is what an error message calls one; `renamed` are names of before."""

    def __init__(self, kind: str, what: str, renamed: Mapping[str, str] | None = None) -> None:
        self.kind, self.what, self.renamed = kind, what, renamed or {}
        self._known: dict[str, Any] = {}
        self._loaded = self._loading = False

    def __call__(self, name: str) -> Callable[[T], T]:
        """Class or function decorator: registers it under `name`. A class is given its `name`.

        Raises UserError where the name is taken by something else.
        """

        def add(thing: T) -> T:
            if (taken := self._known.get(name)) is not None and _origin(taken) != _origin(thing):
                raise UserError(
                    f"the {self.what} '{name}' is registered twice: by {_origin(taken)} and by {_origin(thing)}",
                    "rename one of them, or uninstall the package of the other",
                )
            if isinstance(thing, type):
                thing.name = name  # type: ignore[attr-defined]
            self._known[name] = thing
            return thing

        return add

    def find(self, name: str) -> Any:
        """What has that name; UserError with the nearest name where there is none."""
        if name not in self._known:
            for entry in _entries():
                if entry.name == f"{self.kind}.{name}":
                    _import(entry)
        if name not in self._known:
            self._load()
        if name not in self._known and name in self.renamed:
            raise UserError(f"the {self.what} '{name}' is now called '{self.renamed[name]}'", "rename it in the recipe")
        if name not in self._known:
            raise UserError(f"unknown {self.what} '{name}'", nearest(name, self))
        return self._known[name]

    def names(self) -> list[str]:
        return sorted(self)

    def __contains__(self, name: object) -> bool:
        """Without importing what an entry point already names."""
        named = any(entry.name == f"{self.kind}.{name}" for entry in _entries())
        return name in self._known or named or name in set(self)

    def __getitem__(self, name: str) -> Any:
        self._load()
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(self._known)

    def __len__(self) -> int:
        self._load()
        return len(self._known)

    def _load(self) -> None:
        """Import the modules of this kind, once. A plug-in that fails to import is a UserError that names it."""
        if self._loaded or self._loading:
            return
        self._loading = True
        try:
            for entry in _entries():
                if entry.name == self.kind or entry.name.startswith(f"{self.kind}."):
                    _import(entry)
            self._loaded = True
        finally:
            self._loading = False


@lru_cache(maxsize=1)
def _entries() -> tuple[EntryPoint, ...]:
    """Entry points of the group, those of Contextune first, each once."""
    found = dict.fromkeys(entry_points(group=GROUP))
    return tuple(sorted(found, key=lambda e: (not e.value.startswith("contextune."), e.name, e.value)))


def _import(entry: EntryPoint) -> None:
    try:
        import_module(entry.module)
    except UserError:
        raise
    except Exception as e:
        package = entry.dist.name if entry.dist is not None else "?"
        raise UserError(
            f"the plug-in '{entry.name}' of the package {package} does not import ({type(e).__name__}: {e})",
            f"fix {entry.module}, or uninstall {package}",
        ) from e


def import_modules(package: str, path: list[str]) -> None:
    """Import every module of a package, so that what a new file registers needs to be named nowhere else."""
    for module in sorted(iter_modules(path), key=lambda m: m.name):
        import_module(f"{package}.{module.name}")


def _origin(thing: Any) -> str:
    return f"{thing.__module__}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


policies = Registry(
    "policies",
    "context policy",
    {"nothing": "none", "zero": "none", "together": "concat", "edited": "counterfactual", "lures": "distractors"},
)
operations = Registry("operations", "operation")
filters = Registry(
    "filters", "filter", {"agreed": "self_consistency", "drift": "unsupported_entities", "echo": "near_copy"}
)
metrics = Registry("metrics", "metric")
similarities = Registry("similarities", "similarity")
engines = Registry("engines", "engine")
tasks = Registry("tasks", "task")
worlds = Registry("worlds", "world")
layouts = Registry("layouts", "layout")
commands = Registry("commands", "command")
editors = Registry("editors", "editor")
reasoners = Registry("reasoners", "reasoner")
models = Registry("models", "model")
callbacks = Registry("callbacks", "callback")
objectives = Registry("objectives", "objective")
reports = Registry("reports", "report")
