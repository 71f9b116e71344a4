"""From a recipe to everything that training needs, checked before the first step.

All arms see the same records: a text is cut by the content budget that the *longest* context of *any* arm leaves,
so that targets are identical token for token; what is dropped is dropped for all and counted.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from . import identity, models
from .accounting import Length, account, lengths
from .contexts import Context, Scene
from .contexts.spared import spare
from .data import Documents, load
from .data.contamination import Overlap, overlap, wordings
from .data.records import SMALLEST, Records, specials
from .data.records import records as make_records
from .errors import UserError, nearest
from .evaluate.items import Item, Task
from .evaluate.probes import Probes
from .evaluate.probes import load as load_probes
from .evaluate.tasks import load_task, members
from .recipe import Recipe, Stage, Train
from .sequence import Record, Tokenizer
from .train.grouping import grouped
from .train.plan import Plan

if TYPE_CHECKING:
    from .augment.run import Augmented
    from .generate.base import Engine


@dataclass(frozen=True)
class Ready:
    """One stage, ready to train."""

    stage: Stage
    train: Train
    records: Seq[Record]
    context: Context
    origins: Seq[str]
    """The source of each record; of what was inferred, "source+operation"."""
    augmented: Augmented | None = None

    def plan(self, seed: int) -> Plan:
        return Plan.of(len(self.records), self.train.batch, seed, self.train.epochs, self.train.steps)


@dataclass
class Prepared:
    """A recipe with its model found, its data read and cut, its contexts bound and its tasks loaded."""

    recipe: Recipe
    base: Path
    out: Path
    model: str
    config: Mapping[str, Any]
    tokenizer: Tokenizer
    documents: Mapping[str, Documents]
    records: Mapping[str, Records]
    arms: Mapping[str, tuple[Ready, ...]]
    tasks: Seq[Task]
    warnings: list[str] = field(default_factory=list)
    _digests: dict[str, str] = field(default_factory=dict, repr=False)
    _lengths: dict[str, list[Length]] = field(default_factory=dict, repr=False)
    _engine: list[Engine] = field(default_factory=list, repr=False)

    @cached_property
    def accounting(self) -> list[dict[str, Any]]:
        """Tokens by arm, stage and source, each record counted once with the context of the first epoch."""
        return [
            row for arm, stages in self.arms.items() for i, s in enumerate(stages) for row in account(self, arm, i, s)
        ]

    def lengths(self, source: str) -> list[Length]:
        """Tokens of each record of a source, counted once."""
        if source not in self._lengths:
            self._lengths[source] = lengths(self.records[source].records, self.tokenizer)
        return self._lengths[source]

    def digest(self, source: str) -> str:
        """Hash of a source's records as they are cut, made once."""
        if source not in self._digests:
            plain = [(r.id, [s.text for s in r.segments], r.ends) for r in self.records[source].records]
            self._digests[source] = identity.digest(plain)
        return self._digests[source]

    @cached_property
    def probes(self) -> list[Probes]:
        """What is asked during training."""
        return load_probes(self.recipe, self.base)

    @cached_property
    def fingerprint(self) -> str:
        return models.fingerprint(self.model)

    @property
    def parameters(self) -> int:
        return models.parameters(dict(self.config))


Say = Callable[[str], None]


def prepare(
    recipe: Recipe,
    base: Path,
    out: Path,
    only: Iterable[str] = (),
    say: Say = lambda text: None,
    plan: bool = False,
) -> Prepared:
    """Read, cut, bind and load. `base` is the recipe's folder, `only` names the arms wanted (all where empty).

    Texts that arms train on are inferred here, through the store; with `plan` only those that it has are taken, and
    what would be asked is counted.
    """
    arms = _chosen(recipe, only)
    say("looking at the model")
    path = models.resolve(recipe.model, base)
    config = models.check(path, recipe.model.revision)
    tokenizer = models.load_tokenizer(path, recipe.model)
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"model {path}: its tokenizer has no end-of-text token", "set eos_token in tokenizer_config.json"
        )
    say("reading the data")
    wanted = {name for stages in arms.values() for s in stages for name in (*s.sources, *_pools(recipe, s))}
    wanted |= set(recipe.evaluate.perplexity)
    documents = {name: _load(recipe, name, base) for name in sorted(wanted)}
    budgets = {name: budget(recipe, name, base, tokenizer) for name in documents}
    records = {n: make_records(documents[n].documents, recipe.data[n], tokenizer, budgets[n]) for n in documents}
    for name, found in records.items():
        if not found.records and any(name in s.sources for stages in arms.values() for s in stages):
            raise UserError(
                f"data.{name}: no record is left to train on", "look at the file, and at limit and overlong"
            )
    say("loading the tasks")
    limit = recipe.evaluate.limit
    tasks = [t for spec in recipe.evaluate.tasks for t in load_task(spec, base, limit, tokenizer, recipe.data)]
    tasks += [_perplexity(name, documents[name]) for name in recipe.evaluate.perplexity]
    _distinct(tasks)
    _deciding(recipe, tasks)
    made = Prepared(recipe, base, out, path, config, tokenizer, documents, records, {}, tasks)
    made.arms = {arm: tuple(ready(made, stage, arm, say, plan) for stage in stages) for arm, stages in arms.items()}
    return made


