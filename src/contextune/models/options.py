"""What a recipe says of the model and of its adapter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from contextune.core.options import Options

PARTS = ("embeddings", "head", "attention", "queries", "keys", "values", "outputs", "mlp", "norms", "biases")
"""Parts of a model that can be left untrained (`freezing.parts_of`)."""
ALL_BUT = "all-but-"


class Model(Options):
    """Which model is fine-tuned."""

    path: str = Field(description="'pocket', 'smollm2', a model folder, a GGUF file, or a hub id")
    revision: str | None = None
    trust_remote_code: bool = Field(False, description="run the code that comes with it; needs --allow-commands")


class Adapter(Options):
    """Parameter-efficient fine-tuning by peft."""

    kind: Literal["lora", "dora", "qlora", "osf"] = "lora"
    rank: int = Field(16, gt=0, le=65_536)
    alpha: int = Field(32, gt=0, le=1_000_000)
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    preserved: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="osf: share of each layer's singular directions, the largest, that stay as they are",
    )
    targets: str | tuple[str, ...] = Field("all-linear", description="peft's target_modules")

    @model_validator(mode="after")
    def _of_its_kind(self) -> Adapter:
        fields = type(self).model_fields
        for key in ("rank", "alpha", "dropout") if self.kind == "osf" else ("preserved",):
            if getattr(self, key) != fields[key].default:
                way = "preserved decides how much is trained" if self.kind == "osf" else "it is an option of osf"
                raise ValueError(f"{key}: {self.kind} has none; leave it out ({way})")
        return self

    @property
    def said(self) -> str:
        """Its kind and size in words."""
        if self.kind == "osf":
            return f"osf with {self.preserved:.0%} of the singular directions preserved"
        return f"{self.kind} of rank {self.rank}"
