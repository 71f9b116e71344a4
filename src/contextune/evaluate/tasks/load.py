"""Tasks by name, file, mapping or world. A specification is one of

medqa                                        a task or a group that comes along
tasks/mine.yaml                              a task file (keys: specs.Spec)
exam/                                        a folder with a file tasks.yaml: an exam of `contextune exam`
{task: medqa, path: test.jsonl, limit: 100}  one of these with keys of its own on top
{name: mine, rows: […], prompt: …}           a task written out
{world: NAME, options: {…}, tasks: […]}      tasks of a generated benchmark
{…, before: {policy: prompts}, suffix: on}   any of the last three behind a context (behind.py)
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core import registry
from contextune.core.errors import UserError, nearest, shown
from contextune.core.items import Item, Task
from contextune.core.options import parse_options
from contextune.core.ownership import name_part
from contextune.core.reading import DEPTH
from contextune.core.sequence import Tokenizer
from contextune.core.world import world_of
from contextune.core.yaml_files import read_yaml

from . import building, specs
from . import task_context as behind
from .chat import AS_WRITTEN, Asking
from .specs import Spec

if TYPE_CHECKING:
    from contextune.data.options import Source

    from .graded import PooledTask

BUILT_IN = Path(__file__).parent / "library"
ORIGINS = ("path", "hub", "rows", "config", "format")
PER_TOKEN = 64
"""Characters of a prompt for each token that the model reads; a token of text has about four."""
Pools = dict[Any, Any]
"""What is read of pools, by all that decides it."""
SHORT = 2**16
"""Characters that any prompt may have."""
OF_KIND = ("metric", "stop", "max_tokens", "graded")


for _file in BUILT_IN.glob("[!_]*.yaml"):
    registry.tasks(_file.stem)(partial(read_yaml, _file))


def names() -> list[str]:
    """Built-in tasks and groups, or that plug-ins register."""
    return registry.tasks.names()


def members(name: str) -> list[str]:
    """Task names of a built-in group; the name alone where it is a task or unknown."""
    if name not in names():
        return [name]
    group = registry.tasks.find(name)().get("group")
    return [str(m) for m in group] if group else [name]


def load_task(
    spec: str | Mapping[str, Any],
    folder: Path,
    limit: int | None = None,
    tokenizer: Tokenizer | None = None,
    sources: Mapping[str, Source] | None = None,
    window: int = 0,
    how: Asking = AS_WRITTEN,
    pools: Pools | None = None,
) -> list[Task]:
    """The tasks of one specification, read and checked whole; paths are relative to `folder`.

    `limit` keeps the first N items of each. With a tokenizer every item is encoded too, so that one that cannot be
    scored is found now and not after training; `window` is how many tokens
    the model reads. `sources` are the recipe's, from which graded tasks may draw their
    examples; `how` tasks are asked that do not say so themselves; `pools` keeps what is read of
    these for whoever asks for the same. Raises UserError that names file, row or key.
    """
    if isinstance(spec, Mapping) and "before" in spec:
        rest = {k: v for k, v in spec.items() if k not in ("before", "suffix")}
        alone = load_task(rest, folder, limit, None, sources, how=how)
        where = _label(spec) if "world" not in spec else f"world {spec['world']}"
        _refuse_longest(alone, window)
        tasks = behind.placed(alone, spec["before"], spec.get("suffix", "behind"), Path(folder), tokenizer, where)
    elif isinstance(spec, Mapping) and "world" in spec:
        tasks = [how.of_task(task) for task in _of_world(dict(spec), limit)]
    else:
        tasks = [
            task
            for f in _find(spec, Path(folder))
            for task in _of_spec(
                f, specs.parse(how.of_spec(f.keys), f.where), limit, sources or {}, Path(folder), pools
            )
        ]
    for task in tasks:
        name_part(task.name, f"task {task.name!r:.80}: its name")
    _refuse_longest(tasks, window)
    if tokenizer is not None:
        for task in tasks:
            _refuse_unscorable(task, tokenizer)
    return tasks


def benches(
    spec: str | Mapping[str, Any],
    folder: Path,
    limit: int | None = None,
    sources: Mapping[str, Source] | None = None,
    how: Asking = AS_WRITTEN,
    pools: Pools | None = None,
    only: Container[str] = (),
) -> list[PooledTask]:
    """The tasks of a specification that name a pool, before any context, with their pools; where given, those of
    the names `only`.
    """
    found = []
    for f in _find(spec, Path(folder)):
        made = specs.parse(how.of_spec(f.keys), f.where)
        if (made.graded or made.pool) and (not only or made.name in only):
            found.append(_bench(f, made, limit, sources or {}, Path(folder), pools))
    return found


def _of_spec(
    f: _Found, spec: Spec, limit: int | None, sources: Mapping[str, Source], base: Path, pools: Pools | None
) -> list[Task]:
    if spec.graded is None:
        return [building.build(spec, f.folder, limit, f.where)]
    from .graded import expand

    return expand(_bench(f, spec, limit, sources, base, pools))


def _bench(
    f: _Found, spec: Spec, limit: int | None, sources: Mapping[str, Source], base: Path, pools: Pools | None
) -> PooledTask:
    from . import examples
    from .graded import PooledTask

    options = spec.graded or specs.Graded()
    wanted = options.pool or spec.pool
    if wanted is None:
        raise UserError(f"{f.where}: graded: no pool of examples", "graded: {pool: SOURCE}, or a file of solved rows")
    task = building.build(spec, f.folder, limit, f.where)
    own = spec.model_copy(update={"chat": None, "graded": None, "pool": None, "limit": None, "skip": 0})
    key, kept = ("pool", own.model_dump_json(), str(wanted), f.folder, base), {} if pools is None else pools
    if key not in kept:
        kept[key] = examples.pool(spec, wanted, f.folder, f.where, sources, base)
    pool = kept[key]
    return PooledTask(task, pool, options, spec.description, base)


@dataclass(frozen=True)
class _Found:
    """The keys of one task, and what to call it in errors."""

    keys: dict[str, Any]
    where: str
    folder: Path


MANY = 1_000
"""Tasks that one specification may stand for."""


def _find(spec: str | Mapping[str, Any], folder: Path, within: tuple[Path, ...] = ()) -> list[_Found]:
    if len(within) > DEPTH:
        raise UserError(f"{within[-1]}: task files lead through more than {DEPTH} others", "name the tasks themselves")
    if isinstance(spec, str):
        return _named(spec, folder, within)
    if not isinstance(spec, Mapping):
        raise UserError(
            f"a task is a name, a file or a mapping, found {shown(spec)}", "NAME, mine.yaml, or {name: …, prompt: …, …}"
        )
    own = _anchored(dict(spec), folder)
    if "group" in own:
        group = own.pop("group")
        if not isinstance(group, list) or not group:
            hint = "group: [NAME, mine.yaml, {name: …}]"
            raise UserError(f"{_label(spec)}: group: expected a list of tasks, found {shown(group)}", hint)
        members = list[_Found]()
        for member in group:
            members += [_on_top(own, found) for found in _find(member, folder, within)]
            if len(members) > MANY:
                raise UserError(f"{_label(spec)}: group: more than {MANY:,} tasks", "does a group hold itself?")
        return members
    if "task" not in own:
        return [_Found(own, _label(spec), folder)]
    base = _find(own.pop("task"), folder, within)
    if len(base) > 1:
        _refuse_one_for_all(own, _label(spec))
    return [_on_top(own, found) for found in base]


def _named(name: str, folder: Path, within: tuple[Path, ...]) -> list[_Found]:
    built_in = BUILT_IN / f"{name}.yaml"
    if name in names() and not built_in.exists():  # a plug-in's
        return _find({"name": name, **registry.tasks.find(name)()}, folder, within)
    path = built_in if name in names() or (within and built_in.exists()) else folder / Path(name).expanduser()
    if path != built_in and path.is_dir():
        path = _of_folder(path)
    if name.endswith("/") and not path.exists():
        raise UserError(
            f"task {name}: no such folder ({path})",
            f"a folder that contextune exam made: contextune exam DOCUMENTS --out {path} makes it",
        )
    if path.suffix not in (".yaml", ".yml") or not (path.exists() or "/" in name):
        raise UserError(f"unknown task '{name}'", f"{nearest(name, names())} a task file ends in .yaml")
    if path.resolve() in within:
        raise UserError(f"{path}: leads back to itself", "a task file's 'task' or 'group' must name another one")
    keys = read_yaml(path)
    if "group" not in keys:
        keys.setdefault("name", path.stem)
    found = _find(keys, path.parent, (*within, path.resolve()))
    return found if path is built_in else [replace(f, where=str(path)) for f in found]


def _of_folder(folder: Path) -> Path:
    """The task file of a folder."""
    if not (folder / "tasks.yaml").exists():
        raise UserError(
            f"{folder}: a folder without a file tasks.yaml", "contextune exam DOCUMENTS --out FOLDER makes one"
        )
    return folder / "tasks.yaml"


def _on_top(own: dict[str, Any], base: _Found) -> _Found:
    """A source or kind of one's own displaces all that belongs to the base's; keys of groups come one by one."""
    keys = dict(base.keys)
    if any(k in own for k in ("path", "hub", "rows")):
        gone = set(ORIGINS) - (
            {"format"} if "local" in keys and "path" in own else set()
        )  # the file in the folder has it
        keys = {k: v for k, v in keys.items() if k not in gone}
    if own.get("kind", keys.get("kind")) != keys.get("kind"):
        keys = {k: v for k, v in keys.items() if k not in OF_KIND}
    keys |= own
    for group in ("fewshot", "graded"):
        if isinstance(own.get(group), dict):
            keys[group] = {**(base.keys.get(group) or {}), **own[group]}
    return _Found(keys, f"task {keys.get('name', '?')}", base.folder)


def _anchored(keys: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths made absolute, since keys from several files may come together."""
    if isinstance(keys.get("path"), str):
        keys["path"] = str(folder.resolve() / Path(keys["path"]).expanduser())
    if isinstance(keys.get("database"), str):
        keys["database"] = str(folder.resolve() / Path(keys["database"]).expanduser())
    for group in ("fewshot", "pool"):
        inner = keys.get(group)
        if isinstance(inner, dict) and isinstance(inner.get("path"), str):
            keys[group] = {**inner, "path": str(folder.resolve() / Path(inner["path"]).expanduser())}
    return keys


