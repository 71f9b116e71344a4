"""A recipe: one YAML file that says what is learned, by which arms, and how they are judged.

The models here, with the options that live beside what they configure, are the whole grammar; `contextune schema`
prints them as JSON Schema. A key that is not in it is an error with the nearest key named. Nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError, field_validator, model_validator

from contextune.augment.options import Augment, shorthand
from contextune.contexts import NoContext
from contextune.contexts.policy import PolicyOption
from contextune.core.errors import UserError, nearest
from contextune.core.options import Name, Options, Refused, Seed
from contextune.core.yaml_files import apply, read_yaml
from contextune.data.options import Source
from contextune.evaluate.options import Compare, Evaluate
from contextune.evaluate.tasks.retrieved import Retrieve
from contextune.generation.options import Writer
from contextune.models.options import Model
from contextune.train.options import Train
from contextune.train.track_options import Track

from .explain import explain
from .halving import Search


class Stage(Options):
    """One round of training within an arm; omitted training keys are those of `train`."""

    data: Name | tuple[Name, ...] = Field(description="names of sources")
    context: PolicyOption = Field(default_factory=NoContext, description="what precedes each record")
    train: dict[str, Any] = Field({}, description="keys of `train` that differ in this stage")
    augment: Annotated[Augment | None, BeforeValidator(shorthand)] = Field(
        None, description="what is inferred from the records and learned with them; a name or list means operations"
    )

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.data,) if isinstance(self.data, str) else self.data

    @property
    def replayed(self) -> tuple[str, ...]:
        """The source of general text in the stage's mixture, if there is one."""
        mix = self.augment.mix if self.augment is not None else None
        return (mix.replay.data,) if mix is not None and mix.replay is not None else ()

    @field_validator("data")
    @classmethod
    def _some_sources(cls, data: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not data:
            raise Refused("empty, name a source", "a name of `data`, or a list of them")
        if not isinstance(data, str) and (twin := next((d for d in data if data.count(d) > 1), "")):
            raise Refused(f"'{twin}' is named twice", "name it once; train.epochs says how often it is read")
        return data

    @model_validator(mode="after")
    def _own_sources(self) -> Stage:
        for name in self.augment.data if self.augment is not None else ():
            if name not in self.sources:
                raise ValueError(f"augment.data: '{name}' is not a source of this stage; {nearest(name, self.sources)}")
        return self


class Arm(Options):
    """A method under comparison: its stages in order. Without stages it is the untrained model, or that of another arm.

    What `before` puts in front of questions is part of the method too: the same items, asked with retrieval.
    """

    stages: tuple[Stage, ...] = ()
    weights_of: Name | None = Field(
        None, description="the arm whose trained models this one asks, in place of stages of its own"
    )
    before: Retrieve | None = Field(
        None, description="passages that are retrieved and put before the questions of every task that has none"
    )
    about: str = Field("", description="one line for the report")
    match: Literal["rows", "tokens", "passes"] | None = Field(
        None, description="compare.match for this arm alone, e.g. as a control of the other arms' matching"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_stage(cls, value: object) -> object:
        """An arm of one stage may be written as that stage, an untrained one as nothing."""
        if value is None:
            return {}
        if isinstance(value, dict) and "data" in value:
            own = {k: v for k, v in value.items() if k in ("about", "match", "before", "weights_of")}
            return {"stages": [{k: v for k, v in value.items() if k not in own}], **own}
        return value

    @model_validator(mode="after")
    def _one_model(self) -> Arm:
        if self.stages and self.weights_of is not None:
            raise Refused("stages, and weights_of another arm", "give an arm one of the two")
        return self


class Recipe(Options):
    """The whole comparison. What is wrong with its values is a UserError."""

    name: Name = "comparison"
    about: str = ""
    model: Annotated[Model, BeforeValidator(lambda v: {"path": v} if isinstance(v, str) else v)]
    data: dict[Name, Source]
    arms: dict[Name, Arm]
    seeds: tuple[Seed, ...] = (0,)
    train: Train = Train()
    search: Search | None = Field(
        None, description="settings that each arm and seed choose from by their validation loss; see search below"
    )
    evaluate: Evaluate = Evaluate()
    compare: Compare = Compare()
    writer: Writer = Writer()
    keep: Literal["all", "best", "outcomes"] = Field(
        "all",
        description="weights that stay in the run's folder when they are scored: all, the best arm's, or none; may "
        "change later",
    )
    track: Track = Field(
        default_factory=Track,
        description="trackers that are told what training logs: tensorboard, trackio, wandb, mlflow; one, a list, or "
        "a mapping with their options; see track below",
    )
    output: str = Field("", description="the run's folder; default: runs/NAME beside where the command is given")
    allow_overlap: bool = Field(False, description="run although training texts contain test items")

    _folder: Path = PrivateAttr(Path())
    """Where its relative paths begin: its file's folder."""
    _file: Path | None = PrivateAttr(None)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as e:
            raise explain(e, WHERE, values, Recipe) from None
        except UserError as e:  # of something that is registered
            raise UserError(f"{WHERE}: {e.message}", e.hint) from None
        self._refuse_stages(values)

    @classmethod
    def model_validate(cls, obj: Any, **_: Any) -> Recipe:
        """A recipe from a mapping."""
        return parse(obj)

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) != len(seeds):
            raise Refused("seeds must be different numbers, at least one", "for example [0, 1, 2]")
        return seeds

    @model_validator(mode="after")
    def _references(self) -> Recipe:
        if not self.arms:
            raise Refused("at least one arm is needed", "arms: {NAME: {data: SOURCE}}")
        if len(twins := {a.casefold(): a for a in self.arms}) < len(self.arms):
            one = next(a for a in self.arms if twins[a.casefold()] != a)
            raise Refused(
                f"arms: '{one}' and '{twins[one.casefold()]}' are one folder where the file system ignores case",
                "rename one of them",
            )
        for arm, spec in self.arms.items():
            for i, stage in enumerate(spec.stages):
                for name in (*stage.sources, *stage.replayed):
                    if name not in self.data:
                        raise Refused(f"arms.{arm}: stage {i} uses data '{name}'", nearest(name, self.data))
            self._refuse_variant(arm, spec)
        if self.keep != "all" and not self.evaluate.tasks and not self.evaluate.perplexity:
            raise Refused(f"keep: {self.keep}: no task gives outcomes to keep", "name evaluate.tasks, or keep: all")
        self._refuse_validation()
        self._refuse_search()
        for name in self.evaluate.perplexity:
            if name not in self.data:
                raise Refused(f"evaluate.perplexity: '{name}' is not in data", nearest(name, self.data))
            if not self.data[name].held_out:
                raise Refused(f"evaluate.perplexity: data.{name} holds nothing out", f"data.{name}.held_out=0.05")
        if (name := self.evaluate.general) not in ("auto", "off"):
            if name not in self.data:
                raise Refused(f"evaluate.general: '{name}' is not in data", nearest(name, (*self.data, "auto", "off")))
            if not self.data[name].held_out:
                raise Refused(f"evaluate.general: data.{name} holds nothing out", f"data.{name}.held_out=0.05")
        if self.compare.baseline is not None and self.compare.baseline not in self.arms:
            raise Refused(
                f"compare.baseline: no arm '{self.compare.baseline}'", nearest(self.compare.baseline, self.arms)
            )
        return self

    def _refuse_validation(self) -> None:
        """Refuse validation on what is not there, or is trained on, and options of it that have no effect."""
        stages = [(arm, stage) for arm, spec in self.arms.items() for stage in spec.stages]
        trained = {name: arm for arm, stage in stages for name in (*stage.sources, *stage.replayed)}
        for where, keys in (("train", self.train.model_dump()), *((f"arms.{a}: train", s.train) for a, s in stages)):
            on = keys.get("validate_on") or ()
            for name in (on,) if isinstance(on, str) else on:
                if name not in self.data:
                    raise Refused(f"{where}.validate_on: no data '{name}'", nearest(name, self.data))
                if name in trained and not self.data[name].validation:
                    raise Refused(
                        f"{where}.validate_on: arm {trained[name]} trains on '{name}'",
                        f"name another source, or data.{name}.validation=0.05 keeps a share of it out of training",
                    )
            given = [k for k in ("patience", "validate_every") if keys.get(k)] + ["keep"] * (keys.get("keep") == "best")
            if given and not on and not any(source.validation for source in self.data.values()):
                name = next(iter(trained), "NAME")
                raise Refused(
                    f"{where}.{given[0]}: nothing is held out to validate on",
                    f"data.{name}.validation=0.05 keeps a share out of training, train.validate_on names a source",
                )

    def _refuse_search(self) -> None:
        """Refuse a search for what is set already, so that every arm chooses from the same settings."""
        keys = self.search.keys if self.search is not None else ()
        fixed = [("train", key) for key in keys if key in self.train.model_fields_set]
        for arm, spec in self.arms.items():
            for key in (*keys, *["epochs"] * ("steps" in keys)):
                fixed += [(f"arms.{arm}: train", key) for stage in spec.stages if key in stage.train]
        if fixed:
            where, key = fixed[0]
            raise Refused(
                f"{where}.{key} is set, and search chooses it", f"leave out {where}.{key}, or the search for it"
            )

    def _refuse_variant(self, arm: str, spec: Arm) -> None:
        """Refuse models of an arm that has none of its own, and passages of a source that holds no plain texts."""
        if (of := spec.weights_of) is not None:
            trained = [name for name, other in self.arms.items() if other.stages]
            if of not in trained:
                what = "is not trained: leave weights_of out, or name" if of in self.arms else "is no arm: name"
                raise Refused(f"arms.{arm}: weights_of '{of}' {what} a trained one", nearest(of, trained))
        if spec.before is not None:
            name = spec.before.retrieve
            if name not in self.data:
                raise Refused(f"arms.{arm}: before.retrieve: no data '{name}'", nearest(name, self.data))
            if self.data[name].world is None and self.data[name].kind != "text":
                kind = self.data[name].kind
                raise Refused(
                    f"arms.{arm}: before.retrieve: data.{name} holds {kind}",
                    "passages are texts: name a source of them",
                )

    @property
    def general(self) -> str | None:
        """The source on whose held-out documents it is measured how far models move; None: none of the recipe's."""
        if self.evaluate.general != "auto":
            return None if self.evaluate.general == "off" else self.evaluate.general
        replayed = (name for arm in self.arms.values() for stage in arm.stages for name in stage.replayed)
        return next((name for name in replayed if self.data[name].held_out), None)

    def models_of(self, arm: str) -> str:
        """The arm that trains an arm's models: itself, or the one that it names."""
        return self.arms[arm].weights_of or arm

    def is_untrained(self, arm: str) -> bool:
        """Whether an arm asks the model as it is, with stages neither of its own nor of another arm."""
        return not self.arms[self.models_of(arm)].stages

    def seeds_of(self, arm: str) -> tuple[int, ...]:
        """The seeds that an arm has models of; an untrained model stands once, under seed 0."""
        return (0,) if self.is_untrained(arm) else self.seeds

    def _refuse_stages(self, values: Mapping[str, Any]) -> None:
        """UserError where a stage's own training keys, or an adapter that follows another, cannot be."""
        for arm, spec in self.arms.items():
            adapters = []
            for i, stage in enumerate(spec.stages):
                try:
                    adapters.append(self.training(stage).adapter)
                except ValidationError as e:
                    within = ("arms", arm, "stages", str(i), "train")
                    raise explain(e, WHERE, dict(values), Recipe, within) from None
                if i and adapters[i - 1] is not None and adapters[i] != adapters[i - 1]:
                    raise UserError(
                        f"{WHERE}: arms.{arm}: stage {i} does not continue with the adapter of stage {i - 1}",
                        "use one adapter in all stages of an arm that follow it; it is not merged in between",
                    )

    def training(self, stage: Stage) -> Train:
        """The training options of a stage: those of the recipe, with the stage's own on top; of what is searched, the
        longest."""
        longest = self.search.longest if self.search is not None else {}
        return Train.model_validate({**self.train.model_dump(), **longest, **stage.train})


WHERE = "recipe"
"""What an error calls values that come from no file."""
RecipeLike = Recipe | Mapping[str, Any] | str | Path


def load(path: RecipeLike, overrides: Iterable[str] | str = ()) -> Recipe:
    """A recipe from a file (or its values, or a Recipe), with overrides such as `train.lr=1e-4`.

    Relative paths in it begin at the file's folder, else at the working directory. Raises UserError that names the
    file, the key, what was found and what was expected.
    """
    changes = [overrides] if isinstance(overrides, str) else list(overrides)
    if isinstance(path, Recipe):
        if not changes:
            return path
        made = parse(apply(json.loads(path.model_dump_json(exclude_defaults=True)), changes))
        made._folder, made._file = path._folder, path._file
        return made
    if isinstance(path, Mapping):
        return parse(apply(_plain(path), changes))
    if not isinstance(path, str | Path):
        raise UserError(f"a recipe is a file, a mapping or a Recipe, found {path!r:.60}", 'for example "recipe.yaml"')
    file = Path(path).expanduser()
    made = parse(apply(read_yaml(file), changes), str(path))
    made._folder, made._file = file.parent, file
    return made


def as_recipe(
    given: RecipeLike, base: Path | str | None = None, overrides: Iterable[str] | str = ()
) -> tuple[Recipe, Path]:
    """A recipe and the folder where its paths begin: `base`, else its file's. Raises UserError."""
    made = load(given, overrides)
    return made, made._folder if base is None else Path(base).expanduser()


def folder_of(recipe: Recipe) -> Path:
    """The run's folder, which is beside where the command is given."""
    return Path(recipe.output).expanduser() if recipe.output else Path("runs") / recipe.name


def parse(value: Mapping[str, Any], where: str = WHERE) -> Recipe:
    """A recipe from plain values; `where` names their origin in errors."""
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: expected a mapping of keys, found {value!r:.60}", "contextune.load reads a file")
    try:
        return Recipe(**{str(k): v for k, v in _plain(value).items()})
    except UserError as e:
        raise UserError(f"{where}: {e.message.removeprefix(f'{WHERE}: ')}", e.hint) from None


def _plain(value: Any) -> Any:
    """Mappings as dictionaries and paths as text, all the way down."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
