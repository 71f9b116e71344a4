"""The grammar of a task file, and where the rows of a task come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from contextune.core.errors import UserError, nearest
from contextune.core.items import Measure
from contextune.core.options import LONGEST, MOST, Name, Options, Seed, fix_of, found
from contextune.data import paths
from contextune.data.options import Source
from contextune.retrieval import SimilarityOption, WordOverlap

from .. import metrics
from ..metrics.external import SECONDS

TaskKind = Literal["choice", "generate", "perplexity"]


class Fewshot(Options):
    """Solved examples before each item: the first n rows that are not the item itself."""

    n: int = Field(0, ge=0, le=1000)
    path: str | None = Field(None, description="file of the examples; default: the task's own source")
    split: str | None = Field(None, description="hub, or a folder with the key 'local': the split of the examples")
    between: str = Field("\n\n", description="text after each example")
    before_answer: str = Field(" ", description="generate only: text between an example's prompt and its answer")


class Chat(Options):
    """The prompt as a user's turn in the tokenizer's chat template, the answer as the assistant's."""

    system: str = Field("", description="a system turn before all others")
    fewshot: Literal["turns", "prompt"] = Field(
        "turns", description="solved examples as turns of their own, or all within the user's turn"
    )


def _shorthand(value: object) -> object:
    """`chat: true` stands for a chat without more."""
    return {} if value is True else None if value is False else value


class PoolSpec(Options):
    """Solved examples that may precede items: a source of the recipe, or rows read with the task's templates."""

    source: str | None = Field(None, description="name of a source of pairs in the recipe's data")
    path: str | None = Field(None, description="file; default: the task's own")
    split: str | None = Field(None, description="hub, or a folder with the key 'local': the split of the examples")
    skip: int = Field(0, ge=0, le=MOST, description="leave out the first N rows")
    limit: int | None = Field(None, gt=0, le=MOST, description="N rows at most")


class Graded(Options):
    """The same items after contexts of each grade of similarity, as tasks NAME.none, NAME.low …"""

    renamed: ClassVar[dict[str, str]] = {"between": "separator"}

    pool: str | PoolSpec | None = Field(
        None, description="a source's name, a file, or a mapping; default: the task's pool"
    )
    k: int = Field(4, gt=0, le=64, description="examples in a context")
    similarity: SimilarityOption = Field(
        default_factory=WordOverlap, description="how inputs are compared, as in context policies"
    )
    grades: tuple[Literal["none", "low", "medium", "high", "high_all"], ...] = ("none", "low", "medium", "high")
    paired: bool = Field(True, description="leave an item out of all grades where it lacks one")
    paraphrase: Literal["none", "swap"] = Field(
        "none", description="high, where the pool has none: swap makes one by rule, a word of both sides replaced"
    )
    same_answer: bool = Field(True, description="examples with the item's own answer may precede it")
    separator: str = Field("\n", description="text after each example")
    seed: Seed = 0


