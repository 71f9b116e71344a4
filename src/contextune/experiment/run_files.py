"""The files of a run's folder: which ones a run writes, and so may write over and remove."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from contextune.core import ownership, registry
from contextune.core.errors import UserError
from contextune.core.files import WHOLE, Damaged, edited, is_part, sealed

from .recipe import Recipe, folder_of

KIND = "run"
OUTPUT = "give another output=FOLDER"
CLEARED = ("arms", "outcomes", "augmented", "search", "answers")
TOP = (
    "recipe.yaml",
    "run.json",
    "memory.json",
    "accounting.json",
    "contexts.json",
    "retrieval.json",
    "search.json",
    "samples.json",
    "results.json",
    "report.html",
    "augmented.html",
    "questions.json",
)
KEPT = (
    "preview.html",
    "decisions.jsonl",
    ".lock",
    "generated.sqlite",
    "generated.sqlite-wal",
    "generated.sqlite-shm",
    "similarities",
)
"""What --fresh leaves."""
CARD = "README.md"
"""Of a finished model; people edit it."""
CHECKPOINT = re.compile(r"checkpoint-\d+")
TRAINER = re.compile(
    r"((adapter_)?(model|config)|pytorch_model|generation_config|optimizer|scheduler|scaler|rng_state|trainer_state"
    r"|training_args|tokenizer|special_tokens|added_tokens|vocab|merges|chat_template|whole)[\w.-]*"
    r"\.(json|safetensors|bin|pth?|model|txt|jinja|part)|README\.md|latest|zero_to_fp32\.py"
    r"|(pytorch_model_fsdp_|optimizer_|global_step)\d+/.*|\.tmp\w{6}"
)
"""What trainers write into a checkpoint, relative to it; weights are written as .tmpXXXXXX first (safetensors)."""


def claim(out: Path, keep: bool = True) -> None:
    """Make `out` a run's folder, or take it up again; with `keep` false only look. UserError where it is another's, or
    something in it is in the way of what the run writes and removes.
    """
    ownership.claim(out, KIND, fix=OUTPUT, earlier=of_earlier_version, keep=keep)
    folders = (*CLEARED, "similarities")
    for name in (*folders, *TOP, *KEPT):
        if (out / name).exists() and (out / name).is_dir() != (name in folders):
            found, wanted = ("file", "folder") if name in folders else ("folder", "file")
            raise UserError(f"{out / name}: a {found} is where the run keeps a {wanted}", f"move it away, or {OUTPUT}")
    old = (p for p in foreign(out, ("arms",)) if len(parts := Path(p).parts) > 5 and CHECKPOINT.fullmatch(parts[4]))
    if strange := sorted(old):
        raise UserError(
            f"{out}: training removes its checkpoints, and no run has written {ownership.listed(strange)}",
            f"move that elsewhere first, or {OUTPUT}",
        )


def claim_store(store: Path, keep: bool = True) -> None:
    """The same for the folder of what was asked about some files."""
    fix = "give another --store"
    ownership.claim(store, "store", "store", fix, earlier=lambda folder: not list(foreign(folder)), keep=keep)


def of_earlier_version(out: Path) -> bool:
    """Whether a folder without a mark holds a run, or what a check leaves of one, and nothing else."""
    return (is_run(out) or all(p.name in KEPT for p in out.iterdir())) and not list(foreign(out))


def look(out: Path) -> None:
    """UserError where a run could not claim `out`; nothing is made."""
    if os.path.lexists(out):
        claim(out, keep=False)


def is_run(out: Path) -> bool:
    """Whether a folder holds what every run writes."""
    info = _json(out / "run.json")
    return isinstance(info, dict) and {"schema", "identity"} <= set(info)


def _json(file: Path) -> Any:
    """What a JSON file holds; None where it is none, or not even a file."""
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None


def patterns() -> re.Pattern[str]:
    """Matches the path of every file that a run writes, relative to its folder."""
    name, part = r"[^/]+", r"(\.part)?"
    looks = "|".join(map(re.escape, registry.callbacks.names()))
    stage = rf"arms/{name}/seed-\d+/stage-\d+"
    return re.compile(
        "|".join([
            *(re.escape(n) + part for n in (*TOP, *KEPT)),
            r"similarities/[^/]+\.npz", r"similarities/[^/]+\.part",
            rf"answers/\d+\.html{part}",
            rf"augmented/{name}\.stage-\d+\.jsonl?{part}",
            rf"outcomes/({name}\.seed-\d+\.{name}\.parquet(\.part-\d+)?|index\.json|samples\.key){part}",
            rf"{stage}/(identity|stage|losses|whole)\.json{part}",
            rf"{stage}/(tmp-checkpoint-\d+|(save|model|best)\.part|best-\d+|{looks})/.*",
            rf"search/{name}/seed-\d+/\d+-\d+/stage-\d+/.*",
        ])
    )  # fmt: skip


def foreign(out: Path, folders: tuple[str, ...] = (".",)) -> Iterator[str]:
    """Files, and links to folders, in a run's folder that no run writes, relative to it."""
    known, saved, listed = patterns(), cache(added), cache(_sealed)  # read once a folder
    for start in folders:
        if (out / start).is_symlink():
            yield f"{start} (a link)"
            continue
        for at, inner, files in os.walk(out / start):
            links = [f for f in inner if Path(at, f).is_symlink()]
            for path in (Path(at, name).relative_to(out) for name in (*links, *files)):
                mark = path.name in ownership.INERT or path.name.startswith(ownership.MARK) or is_part(path.name)
                if not (
                    mark
                    or known.fullmatch(path.as_posix())
                    or _of_model(out, path, saved)
                    or _of_checkpoint(out, path, listed)
                ):
                    yield path.as_posix()


