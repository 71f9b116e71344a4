"""A stage that is killed while it trains, and whether two stages made the same model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from contextune.train import stage


class Killed(Exception):
    pass


def killed(job: stage.TrainJob, update: int) -> None:
    """Trains a stage and ends it after an update, as if it were killed."""

    def progress(done: int, total: int, loss: float) -> None:
        if done == update:
            raise Killed

    with pytest.raises(Killed):
        stage.run(job, progress)


def same_weights(folder: Path, other: Path) -> bool:
    """Whether the models of two stages are equal, bit for bit."""
    (one,), (two,) = ([load_file(f) for f in (at / "model").glob("*.safetensors")] for at in (folder, other))
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
