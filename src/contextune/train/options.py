"""What a recipe says of training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PlainSerializer, field_validator, model_validator

from contextune.core import registry
from contextune.core.errors import nearest
from contextune.core.options import LONGEST, MOST, Name, Options, name_in
from contextune.models.options import ALL_BUT, PARTS, Adapter
from contextune.train.objectives.base import Likelihood, ObjectiveOption
from contextune.train.objectives.kl import KL

LayoutName = Annotated[str, name_in(registry.layouts, "auto")]
"""auto, or the name of a layout."""


AT_ONCE = 8192
"""Tokens computed at once on a CPU where memory allows it: more is hardly faster."""
AT_ONCE_GPU = 131_072
"""The same on a GPU, whose products gain from every row: memory decides below that."""


def most_at_once(gpu: bool = False) -> int:
    """Tokens at once that `auto` takes where memory allows it; `gpu`: one that is not here."""
    import torch

    return AT_ONCE_GPU if gpu or torch.cuda.is_available() else AT_ONCE


OPTIMIZERS = {
    "adamw": None,
    "adamw8bit": "adamw_bnb_8bit",
    "paged_adamw8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
}
"""Names in a recipe and those of transformers; None: its default, fused where torch has that."""
NEEDED = "needed"
"""What stands in the place of `checkpointing: auto` where it was chosen; no recipe says it."""
Beta = Annotated[float, Field(ge=0, lt=1)]


class Train(Options):
    """How every stage trains, unless the stage says otherwise."""

    renamed: ClassVar[dict[str, str]] = {"interpolate": "weight_interpolation"}

    epochs: float = Field(1.0, gt=0, le=1_000_000)
    steps: int | None = Field(None, gt=0, le=MOST, description="updates; takes the place of epochs")
    batch: int = Field(16, gt=0, le=65_536, description="sequences an update, over all processes")
    lr: float = Field(2e-5, ge=1e-12, le=1)
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    optimizer: Literal["adamw", "adamw8bit", "paged_adamw8bit", "adafactor"] = Field(
        "adamw",
        description="adamw: 8 bytes of state a trained parameter; adamw8bit, paged_adamw8bit (bitsandbytes): 2, the "
        "latter in the machine's memory where the GPU's is full; adafactor: rows and columns of the squares alone",
    )
    warmup: float = Field(0.05, ge=0.0, lt=1.0, description="share of the updates")
    weight_decay: float = Field(0.1, ge=0.0, le=100)
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    clip: float = Field(1.0, ge=1e-12, le=1e9, description="largest gradient norm; 1e9: none is clipped")
    weight_interpolation: float = Field(
        1.0,
        gt=0,
        le=1,
        description="weights of the finished model: this share of the way from the first to the last (WiSE-FT)",
    )
    max_length: int = Field(
        512, ge=16, le=LONGEST, description="tokens a sequence at most, context and specials included"
    )
    tokens: Annotated[int, Field(gt=0, le=LONGEST)] | Literal["auto"] = Field(
        "auto",
        description="tokens computed at once at most; auto: what free memory holds, up to 8192 on a CPU and 131,072 on "
        "a GPU; halved where memory still runs out; no effect on the result",
    )
    layout: LayoutName = Field("auto", description="no effect on the result")
    share: int = Field(
        1, ge=1, le=65_536, description="records that share one draw of the context, which is then computed once"
    )
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    checkpointing: Annotated[bool | Literal["auto"], PlainSerializer(lambda found: found)] = Field(
        "auto",
        description="recompute activations: less memory, more time; auto: where a row would not fit without; no effect "
        "on the result",
    )
    adapter: Adapter | None = None
    freeze: tuple[str, ...] = Field(
        (),
        description="parts that are not trained: embeddings, head, attention, queries, keys, values, outputs (of "
        "attention), mlp, norms, biases; all-but-PART: everything but that",
    )
    objective: ObjectiveOption = Field(
        default_factory=Likelihood,
        description="what is minimised: likelihood, a comparison of two answers (dpo), or the distance from what the "
        "model says with the context (distill)",
    )
    kl: KL | None = Field(
        None, description="a penalty on the distance from the model of the stage's beginning, beside any objective"
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description="weights of the finished model: of the last update, or of the one with the lowest validation loss",
    )
    validate_on: Name | tuple[Name, ...] = Field(
        (),
        description="sources whose texts the validation loss is measured on; default: what the stage's own hold out "
        "for it (data.NAME.validation)",
    )
    validate_every: int = Field(
        0, ge=0, le=MOST, description="updates between validations; 0: about ten a stage; the last is always validated"
    )
    patience: int | None = Field(
        None, gt=0, le=MOST, description="validations in a row without a new lowest loss after which a stage ends"
    )
    save: int = Field(
        0, ge=0, le=MOST, description="updates between checkpoints; 0: about ten a stage, not faster than 20 s"
    )
    threads: int = Field(
        0, ge=0, le=1024, description="0: one below 10 M parameters, else all cores; never more than there are cores"
    )

    @model_validator(mode="after")
    def _straight(self) -> Train:
        if self.lr * self.weight_decay >= 1:
            raise ValueError(
                f"train.weight_decay: {self.weight_decay:g} at lr {self.lr:g} takes away whole weights at each update; "
                "their product must be below 1"
            )
        if self.weight_interpolation < 1 and self.adapter is not None and self.adapter.kind in ("dora", "osf"):
            raise ValueError(
                f"train.weight_interpolation: {self.adapter.kind}'s weights are products; use lora, qlora or no adapter"
            )
        if self.freeze and self.adapter is not None:
            raise ValueError(
                "train.freeze: with an adapter the adapter alone is trained; leave freeze out and name the layers that "
                "are adapted in train.adapter.targets"
            )
        if self.optimizer == "adafactor" and self.betas != Train.model_fields["betas"].default:
            raise ValueError("train.betas: adafactor has none; leave them out, or use optimizer: adamw")
        return self

    @field_validator("freeze")
    @classmethod
    def _parts(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name.removeprefix(ALL_BUT) not in PARTS:
                raise ValueError(f"{name} is no part of a model; {nearest(name.removeprefix(ALL_BUT), PARTS)}")
        return names

    @property
    def validates(self) -> tuple[str, ...]:
        """The sources of `validate_on`."""
        return (self.validate_on,) if isinstance(self.validate_on, str) else self.validate_on

    @property
    def selects(self) -> bool:
        """Whether the validation loss decides which weights a stage has in the end."""
        return self.keep == "best" or self.patience is not None

    @property
    def recomputes(self) -> bool:
        """Whether activations are recomputed: because the recipe says so, or because `auto` was found to need it."""
        return self.checkpointing in (True, NEEDED)

    @property
    def eight_bit(self) -> bool:
        return "8bit" in self.optimizer
