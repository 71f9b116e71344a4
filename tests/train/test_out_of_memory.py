"""Memory that runs out within an update: it is made again from the same draws in smaller pieces."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from contextune.contexts import NoContext
from contextune.models.options import Adapter
from contextune.train import fast_path, stage, trainer
from contextune.train.options import Train

from .kills import killed

OPTIONS = {"steps": 4, "batch": 8, "lr": 1e-2, "max_length": 64, "threads": 1, "layout": "padded", "save": 2}


def job(records, tokenizer, start, folder, **options):
    return stage.TrainJob(records, NoContext(), tokenizer, Train(**{**OPTIONS, **options}), 3, str(start), folder)


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def losses(folder):
    return [row["loss"] for row in json.loads((folder / "losses.json").read_text())]


class Bounded:
    """A device on which passes of more than `most` tokens fail at a moment, from a number of passes on."""

    def __init__(self, monkeypatch, most, moment, first=0, error=torch.OutOfMemoryError):
        self.most, self.moment, self.first, self.error = most, moment, first, error
        self.passes, self.failed = 0, 0
        whole = fast_path.FastPath.loss
        monkeypatch.setattr(fast_path.FastPath, "loss", lambda engine, *a: self.loss(whole, engine, *a))

    def loss(self, whole, engine, model, batch, scale=1.0):
        self.passes += 1
        large = batch.input_ids.numel() > self.most and self.passes > self.first
        if large and self.moment == "before":
            self.fail()
        loss = whole(engine, model, batch, scale)
        if large and self.moment == "after":
            self.fail()
        if large and self.moment == "in the backward pass":
            layers = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
            handle = layers[0].mlp.down_proj.weight.register_hook(lambda grad: self.fail(handle))
        return loss

    def fail(self, handle=None):
        if handle is not None:
            handle.remove()
        self.failed += 1
        raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.fixture
def small(records, tokenizer, tiny, tmp_path):
    """The same run with few tokens at once from its first update on."""
    stage.run(job(records, tokenizer, tiny, tmp_path / "small", tokens=124))
    return tmp_path / "small"


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(trainer, "say_once", lines.append)
    return lines


@pytest.mark.parametrize("moment", ["before", "after", "in the backward pass"])
def test_the_update_is_made_again_in_smaller_pieces(
    records, tokenizer, tiny, tmp_path, small, monkeypatch, said, moment
):
    device = Bounded(monkeypatch, 124, moment)
    stage.run(job(records, tokenizer, tiny, tmp_path / "bounded", tokens=248))
    assert device.failed == 1
    assert losses(tmp_path / "bounded") == losses(small)
    ours, theirs = weights(tmp_path / "bounded"), weights(small)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert len(said) == 1
    assert said[0].startswith("update 1: memory ran out with 2")
    assert "made again with 1" in said[0]


@pytest.mark.parametrize("moment", ["after", "in the backward pass"])
def test_gradients_of_earlier_pieces_are_not_counted_twice(records, tokenizer, tiny, monkeypatch, tmp_path, moment):
    """The third piece of an update fails, when two have left their gradients."""
    seen = []

    def step(folder):
        made = job(records, tokenizer, tiny, folder, tokens=64)
        found = stage.build(made, stage.open_model(made), print)
        rows = found.train_dataset[0]
        loss = found.training_step(found.model, rows)
        seen.append(len(found.layout(rows, found.tokens, 0)))
        return loss, {n: p.grad.clone() for n, p in found.model.named_parameters()}

    loss, plain = step(tmp_path / "one")
    device = Bounded(monkeypatch, 30, moment, first=2)
    again, found = step(tmp_path / "two")
    assert device.failed >= 1
    assert 2 < seen[0] < seen[1]
    assert float(again) == pytest.approx(float(loss), rel=1e-6)
    assert all(torch.allclose(found[n], plain[n], rtol=1e-4, atol=1e-7) for n in plain)


def test_dropout_is_drawn_anew_from_the_same_place(records, tokenizer, tiny, tmp_path, monkeypatch):
    """A failed attempt leaves no trace in the generators: the run is the one with fewer tokens from the start."""
    options = {"adapter": Adapter(rank=4, dropout=0.5)}
    stage.run(job(records, tokenizer, tiny, tmp_path / "small", tokens=124, **options))
    device = Bounded(monkeypatch, 124, "after")
    stage.run(job(records, tokenizer, tiny, tmp_path / "bounded", tokens=248, **options))
    assert device.failed == 1
    assert losses(tmp_path / "bounded") == losses(tmp_path / "small")


@pytest.mark.slow
def test_recomputing_is_the_last_resort_where_the_recipe_leaves_it_open(
    records, tokenizer, tiny, tmp_path, small, monkeypatch, said
):
    """Passes of one row fail as well, until activations are recomputed."""

    class Recomputing(Bounded):
        def loss(self, whole, engine, model, batch, scale=1.0):
            self.most = 10**6 if model.is_gradient_checkpointing else 0
            return super().loss(whole, engine, model, batch, scale)

    with monkeypatch.context() as patched:
        Recomputing(patched, 0, "after")
        stage.run(job(records, tokenizer, tiny, tmp_path / "open"))
        assert "activations recomputed" in said[-1]
        assert losses(tmp_path / "open") == pytest.approx(losses(small), rel=1e-4)
        with pytest.raises(torch.OutOfMemoryError):
            stage.run(job(records, tokenizer, tiny, tmp_path / "closed", checkpointing=False))


def test_a_resumed_run_goes_on_with_what_memory_forced(records, tokenizer, tiny, tmp_path, small, monkeypatch):
    """Killed after the third update, from the checkpoint of the second; the device would now hold more."""
    made = job(records, tokenizer, tiny, tmp_path / "bounded", tokens=248)
    with monkeypatch.context() as patched:
        Bounded(patched, 124, "before")
        killed(made, 3)
    stage.run(made)
    assert losses(tmp_path / "bounded") == losses(small)
    ours, theirs = weights(tmp_path / "bounded"), weights(small)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_other_errors_are_raised_at_once(records, tokenizer, tiny, tmp_path, monkeypatch):
    device = Bounded(monkeypatch, 0, "after")
    monkeypatch.setattr(device, "fail", lambda: (_ for _ in ()).throw(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        stage.run(job(records, tokenizer, tiny, tmp_path))
    assert device.passes == 1


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_a_processor_runs_out_too(records, tokenizer, tiny, tmp_path, small, monkeypatch, error):
    device = Bounded(monkeypatch, 124, "after", error=error)
    stage.run(job(records, tokenizer, tiny, tmp_path / "bounded", tokens=248))
    assert device.failed == 1
    assert losses(tmp_path / "bounded") == losses(small)