def _refuse_one_for_all(own: dict[str, Any], where: str) -> None:
    if "path" in own and not Path(str(own["path"])).exists():
        raise UserError(f"{where}: no such folder {own['path']}", "paths are relative to the recipe's folder")
    if "name" in own or "rows" in own or ("path" in own and not Path(str(own["path"])).is_dir()):
        key = next(k for k in ("name", "rows", "path") if k in own)
        raise UserError(
            f"{where}: '{key}' would be the same for all tasks of the group", "give a folder, or one task at a time"
        )


def _label(spec: Mapping[str, Any]) -> str:
    return f"task {spec.get('name') or spec.get('task') or '(without a name)'}"


def _of_world(spec: dict[str, Any], limit: int | None) -> list[Task]:
    world = str(spec["world"])
    unknown = set(spec) - set(specs.WorldSpec.model_fields)
    if unknown:
        raise UserError(
            f"world '{world}': unknown key '{min(unknown)}'", nearest(min(unknown), ("options", "tasks", "limit"))
        )
    given = {k: v for k, v in spec.items() if v is not None}
    asked = parse_options(lambda: specs.WorldSpec.model_validate({**given, "world": world}), f"world '{world}'")
    found = world_of(world, **asked.options).tasks
    wanted = asked.tasks or list(found)
    for name in wanted:
        if name not in found:
            raise UserError(f"world '{world}': no task '{name}'", nearest(name, found))
    cut = min((n for n in (limit, asked.limit) if n is not None), default=None)
    return [
        replace(
            found[n], items=tuple(map(_asked_alone, found[n].items[:cut])), fields={**found[n].fields, "world": world}
        )
        for n in wanted
    ]


