"""What a recipe says of evaluation and of the comparison."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from contextune.core.errors import nearest
from contextune.core.options import MOST, Name, Options
from contextune.models.at_once import AtOnce
from contextune.train.callback import CallbacksOption


def _switch(value: object) -> object:
    """YAML reads on and off as truths."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


class Evaluate(Options):
    """How arms are judged. None of it is part of what is trained."""

    renamed: ClassVar[dict[str, str]] = {"probes": "callbacks.probes", "gradients": "callbacks.gradients"}

    tasks: tuple[str | dict[str, Any], ...] = Field(
        (), description="built-in names, task files, worlds or inline tasks"
    )
    perplexity: tuple[Name, ...] = Field((), description="sources whose held-out documents are scored")
    general: Annotated[Literal["auto", "off"] | Name, BeforeValidator(_switch)] = Field(
        "auto",
        description="text on which it is measured how far each model has moved from the untrained one: a source, whose "
        "held-out documents are read; auto: those of a source that is replayed, else text that comes with the package, "
        "where the tokenizer knows it; off: it is not measured",
    )
    chat: Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)] = Field(
        "auto",
        description="whether tasks that do not say so themselves are asked through the model's chat template; auto: "
        "where it has one and all that arms are trained on are conversations",
    )
    system: str = Field(
        "", description="a system turn before all others, of tasks asked so that give none of their own"
    )
    limit: int | None = Field(None, gt=0, le=MOST, description="the first N items of each task")
    tokens: AtOnce = Field(
        "auto",
        description="tokens computed at once at most; auto: what free memory holds, up to 4096 on a CPU and "
        "131,072 on a GPU; halved where memory still runs out",
    )
    without_context: bool = Field(
        True, description="ask tasks that have contexts again without them: what a model scores that does not read them"
    )
    samples: int = Field(4, ge=0, le=1000, description="texts generated before and after, shown in the report")
    callbacks: CallbacksOption = Field(
        {}, description="what looks at a model while it trains: curve, probes, gradients"
    )


class Compare(Options):
    """How the verdict is reached."""

    baseline: Name | None = Field(
        None, description="the arm that others are held against; default: the first trained one"
    )
    tasks: tuple[str, ...] = Field((), description="tasks that decide; default: all but those marked as retention")
    match: Literal["rows", "tokens", "passes"] | None = Field(
        None,
        description="what each arm trains on as often as the baseline does: rows (updates), target tokens, or passes "
        "over its own rows; default: rows with train.steps, passes with train.epochs",
    )
    resamples: int = Field(2000, ge=100, le=100_000)
    seed_sd: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="standard deviation of an arm's score between seeds, known from elsewhere: it takes the place of "
        "what the seeds show, and with fewer than three a winner can be called clear",
    )
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    published: str | None = Field(None, description="a paper's figures to show beside these, e.g. cft-medical-7b")

    @field_validator("published")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        from .analysis.published import names

        if name is not None and name not in names():
            raise ValueError(f"no published figures '{name}'; {nearest(name, names())}")
        return name
