"""What a run leaves of its augmentation: one account and one list of made texts for each stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.augment.leak import leak
from contextune.core.errors import UserError, first_line
from contextune.core.files import write_json, write_lines

if TYPE_CHECKING:
    from contextune.augment.stage import Augmented

    from .prepare import Prepared

FOLDER = "augmented"


def write(prepared: Prepared) -> None:
    """`augmented/ARM.stage-I.json` and `.jsonl` for every stage that is augmented."""
    for arm, stages in prepared.arms.items():
        for i, ready in enumerate(stages):
            if ready.augmented is not None:
                folder = prepared.out / FOLDER
                folder.mkdir(parents=True, exist_ok=True)
                write_json(folder / f"{arm}.stage-{i}.json", account(prepared, ready.augmented))
                write_lines(folder / f"{arm}.stage-{i}.jsonl", ready.augmented.rows)


def account(prepared: Prepared, made: Augmented) -> dict[str, Any]:
    """The stage's account, with what of the tests stands in what is kept."""
    texts = [(row["id"], row["prompt"] + row["text"]) for row in made.rows if row["kept"]]
    return {**made.account, "leak": leak(texts, [t for t in prepared.tasks if t.kind != "perplexity"])}


def find(out: Path, id: str, first: str = "") -> dict[str, Any]:
    """The made text of an id, from what a run left, the arm `first` before others; UserError where there is none."""
    files = sorted((out / FOLDER).glob("*.jsonl"), key=lambda f: (not f.name.startswith(f"{first}.stage-"), f))
    if not files:
        raise UserError(f"{out}: nothing was made here yet", "run the recipe, or contextune augment, first")
    for file in files:
        for line in file.open(encoding="utf-8", errors="replace"):
            if f'"id": {json.dumps(id, ensure_ascii=False)}' in line:
                try:
                    return {**json.loads(line), "file": str(file)}
                except ValueError as e:
                    hint = "give the same contextune run, or augment, again: it makes the file anew"
                    raise UserError(f"{file} is damaged ({first_line(e)})", hint) from None
    raise UserError(f"{out}: no made text has the id '{id}'", f"ids stand in {files[0]}")
