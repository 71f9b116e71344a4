"""An arm's folder for others: merged weights, with a Modelfile or a GGUF file where they are wanted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contextune.core import cache, ownership
from contextune.core.errors import UserError, first_line
from contextune.core.files import digest
from contextune.models.load import load_tokenizer
from contextune.models.resolve import fingerprint

from . import card, gguf, ollama, weights
from .arm import FinishedArm

FORMS = ("merged", "ollama", "gguf")
KIND = "export"
SERVED = ".contextune-export-done"
"""In a folder of weights for a server: what they were made of. It goes before anything else is written there."""
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def export(arm: FinishedArm, form: str, out: Path, dtype: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Write an arm in one of the `FORMS` into `out`, a new folder or one of an earlier export.

    Returns `folder`, `form`, `dtype`, `difference` of the logits, `notes` (what is missing, in words) and
    `next` (commands for the reader). Raises UserError.
    """
    weights.refuse_dtype(dtype)
    if form == "gguf":
        gguf.converter()
    text = card.card(arm, dtype)
    ownership.claim(out, KIND, what="output", fix="give another --out")
    (out / SERVED).unlink(missing_ok=True)
    difference = weights.write(arm, out, dtype, say)
    (out / card.FILE).write_text(text, encoding="utf-8")
    notes = []
    if arm.is_adapter and arm.adapter and arm.adapter.kind == "qlora":
        notes.append("qlora was trained on a base in 4 bits; it is merged into the base's own weights")
    then: list[str] = []
    if form == "ollama":
        written, lacks = ollama.modelfile(load_tokenizer(str(out), arm.model))
        (out / "Modelfile").write_text(written, encoding="utf-8")
        notes += [f"Modelfile: {lacks}"] if lacks else []
        then.append(shlex.join(["ollama", "create", arm.name.lower(), "-f", str(out / "Modelfile")]))
    if form == "gguf":
        file = out / f"{arm.name}.gguf"
        missing = gguf.convert(out, file, dtype)
        if missing:
            notes.append(
                f"no GGUF: llama.cpp's {gguf.SCRIPT} is neither on the PATH nor in ${gguf.VARIABLE}; install it and "
                "give the same command again, or run:"
            )
            then.append(missing)
        else:
            notes.append(f"{file}: {file.stat().st_size / 1e6:,.0f} MB")
    return {
        "folder": str(out), "arm": arm.arm, "form": form, "dtype": dtype, "difference": difference,
        "notes": notes, "next": then,
    }  # fmt: skip


def refuse_hub_name(name: str) -> None:
    if not HUB_NAME.fullmatch(name):
        raise UserError(f"--push {name!r:.80}: not a name on the hub", "give USER/NAME")


def push(out: Path, name: str) -> str:
    """Put the folder on the Hugging Face hub as a private model; where it lies. Raises UserError."""
    from huggingface_hub import HfApi

    try:
        hub = HfApi()
        hub.create_repo(name, private=True, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=out, ignore_patterns=[f"{ownership.MARK}*"])
    except Exception as e:
        raise UserError(
            f"{name}: the upload to the hub failed ({first_line(e)})", "hf auth login; the name is USER/NAME"
        ) from None
    return f"https://huggingface.co/{name}"


def served_folder(arm: FinishedArm, out: Path | None, dtype: str | None, say: Callable[[str], None]) -> Path:
    """Weights that a server reads: the run's own where they can be as they are, else exported ones.

    An adapter is merged, in float32 by default, once: into `out` or the cache.
    """
    if not arm.is_adapter and dtype is None and out is None:
        return arm.path
    dtype = dtype or "float32"
    key = digest([str(arm.path), fingerprint(str(arm.path)), dtype])
    folder = out or cache.folder() / "served" / f"{arm.name}-{key[:12]}"
    done = folder / SERVED
    if not (done.is_file() and done.read_text(encoding="utf-8") == key):
        export(arm, "merged", folder, dtype, say)
        done.write_text(key, encoding="utf-8")
    return folder
