"""What was made, in the forms that other trainers read.

    jsonl      {"id", "text", "prompt", "operation", "source", …}: all there is to know of a text
    alpaca     {"instruction": prompt, "input": "", "output": text}
    sharegpt   {"conversations": [{"from": "human", "value": prompt}, {"from": "gpt", "value": text}]}
    messages   {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]}

In jsonl, `prompt` stands as it is before `text`. The other forms are conversations, whose ends a template marks, so
white space at the seam is left out there; a text that has no prompt needs an `instruction` that stands for one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from contextune.core import ownership
from contextune.core.errors import UserError, first_line, nearest

Format = Literal["jsonl", "alpaca", "sharegpt", "messages"]
FORMATS: tuple[str, ...] = get_args(Format)
ExportRow = dict[str, Any]


def rows(made: Iterable[ExportRow], format: str, instruction: str = "") -> list[ExportRow]:
    """The texts in a format. UserError where the format is unknown, or needs a prompt that a text does not have."""
    if format not in FORMATS:
        raise UserError(f"unknown format '{format}'", nearest(format, FORMATS))
    if format == "jsonl":
        return [dict(row) for row in made]
    return [_FORMS[format](*_turns(row, format, instruction)) for row in made]


def write(made: list[ExportRow], file: Path) -> None:
    """UserError where `file` is there and is not as Contextune wrote it, or cannot be written."""
    ownership.write(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made))


def failures_of(file: Path) -> Path:
    """Where what failed is listed."""
    return file.with_name(f"{file.stem}.failures.jsonl") if file.name else file


def write_failures(failed: list[ExportRow], file: Path) -> Path | None:
    """Lists what failed beside `file`, and says where; an older list is removed where nothing did."""
    beside = failures_of(file)
    if failed:
        write(failed, beside)
        return beside
    ownership.remove(beside)
    return None


def push(made: list[ExportRow], name: str) -> str:
    """Puts the rows on the Hugging Face hub as a private data set; where it lies."""
    from datasets import Dataset

    try:
        Dataset.from_list(made).push_to_hub(name, private=True)
    except Exception as e:
        raise UserError(
            f"{name}: the upload to the hub failed ({first_line(e)})", "hf auth login; the name is USER/NAME"
        ) from None
    return f"https://huggingface.co/datasets/{name}"


def _turns(row: ExportRow, format: str, instruction: str) -> tuple[str, str]:
    prompt = row["prompt"].strip() or instruction
    if not prompt and format != "alpaca":
        raise UserError(
            f"{row['id']}: a text without a prompt is no conversation, which the format '{format}' needs",
            "give --instruction, e.g. 'Tell me what you know.'; or use --format jsonl, or the operation questions",
        )
    return prompt, row["text"].strip()


_FORMS: dict[str, Callable[[str, str], ExportRow]] = {
    "alpaca": lambda prompt, text: {"instruction": prompt, "input": "", "output": text},
    "sharegpt": lambda prompt, text: {
        "conversations": [{"from": "human", "value": prompt}, {"from": "gpt", "value": text}]
    },
    "messages": lambda prompt, text: {
        "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]
    },
}
