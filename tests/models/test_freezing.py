"""Which parameters `train.freeze` leaves, by their names, in architectures that name them differently."""

from __future__ import annotations

import pytest
import torch

from contextune import models
from contextune.core.errors import UserError
from contextune.models.freezing import parts_of
from contextune.models.options import PARTS
from contextune.train.options import Train
from contextune_lab.bench.tiny_models import tiny as tiny_model

SELF = "model.layers.0.self_attn"


def trained(model) -> list[str]:
    return [name for name, p in model.named_parameters() if p.requires_grad]


def short(names) -> set[str]:
    """Of the first layer, and whatever is in none."""
    return {name for name in names if ".1." not in name}


def test_golden_llama():
    model = tiny_model("llama")
    models.freeze(model, ("all-but-values",))
    assert short(trained(model)) == {f"{SELF}.v_proj.weight"}
    model = tiny_model("llama")
    models.freeze(model, ("embeddings", "head", "mlp", "norms"))
    assert short(trained(model)) == {f"{SELF}.{x}_proj.weight" for x in "qkvo"}
    model = tiny_model("llama")
    models.freeze(model, ("queries", "keys", "embeddings", "head"))
    assert short(trained(model)) == {
        f"{SELF}.v_proj.weight", f"{SELF}.o_proj.weight", "model.norm.weight",
        "model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight",
        "model.layers.0.mlp.down_proj.weight",
        "model.layers.0.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "names", "left"),
    [
        ("gpt2", ("all-but-attention",),
         {"transformer.h.0.attn.c_attn.weight", "transformer.h.0.attn.c_attn.bias",
          "transformer.h.0.attn.c_proj.weight", "transformer.h.0.attn.c_proj.bias"}),
        ("gpt2", ("attention", "mlp", "norms"), {"transformer.wte.weight", "transformer.wpe.weight"}),
        ("gpt_neox", ("all-but-outputs",),
         {"gpt_neox.layers.0.attention.dense.weight", "gpt_neox.layers.0.attention.dense.bias"}),
        ("phi3", ("all-but-mlp",), {"model.layers.0.mlp.gate_up_proj.weight", "model.layers.0.mlp.down_proj.weight"}),
        ("opt", ("all-but-values", "biases"), {"model.decoder.layers.0.self_attn.v_proj.weight"}),
        ("bloom", ("all-but-norms", "biases"),
         {"transformer.word_embeddings_layernorm.weight", "transformer.h.0.input_layernorm.weight",
          "transformer.h.0.post_attention_layernorm.weight", "transformer.ln_f.weight"}),
    ],
)  # fmt: skip
def test_golden(kind, names, left):
    model = tiny_model(kind)
    models.freeze(model, names)
    assert short(trained(model)) == left


ALL = ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "olmo2", "smollm3", "gpt2", "gpt_neox",
       "opt", "bloom", "mpt", "falcon", "mixtral", "qwen3_moe", "gpt_oss", "deepseek_v3"]  # fmt: skip
FUSED = {"phi3", "gpt2", "gpt_neox", "bloom", "mpt", "falcon"}


@pytest.mark.parametrize("kind", ALL)
def test_every_weight_of_a_transformer_has_a_part(kind):
    parts = parts_of(tiny_model(kind))
    assert [name for name, own in parts.items() if not own] == []
    there = {part for own in parts.values() for part in own}
    assert {"embeddings", "attention", "mlp", "norms"} <= there <= set(PARTS)
    assert ("queries" in there) == (kind not in FUSED)


@pytest.mark.parametrize(
    ("kind", "names", "said"),
    [
        ("gpt2", ("all-but-values",), "all-but-values matches no weight of this model\nhint: its values are in one"),
        ("llama", ("biases",), "biases matches no weight of this model\nhint: it has embeddings, head, attention"),
        ("llama", ("values", "all-but-values"), "leaves no weight to train"),
    ],
)
def test_what_cannot_be(kind, names, said):
    with pytest.raises(UserError, match=said):
        models.freeze(tiny_model(kind), names)


def test_names_are_checked_with_the_recipe():
    with pytest.raises(ValueError, match="all-but-value is no part of a model; did you mean 'values'"):
        Train(freeze=("all-but-value",))
    with pytest.raises(ValueError, match="the adapter alone is trained"):
        Train(freeze=("mlp",), adapter={"kind": "lora"})


def test_a_tied_head_goes_with_its_embeddings():
    model = tiny_model("gpt2")
    assert parts_of(model)["transformer.wte.weight"] == {"embeddings", "head"}


def test_a_stage_moves_what_is_left_alone(tokenizer, tiny, tmp_path):
    from contextune.contexts import NoContext
    from contextune.core.sequence import Record, Segment
    from contextune.train import stage

    rows = [Record(f"r{i}", (Segment(f"w{i} w2 w3", "target"),)) for i in range(4)]
    train = Train(epochs=2, batch=4, lr=1e-2, max_length=32, freeze=("all-but-values",))
    stage.run(stage.TrainJob(rows, NoContext(), tokenizer, train, 0, str(tiny), tmp_path))
    before, after = (models.load_model(str(p)).state_dict() for p in (tiny, tmp_path / "model"))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {f"model.layers.{i}.self_attn.v_proj.weight" for i in range(2)}
