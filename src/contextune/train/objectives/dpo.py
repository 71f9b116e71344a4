"""Direct preference optimisation: the answer that is wanted over another one, after the same context.

DPO (Rafailov et al., NeurIPS 2023, arXiv 2305.18290), equation 7, with y the chosen answer and z the rejected one, both
after the context x:

    Δ = [log π_θ(y|x) − log π_ref(y|x)] − [log π_θ(z|x) − log π_ref(z|x)]
    sigmoid    L = −log σ(β Δ)
    hinge      L = max(0, 1 − β Δ)                              (SLiC, arXiv 2305.10425)
    ipo        L = (Δ̄ − 1/(2β))²                                (arXiv 2310.12036, equation 17; Δ̄: each answer's
                                                                 difference divided by its tokens, as in TRL)

π_ref is the model as the stage found it. Its weights are kept and put in the model's place while it is asked; of an
adapter that is the adapter alone. Dropout is switched off, so that both models are asked in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from contextune.core import registry
from contextune.core.sequence import Rendered

from .base import Objective, OfRows
from .reference import Reference

if TYPE_CHECKING:
    import torch


@registry.objectives("dpo")
class DPO(Objective):
    """Direct preference optimisation over pairs of answers."""

    pairs: ClassVar[bool] = True
    beta: float = Field(0.1, gt=0, le=1000, description="weight of staying near the model that the stage began with")
    loss: Literal["sigmoid", "hinge", "ipo"] = Field("sigmoid", description="of the difference of log-likelihoods")

    def bind(self, model: Any) -> OfRows:
        without_dropout(model)
        return BoundDPO(self, model)


class BoundDPO(OfRows):
    name = "dpo"

    def __init__(self, options: DPO, model: Any) -> None:
        self.options, self.first = options, Reference(model)

    def rows(self, rows: Seq[Rendered]) -> list[Rendered]:
        """The chosen ones, then the rejected ones, of the rows that have both."""
        pairs = [(row, row.rejected) for row in rows if row.rejected is not None]
        return [chosen for chosen, _ in pairs] + [rejected for _, rejected in pairs]

    def loss(
        self, rows: Seq[Rendered], scores: torch.Tensor, reference: torch.Tensor
    ) -> tuple[torch.Tensor, Mapping[str, float]]:
        import torch.nn.functional as F

        gained = scores - reference
        if self.options.loss == "ipo":
            gained = gained / gained.new_tensor([row.trained for row in rows])
        chosen, rejected = gained.chunk(2)
        margin, beta = chosen - rejected, self.options.beta
        losses = {
            "sigmoid": lambda: -F.logsigmoid(beta * margin),
            "hinge": lambda: F.relu(1 - beta * margin),
            "ipo": lambda: (margin - 1 / (2 * beta)) ** 2,
        }[self.options.loss]()
        told = {
            "margin": round(float(beta * margin.mean()), 6),
            "preferred": round(float((margin > 0).float().mean()), 6),
            "pairs": len(rows) // 2,
        }
        return losses.mean(), told

    def reference(self, model: Any) -> AbstractContextManager[None]:
        """The trained weights and those of the beginning change places, without being copied."""
        return self.first.in_place(model)


def without_dropout(model: Any) -> None:
    """Sets every dropout of a model to 0, those of its attention too."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
