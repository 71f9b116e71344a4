"""A recipe: one YAML file that says what is learned, by which arms, and how they are judged.

The models here, with the options that live beside what they configure, are the whole grammar; `contextune schema`
prints them as JSON Schema. A key that is not in it is an error with the nearest key named. Nothing here imports torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from contextune.augment.options import Augment, shorthand
from contextune.contexts import NoContext
from contextune.contexts.policy import PolicyOption
from contextune.core.errors import UserError, nearest
from contextune.core.options import Name, Options
from contextune.core.yaml_files import apply, read_yaml
from contextune.data.options import Source
from contextune.evaluate.options import Compare, Evaluate
from contextune.generation.options import Writer
from contextune.models.options import Model
from contextune.train.options import Train

from .explain import explain


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

    @model_validator(mode="after")
    def _own_sources(self) -> Stage:
        for name in self.augment.data if self.augment is not None else ():
            if name not in self.sources:
                raise ValueError(f"augment.data: '{name}' is not a source of this stage; {nearest(name, self.sources)}")
        return self


class Arm(Options):
    """A method under comparison: its stages in order. Without stages it is the untrained model."""

    stages: tuple[Stage, ...] = ()
    about: str = Field("", description="one line for the report")


def _arm(value: object) -> object:
    """An arm of one stage may be written as that stage."""
    if value is None:
        return {}
    if isinstance(value, dict) and "data" in value:
        stage = {k: v for k, v in value.items() if k != "about"}
        return {"stages": [stage], **{k: v for k, v in value.items() if k == "about"}}
    return value


class Recipe(Options):
    """The whole comparison."""

    name: Name = "comparison"
    about: str = ""
    model: Annotated[Model, BeforeValidator(lambda v: {"path": v} if isinstance(v, str) else v)]
    data: dict[Name, Source]
    arms: dict[Name, Annotated[Arm, BeforeValidator(_arm)]]
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    compare: Compare = Compare()
    writer: Writer = Writer()
    output: str = Field("", description="the run's folder; default: runs/NAME beside where the command is given")
    allow_overlap: bool = Field(False, description="run although training texts contain test items")

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) != len(seeds):
            raise ValueError("seeds must be different numbers, at least one")
        return seeds

    @model_validator(mode="after")
    def _references(self) -> Recipe:
        if not self.arms:
            raise ValueError("at least one arm is needed")
        for arm, spec in self.arms.items():
            for i, stage in enumerate(spec.stages):
                for name in (*stage.sources, *stage.replayed):
                    if name not in self.data:
                        raise ValueError(f"arms.{arm}: stage {i} uses data '{name}'; {nearest(name, self.data)}")
        for name in self.evaluate.perplexity:
            if name not in self.data:
                raise ValueError(f"evaluate.perplexity: '{name}' is not in data; {nearest(name, self.data)}")
            if not self.data[name].held_out:
                raise ValueError(f"evaluate.perplexity: data.{name} holds nothing out; set its held_out, e.g. 0.05")
        if self.compare.baseline is not None and self.compare.baseline not in self.arms:
            raise ValueError(
                f"compare.baseline: no arm '{self.compare.baseline}'; {nearest(self.compare.baseline, self.arms)}"
            )
        return self

    def training(self, stage: Stage) -> Train:
        """The training options of a stage: those of the recipe, with the stage's own on top."""
        return Train.model_validate({**self.train.model_dump(), **stage.train})


def load(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Read a recipe file and apply overrides such as `train.lr=1e-4`.

    Raises UserError that names the file, the key, what was found and what was expected.
    """
    path = Path(path)
    return parse(apply(read_yaml(path), overrides), str(path))


def parse(value: dict[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from plain values; `where` names their origin in errors."""
    try:
        recipe = Recipe.model_validate(value)
    except ValidationError as e:
        raise explain(e, where, value, Recipe) from None
    except UserError as e:
        raise UserError(f"{where}: {e.message}", e.hint) from None
    for arm, spec in recipe.arms.items():
        adapters = []
        for i, stage in enumerate(spec.stages):
            try:
                adapters.append(recipe.training(stage).adapter)
            except ValidationError as e:
                raise explain(e, where, value, Recipe, ("arms", arm, "stages", str(i), "train")) from None
            if i and adapters[i - 1] is not None and adapters[i] != adapters[i - 1]:
                raise UserError(
                    f"{where}: arms.{arm}: stage {i} does not continue with the adapter of stage {i - 1}",
                    "use one adapter in all stages of an arm that follow it; it is not merged in between",
                )
    return recipe
