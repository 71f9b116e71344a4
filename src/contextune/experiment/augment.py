"""Augmentation without training: the same preparation as a run's, for files or for a recipe's arms."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.augment.export import failures_of
from contextune.core import ownership
from contextune.core.errors import UserError
from contextune.core.progress import keeping
from contextune.core.sequence import Record
from contextune.generation import store_status as looking
from contextune.generation.stored_writer import SHARE

from . import augment_files as files
from . import recipe as recipes
from .prepare import Prepared, prepare
from .prepare.matching import held_against, match_of
from .recipe import Recipe
from .run_dir import folder_of, kept
from .run_files import claim, claim_store, refuse_file, refuse_inputs

if TYPE_CHECKING:
    from contextune.augment.stage import Augmented

PACKED = (".gz", ".bz2", ".xz", ".zst")
LONG = 1_000_000
"""Tokens that a text may have: nothing is trained here."""
ARM = "made"
KNOWN = 0.8
"""Share of a text's words in lower case that are words of the pocket model's language, where it is in that language."""


def recipe_of(sources: list[str], out: Path, options: dict[str, Any]) -> Recipe:
    """A recipe of one arm, named after `out`, over files, for `contextune augment FILE …`."""
    ownership.refuse_nameless(out)
    arm = re.sub(r"[^\w-]+", "-", out.stem, flags=re.ASCII).strip("-_") or ARM
    value = {
        "name": arm,
        "model": options["model"],
        "data": {"source": {"path": tuple(sources), "kind": options["kind"], "columns": options["columns"],
                            **({"chunk": "none"} if options["kind"] == "text" else {})}},
        "arms": {arm: {"data": "source", "augment": options["augment"]}},
        "writer": options["writer"],
        "train": {"max_length": LONG},
        "output": str(options["store"] or store_of(sources, out)),
    }  # fmt: skip
    return recipes.parse(value, "augment")


def store_of(sources: list[str], out: Path) -> Path:
    """The folder of what is asked about these sources, whatever `out` is: beside the first of them.

    It lies beside `out` where one is there already, where the source is none on this machine, or where nothing can be
    written beside it.
    """
    beside = out.with_suffix(".store")
    fixed = re.split(r"[*?\[]", sources[0])[0]
    source = Path(fixed if fixed == sources[0] else fixed.rpartition("/")[0] or os.devnull)
    if beside.exists() or not (source.is_file() or source.is_dir()):
        return beside
    source = source if source.name else source.resolve()
    name = source.name if source.is_dir() else Path(source.stem).stem if source.suffix in PACKED else source.stem
    found = source.with_name(f"{name}.store") if name else beside
    return found if os.access(found if found.exists() else found.parent, os.W_OK) else beside


def refuse_foreign(prepared: Prepared) -> None:
    """UserError where the pocket model was not asked for by name and the texts are not in its language."""
    texts = [r.text for found in prepared.records.values() for r in found.records]
    words = [w for text in texts for w in re.findall(r"\b[^\W\d_A-Z]+\b", text)][:2000]
    pieces = [[t for t in prepared.tokenizer.tokenize(w) if t.strip("\ue000 ")] for w in words]
    known = sum(len(p) == 1 for p in pieces)
    if known < KNOWN * len(words) or not words:
        strange = [w for w, p in zip(words, pieces, strict=True) if len(p) != 1]
        shown = ", ".join(list(dict.fromkeys(strange))[:5]) or "there is no word of it"
        raise UserError(
            f"no writer is named, and the texts are not in the language of the built-in pocket model ({shown})",
            "--model FOLDER (contextune get smollm2 fetches a small one), or --server URL --name NAME; "
            "--model pocket asks the pocket model all the same",
        )


def stages(prepared: Prepared) -> Iterator[tuple[str, int, Augmented]]:
    for arm, ready in prepared.arms.items():
        yield from ((arm, i, r.augmented) for i, r in enumerate(ready) if r.augmented is not None)


def run(
    recipe: Recipe,
    base: Path,
    arms: Iterable[str],
    say: Callable[[str], None],
    plan: bool = False,
    implied: bool = False,
    file: Path | None = None,
) -> Prepared:
    """The recipe's augmented arms made ready, with what they leave in its folder; with `plan` nothing is asked.

    What failed is listed, and no error; what has failed in earlier runs too is asked anew. `implied`: the pocket model
    writes because no other writer was named. `file` is what the texts are to be written into later on.
    """
    chosen = list(arms) or [name for name, arm in recipe.arms.items() if any(s.augment for s in arm.stages)]
    if not chosen:
        raise UserError("no arm of the recipe is augmented", "add e.g. augment: [rephrase, reversal] to an arm")
    like = held_against(recipe)
    if not arms and like is not None and like not in chosen and any(match_of(recipe, arm) for arm in chosen):
        chosen.append(like)  # their updates follow from its own; of it nothing is asked
    folder = folder_of(recipe)
    if file is not None:
        refuse_file(recipe, base, file)
        refuse_file(recipe, base, failures_of(file))
    if implied:
        refuse_foreign(prepare(recipe, base, folder_of(recipe), chosen, plan=True))
    if not plan or folder.exists():
        refuse_inputs(recipe, base, folder)
        claim_store(folder, keep=not plan) if recipe._file is None else claim(folder, keep=not plan)
    with keeping(lambda: kept(folder_of(recipe))):
        prepared = prepare(recipe, base, folder_of(recipe), chosen, say, plan, insist=True)
    if not any(True for _ in stages(prepared)):
        raise UserError(f"nothing is augmented in {', '.join(chosen)}", "name an arm with augment:")
    if not plan:
        files.write(prepared)
    return prepared


def failed(prepared: Prepared) -> list[dict[str, Any]]:
    """{arm, source, operation, reason} of every request that gave no text."""
    return [{"arm": arm, **row} for arm, _, stage in stages(prepared) for row in stage.account.get("failures", ())]


def too_many(prepared: Prepared) -> str:
    """Which arms have more failures than their `failures` allows, in words; "" where none has."""
    found = []
    for arm, i, stage in stages(prepared):
        counts = stage.account["by_operation"].values()
        options = prepared.arms[arm][i].stage.augment
        limit = options.failures if options is not None else 1.0
        lasting = 0 if limit is not None else sum(c.get("lasting", 0) for c in counts)
        lost, total = sum(c["failed"] for c in counts) - lasting, sum(c["requests"] for c in counts)
        share = SHARE if limit is None else limit
        if lost > share * total:
            found.append(f"{arm}: {lost} of {total} requests failed, failures allows {share:.0%}")
    return "; ".join(found)


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
    row = files.find(prepared.out, id, next(iter(prepared.arms)))
    source = next((r for found in prepared.records.values() for r in found.records if r.id == row["source"]), None)
    said = source.text if source is not None else None
    request = looking.trace(prepared.out / "generated.sqlite", row["request"]) if row["request"] else None
    return {**row, "source_text": said, "asked": request}
