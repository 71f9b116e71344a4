"""How large a run's folder will be: its models, what it keeps beside them, and two checkpoints while it trains."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from contextune import models

from .prepare import Prepared, PreparedStage
from .scoring import models_of
from .workers import side_by_side

BYTES, STATES = 4, 8
"""Of a weight (fp32), and of AdamW's two states of a weight that is trained."""
CARD, LOSS, OUTCOME, PAGE = 4096, 130, 100, 40_000
"""Of a model card and configurations, of an update's line in losses.json, of an outcome, of the report; measured."""


def disk(prepared: Prepared) -> dict[str, int]:
    """Bytes: `kept` when the run is done, `needed` at most before (with the checkpoints of each training), `free`;
    and what would be kept with each `keep`.
    """
    seeds, keep = len(prepared.recipe.seeds), prepared.recipe.keep
    stages = [ready for found in prepared.arms.values() for ready in found]
    rest = sum(LOSS * r.plan(prepared.recipe.seeds[0]).updates for r in stages) * seeds + _outcomes(prepared)
    models_ = [sum(_model(prepared, r, r is s[-1]) for r in s) * seeds for s in prepared.arms.values() if s]
    ways = {"all": sum(models_), "best": max(models_, default=0), "outcomes": 0}
    most = ways["best"] if keep == "outcomes" else ways["all"]  # arm by arm, or until the best one is known
    training = max((_training(prepared, r) for r in stages), default=0) * side_by_side(prepared, 0)
    return {
        "kept": rest + ways[keep],
        "needed": rest + most + training,
        "free": shutil.disk_usage(prepared.out).free,
        **{f"keep_{way}": rest + size for way, size in ways.items()},
    }


def _model(prepared: Prepared, ready: PreparedStage, last: bool) -> int:
    """A finished stage, with the state by which it can be trained longer."""
    state = BYTES + STATES if last and ready.train.schedule == "constant" else 0
    return _weights(prepared, ready) * (BYTES + state) + _tokenizer(prepared) + CARD


def _training(prepared: Prepared, ready: PreparedStage) -> int:
    """Two checkpoints, and what was best at each of them and is best now."""
    best = 3 * BYTES if ready.train.keep == "best" else 0
    return _weights(prepared, ready) * (2 * (BYTES + STATES) + best)


def _weights(prepared: Prepared, ready: PreparedStage) -> int:
    """Parameters that are saved: all, or an adapter's."""
    from contextune.train.memory import adapter_size  # imports torch

    if models.is_adapter(prepared.model):
        return models.stored(Path(prepared.model))
    if ready.train.adapter is None:
        return prepared.parameters
    return adapter_size(prepared.model, prepared.recipe.model, ready.train.adapter)


def _tokenizer(prepared: Prepared) -> int:
    if "tokenizer size" not in prepared.kept:
        with tempfile.TemporaryDirectory() as folder:
            prepared.tokenizer.save_pretrained(folder)
            size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        prepared.kept["tokenizer size"] = size
    return int(prepared.kept["tokenizer size"])


def _outcomes(prepared: Prepared) -> int:
    """Outcomes of every model, samples, results and the page."""
    items = sum(OUTCOME + len(i.gold) + sum(map(len, i.options)) for t in prepared.tasks for i in t.items)
    tables = sum(1 for _ in models_of(prepared)) * (items + 12_000 * len(prepared.tasks))
    return tables + PAGE
