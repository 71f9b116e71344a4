"""Orthogonal subspace fine-tuning by peft: what is trained, saved, loaded and merged."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from contextune import models
from contextune.contexts import NoContext
from contextune.core.errors import UserError
from contextune.core.sequence import Record, Segment
from contextune.models.options import Adapter
from contextune.train import stage
from contextune.train.options import Train
from contextune_lab.bench.tiny_models import tiny as tiny_model
from tests.train.kills import killed, same_weights

OSF = Adapter(kind="osf", preserved=0.5, targets=("q_proj", "down_proj"))
IDS = torch.tensor([[1, 20, 21, 22, 23]])


def job(tokenizer, start, folder, **options) -> stage.TrainJob:
    rows = [Record(f"r{i}", (Segment(f"w{i} w2 w3", "target"),)) for i in range(12)]
    given = {"epochs": 2, "batch": 4, "lr": 1e-2, "max_length": 32, "adapter": OSF, "weight_decay": 0.0}
    return stage.TrainJob(rows, NoContext(), tokenizer, Train(**{**given, **options}), 3, str(start), folder)


def test_what_is_trained(tiny):
    model = models.adapt(models.load_model(str(tiny)), OSF)
    names = {n.rsplit("layers.0.", 1)[-1] for n, p in model.named_parameters() if p.requires_grad and ".0." in n}
    assert names == {
        f"{layer}.osf_svd_params.default.{part}"
        for layer in ("self_attn.q_proj", "mlp.down_proj")
        for part in ("U_low", "S_low", "V_low")
    }
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    least = min(layer.base_layer.weight.shape)
    assert layer.osf_svd_params["default"]["S_low"].numel() == least - least // 2


def test_trained_saved_loaded_and_merged(tokenizer, tiny, tmp_path):
    stage.run(job(tokenizer, tiny, tmp_path))
    folder = str(tmp_path / "model")
    stored = load_file(tmp_path / "model" / "adapter_model.safetensors")
    assert {name.rsplit(".", 1)[-1] for name in stored} == {"U_low", "S_low", "V_low"}
    models.check_saved(folder)
    before, merged = models.load_model(str(tiny)), models.load_model(folder)
    adapted = models.load_adapted(folder, trainable=True).eval()
    moved = {n for n, w in before.state_dict().items() if not torch.equal(w, merged.state_dict()[n])}
    assert moved == {
        f"model.layers.{i}.{layer}.weight" for i in (0, 1) for layer in ("self_attn.q_proj", "mlp.down_proj")
    }
    with torch.no_grad():
        one, other, first = (m.eval()(input_ids=IDS).logits for m in (merged, adapted, before))
    assert torch.allclose(one, other, atol=1e-5)
    assert not torch.allclose(one, first, atol=1e-3)
    low = models.load_model(folder, bf16=True)
    assert {p.dtype for p in low.parameters()} == {torch.bfloat16}
    assert all(torch.equal(w.bfloat16(), low.state_dict()[n]) for n, w in merged.state_dict().items())
    assert {type(m).__module__ for m in merged.modules() if "peft" in type(m).__module__} == set()


def test_gradients_leave_the_largest_directions_alone(tiny):
    """U_hᵀ dU_l = 0 and dV_l V_h = 0."""
    model = models.adapt(models.load_model(str(tiny)), OSF)
    model(input_ids=IDS, labels=IDS).loss.backward()
    layer = model.get_submodule("base_model.model.model.layers.0.mlp.down_proj")
    u, _, v = torch.linalg.svd(layer.base_layer.weight.detach(), full_matrices=False)
    kept, parts = layer.effective_rank["default"], layer.osf_svd_params["default"]
    assert parts["U_low"].grad.abs().max() > 1e-6
    assert torch.allclose(u[:, :kept].T @ parts["U_low"].grad, torch.zeros(()), atol=1e-6)
    assert torch.allclose(parts["V_low"].grad @ v[:kept].T, torch.zeros(()), atol=1e-6)


@pytest.mark.slow
def test_resumed_is_bit_equal(tokenizer, tiny, tmp_path):
    options = {"save": 2}
    stage.run(job(tokenizer, tiny, tmp_path / "whole", **options))
    killed(job(tokenizer, tiny, tmp_path / "resumed", **options), 3)
    stage.run(job(tokenizer, tiny, tmp_path / "resumed", **options))
    assert same_weights(tmp_path / "whole", tmp_path / "resumed")


def test_a_second_stage_goes_on(tokenizer, tiny, tmp_path):
    stage.run(job(tokenizer, tiny, tmp_path / "one"))
    start = tmp_path / "one" / "model"
    stage.run(job(tokenizer, start, tmp_path / "two"))
    losses = [json.loads((tmp_path / n / "losses.json").read_text()) for n in ("one", "two")]
    assert losses[1][0]["loss"] < losses[0][0]["loss"]
    with pytest.raises(UserError, match=r"preserved is 0\.25, the adapter .* has 0\.5"):
        models.check_start(str(start), OSF.model_copy(update={"preserved": 0.25}))
    with pytest.raises(UserError, match=r"train\.adapter\.kind is lora, the adapter .* has osf"):
        models.check_start(str(start), Adapter())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "osf", "rank": 8}, "rank: osf has none; leave it out"),
        ({"kind": "osf", "dropout": 0.1}, "dropout: osf has none"),
        ({"kind": "lora", "preserved": 0.2}, "preserved: lora has none; leave it out"),
    ],
)
def test_options_of_its_kind(options, said):
    with pytest.raises(ValueError, match=said):
        Adapter(**options)


def test_what_cannot_be(tiny):
    few = OSF.model_copy(update={"preserved": 0.001})
    for check in (models.check_adapter, lambda adapter, model: models.adapt(model, adapter)):
        with pytest.raises(
            UserError, match=r"preserved is 0\.001, but model\.layers\.0\.\S+ has \d+ singular directions"
        ):
            check(few, models.load_model(str(tiny)))
    with pytest.raises(ValueError, match="osf's weights are products"):
        Train(adapter=OSF, weight_interpolation=0.5)
    for targets, said in (("all-linear", "the layers of this model are not"), (("c_attn",), "which c_attn are not")):
        with pytest.raises(UserError, match=f"osf takes linear layers alone, .*{said}\nhint: use lora"):
            models.adapt(tiny_model("gpt2"), Adapter(kind="osf", targets=targets))