def _of_model(out: Path, path: Path, added: Callable[[Path], list[str]]) -> bool:
    """Whether a path is in a finished model's folder, and of what was saved there."""
    if len(path.parts) < 6 or (path.parts[0], path.parts[4]) != ("arms", "model"):
        return False
    return path.parts[5] not in added(out / Path(*path.parts[:4]))


def _of_checkpoint(out: Path, path: Path, listed: Callable[[Path], dict[str, Any] | None]) -> bool:
    """Whether a path is one that a whole checkpoint lists; of an unfinished one, of those that trainers write."""
    if len(path.parts) < 6 or path.parts[0] != "arms" or not CHECKPOINT.fullmatch(path.parts[4]):
        return False
    folder, name = out / Path(*path.parts[:5]), Path(*path.parts[5:]).as_posix()
    made = listed(folder)
    return name in (*made.get("sums", ()), WHOLE) if made else TRAINER.fullmatch(name) is not None


def _sealed(folder: Path) -> dict[str, Any] | None:
    """What a checkpoint's list of files says; None where it has none, or a damaged one."""
    try:
        return sealed(folder) if (folder / WHOLE).is_file() else None
    except Damaged:
        return None


def added(stage: Path) -> list[str]:
    """What is in the folder of a stage's model and was not saved with it, as far as the stage says; a card that was
    edited is among it.
    """
    try:
        there = sorted(p.name for p in (stage / "model").iterdir())
    except OSError:
        return []
    info = _json(stage / "stage.json")
    saved = info.get("files") if isinstance(info, dict) else None
    if not isinstance(saved, list):  # of an earlier version
        return []
    strange = [name for name in there if name not in saved]
    card = stage / "model" / CARD
    return strange + [CARD] * (CARD not in strange and card.is_file() and edited(card))


def may_clear(out: Path) -> None:
    """UserError where `clear` would remove anything that no run has written."""
    if strange := sorted(foreign(out, CLEARED)):
        raise UserError(
            f"{out}: --fresh would remove what no run has written: {ownership.listed(strange)}",
            "move that elsewhere first, or give another output=FOLDER",
        )


def clear(out: Path) -> None:
    """Remove what a run has written. UserError, and nothing is removed, where anything else is among it; a recipe.yaml
    that was edited is kept aside.
    """
    may_clear(out)
    ownership.set_aside(out / "recipe.yaml")
    for name in CLEARED:
        shutil.rmtree(out / name, ignore_errors=True)
    for name in TOP:
        (out / name).unlink(missing_ok=True)


def refuse_inputs(recipe: Recipe, base: Path, out: Path) -> None:
    """UserError where the recipe, or something that it names, is a file which its run would write or remove."""
    for path in inputs(recipe, base):
        inside = _relative(path, out)
        if inside is not None and inside.parts and inside.parts[0] in (*CLEARED, *TOP):
            raise UserError(
                f"{path}: the recipe reads it, and its run writes {inside.parts[0]} in that folder",
                "give another output=FOLDER, or copy what is read to another place",
            )


def refuse_file(recipe: Recipe, base: Path, file: Path) -> None:
    """UserError where `file`, which is to be written, is the user's, is read now or next time, or is in the run."""
    ownership.may_write(file, inputs=inputs(recipe, base))
    place, out = file.resolve(), folder_of(recipe).resolve()
    if out in (place, *place.parents):
        raise UserError(f"output {file}: what a writer has written is kept in {out}", "give an --out elsewhere")
    for text in (t for source in recipe.data.values() for t in _texts(source.path)):
        read = Path(os.path.abspath(base / Path(text).expanduser()))
        if fnmatch(str(place), str(read)) or read.resolve() in place.parents:
            raise UserError(f"output {file}: it would be read as part of {text}", "give an --out elsewhere")


def inputs(recipe: Recipe, base: Path) -> Iterator[Path]:
    """What there may be of files and folders that a recipe names, and its own file; of a glob, where it begins."""
    plain = recipe.model_dump(mode="json", exclude={"output"}, exclude_defaults=True)
    for text in _texts(plain):
        fixed = re.split(r"[*?\[]", text)[0]
        if fixed and "\n" not in text and len(text) < 4096:
            yield base / Path(fixed if fixed == text else fixed.rpartition("/")[0]).expanduser()
    if recipe._file is not None:
        yield recipe._file


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _relative(path: Path, folder: Path) -> Path | None:
    """`path` below `folder`, all links followed; None where it is elsewhere, or nowhere."""
    try:
        return path.resolve(strict=True).relative_to(folder.resolve())
    except (OSError, ValueError):
        return None
