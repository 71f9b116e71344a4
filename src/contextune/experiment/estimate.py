"""How long and how large a run will be, from a few real updates on a copy of the model."""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from contextune import models

from .accounting import accounting
from .prepare import Prepared, PreparedStage


def estimate(prepared: Prepared, updates: int = 3) -> dict[str, Any]:
    """Seconds and bytes: a few updates of every different stage are trained for real and thrown away.

    Returns {"seconds": total over arms and seeds, "memory": peak bytes so far, "stages": [{arm, stage, updates,
    seconds_per_update, tokens_per_second}]}. Evaluation is not in it.
    """
    rows: list[dict[str, Any]] = []
    measured: dict[str, float] = {}
    for arm, stages in prepared.arms.items():
        for index, ready in enumerate(stages):
            key = f"{ready.stage.data} {ready.stage.context.full()} {ready.train}"
            if key not in measured:
                measured[key] = _seconds(prepared, ready, updates)
            plan = ready.plan(prepared.recipe.seeds[0])
            tokens = sum(
                r["trained"] + r["context"] for r in accounting(prepared) if r["arm"] == arm and r["stage"] == index
            )
            an_update = tokens / len(ready.records) * ready.train.batch
            rows.append({
                "arm": arm, "stage": index, "updates": plan.updates, "seconds_per_update": measured[key],
                "tokens_per_second": an_update / measured[key],
            })  # fmt: skip
    total = sum(r["updates"] * r["seconds_per_update"] for r in rows) * len(prepared.recipe.seeds)
    return {"seconds": total, "memory": _memory(), "stages": rows}


def _seconds(prepared: Prepared, ready: PreparedStage, updates: int) -> float:
    """The median over `updates` updates after one to warm up."""
    import torch

    from contextune.train import stage

    train = ready.train.model_copy(update={"steps": updates + 1, "save": 0})
    with tempfile.TemporaryDirectory() as folder:
        job = stage.TrainJob(
            ready.records,
            ready.context,
            prepared.tokenizer,
            train,
            0,
            prepared.model,
            Path(folder),
            prepared.recipe.model,
            say=lambda text: None if text in prepared.warnings else prepared.warnings.append(text),
        )
        times = [time.perf_counter()]
        model = stage.open_model(job)
        with models.threads(train.threads, model.num_parameters()):
            rng = torch.get_rng_state()
            stage.build(job, model, lambda done, total, loss: times.append(time.perf_counter())).train()
            torch.set_rng_state(rng)
    return statistics.median(b - a for a, b in pairwise(times[1:]))


def _memory() -> int:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
