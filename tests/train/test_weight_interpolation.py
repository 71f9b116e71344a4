"""The finished model stands a part of the way from the first weights to the last."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from contextune import models
from contextune.contexts import NoContext
from contextune.core.errors import UserError
from contextune.models.options import Adapter
from contextune.train import stage
from contextune.train.options import Train
from contextune.train.weight_interpolation import part_of_the_way

OPTIONS = {"steps": 4, "batch": 4, "lr": 1e-2, "max_length": 64}


def trained(records, tokenizer, start, folder, **options) -> dict[str, torch.Tensor]:
    job = stage.TrainJob(records, NoContext(), tokenizer, Train(**{**OPTIONS, **options}), 3, str(start), folder)
    (file,) = stage.run(job).glob("*.safetensors")
    return load_file(file)


def test_full_weights(records, tokenizer, tiny, tmp_path):
    began = models.load_model(str(tiny)).state_dict()
    whole = trained(records, tokenizer, tiny, tmp_path / "whole")
    part = trained(records, tokenizer, tiny, tmp_path / "part", weight_interpolation=0.75)
    assert set(part) == set(whole)
    assert any((whole[n] - began[n]).abs().max() > 1e-3 for n in whole)
    for name, tensor in part.items():
        torch.testing.assert_close(tensor, 0.25 * began[name] + 0.75 * whole[name])
    losses = [(tmp_path / n / "losses.json").read_text() for n in ("whole", "part")]
    first, second = ([row.split(', "seconds"')[0] for row in text.split("{")] for text in losses)
    assert first == second, "training itself is the same"
    models.load_model(str(tmp_path / "part" / "model"))


@pytest.mark.slow
def test_a_fresh_adapter(records, tokenizer, tiny, tmp_path):
    """Half of B is half of B A, so half of what is added to the weights."""
    options = {"adapter": Adapter(rank=4)}
    whole = trained(records, tokenizer, tiny, tmp_path / "whole", **options)
    part = trained(records, tokenizer, tiny, tmp_path / "part", weight_interpolation=0.5, **options)
    for name, tensor in part.items():
        torch.testing.assert_close(tensor, whole[name] * (0.5 if "lora_B" in name else 1))
    assert any("lora_B" in n and t.abs().max() > 0 for n, t in part.items())


def test_refused_before_anything_is_trained(records, tokenizer, tiny, tmp_path):
    with pytest.raises(ValueError, match=r"train\.weight_interpolation: dora's weights are products; use lora"):
        Train(weight_interpolation=0.5, adapter=Adapter(kind="dora"))
    trained(records, tokenizer, tiny, tmp_path / "lora", adapter=Adapter(rank=4))
    with pytest.raises(UserError, match="an adapter that an earlier stage began") as e:
        trained(records, tokenizer, tmp_path / "lora" / "model", tmp_path / "again", weight_interpolation=0.5)
    assert "set train.weight_interpolation: 1" in e.value.hint
    assert not (tmp_path / "again" / "model").exists()
    with pytest.raises(ValueError, match="greater than 0"):
        Train(weight_interpolation=0)


def test_a_weight_without_a_beginning_is_no_silent_end(records, tokenizer, tiny, tmp_path):
    trained(records, tokenizer, tiny, tmp_path)
    (file,) = (tmp_path / "model").glob("*.safetensors")
    before = file.read_bytes()
    with pytest.raises(UserError, match="is not in the model that the stage began with"):
        part_of_the_way(tmp_path / "model", {}, 0.5)
    assert file.read_bytes() == before
