"""Optimizers: each trains, resumes bit for bit, and keeps what is counted of it."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch

from contextune.contexts import NoContext
from contextune.core.errors import UserError
from contextune.train import optimizer, stage
from contextune.train.options import Train

from .kills import killed, same_weights

HERE = ["adamw", pytest.param("adafactor", marks=pytest.mark.slow)]
if importlib.util.find_spec("bitsandbytes"):
    HERE += ["adamw8bit", "paged_adamw8bit"]
CLASSES = {"adamw": "AdamW", "adafactor": "Adafactor", "adamw8bit": "AdamW", "paged_adamw8bit": "AdamW"}


def job(records, tokenizer, start, folder, **options):
    given = {"steps": 6, "batch": 8, "lr": 1e-2, "max_length": 64, "threads": 1, "save": 2, **options}
    return stage.TrainJob(records, NoContext(), tokenizer, Train(**given), 3, str(start), folder)


@pytest.mark.parametrize("name", HERE)
def test_trains_and_resumes_bit_for_bit(records, tokenizer, tiny, tmp_path, name):
    made = {f: job(records, tokenizer, tiny, tmp_path / f, optimizer=name) for f in ("whole", "parts")}
    stage.run(made["whole"])
    killed(made["parts"], 3)
    stage.run(made["parts"])
    curve = [row["loss"] for row in json.loads((tmp_path / "whole" / "losses.json").read_text())]
    assert curve[-1] < curve[0]
    assert same_weights(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("name", HERE)
def test_states_are_what_is_counted(records, tokenizer, tiny, tmp_path, name):
    """But for single numbers, and the tables of 256 values that bitsandbytes keeps by parameter."""
    made = job(records, tokenizer, tiny, tmp_path, optimizer=name)
    trainer = stage.build(made, stage.open_model(made), print)
    trainer.create_optimizer()
    used = trainer.optimizer
    assert CLASSES[name] in type(used).__name__
    shapes = []
    for p in trainer.model.parameters():
        p.grad = torch.zeros_like(p)
        shapes.append(tuple(p.shape))
    used.step()
    held = sum(
        t.numel() * t.element_size()
        for state in used.state.values()
        for key, t in state.items()
        if isinstance(t, torch.Tensor) and t.numel() > 1 and not key.startswith("qmap")
    )
    assert held == optimizer.state_bytes(name, shapes)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("adamw", 8 * 8192 + 8 * 10), ("adamw8bit", 2 * 8192 + 8 * 32 + 8 * 10), ("adafactor", 4 * (64 + 128) + 4 * 10)],
)
def test_bytes_by_hand(name, expected):
    assert optimizer.state_bytes(name, [(64, 128), (10,)]) == expected


@pytest.mark.parametrize("name", ["adamw8bit", "paged_adamw8bit"])
def test_a_library_that_is_not_there(monkeypatch, name):
    monkeypatch.setattr(optimizer.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=f"train.optimizer: {name} needs bitsandbytes") as e:
        optimizer.check_optimizer(Train(optimizer=name))
    assert "pip install 'contextune[qlora]'" in e.value.hint
    optimizer.check_optimizer(Train(optimizer="adafactor"))


def test_adafactor_has_no_betas():
    with pytest.raises(ValueError, match="adafactor has none"):
        Train(optimizer="adafactor", betas=(0.9, 0.9))
    assert Train(optimizer="adafactor").optimizer == "adafactor"
