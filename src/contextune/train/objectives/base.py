"""What an objective is: options that a recipe writes, and a function of the log-likelihoods of an update's rows.

    likelihood   −Σ_i s_i / (number of target tokens)        the default; computed without any of this
    of rows      L(s_1 … s_n, r_1 … r_n)                     s_i = log P_θ(row i), r_i = log P_ref(row i)
    of tokens    mean over targets t of D(p_t, q_t)          q_t = P_θ(· | text), p_t = P_ref(· | context, text)

A penalty is a mean over tokens that goes with any of them: L + weight · mean over tokens of D(p_t, q_t).

The reference is the model as the stage found it, or what an objective makes of that. Nothing outside a file of this
folder knows an objective's name; the trainer scores the rows, asks for L, and follows its slopes
(`trainer.ContextTrainer`). No torch at the top.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from contextune.core import registry
from contextune.core.options import Named, named
from contextune.core.sequence import Rendered

if TYPE_CHECKING:
    import torch


class BoundObjective(ABC):
    """An objective with the reference that it needs."""

    name: str

    def reference(self, model: Any) -> AbstractContextManager[None]:
        """Within: the model is the reference."""
        return nullcontext()

    def begin(self, model: Any) -> None:  # noqa: B027  # most have nothing to do
        """Called once before each update."""

    def save(self, folder: Path) -> None:  # noqa: B027
        """Writes into a checkpoint what cannot be had from the stage's beginning."""

    def load(self, folder: Path) -> None:  # noqa: B027
        """Reads what `save` wrote."""


class OfRows(BoundObjective):
    """A function of the log-likelihoods of rows."""

    @abstractmethod
    def rows(self, rows: Seq[Rendered]) -> list[Rendered]:
        """Of an update's rows, those whose likelihoods the loss is made of; empty where there is nothing to learn."""

    @abstractmethod
    def loss(
        self, rows: Seq[Rendered], scores: torch.Tensor, reference: torch.Tensor
    ) -> tuple[torch.Tensor, Mapping[str, float]]:
        """(mean loss, what is told of the update) from log-likelihoods (n,) in nats of what `rows` returned."""


@dataclass(frozen=True)
class Writing:
    """Answers that are written anew in each update and take the place of a row's own, after its prompt."""

    by: Literal["student", "teacher"]
    """student: the model as it is, after the prompt alone; teacher: the reference, after context and prompt."""
    max_tokens: int
    temperature: float
    skip: int = 0
    """First tokens of an answer that are no targets."""


class OfTokens(BoundObjective):
    """A mean over target tokens of a function of two distributions of the token that follows."""

    weight: float = 1.0
    writing: Writing | None = None

    def rows(self, rows: Seq[Rendered]) -> list[Rendered]:
        """Of an update's rows, those whose targets the loss is a mean over; empty where there is nothing to learn."""
        return list(rows)

    @abstractmethod
    def loss(self, student: torch.Tensor, teacher: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(n,) losses from the logits (n, vocabulary, fp32) of the model without the context and of the reference
        with it; the tokens that follow are `targets` (n,)."""

    def notes(self, loss: float, agreed: float) -> Mapping[str, float]:
        """What is told of an update: its mean loss, and the share of targets at which both find the same likeliest."""
        return {"agreed": agreed}


class Penalty(OfTokens):
    """A mean over tokens that is added to what an objective minimises, times `weight`."""

    @abstractmethod
    def left(self, rows: Seq[Rendered]) -> list[Rendered]:
        """Of an update's rows, those that are left to the objective."""


class Objective(Named):
    """Options of an objective."""

    key: ClassVar[str] = "objective"
    pairs: ClassVar[bool] = False
    """Whether it compares a row with one that has another answer (`Rendered.rejected`)."""
    bare: ClassVar[bool] = False
    """Whether it compares a row with the same without its drawn context (`Rendered.bare`)."""

    @property
    def writes(self) -> bool:
        """Whether it has answers written, which takes rows with prompts."""
        return False

    def bind(self, model: Any) -> BoundObjective | None:
        """For the model of the stage's beginning; None: the likelihood, which the trainer computes by itself."""
        return None


ObjectiveOption = named(registry.objectives, Objective.key)
"""An objective among the options of something: its name, or a mapping with the key `objective`."""


@registry.objectives("likelihood")
class Likelihood(Objective):
    """The mean negative log-likelihood of the target tokens."""