def _asked_alone(item: Item) -> Item:
    """A world's contexts are the lines before the last one, unless it says what is asked alone."""
    if item.alone is not None:
        return item
    context, _, alone = item.prompt.rpartition("\n")
    return replace(item, alone=alone) if context else item


def _refuse_longest(tasks: Iterable[Task], window: int) -> None:
    """UserError for an item many times longer than the model reads, which would be encoded to be cut."""
    most = max(PER_TOKEN * window, SHORT)
    for task in tasks if window else ():
        for item in task.items:
            size = len(item.prompt) + sum(len(text) for _, text in item.turns)
            if size > most:
                raise UserError(
                    f"task {task.name}: item {item.id}: its prompt has {size:,} characters, at most {most:,} are taken "
                    f"for a model that reads {window:,} tokens",
                    "shorten the prompt, or take a model that reads more",
                )


def _refuse_unscorable(task: Task, tokenizer: Tokenizer) -> None:
    from contextune.core.asking import asked_pair, chat_text

    if task.chat:
        for item in task.items:
            try:
                chat_text((*item.turns, ("user", item.prompt)), tokenizer)
            except UserError as e:
                raise UserError(f"task {task.name}: item {item.id}: {e.message}", e.hint) from None
    if task.kind == "choice":
        for item in task.items:
            for option in item.options:
                if not asked_pair(task.asked(item), option, tokenizer)[1]:
                    where = f"task {task.name}: item {item.id}"
                    raise UserError(
                        f"{where}: the option {option!r} is no token of its own after the prompt",
                        "begin options with a space, or end the prompt before the word",
                    )
