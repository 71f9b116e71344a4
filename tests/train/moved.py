"""A model in training that is no longer the first one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from contextune import models
from contextune.train import stage


def moved(job: stage.TrainJob, first: Path) -> tuple[Any, Any, Any]:
    """The trainer of a stage, its model with all weights 1.1 times as large, and the first model as it was."""
    trained, kept = models.load_model(str(first)), models.load_model(str(first))
    trainer = stage.build(job, trained, lambda *_: None)
    with torch.no_grad():
        for p in trained.parameters():
            p.mul_(1.1)
    return trainer, trained, kept
