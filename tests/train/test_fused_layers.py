"""Liger's layers: of the model that trains alone, while it trains, and only where they compute what it computes."""

from __future__ import annotations

import pytest
import torch

from contextune import BindContext, models
from contextune.contexts import bind_policy, parse
from contextune.core.progress import say_once
from contextune.core.sequence import Record, Segment
from contextune.models.options import Adapter
from contextune.train import stage
from contextune.train.fast_path import FastPath
from contextune.train.fused_layers import fuse
from contextune.train.layouts import LAYOUTS
from contextune.train.options import Train

from . import fake_liger
from .shapes import make, update
from .test_shared import fast, plain, same

CPU = torch.device("cpu")


def test_loss_and_gradients_stay(monkeypatch):
    fake_liger.install(monkeypatch)
    model, rows = make("llama"), update()
    expected = plain(model, rows)
    layers = fuse(model, CPU)
    assert set(layers) == {"apply_rotary_pos_emb"}
    fake_liger.called["rope"] = 0
    same(fast(model, rows, FastPath(spans=True, parts=True, last=True, layers=layers)), expected, 2e-6)
    assert fake_liger.called["rope"]
    assert model.model.norm.forward.__func__ is fake_liger.rms_norm


def test_no_other_model_is_touched(monkeypatch):
    from transformers.models.llama import modeling_llama

    fake_liger.install(monkeypatch)
    names = dict(vars(modeling_llama))
    model, other = make("llama"), make("llama")
    layers = fuse(model, CPU)
    (batch,) = LAYOUTS["padded"](update()[:2], 10_000, 0)
    with FastPath(layers=layers).around(model, batch):
        assert modeling_llama.apply_rotary_pos_emb is fake_liger.rope
    assert dict(vars(modeling_llama)) == names
    fake_liger.called["rope"] = 0
    other(input_ids=batch.input_ids)
    assert not fake_liger.called["rope"]
    assert "forward" not in vars(other.model.norm)


def test_with_an_adapter(monkeypatch):
    fake_liger.install(monkeypatch)
    model = models.adapt(make("llama"), Adapter(rank=4))
    assert set(fuse(model, CPU)) == {"apply_rotary_pos_emb"}


def test_what_liger_does_not_know_stays(monkeypatch):
    fake_liger.install(monkeypatch)
    assert fuse(make("gpt2"), CPU) == {}
    monkeypatch.undo()
    assert fuse(make("llama"), CPU) == {}, "not installed, or no GPU"


def wrong(model, **options):
    fake_liger.apply_to_instance(model, **options)
    model.model.norm.forward = lambda x: x


def fails(model, **options):
    fake_liger.apply_to_instance(model, **options)
    raise RuntimeError("Triton is not here")


@pytest.mark.parametrize(("apply", "said"), [(wrong, "loss and gradients are others"), (fails, "Triton is not here")])
def test_layers_that_fail_or_are_wrong_are_taken_back(apply, said, monkeypatch, caplog):
    from transformers.models.llama import modeling_llama

    say_once.cache_clear()
    fake_liger.install(monkeypatch, apply=apply)
    names = dict(vars(modeling_llama))
    model, rows = make("llama"), update()
    expected = plain(model, rows)
    assert fuse(model, CPU) == {}
    assert dict(vars(modeling_llama)) == names
    assert "forward" not in vars(model.model.norm)
    same(plain(model, rows), expected)
    assert said in caplog.messages[0]


def test_a_stage_trains_with_them(tmp_path, tiny, tokenizer, monkeypatch):
    """The same weights as without, to rounding."""
    records = [Record(f"r{i}", (Segment(f"w{i} w3 w4 w5", "target"),), f"d{i}") for i in range(4)]
    context = bind_policy(parse("none"), BindContext(tokenizer, tuple(records)))
    found = []
    for name in ("plain", "liger"):
        if name == "liger":
            fake_liger.install(monkeypatch)
        train = Train(steps=2, batch=4, lr=1e-3, warmup=0.0, max_length=32, precision="fp32")
        job = stage.TrainJob(records, context, tokenizer, train, 0, str(tiny), tmp_path / name)
        found.append(models.load_model(str(stage.run(job))))
    assert fake_liger.called["applied"] == 1
    assert fake_liger.Fused.blocks
    for a, b in zip(*(m.parameters() for m in found), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