class Spec(Options):
    """One task. Templates are jinja2 over a row's columns; `row` is the row itself."""

    name: Name
    kind: TaskKind = "choice"
    about: str = ""
    path: str | None = Field(None, description="file, folder or glob of rows")
    hub: str | None = Field(None, description="dataset id on the Hugging Face hub")
    rows: tuple[dict[str, Any], ...] | None = Field(None, description="the rows themselves")
    config: str | None = Field(None, description="hub only: the dataset's configuration")
    split: str = "test"
    format: Literal["auto", "jsonl", "json", "csv", "tsv", "parquet", "text"] = "auto"
    local: str = Field("", description="which file to take where path is a folder: a glob; {split} is the split")
    columns: dict[str, str] = Field({}, description="our name: your column")
    id: str = Field("", description="template of an item's id; default: its number")
    cluster: str = Field(
        "",
        description="template: the fact that a row asks about; items of one cluster, in whatever tasks, are resampled "
        "together; default: a row's prompt and answer",
    )
    description: str = Field("", description="text before everything else")
    prompt: str = Field("", description="template of the question")
    alone: str = Field(
        "", description="template: the prompt without its context; what an answer owes to the context is shown"
    )
    wording: str = Field(
        "",
        description="template: what of a row no training text may hold, whole; default: any 13 words of the prompt and "
        "answer. Empty in a row: nothing is looked for",
    )
    query: str | None = Field(
        None,
        description="template: what an arm's `before` retrieves passages for; default: the row's own prompt. Empty: "
        "none are retrieved, as for a question that has its passage",
    )
    passage: str = Field(
        "", description="template: the passage that answers, which an arm's `before: {oracle: true}` shows"
    )
    options: tuple[str, ...] | str = Field(
        (),
        description="templates of the continuations exactly as they follow the prompt, or one expression of a list",
    )
    answer: str = Field(
        "", description="template: an index from 0, a letter from A, or an option's text; generate: the gold text"
    )
    labels: dict[str, str] = Field({}, description="what the data's answers are called, e.g. {1: causal, 0: noise}")
    fewshot: Fewshot = Fewshot()
    chat: Annotated[Chat | None, BeforeValidator(_shorthand)] = Field(
        None, description="true, or a mapping: asked through the tokenizer's chat template"
    )
    metric: str = Field("", description="default: accuracy; exact_match where there are no options; perplexity")
    measure: Measure = "task"
    chance: float | None = Field(None, ge=0, le=1, description="default for choices: one over their number")
    stop: tuple[str, ...] = Field(
        ("\n",), description="generate only: texts that end an answer; in a chat by default none but its end of turn"
    )
    max_tokens: int = Field(32, gt=0, le=LONGEST, description="generate only")
    limit: int | None = Field(None, gt=0, le=MOST, description="the first N rows only")
    skip: int = Field(0, ge=0, le=MOST, description="leave out the first N rows; limit counts from there")
    input: str = Field("", description="template of what is compared between items; default: the prompt's own words")
    pool: PoolSpec | None = Field(None, description="where examples come from, for graded contexts, probes, adaptation")
    graded: Graded | None = Field(None, description="one task for each grade of similarity")
    database: str = Field("", description="metric execution only: template of the sqlite file's path")
    command: str = Field(
        "", description="metric comet only: the program that scores, docs/probes.md; run with --allow-commands alone"
    )
    command_timeout: float = Field(
        SECONDS, gt=0, le=7 * 86400, description="metric comet only: seconds after which the program is ended"
    )

    @model_validator(mode="before")
    @classmethod
    def _words_are_text(cls, value: Any) -> Any:
        """YAML makes numbers and truths of words without quotes; numbers are taken as they were written."""
        if not isinstance(value, dict):
            return value
        labels, options = value.get("labels"), value.get("options")
        words = (list(options) if isinstance(options, list | tuple) else []) + (
            [*labels, *labels.values()] if isinstance(labels, dict) else []
        )
        if any(isinstance(word, bool) for word in words):
            raise ValueError("YAML reads yes, no, on, off, true and false as truths: put them in quotes")
        as_text = lambda word: str(word) if isinstance(word, int | float) else word  # noqa: E731
        if isinstance(labels, dict):
            value = {**value, "labels": {as_text(k): as_text(v) for k, v in labels.items()}}
        return {**value, "options": [as_text(o) for o in options]} if isinstance(options, list | tuple) else value

    @model_validator(mode="after")
    def _whole(self) -> Spec:
        given = [k for k in ("path", "hub", "rows") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(f"a task names exactly one of path, hub, rows; found {', '.join(given) or 'none'}")
        for key in {"choice": ("prompt", "options", "answer"), "generate": ("prompt", "answer")}.get(
            self.kind, ("answer",)
        ):
            if not getattr(self, key):
                raise ValueError(f"a task of kind {self.kind} needs the key '{key}'")
        for metric, key in {"execution": "database", "comet": "command"}.items():
            if self.metric == metric and not getattr(self, key):
                raise ValueError(f"the metric '{metric}' needs the key '{key}'")
        if self.graded is not None and self.kind == "choice" and self.graded.paraphrase != "none":
            raise ValueError("graded.paraphrase: an item made by rule has no options; it is for tasks of kind generate")
        for key, useful in self._useful().items():
            if key in self.model_fields_set and not useful:
                raise ValueError(f"the key '{key}' has no effect on a task of kind {self.kind} read from {given[0]}")
        return self

    def _useful(self) -> dict[str, bool]:
        """Keys that not every task heeds: one that does nothing is an error, as whoever wrote it expects otherwise."""
        generate, answered = self.kind == "generate", self.kind != "perplexity"
        return {
            "config": self.hub is not None,
            "format": self.path is not None,
            "stop": generate,
            "max_tokens": generate,
            "options": answered,
            "fewshot": answered,
            "chat": answered or not self.chat,
            "labels": answered,
            "alone": answered and not self.chat,
            "wording": answered,
            "query": answered,
            "passage": answered,
            "graded": answered and not self.fewshot.n,
            "database": self.metric == "execution",
            "command": self.metric == "comet",
            "command_timeout": self.metric == "comet",
        }

    @property
    def stops(self) -> tuple[str, ...]:
        return () if self.chat and "stop" not in self.model_fields_set else self.stop

    @property
    def metric_name(self) -> str:
        default = {
            "choice": "accuracy",
            "generate": "accuracy" if self.options else "exact_match",
            "perplexity": "perplexity",
        }
        return self.metric or default[self.kind]

    def source(self, split: str, where: str) -> Source:
        """The rows of a split. In a folder, `local` says which file holds it."""
        if self.path is None:
            return Source(hub=self.hub, config=self.config, split=split)
        path = self.path
        if self.local and Path(path).is_dir():
            pattern = self.local.replace("{split}", split)
            found = paths.matching(pattern, Path(path))
            if len(found) != 1:
                what = f"{len(found)} files match" if found else "no file matches"
                raise UserError(f"{where}: {what} {pattern} in {path}", "give the file itself as path")
            path = str(Path(path) / found[0])
        elif split != self.split:
            raise UserError(
                f"{where}: {path} has no split '{split}' for the few-shot examples", "give their file as fewshot.path"
            )
        return Source(path=path, format=self.format)


class WorldSpec(Options):
    """Tasks of a world."""

    world: str
    options: dict[str, Any] = Field({})
    tasks: tuple[str, ...] = ()
    limit: int | None = Field(None, gt=0, le=MOST)


_GROUPS: dict[str, type[Options]] = {"fewshot": Fewshot, "graded": Graded, "pool": PoolSpec, "chat": Chat}


def parse(value: dict[str, Any], where: str) -> Spec:
    """UserError that names the key, what was found and what was expected."""
    try:
        spec = Spec.model_validate(value)
    except ValidationError as e:
        raise _explain(e, where) from None
    metrics.check(spec.metric_name, spec.kind, where)
    return spec


def _explain(error: ValidationError, where: str) -> UserError:
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(p) for p in problem["loc"] if "[" not in str(p) and p != "str")
    if problem["type"] == "extra_forbidden":
        inner = [m for name, m in _GROUPS.items() if name in problem["loc"][:-1]]
        model = inner[-1] if inner else Spec
        return UserError(f"{where}: unknown key '{key}'", nearest(str(problem["loc"][-1]), model.model_fields))
    if problem["type"] == "missing":
        return UserError(
            f"{where}: the key '{key}' is missing",
            "the built-in tasks are complete examples: contextune/evaluate/tasks/library/*.yaml",
        )
    message = problem["msg"].removeprefix("Value error, ")
    return UserError(f"{where}: {key + ': ' if key else ''}{message}{found(problem)}", fix_of(problem))