def budget(recipe: Recipe, name: str, base: Path, tokenizer: Tokenizer) -> int:
    """Tokens that a target of this source may have, in every arm, specials not counted.

    A text is cut to what the longest context of any arm leaves of max_length. Where records are not cut (pairs,
    conversations, worlds) the target may fill max_length; a context that does not fit beside it is cut, and counted.
    Raises UserError where a chunk that the recipe asks for does not fit.
    """
    source = recipe.data[name]
    cut = source.kind == "text" and source.world is None and source.chunk != "none"
    rooms = [
        (recipe.training(stage).max_length - specials(tokenizer) - context, context, arm)
        for arm, spec in recipe.arms.items()
        for stage in spec.stages
        if name in stage.sources
        for context in (stage.context.bind(Scene(tokenizer, (), base)).longest() if cut else 0,)
    ]
    if not rooms:
        return recipe.train.max_length - specials(tokenizer)
    room, longest, arm = min(rooms)
    if cut and (room < SMALLEST or (isinstance(source.chunk, int) and source.chunk > room)):
        asked = (
            f"a chunk of {source.chunk} tokens" if isinstance(source.chunk, int) else f"a chunk of {SMALLEST} tokens"
        )
        raise UserError(
            f"data.{name}: {asked} does not fit: the longest context of arm {arm} takes {longest} tokens, which leaves "
            f"{room} of max_length",
            f"set data.{name}.chunk to {room} or less"
            if room >= SMALLEST
            else "raise train.max_length, or use shorter prompts",
        )
    return room


def overlaps(prepared: Prepared) -> Overlap:
    """Test items that stand in the training texts. What is asked as it was taught (`learn`) is meant to."""
    texts = ((r.id, "".join(s.text for s in r.segments)) for found in prepared.records.values() for r in found.records)
    items = (
        (f"{task.name}:{item.id}", wording)
        for task in prepared.tasks
        if task.measure not in ("learn", "retain") and task.kind != "perplexity"
        for item in task.items
        # a world's prompts hold taught statements on purpose, where it asks in context
        # without the examples of a context, which may be those trained on
        for wording in (_last(item) if "world" in task.fields else wordings(_asked(item), item.gold))
    )
    return overlap(texts, items)


def _last(item: Item) -> tuple[str]:
    """What a world asks: its prompt's last line, with the answer."""
    return (item.prompt.rsplit("\n", 1)[-1] + item.gold,)


def _asked(item: Item) -> str:
    return str(item.fields.get("asked", item.prompt))


def writable(out: Path) -> None:
    """UserError where the run's folder cannot be made and written to."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out) as probe:  # of this process alone: others of the run look at the same time
            probe.write(b"x")
    except FileExistsError:
        raise UserError(f"output {out}: a file of that name is in the way", "give another output=FOLDER") from None
    except OSError as e:
        raise UserError(
            f"output {out}: cannot be written ({os.strerror(e.errno or 0)})", "give another output=FOLDER"
        ) from None


def disk(prepared: Prepared) -> dict[str, int]:
    """Bytes that the run needs at most beside the bytes that are free."""
    copies = sum(len(stages) for stages in prepared.arms.values()) * len(prepared.recipe.seeds)
    full = any(s.train.adapter is None for stages in prepared.arms.values() for s in stages)
    size = prepared.parameters * 4 if full else prepared.parameters // 50
    return {"needed": size * (copies + 6), "free": shutil.disk_usage(prepared.out).free}  # 6: two checkpoints with Adam


def _chosen(recipe: Recipe, only: Iterable[str]) -> dict[str, tuple[Stage, ...]]:
    only = list(only)
    for name in only:
        if name not in recipe.arms:
            raise UserError(f"no arm '{name}' in the recipe", nearest(name, recipe.arms))
    return {name: arm.stages for name, arm in recipe.arms.items() if not only or name in only}


def _pools(recipe: Recipe, stage: Stage) -> tuple[str, ...]:
    """Sources that a stage's contexts are drawn from, or that are replayed in its mixture."""
    for name in stage.context.sources():
        if name not in recipe.data:
            raise UserError(f"context {stage.context.policy}: no data '{name}'", nearest(name, recipe.data))
    return (*stage.context.sources(), *stage.replayed)


