"""A recipe: one YAML file that says what is learned, by which arms, and how they are judged.

The models here are the whole grammar; `contextune schema` prints them as JSON Schema. A key that
is not in it is an error with the nearest key named. Nothing here imports torch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from . import contexts
from .augment.options import Augment, shorthand
from .errors import UserError, nearest
from .explain import explain
from .yamlfile import apply, read_yaml

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=80)]


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Options):
    """Where records come from: exactly one of `path`, `hub`, `world`."""

    path: str | tuple[str, ...] | None = Field(None, description="file, folder or glob, relative to the recipe")
    hub: str | None = Field(None, description="dataset id on the Hugging Face hub")
    world: str | None = Field(None, description="a generated benchmark of contextune.worlds")
    options: dict[str, Any] = Field({}, description="parameters of the world")
    config: str | None = Field(None, description="hub only: the dataset's configuration")
    split: str = Field("train", description="hub: the split; world: the group of records")
    format: Literal["auto", "jsonl", "json", "csv", "tsv", "parquet", "text"] = Field(
        "auto", description="tsv: tabs, and quotes are plain characters; auto reads .tsv as csv with tabs"
    )
    kind: Literal["text", "pairs", "messages"] = Field("text", description="what a row is")
    columns: dict[str, str] = Field(
        {}, description="our name: your column, e.g. {text: body, id: doi} or {prompt: question, completion: answer}"
    )
    template: str = Field(
        "{{ prompt }}\n", description="pairs only: jinja2 text of the context, from the row's columns"
    )
    separator: str = Field("", description="pairs only: text put before the completion; it bears loss")
    chunk: int | Literal["auto", "none"] = Field(
        "auto", description="text only: tokens a chunk at most; auto: what max_length leaves beside the longest context"
    )
    overlong: Literal["error", "drop"] = Field("error", description="rows whose target does not fit, in all arms alike")
    held_out: float = Field(0.0, ge=0.0, lt=1.0, description="share of documents kept out of training, for perplexity")
    limit: int | None = Field(None, gt=0, description="the first N documents only")

    @model_validator(mode="after")
    def _one_origin(self) -> Source:
        given = [k for k in ("path", "hub", "world") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(f"a source names exactly one of path, hub, world; found {', '.join(given) or 'none'}")
        if isinstance(self.chunk, int) and self.chunk < 8:
            raise ValueError(f"chunk is {self.chunk} tokens; at least 8 are needed")
        return self


def _policy(value: object) -> contexts.Policy:
    if isinstance(value, contexts.Policy):
        return value
    if isinstance(value, str):
        value = {"policy": value}
    if not isinstance(value, dict) or "policy" not in value:
        raise ValueError("a context is a policy's name or a mapping with the key 'policy'")
    return contexts.find(str(value["policy"])).model_validate(value)


Context = Annotated[Any, BeforeValidator(_policy)]


def _plain(context: contexts.Policy) -> dict[str, Any]:
    return {"policy": context.policy, **context.model_dump(mode="json", exclude_defaults=True)}


class Adapter(Options):
    """Parameter-efficient fine-tuning by peft."""

    kind: Literal["lora", "dora", "qlora"] = "lora"
    rank: int = Field(16, gt=0)
    alpha: int = Field(32, gt=0)
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    targets: str | tuple[str, ...] = Field("all-linear", description="peft's target_modules")


class Train(Options):
    """How every stage trains, unless the stage says otherwise."""

    epochs: float = Field(1.0, gt=0)
    steps: int | None = Field(None, gt=0, description="updates; takes the place of epochs")
    batch: int = Field(16, gt=0, description="sequences an update, over all processes")
    lr: float = Field(2e-5, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup: float = Field(0.05, ge=0.0, lt=1.0, description="share of the updates")
    weight_decay: float = Field(0.1, ge=0.0)
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = Field(1.0, gt=0, description="largest gradient norm")
    interpolate: float = Field(
        1.0,
        gt=0,
        le=1,
        description="how far from the first weights to the last the finished model stands (WiSE-FT)",
    )
    max_length: int = Field(512, ge=16, description="tokens a sequence at most, context and specials included")
    tokens: int = Field(8192, gt=0, description="tokens computed at once at most; no effect on the result")
    layout: Literal["auto", "single", "padded", "packed", "shared"] = Field(
        "auto", description="no effect on the result"
    )
    share: int = Field(1, ge=1, description="records that stand after one draw of the context, to compute it once")
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    checkpointing: bool = Field(False, description="recompute activations: less memory, more time")
    adapter: Adapter | None = None
    save: int = Field(0, ge=0, description="updates between checkpoints; 0: about ten a stage, not faster than 20 s")
    threads: int = Field(0, ge=0, description="0: one below 10 M parameters, else all cores")

    @model_validator(mode="after")
    def _straight(self) -> Train:
        if self.interpolate < 1 and self.adapter is not None and self.adapter.kind == "dora":
            raise ValueError("train.interpolate: dora's weights are products; use lora, qlora or no adapter")
        return self


class Stage(Options):
    """One round of training within an arm; omitted training keys are those of `train`."""

    data: Name | tuple[Name, ...] = Field(description="names of sources")
    context: Context = Field(default_factory=contexts.Nothing, description="what stands before each record")
    train: dict[str, Any] = Field({}, description="keys of `train` that differ in this stage")
    augment: Annotated[Augment | None, BeforeValidator(shorthand)] = Field(
        None, description="what is inferred from the records and learned with them; a name or list means operations"
    )

    @field_serializer("context")
    def _context(self, context: contexts.Policy) -> dict[str, Any]:
        return _plain(context)

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
                raise ValueError(f"augment.data: '{name}' is no source of this stage; {nearest(name, self.sources)}")
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


class Model(Options):
    """Which model is fine-tuned."""

    path: str = Field(description="'pocket', a model folder, or a hub id")
    revision: str | None = None
    trust_remote_code: bool = False


class Probes(Options):
    """Questions asked again and again while an arm trains; no effect on what it learns."""

    every: int = Field(50, gt=0, description="updates between two askings; also before the first and after the last")
    items: int = Field(40, gt=0, description="items of each task")
    tasks: tuple[str, ...] = Field(
        (), description="tasks of evaluate.tasks with a pool, or worlds; default: all that can be probed"
    )


class Gradients(Options):
    """Gradients with and without a context, taken again and again while an arm trains; no effect on what it learns."""

    every: int = Field(50, gt=0, description="updates between two looks; also before the first and after the last")
    items: int = Field(16, ge=2, description="records, and items of each deciding task at most")
    context: Context = Field(
        default_factory=lambda: _policy({"policy": "prompts", "set": "learning"}),
        description="what stands before the records; default: the learning prompts",
    )

    @field_serializer("context")
    def _context(self, context: contexts.Policy) -> dict[str, Any]:
        return _plain(context)


class Evaluate(Options):
    """How arms are judged. None of it is part of what is trained."""

    tasks: tuple[str | dict[str, Any], ...] = Field(
        (), description="built-in names, task files, worlds or inline tasks"
    )
    perplexity: tuple[Name, ...] = Field((), description="sources whose held-out documents are scored")
    limit: int | None = Field(None, gt=0, description="the first N items of each task")
    tokens: int = Field(4096, gt=0, description="tokens computed at once at most")
    samples: int = Field(4, ge=0, description="texts generated before and after, shown in the report")
    probes: Probes | None = Field(None, description="in-weights, in-context and copy scores during training")
    gradients: Gradients | None = Field(None, description="gradients with and without a context during training")


class Compare(Options):
    """How the verdict is reached."""

    baseline: Name | None = Field(
        None, description="the arm that others are held against; default: the first trained one"
    )
    tasks: tuple[str, ...] = Field((), description="tasks that decide; default: all but those marked as retention")
    resamples: int = Field(2000, ge=100)
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    published: str | None = Field(None, description="a paper's figures to show beside these, e.g. cft-medical-7b")

    @field_validator("published")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        from .report.published import names

        if name is not None and name not in names():
            raise ValueError(f"no published figures '{name}'; {nearest(name, names())}")
        return name


class Writer(Options):
    """Who writes texts (generated prompts, augmented texts); what is asked of it, those who ask say."""

    engine: Literal["auto", "local", "server", "vllm"] = Field(
        "auto", description="auto: server where one is named, else local (transformers); vllm: in this process"
    )
    model: str | None = Field(
        None,
        description="a model folder or hub id; default: the recipe's model; with a server: whose tokenizer counts",
    )
    server: str | None = Field(None, description="base URL of an OpenAI-compatible server, http://localhost:8000/v1")
    name: str | None = Field(None, min_length=1, description="server only: the model's name there")
    api: Literal["chat", "completions"] = Field("chat", description="server only: which endpoint is asked")
    concurrency: int = Field(8, gt=0, le=512, description="server only: requests under way at once")
    retries: int = Field(6, ge=0, description="server only: of a request that met 429, 5xx, a time-out, a lost line")
    timeout: float = Field(120.0, gt=0, description="server only: seconds for one answer")
    budget: dict[Literal["requests", "tokens"], Annotated[int, Field(gt=0)]] = Field(
        {}, description="server only: {requests, tokens} a run may use at most; the rest is listed as not asked"
    )
    prices: dict[Literal["input", "output"], Annotated[float, Field(ge=0)]] = Field(
        {}, description="server only: {input, output} per million tokens, for the estimate before the first request"
    )
    tokens: int = Field(8192, gt=0, description="local only: tokens computed at once at most; no effect on the texts")

    @model_validator(mode="after")
    def _one_engine(self) -> Writer:
        given = [k for k in self.model_fields_set if k in self._served and getattr(self, k) not in (None, {})]
        if self.kind == "server" and (self.server is None or self.name is None):
            raise ValueError(
                f"a server needs both `server` and `name`; {'server' if self.server is None else 'name'} is missing"
            )
        if self.kind != "server" and given:
            raise ValueError(f"{', '.join(sorted(given))}: only for a server, the engine is {self.kind}")
        if self.server is not None and not re.match(r"https?://[^/\s@?#]+(/[^\s@?#]*)?$", self.server):
            raise ValueError(
                "server: a URL such as http://localhost:8000/v1 is expected, without user, password or query"
            )
        if self.prices and len(self.prices) != 2:
            raise ValueError("prices: both input and output are needed, per million tokens")
        return self

    _served: ClassVar[tuple[str, ...]] = (
        "server", "name", "api", "concurrency", "retries", "timeout", "budget", "prices",
    )  # fmt: skip

    @property
    def kind(self) -> Literal["local", "server", "vllm"]:
        if self.engine == "auto":
            return "server" if self.server is not None else "local"
        return self.engine


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
    allow_overlap: bool = Field(False, description="go on although training texts contain test items")

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
                    f"{where}: arms.{arm}: stage {i} does not go on with the adapter of stage {i - 1}",
                    "use one adapter in all stages of an arm that follow it; it is not merged in between",
                )
    return recipe
