"""What a recipe says of who writes texts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from contextune.core import registry
from contextune.core.options import Options, name_in
from contextune.models.at_once import AtOnce

from .key import URL

EngineName = Annotated[str, name_in(registry.engines, "auto")]
"""auto, or the name of an engine."""


Parameter = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
"""A parameter's name at a server."""


class Writer(Options):
    """Who writes texts (generated prompts, augmented texts); what is asked of it, those who ask say."""

    engine: EngineName = Field(
        "auto", description="auto: server where one is named, else local (transformers); vllm: in this process"
    )
    model: str | None = Field(
        None,
        description="a known model, a folder, a GGUF file or a hub id; default: the recipe's model; with a server: "
        "whose tokenizer counts",
    )
    server: str | None = Field(None, description="base URL of an OpenAI-compatible server, http://localhost:8000/v1")
    name: str | None = Field(None, min_length=1, description="server only: the model's name there")
    api: Literal["chat", "completions"] = Field("chat", description="server only: which endpoint is asked")
    concurrency: int = Field(8, gt=0, le=512, description="server only: requests under way at once")
    retries: int = Field(
        6, ge=0, le=100, description="server only: of a request that met 429, 5xx, a time-out, a lost line"
    )
    timeout: float = Field(120.0, gt=0, le=86400, description="server only: seconds for one answer, to its last byte")
    parameters: dict[Literal["max_tokens", "seed", "temperature", "stop"], Parameter | None] = Field(
        {}, description="server only: what it calls these, e.g. {max_tokens: max_completion_tokens}; null: not sent"
    )
    budget: dict[Literal["requests", "tokens"], Annotated[int, Field(gt=0, le=10**15)]] = Field(
        {}, description="server only: {requests, tokens} a run may use at most; the rest is listed as not asked"
    )
    prices: dict[Literal["input", "output"], Annotated[float, Field(ge=0, le=1_000_000_000)]] = Field(
        {}, description="server only: {input, output} per million tokens, for the estimate before the first request"
    )
    tokens: AtOnce = Field(
        "auto",
        description="local only: tokens computed at once at most; auto: what free memory holds, up to 8192 on a CPU "
        "and 131,072 on a GPU; halved where memory still runs out; no effect on the texts",
    )

    @model_validator(mode="after")
    def _one_engine(self) -> Writer:
        given = [k for k in self.model_fields_set if k in self._served and getattr(self, k) not in (None, {})]
        if self.kind == "server" and (self.server is None or self.name is None):
            raise ValueError(
                f"a server needs both `server` and `name`; {'server' if self.server is None else 'name'} is missing"
            )
        if self.kind != "server" and given:
            raise ValueError(f"{', '.join(sorted(given))}: only for a server, the engine is {self.kind}")
        if self.server is not None and not URL.fullmatch(self.server):
            raise ValueError(
                "server: a URL such as http://localhost:8000/v1 is expected, without user, password or query"
            )
        if self.prices and len(self.prices) != 2:
            raise ValueError("prices: both input and output are needed, per million tokens")
        theirs = [self.parameters.get(name, name) for name in ("max_tokens", "seed", "temperature", "stop")]
        for name in filter(None, theirs):
            if theirs.count(name) > 1 or name in ("model", "messages", "prompt", "response_format", "stream"):
                raise ValueError(f"parameters: '{name}' is the name of something else, give each a name of its own")
        return self

    _served: ClassVar[tuple[str, ...]] = (
        "server", "name", "api", "concurrency", "retries", "timeout", "parameters", "budget", "prices",
    )  # fmt: skip

    @property
    def kind(self) -> str:
        if self.engine == "auto":
            return "server" if self.server is not None else "local"
        return self.engine
