"""Step 1: find the model, read the sources, and cut their texts for all arms alike.

A text is cut by what the *longest* context of *any* arm leaves, so that targets are identical token for token; what is
dropped is dropped for all, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune import models
from contextune.core import clock
from contextune.core.commands import refuse_code
from contextune.core.errors import UserError, nearest, together
from contextune.core.files import digest
from contextune.core.progress import read_or_say
from contextune.core.sequence import Record, Tokenizer
from contextune.data import Documents, load
from contextune.data.corpus import Corpus, is_large, open_corpus
from contextune.data.paths import HIDDEN
from contextune.data.records import SMALLEST, Records, hashed, specials
from contextune.data.records import records as cut_records
from contextune.data.token_counts import Length, lengths
from contextune.evaluate.tasks.chat import Asking, asking

from .. import fingerprint
from ..recipe import Recipe, Stage

if TYPE_CHECKING:
    from contextune.generation.protocol import Engine

Say = Callable[[str], None]


@dataclass(frozen=True)
class Data:
    """A recipe with its model found and its data read and cut."""

    recipe: Recipe
    base: Path
    """The recipe's folder."""
    out: Path
    model: str
    config: Mapping[str, Any]
    tokenizer: Tokenizer
    documents: Mapping[str, Documents]
    records: Mapping[str, Records]
    warnings: list[str] = field(default_factory=list)
    say: Say = field(default=lambda text: None, repr=False)
    kept: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What takes long and is asked for more than once."""
    began: datetime = field(default_factory=clock.now)
    """When the run began: the date that templates write."""

    @property
    def partial(self) -> bool:
        """Whether of some source only the first records are there."""
        return bool(self.kept.get("partial"))

    def large(self, source: str) -> bool:
        """Whether a source is kept in the cache, prepared."""
        return bool(self.kept.get(("large", source)))

    def lengths(self, source: str) -> Seq[Length]:
        """Tokens of each record of a source, counted once."""
        if ("lengths", source) not in self.kept:
            self.kept["lengths", source] = lengths(self.records[source].records, self.tokenizer)
        found: Seq[Length] = self.kept["lengths", source]
        return found

    def validation(self, source: str) -> Seq[Record]:
        """The records of what a source holds out for the validation loss, cut as the others are."""
        made: Seq[Record] | None = self.kept.get(("validation", source))
        if made is None:
            found = self.documents[source].validation
            room = budget(self.recipe, source, self.base, self.tokenizer)
            try:
                made = cut_records(found, self.recipe.data[source], self.tokenizer, room).records if found else ()
            except UserError as e:
                raise UserError(f"data.{source}: validation: {e.message}", e.hint) from None
            self.kept["validation", source] = made
        return made

    def digest(self, source: str) -> str:
        """Hash of a source's records as they are cut."""
        if ("digest", source) not in self.kept:
            self.kept["digest", source] = digest([hashed(r) for r in self.records[source].records])
        return str(self.kept["digest", source])

    def warn(self, text: str) -> None:
        """Told before the run, and in the report; once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def engine(self) -> Engine:
        """Who writes texts, opened once; nothing is loaded, and no server contacted, before something is asked."""
        from contextune.generation.writer import open_engine

        if "engine" not in self.kept:
            self.kept["engine"] = open_engine(self.recipe.writer, self.model, self.base, self.say)
        engine: Engine = self.kept["engine"]
        return engine

    @cached_property
    def model_hash(self) -> str:
        return models.fingerprint(self.model)

    @cached_property
    def asking(self) -> Asking:
        """How tasks are asked that do not say so themselves: the same in every arm, also where `--arm` chooses some."""
        sources = {name for arm in self.recipe.arms.values() for stage in arm.stages for name in stage.sources}
        return asking(self.recipe.evaluate, self.tokenizer, (self.recipe.data[name].kind for name in sources))

    @cached_property
    def parameters(self) -> int:
        return models.count(self.model, self.config)


def read_data(
    recipe: Recipe,
    base: Path,
    out: Path,
    arms: Mapping[str, tuple[Stage, ...]],
    say: Say,
    weights: bool = True,
    first: int | None = None,
) -> Data:
    """Find the model and read what the arms need; without `weights` a folder that has none is taken by its
    configuration, with a warning. With `first` so many records are enough of a large source that is not prepared yet.
    Raises UserError.
    """
    say("looking at the model")
    if recipe.model.trust_remote_code:
        refuse_code(recipe.model.path)
    path = models.resolve(recipe.model, base)
    config = models.check(path, recipe.model.revision, weights)
    tokenizer = models.load_tokenizer(path, recipe.model)
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"model {path}: its tokenizer has no end-of-text token", "set eos_token in tokenizer_config.json"
        )
    empty, warnings = model_fit(path, recipe, tokenizer)
    say("reading the data")
    wanted = {name for stages in arms.values() for s in stages for name in (*s.sources, *_drawn_from(recipe, s))}
    wanted |= {*recipe.evaluate.perplexity, *([recipe.general] if recipe.general is not None else [])}
    wanted |= {name for stages in arms.values() for s in stages for name in recipe.training(s).validates}
    wanted |= {before.retrieve for arm in arms if (before := recipe.arms[arm].before) is not None}
    kept: dict[Any, Any] = {"skeleton": empty}
    read = _read_all(recipe, sorted(wanted), base, tokenizer, say, first, kept)
    large = {name: found for name, found in read.items() if isinstance(found, Corpus)}
    documents = {name: found.documents if isinstance(found, Corpus) else found for name, found in read.items()}
    warnings += [text for name, found in documents.items() for text in _told(name, found, say)]
    budgets = {name: budget(recipe, name, base, tokenizer) for name in documents}
    records = {
        n: large[n].records
        if n in large
        else cut_records(documents[n].documents, recipe.data[n], tokenizer, budgets[n])
        for n in documents
    }
    for name, corpus in large.items():
        kept |= {("lengths", name): corpus.lengths, ("digest", name): corpus.digest, ("large", name): True}
    notes = [f"data.{name}: {note}" for name, found in records.items() for note in found.notes]
    for name, found in records.items():
        if not len(found.records) and any(name in s.sources for stages in arms.values() for s in stages):
            raise UserError(
                f"data.{name}: no record is left to train on", "look at the file, and at limit and overlong"
            )
    return Data(recipe, base, out, path, config, tokenizer, documents, records, warnings + notes, say, kept)


BARE = "no weights (*.safetensors) are there: it is judged by its configuration alone, and a run needs them"


def model_fit(path: str, recipe: Recipe, tokenizer: Tokenizer) -> tuple[Any, list[str]]:
    """The model without its weights (None where they cannot be known yet), and warnings. Raises UserError."""
    if not models.has_weights(path):
        return None, [f"model {path}: {BARE}"]
    check = models.check_saved if models.is_adapter(path) else models.skeleton
    empty = check(path, recipe.model)
    if empty is None:
        return None, []
    return empty, models.check_vocabulary(empty, tokenizer, path)


DATE = "%Y-%m-%d %H:%M:%S"


def began(out: Path) -> datetime:
    """When the run in that folder began; now where none has."""
    then = "written anew; the run began when its stages say, else now"
    found = read_or_say(out / "run.json", then, older=True) or {}
    for said in (found, *fingerprint.notes(out).values()):
        with suppress(ValueError, LookupError, TypeError):
            return datetime.strptime(said["began"], DATE)
    return datetime.now().replace(microsecond=0)


def chosen_arms(recipe: Recipe, only: Iterable[str]) -> dict[str, tuple[Stage, ...]]:
    """The stages of the arms that are wanted, all where `only` is empty. Raises UserError for an unknown name."""
    only = list(only)
    for name in only:
        if name not in recipe.arms:
            raise UserError(f"no arm '{name}' in the recipe", nearest(name, recipe.arms))
    wanted = {*only, *map(recipe.models_of, only)}
    return {name: arm.stages for name, arm in recipe.arms.items() if not only or name in wanted}


def budget(recipe: Recipe, name: str, base: Path, tokenizer: Tokenizer) -> int:
    """Tokens that a target of this source may have, in every arm, specials not counted.

    A text is cut to what the longest context of any arm leaves of max_length. Where records are not cut (pairs,
    conversations, worlds) the target may fill max_length; a context that does not fit beside it is cut, and counted.
    Raises UserError where a chunk that the recipe asks for does not fit, or a context's length is not known before.
    """
    source = recipe.data[name]
    cut = source.kind == "text" and source.world is None and source.chunk != "none"
    rooms = [
        (recipe.training(stage).max_length - specials(tokenizer) - context, context, arm)
        for arm, spec in recipe.arms.items()
        for stage in spec.stages
        if name in stage.sources
        for context in (_context_tokens(stage, base, tokenizer) if cut else 0,)
    ]
    if not rooms:
        return recipe.train.max_length - specials(tokenizer)
    room, longest, arm = min(rooms)
    if cut and (room < SMALLEST or (isinstance(source.chunk, int) and source.chunk > room)):
        asked = source.chunk if isinstance(source.chunk, int) else SMALLEST
        raise UserError(
            f"data.{name}: a chunk of {asked} tokens does not fit: the longest context of arm {arm} takes {longest} "
            f"tokens, which leaves {room} of max_length",
            f"set data.{name}.chunk to {room} or less"
            if room >= SMALLEST
            else "raise train.max_length, or use shorter prompts",
        )
    return room


def _context_tokens(stage: Stage, base: Path, tokenizer: Tokenizer) -> int:
    found: int | None = stage.context.located(base).max_context_tokens(tokenizer)
    if found is None:
        raise UserError(
            f"context {stage.context.name}: how long it is at most is not known before texts are cut into chunks",
            "set the context's max_tokens, or the source's chunk: none",
        )
    return found


def _drawn_from(recipe: Recipe, stage: Stage) -> tuple[str, ...]:
    """Sources that a stage's contexts are drawn from, or that are replayed in its mixture."""
    for name in stage.context.sources():
        if name not in recipe.data:
            raise UserError(f"context {stage.context.name}: no data '{name}'", nearest(name, recipe.data))
    return (*stage.context.sources(), *stage.replayed)


