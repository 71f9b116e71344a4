"""Augmentation without training: the same preparation as a run's, for files or for a recipe's arms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core.errors import UserError
from contextune.core.progress import keeping
from contextune.core.sequence import Record
from contextune.generation import store_status as looking

from . import augment_files as files
from . import recipe as recipes
from .prepare import Prepared, prepare
from .recipe import Recipe
from .run_dir import folder_of, kept

if TYPE_CHECKING:
    from contextune.augment.stage import Augmented

LONG = 1_000_000
"""Tokens that a text may have: nothing is trained here."""
ARM = "made"


def recipe_of(sources: list[str], out: Path, options: dict[str, Any]) -> Recipe:
    """A recipe of one arm over files, for `contextune augment FILE …`; its folder lies beside `out`."""
    value = {
        "name": out.stem,
        "model": options["model"],
        "data": {"source": {"path": tuple(sources), "kind": options["kind"], "columns": options["columns"],
                            **({"chunk": "none"} if options["kind"] == "text" else {})}},
        "arms": {ARM: {"data": "source", "augment": options["augment"]}},
        "writer": options["writer"],
        "train": {"max_length": LONG},
        "output": str(out.with_suffix(".store")),
    }  # fmt: skip
    return recipes.parse(value, "augment")


def stages(prepared: Prepared) -> Iterator[tuple[str, int, Augmented]]:
    for arm, ready in prepared.arms.items():
        yield from ((arm, i, r.augmented) for i, r in enumerate(ready) if r.augmented is not None)


def run(recipe: Recipe, base: Path, arms: Iterable[str], say: Callable[[str], None], plan: bool = False) -> Prepared:
    """The recipe's augmented arms made ready, with what they leave in its folder; with `plan` nothing is asked."""
    chosen = list(arms) or [name for name, arm in recipe.arms.items() if any(s.augment for s in arm.stages)]
    if not chosen:
        raise UserError("no arm of the recipe is augmented", "add e.g. augment: [rephrase, reversal] to an arm")
    with keeping(lambda: kept(folder_of(recipe))):
        prepared = prepare(recipe, base, folder_of(recipe), chosen, say, plan)
    if not any(True for _ in stages(prepared)):
        raise UserError(f"nothing is augmented in {', '.join(chosen)}", "name an arm with augment:")
    if not plan:
        files.write(prepared)
    return prepared


def made(prepared: Prepared, originals: bool = False) -> list[dict[str, Any]]:
    """The kept texts of all stages, each once although several arms have it; with `originals` the sources first."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for _, _, stage in stages(prepared):
        own = (r for r, o in zip(stage.records, stage.origins, strict=True) if originals and o in prepared.records)
        kept = ({k: v for k, v in row.items() if k != "kept"} for row in stage.rows if row["kept"])
        for row in (*map(_original, own), *kept):
            found.setdefault((row["id"], row["prompt"], row["text"]), row)
    return list(found.values())


def _original(record: Record) -> dict[str, Any]:
    prompt, text = ("".join(s.text for s in record.segments if s.role == role) for role in ("context", "target"))
    return {"id": record.id, "prompt": prompt, "text": text, "operation": "original", "source": record.id}


def status(prepared: Prepared) -> dict[str, Any]:
    """By arm and operation how many requests there are, answered, failed, missing; and what failed, with reasons."""
    rows = [
        {"arm": arm, "stage": i, "operation": name, "missing": 0, **counts}
        for arm, i, stage in stages(prepared)
        for name, counts in stage.account["by_operation"].items()
    ]
    store = prepared.out / "generated.sqlite"
    return {"folder": str(prepared.out), "operations": rows, "store": looking.status(store) if store.exists() else None}


def trace(prepared: Prepared, id: str) -> dict[str, Any]:
    """A made text with its source, and the request that it answers: prompt, answer, model, sampling."""
    row = files.find(prepared.out, id)
    source = next((r for found in prepared.records.values() for r in found.records if r.id == row["source"]), None)
    said = "".join(s.text for s in source.segments) if source is not None else None
    request = looking.trace(prepared.out / "generated.sqlite", row["request"]) if row["request"] else None
    return {**row, "source_text": said, "asked": request}
