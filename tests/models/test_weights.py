"""A folder whose weights are not those of its configuration is refused from its headers, and when it is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from contextune import models
from contextune.core.errors import UserError
from contextune.models.load import load_full
from contextune.models.weights import refuse_bidirectional, refuse_values


@pytest.fixture
def folder(tiny, tmp_path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "m"))


def weights(folder: Path, change) -> None:
    found = load_file(folder / "model.safetensors")
    save_file(change(found), folder / "model.safetensors", {"format": "pt"})


def config(folder: Path, **keys: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


def without(part: str):
    return lambda found: {k: v for k, v in found.items() if part not in k}


def renamed(old: str, new: str):
    return lambda found: {k.replace(old, new): v for k, v in found.items()}


BROKEN = {
    "a tensor is missing": (lambda f: weights(f, without("layers.1.mlp.up_proj")), r"1 missing: \S*up_proj"),
    "a layer is missing": (lambda f: weights(f, without("layers.1.")), r"9 missing: .* …"),
    "the head is missing": (lambda f: weights(f, without("lm_head")), "1 missing: lm_head.weight"),
    "one more tensor": (
        lambda f: weights(f, lambda w: {**w, "model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}),
        r"1 not in the model: \S*q_proj.bias",
    ),
    "a wrong prefix": (lambda f: weights(f, renamed("model.", "transformer.module.")), "missing.*not in the model"),
    "an adapter's prefix": (lambda f: weights(f, lambda w: {f"base_model.{k}": v for k, v in w.items()}), "missing"),
    "another shape": (
        lambda f: weights(f, lambda w: {**w, "lm_head.weight": torch.zeros(90, 32)}),
        r"1 of another shape: lm_head.weight \[90, 32\], expected \[100, 32\]",
    ),
    "fewer layers": (lambda f: config(f, num_hidden_layers=1), "9 not in the model"),
    "more layers": (lambda f: config(f, num_hidden_layers=3), "9 missing"),
    "no layers": (lambda f: config(f, num_hidden_layers=0), "num_hidden_layers 0, expected 1"),
    "negative layers": (lambda f: config(f, num_hidden_layers=-2), "num_hidden_layers -2"),
    "another width": (lambda f: config(f, hidden_size=64), "of another shape"),
    "no tensors": (lambda f: save_file({}, f / "model.safetensors"), "holds no tensors"),
    "cut off": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-100]),
        "model.safetensors does not load, it is damaged or cut off",
    ),
    "shards that are not there": (
        lambda f: (
            (f / "model.safetensors").rename(f / "model-00001-of-00002.safetensors"),
            (f / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "gone.safetensors"}})
            ),
        ),
        "1 of the 2 files .* not there: gone.safetensors",
    ),
    "an encoder": (lambda f: config(f, model_type="bert"), "bert sees the tokens"),
    "an encoder with a decoder": (lambda f: config(f, model_type="t5", is_encoder_decoder=True), "t5 is an encoder"),
    "no language model": (lambda f: config(f, model_type="distilbert"), "distilbert is not a causal"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_refused_before_loading(folder, case):
    spoil, expected = BROKEN[case]
    spoil(folder)
    with pytest.raises(UserError, match=expected):
        models.skeleton(str(folder))


@pytest.mark.parametrize("case", ["a tensor is missing", "one more tensor", "another shape", "fewer layers"])
def test_refused_when_loaded(folder, case):
    spoil, expected = BROKEN[case]
    spoil(folder)
    with pytest.raises(UserError, match=expected):
        models.load_model(str(folder))


def test_accepts_what_transformers_maps(folder, tiny):
    """Old rotary buffers, a backbone saved without its head where the head is tied, and shards."""
    old = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(4) for i in range(2)}
    weights(folder, lambda w: {**w, **old})
    assert models.skeleton(str(folder)).num_parameters() == models.load_model(str(folder)).num_parameters()
    weights(folder, lambda w: {k.removeprefix("model."): v for k, v in without("lm_head")(w).items()})
    config(folder, tie_word_embeddings=True)
    models.skeleton(str(folder))
    again = models.load_model(str(folder))
    torch.testing.assert_close(again.model.norm.weight, models.load_model(str(tiny)).model.norm.weight)
    again.save_pretrained(folder / "shards", max_shard_size="20KB")
    assert len(list((folder / "shards").glob("*.safetensors"))) > 1
    models.skeleton(str(folder / "shards"))


def test_leaves_out_the_parts_of_a_larger_model(folder):
    weights(folder, lambda w: {**w, "vision_tower.patch.weight": torch.zeros(2)})
    with pytest.raises(UserError, match=r"vision_tower.patch.weight"):
        models.skeleton(str(folder))
    config(folder, architectures=["LlamaWithEyesForConditionalGeneration"])
    models.skeleton(str(folder))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_a_number(folder, value):
    def spoil(found):
        found["model.layers.1.mlp.down_proj.weight"][3, 4] = value
        return found

    weights(folder, spoil)
    with pytest.raises(UserError, match=r"1 of its weights hold NaN or infinity: \S*down_proj"):
        models.load_model(str(folder))


def test_large_sums_are_numbers():
    layer = torch.nn.Linear(2000, 2000, bias=False)
    with torch.no_grad():
        layer.weight.fill_(3e38)
    refuse_values("m", layer)


@pytest.mark.parametrize("kind", ["RobertaForCausalLM", "ElectraForCausalLM", "XLMWithLMHeadModel"])
def test_bidirectional_by_behaviour(kind):
    import transformers

    torch.manual_seed(0)
    cls = getattr(transformers, kind)
    options = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = cls(cls.config_class(**options, intermediate_size=16, embedding_size=16, emb_dim=16, n_layers=1, n_heads=2))
    with pytest.raises(UserError, match=f"{kind} sees the tokens"):
        refuse_bidirectional("m", model.eval())
    if hasattr(model.config, "is_decoder"):
        refuse_bidirectional("m", cls(cls.config_class(**options, intermediate_size=16, is_decoder=True)).eval())


def test_pickles_are_refused_unopened(tiny, tmp_path):
    """A pickle that would run code when it is read, under each name that transformers looks for."""
    import pickle

    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    for name in ("pytorch_model.bin", "model.pt", "weights.pth"):
        folder = tmp_path / name
        shutil.copytree(tiny, folder)
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(pickle.dumps(Evil()))
        with pytest.raises(UserError, match="pickles"):
            models.check(str(folder))
        with pytest.raises(UserError):
            load_full(str(folder))
    assert not (tmp_path / "ran").exists()