def ready(prepared: Prepared, stage: Stage, arm: str, say: Say = lambda text: None, plan: bool = False) -> Ready:
    """A stage of an arm with its records chosen and its context bound, from data that is read and cut."""
    train = prepared.recipe.training(stage)
    made = _augmented(prepared, stage, train, say, plan, arm) if stage.augment is not None else None
    whole = [(r, name) for name in stage.sources for r in prepared.records[name].records]
    if made is not None:
        whole = list(zip(made.records, made.origins, strict=True))
    replayed = {(r.origin, r.id) for r, name in whole if name in set(stage.replayed) - set(stage.sources)}
    taught = [r for r, _ in whole if (r.origin, r.id) not in replayed]
    learned = [(r, name) for r, name in whole if (r.origin, r.id) in replayed or stage.context.trains(r)]
    if len(learned) == len(replayed):
        raise UserError(f"context {stage.context.policy}: its pool leaves no record to train on", "make pool smaller")
    scene = Scene(
        prepared.tokenizer,
        tuple(taught),
        prepared.base,
        _writer(prepared, say),
        prepared.out / "generated.sqlite",
        _spoken(say),
        source=lambda name: prepared.records[name].records,
        cache=prepared.out / "similarities",
        model=prepared.model,
        say=say,
        warn=lambda text: None if text in prepared.warnings else prepared.warnings.append(text),
    )
    models.check_adapter(train.adapter)
    records, names = [r for r, _ in learned], [name for _, name in learned]
    context = grouped(spare(stage.context.bind(scene), replayed), records, train.share)
    return Ready(stage, train, records, context, names, made)


def _augmented(prepared: Prepared, stage: Stage, train: Train, say: Say, plan: bool, arm: str) -> Augmented:
    from .augment.staging import augment_stage

    engine = _writer(prepared, say)
    made = augment_stage(prepared, stage, train, engine, plan, _spoken(say, f"augmenting {arm}"))
    prepared.warnings += [f"arm {arm}: {text}" for text in made.warnings]
    if not made.records and not plan:
        raise UserError(f"arm {arm}: augmentation leaves nothing to train on", "set keep: true, or look at its filters")
    return made


def _spoken(say: Say, what: str = "writing contexts") -> Callable[[int, int], None]:
    """How far the writing of texts has come, every fifteen seconds."""
    last = time.monotonic()

    def progress(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last > 15:
            last = time.monotonic()
            say(f"{what}: {done} of {of}")

    return progress


def _writer(prepared: Prepared, say: Say = lambda text: None) -> Callable[[], Engine]:
    """Opens who writes texts, once; nothing is loaded, and no server contacted, before something is asked."""

    def opened() -> Engine:
        from .generate import open_engine

        if not prepared._engine:
            prepared._engine.append(open_engine(prepared.recipe.writer, prepared.model, prepared.base, say))
        return prepared._engine[0]

    return opened


def _load(recipe: Recipe, name: str, base: Path) -> Documents:
    try:
        return load(recipe.data[name], base)
    except UserError as e:
        raise UserError(f"data.{name}: {e.message}", e.hint) from None


def _perplexity(name: str, documents: Documents) -> Task:
    """Held-out texts, or held-out completions after their prompts."""
    items = tuple(Item(d.id, d.prompt, d.text or d.completion) for d in documents.held_out)
    if not all(item.answer for item in items):
        raise UserError(f"evaluate.perplexity: {name} holds conversations or a world's records", "name texts or pairs")
    return Task(f"perplexity.{name}", "perplexity", items, "perplexity", about=f"held-out documents of {name}")


def _distinct(tasks: Seq[Task]) -> None:
    seen: set[str] = set()
    for task in tasks:
        if task.name in seen:
            raise UserError(f"evaluate.tasks: the task '{task.name}' is there twice", "give one of them another name")
        seen.add(task.name)


def _deciding(recipe: Recipe, tasks: Seq[Task]) -> None:
    names = [t.name for t in tasks]
    for name in recipe.compare.tasks:
        if not set(members(name)) <= set(names):
            raise UserError(f"compare.tasks: no task '{name}'", nearest(name, names))