def _read_all(
    recipe: Recipe,
    names: Iterable[str],
    base: Path,
    tokenizer: Tokenizer,
    say: Say,
    first: int | None,
    kept: dict[Any, Any],
) -> dict[str, Documents | Corpus]:
    """The sources, large ones prepared. The faults of all are told at once."""
    found, bad = dict[str, Documents | Corpus](), list[UserError]()
    for name in names:
        try:
            corpus = _open_large(recipe, name, base, tokenizer, say, first, kept)
            found[name] = load(recipe.data[name], base) if corpus is None else corpus
        except UserError as e:
            bad += [UserError(f"data.{name}: {part.message}", part.hint) for part in e.parts]
    if bad:
        raise together(bad)
    return found


def _open_large(
    recipe: Recipe, name: str, base: Path, tokenizer: Tokenizer, say: Say, first: int | None, kept: dict[Any, Any]
) -> Corpus | None:
    """A large source from the cache, or its first records, which `kept` then says (`partial`); None of others."""
    source = recipe.data[name]
    if not is_large(source, base):
        return None
    room = budget(recipe, name, base, tokenizer)
    corpus = open_corpus(source, base, tokenizer, room, lambda text: say(f"data.{name}: {text}"), first=first)
    if corpus is not None:
        kept["partial"] = kept.get("partial") or corpus.partial
    return corpus


SHOWN = 8
"""Files or documents that are named; more are counted."""


def _told(name: str, found: Documents, say: Say) -> Iterator[str]:
    """What of a source is not read or is there twice is said; warnings are for what was hardly meant."""
    if found.read_as:
        say(f"data.{name}: read as {found.read_as}")
    passed = found.passed_over
    if passed:
        text = f"data.{name}: {found.files} of {found.files + len(passed)} files read; passed over: {_some(passed)}"
        if all(p.endswith(HIDDEN) for p in passed):
            say(text)
        else:
            yield text
    if found.repeated and len(found.documents) and not found.documents[0].records:
        say(f"data.{name}: {found.duplicates} of {found.read} documents repeat another one: {_some(found.repeated)}")


def _some(names: Seq[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
