"""The pocket model: 0.9 million parameters that know the language of the worlds and none of its facts.

    path()    the shipped model's folder, for `AutoModelForCausalLM.from_pretrained`
    build()   the same model made anew from its generated data
    skills()  what it can do, measured on names it has never seen

The card (README.md in the folder) says how it was made and what was measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.files import sync_tree, write_text
from contextune.core.ownership import claim
from contextune.models.known import KnownModel

from .measure import skills

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["build", "digest", "measured", "path", "skills"]

WEIGHTS = "model.safetensors"
THREADS = 2
"""Batches of 3,400 tokens gain from a second one, unlike the small ones of fine-tuning."""


def path() -> Path:
    """The folder of the shipped model."""
    return Path(__file__).parent / "model"


def digest(folder: Path) -> str:
    """SHA-256 of a folder's weights."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def measured(folder: Path) -> dict[str, Any]:
    """What the build wrote down: seed, steps, seconds, skills and the weights' hash."""
    return dict(json.loads((folder / "measured.json").read_text(encoding="utf-8")))


def build(out: Path | str, seed: int = 0, steps: int | None = None, n: int = 512, quiet: bool = False) -> Path:
    """Train the pocket model into the folder `out` and return it; `n` items measure each skill.

    About 24 minutes of two cores. A killed build resumes from its last checkpoint (every 200 steps).
    Raises UserError where `out` holds a finished model or another build's checkpoint.
    """
    import torch

    from . import pretrain, tokenizer

    folder = Path(out)
    if (folder / WEIGHTS).exists():
        raise UserError(f"{folder} already holds a model", "give another folder, or remove it first")
    earlier = lambda out: (out / "building.pt").exists()  # noqa: E731
    claim(folder, "pocket", "folder", "give another folder", earlier=earlier)
    made, threads = tokenizer.build(), torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        model, log = _train(made, seed, folder, steps or pretrain.STEPS, quiet)
        model.config.dtype = "float32"
        model.save_pretrained(folder)
        made.save_pretrained(folder)
        notes = {
            "seed": seed,
            "steps": len(log),
            "cpu_seconds": round(log[-1]["seconds"]),
            "loss": round(sum(entry["loss"] for entry in log[-100:]) / len(log[-100:]), 4),
            "items": n,
            "skills": {name: round(value, 4) for name, value in skills(model, made, seed + 1000, n).items()},
            "parameters": sum(p.numel() for p in model.parameters()),
            "sha256": digest(folder),
        }
    finally:
        torch.set_num_threads(threads)
    write_text(folder / "measured.json", json.dumps(notes, indent=1) + "\n")
    write_text(folder / "README.md", card(notes))
    sync_tree(folder)
    (folder / "building.pt").unlink(missing_ok=True)
    return folder


def _train(
    tokenizer: PreTrainedTokenizerFast, seed: int, folder: Path, steps: int, quiet: bool
) -> tuple[PreTrainedModel, list[dict[str, float]]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from . import pretrain

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=quiet) as progress:
        bar = progress.add_task("pocket", total=steps)
        return pretrain.pretrain(
            tokenizer,
            seed,
            folder,
            steps,
            lambda step, loss: progress.update(bar, completed=step, description=f"pocket, loss {loss:.3f}"),
        )


def card(notes: Mapping[str, Any]) -> str:
    """The model's card, from what was measured when it was built."""
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in notes["skills"].items())
    template = (Path(__file__).parent / "card.md").read_text(encoding="utf-8")
    for key, value in {
        **notes,
        "rows": rows,
        "minutes": round(notes["cpu_seconds"] / 60, 1),
        "threads": THREADS,
    }.items():
        template = template.replace(f"{{{key}}}", str(value))
    return template


@registry.models("pocket")
class Pocket(KnownModel):
    """The embedded model, in the package."""

    prompt_style = "pocket"

    def path(self) -> Path:
        return path()

    def recognises(self, model: str) -> bool:
        """A pocket model that was built anew or fine-tuned has the same tokenizer, and nothing else has."""
        theirs = Path(model) / "tokenizer.json"
        return Path(model) == path() or (theirs.is_file() and _vocabulary(theirs) == _vocabulary(path() / theirs.name))


def _vocabulary(file: Path) -> object:
    return json.loads(file.read_text(encoding="utf-8"))["model"]
