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
    """Bytes: `kept` when the run is done, `needed` at most before (two checkpoints of each training), `free`."""
    seeds = len(prepared.recipe.seeds)
    stages = [ready for found in prepared.arms.values() for ready in found]
    goes_on = [s[-1] for s in prepared.arms.values() if s and s[-1].train.schedule == "constant"]
    kept = sum(_finished(prepared, ready) for ready in stages) * seeds + _outcomes(prepared)
    kept += sum(_weights(prepared, r) * (BYTES + STATES) for r in goes_on) * seeds  # the state that can be trained on
    open_ = max((_weights(prepared, r) * (BYTES + STATES) for r in stages), default=0)
    beside = side_by_side(prepared, 0)
    return {"kept": kept, "needed": kept + 2 * open_ * beside, "free": shutil.disk_usage(prepared.out).free}


def _finished(prepared: Prepared, ready: PreparedStage) -> int:
    updates = ready.plan(prepared.recipe.seeds[0]).updates
    return _weights(prepared, ready) * BYTES + _tokenizer(prepared) + CARD + LOSS * updates


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
