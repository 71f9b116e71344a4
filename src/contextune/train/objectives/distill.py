"""Self-distillation: the model learns to answer from the text alone as it answers with the context before it.

Context distillation (Askell et al. 2021, arXiv 2112.00861, section 2.2), on given texts; on texts that the student
writes it is self-distillation fine-tuning (SDFT; Shenfeld et al. 2026, arXiv 2601.19897). With c the context that the
policy draws, y the text, x what else precedes y in both, and for each of the update's target tokens y_t

    p_t = P_φ(· | c, x, y_<t)        the teacher; φ: the weights of the stage's beginning, or an average that follows
    q_t = P_θ(· | x, y_<t)           the student
    L = mean over t of D(p_t, q_t)   divergence.py
    y                                text: the record's; student: y ~ q, teacher: y ~ p, anew in each update
    ema = α      φ ← φ + α (θ − φ)  after each update

`sampled`: the reverse KL by the written tokens alone, (log q_t(y_t) − log p_t(y_t)) log q_t(y_t) with the first factor
fixed, as in TRL's `sampled_token`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from contextune.core import registry
from contextune.core.options import Temperature

from .base import Objective, OfTokens, Writing
from .divergence import Divergence
from .reference import Reference

if TYPE_CHECKING:
    import torch


@registry.objectives("distill")
class Distill(Divergence, Objective):
    """Self-distillation: the text alone is to be read as the model of the beginning reads it after its context."""

    bare: ClassVar[bool] = True
    ema: float = Field(
        0.0, ge=0, le=1, description="how far the teacher's weights follow the student's at each update; 0: not at all"
    )
    answers: Literal["text", "student", "teacher"] = Field(
        "text",
        description="what is read after the prompt: text, the record's own; student, what the model writes after the "
        "prompt as it is (on-policy); teacher, what the teacher writes after context and prompt",
    )
    max_tokens: int = Field(64, ge=1, le=65_536, description="tokens of a written answer at most")
    temperature: Temperature = Field(1.0, description="of written answers; 0: greedy")
    skip: int = Field(0, ge=0, le=65_536, description="first tokens of a written answer that are not learned from")
    sampled: bool = Field(
        False, description="reverse_kl by the written tokens alone, in place of a sum over the vocabulary"
    )

    @model_validator(mode="after")
    def _straight(self) -> Distill:
        if self.answers == "text":
            own = [k for k in ("max_tokens", "temperature", "skip") if getattr(self, k) != self._default(k)]
            if own:
                raise ValueError(
                    f"distill.{own[0]}: the texts are given; use answers: student or teacher, or leave it out"
                )
        if self.sampled and (self.divergence != "reverse_kl" or self.topk is not None):
            raise ValueError(
                "distill.sampled estimates reverse_kl over all tokens; set divergence: reverse_kl, no topk"
            )
        if self.sampled and self.answers != "student":
            raise ValueError("distill.sampled is an estimate on what the student writes; set answers: student")
        return self

    def _default(self, key: str) -> object:
        return type(self).model_fields[key].default

    @property
    def writes(self) -> bool:
        return self.answers != "text"

    def bind(self, model: Any) -> OfTokens:
        return BoundDistill(self, model)


class BoundDistill(OfTokens):
    name = "distill"

    def __init__(self, options: Distill, model: Any) -> None:
        self.options, self.teacher = options, Reference(model)
        if options.answers != "text":
            self.writing = Writing(options.answers, options.max_tokens, options.temperature, options.skip)

    def loss(self, student: torch.Tensor, teacher: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (
            self.sampled(student, teacher, targets) if self.options.sampled else self.options.between(student, teacher)
        )

    @staticmethod
    def sampled(student: torch.Tensor, teacher: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(n,) terms whose gradients are those of the reverse KL in expectation over what the student writes."""
        q, p = (logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0] for logits in (student, teacher))
        return (q - p).detach() * q

    def reference(self, model: Any) -> AbstractContextManager[None]:
        return self.teacher.in_place(model)

    def begin(self, model: Any) -> None:
        if self.options.ema:
            self.teacher.follow(model, self.options.ema)

    def save(self, folder: Path) -> None:
        if self.options.ema:
            self.teacher.save(folder)

    def load(self, folder: Path) -> None:
        if self.options.ema:
            self.teacher.load(folder)
