"""What a recipe says of a source of records."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from contextune.core.options import LONGEST, MOST, Options


class Source(Options):
    """Where records come from: exactly one of `path`, `hub`, `world`."""

    path: str | tuple[str, ...] | None = Field(None, description="file, folder or glob, relative to the recipe")
    hub: str | None = Field(None, description="dataset id on the Hugging Face hub")
    world: str | None = Field(None, description="a generated benchmark of contextune.worlds")
    options: dict[str, Any] = Field({}, description="parameters of the world")
    config: str | None = Field(None, description="hub only: the dataset's configuration")
    split: str = Field("train", description="hub: the split; world: the group of records")
    format: Literal["auto", "jsonl", "json", "csv", "tsv", "parquet", "text", "pdf", "docx", "pptx", "html", "epub"] = (
        Field("auto", description="tsv: tabs, and quotes are plain characters; auto reads .tsv as csv with tabs")
    )
    kind: Literal["text", "pairs", "messages"] = Field("text", description="what a row is")
    columns: dict[str, str] = Field(
        {},
        description="our name: your column, e.g. {text: body, id: doi} or {prompt: question, completion: answer}; "
        "rejected: the answer, or the conversation, that is not to be given (train.objective: dpo)",
    )
    read_as: Literal["auto", "plain", "alpaca", "sharegpt", "openai", "anthropic", "preference", "question"] = Field(
        "auto", description="schema of the rows; auto: recognised by the first row's columns; plain: our columns"
    )
    template: str = Field(
        "{{ prompt }}\n", description="pairs only: jinja2 text of the context, from the row's columns"
    )
    separator: str = Field("", description="pairs only: text put before the completion; it is trained on")
    chunk: Annotated[int, Field(ge=1, le=LONGEST)] | Literal["auto", "none"] = Field(
        "auto", description="text only: tokens a chunk at most; auto: what max_length leaves beside the longest context"
    )
    control_tokens: Literal["text", "keep"] = Field(
        "text", description="control tokens that a text spells out (<s>, <|im_end|>): plain characters, or themselves"
    )
    overlong: Literal["error", "drop"] = Field("error", description="rows whose target does not fit, in all arms alike")
    held_out: float = Field(0.0, ge=0.0, lt=1.0, description="share of documents kept out of training, for perplexity")
    validation: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="share of documents kept out of training and of held_out, for the validation loss",
    )
    limit: int | None = Field(None, gt=0, le=MOST, description="the first N documents only")

    @model_validator(mode="after")
    def _one_origin(self) -> Source:
        given = [k for k in ("path", "hub", "world") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(f"a source names exactly one of path, hub, world; found {', '.join(given) or 'none'}")
        if isinstance(self.chunk, int) and self.chunk < 8:
            raise ValueError(f"chunk is {self.chunk} tokens; at least 8 are needed")
        if self.held_out + self.validation >= 1:
            raise ValueError(
                f"held_out {self.held_out:g} and validation {self.validation:g} leave nothing to train on; "
                "their sum must be below 1"
            )
        return self
