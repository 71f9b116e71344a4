"""A penalty on the distance from the model of the stage's beginning, at tokens that should be predicted as before.

    L = L_objective + weight · mean over t ∈ T of D(p_t, q_t)
    p_t = P_first(· | row_<t)      the model as the stage found it
    q_t = P_θ(· | row_<t)          the model that is trained; the same row in both
    T     replay    all tokens of the rows of general text in the mixture
          context   of all other rows the tokens of contexts, which are not trained on
          targets   and those that are

Sources: learning without forgetting (Li & Hoiem 2016, arXiv 1606.09282, equation 2: the old model's outputs are kept),
here on text for general ability; the direction KL(first ‖ now) as in Shenfeld et al. 2025 (arXiv 2509.04259), where it
predicts forgetting when it is taken on the *new* task.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from contextune.core.sequence import IGNORED, Rendered

from .base import Penalty
from .divergence import Divergence
from .reference import Reference

if TYPE_CHECKING:
    import torch

Place = Literal["replay", "context", "targets"]


class KL(Divergence):
    """Options of the penalty: `train.kl`."""

    weight: float = Field(1.0, gt=0, le=1e6, description="of the penalty beside the objective")
    at: Annotated[tuple[Place, ...], BeforeValidator(lambda said: (said,) if isinstance(said, str) else said)] = Field(
        ("replay",),
        min_length=1,
        description="tokens that are to be predicted as before: replay, all of general text in the mixture; context, "
        "of other rows those of contexts; targets, and those that are learned",
    )
    learn_replay: bool = Field(
        True, description="whether general text is learned by the objective as well; false: it is only held"
    )

    @model_validator(mode="after")
    def _straight(self) -> KL:
        if not self.learn_replay and "replay" not in self.at:
            raise ValueError(
                "kl.learn_replay: false leaves general text to the penalty, which at does not name; add it"
            )
        return self

    def bind(self, model: Any) -> Penalty:
        return BoundKL(self, model)

    def holds(self, row: Rendered) -> Rendered | None:
        """The row with the tokens that are held in the place of its labels; None where it has none."""
        places = ("replay" if row.replayed else "context" if label == IGNORED else "targets" for label in row.labels)
        labels = tuple(id if place in self.at else IGNORED for id, place in zip(row.ids, places, strict=True))
        labels = (IGNORED, *labels[1:])  # of the first token nothing is predicted
        if all(label == IGNORED for label in labels):
            return None
        return replace(row, labels=labels, bare=None, rejected=None, alternatives=())


class BoundKL(Penalty):
    name = "kl"

    def __init__(self, options: KL, model: Any) -> None:
        self.options, self.weight, self.first = options, options.weight, Reference(model)

    def rows(self, rows: Seq[Rendered]) -> list[Rendered]:
        return [held for row in rows if (held := self.options.holds(row)) is not None]

    def left(self, rows: Seq[Rendered]) -> list[Rendered]:
        return [row for row in rows if self.options.learn_replay or not row.replayed]

    def loss(self, student: torch.Tensor, teacher: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.options.between(student, teacher)

    def notes(self, loss: float, agreed: float) -> Mapping[str, float]:
        return {"kl": loss}

    def reference(self, model: Any) -> AbstractContextManager[None]:
        return self.first.in_place(model)
