"""Adapters: every target fits a layer, experts are named, and what is loaded is what was saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from contextune import models
from contextune.core.errors import UserError

SIZES = {
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
}
EXPERTS = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "head_dim": 8,
    "moe_intermediate_size": 16,
}
MIXTURES = ["MixtralForCausalLM", "Qwen3MoeForCausalLM", "GptOssForCausalLM"]


def mixture(kind: str):
    torch.manual_seed(0)
    cls = getattr(transformers, kind)
    return cls(cls.config_class(**SIZES, num_key_value_heads=2, pad_token_id=0, **EXPERTS)).eval()


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["q_proj", "v_porj"], "v_porj fits no layer\nhint: did you mean 'v_proj'"),
        (["self_attn.k_prj"], "self_attn.k_prj fits no layer"),
        (["q_proj", "c_attn"], "c_attn fits no layer"),
        (["proj"], "proj fits no layer"),
        ([".*q_proj"], "fits no layer"),
    ],
)
def test_every_target_fits(tiny, targets, expected):
    for model in (models.skeleton(str(tiny)), models.load_model(str(tiny))):
        with pytest.raises(UserError, match=expected):
            models.adapt(model, models.Adapter(targets=targets))
    with pytest.raises(UserError, match=expected):
        models.check_adapter(models.Adapter(targets=targets), models.skeleton(str(tiny)))


@pytest.mark.parametrize("kind", MIXTURES)
def test_experts_are_named(kind, tmp_path):
    model = mixture(kind)
    (warning,) = models.check_adapter(models.Adapter(), model)
    assert "experts.gate_up_proj" in warning
    assert "experts.down_proj" in warning
    targets = ["q_proj", "experts.gate_up_proj", "experts.down_proj"]
    assert models.check_adapter(models.Adapter(targets=targets), model) == []
    with pytest.raises(UserError, match="only lora without dropout"):
        models.check_adapter(models.Adapter(targets=targets, kind="dora"), model)
    model.save_pretrained(tmp_path / "base")
    adapted = models.adapt(models.load_model(str(tmp_path / "base")), models.Adapter(targets=targets, rank=2))
    trained = [n for n, p in adapted.named_parameters() if p.requires_grad]
    assert any("experts" in n for n in trained)
    assert any("q_proj" in n for n in trained)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    adapted.save_pretrained(tmp_path / "a")
    models.check_saved(str(tmp_path / "a"))
    again = models.load_adapted(str(tmp_path / "a"), trainable=False)
    ids = torch.arange(8)[None]
    with torch.no_grad():
        torch.testing.assert_close(adapted.eval()(input_ids=ids).logits, again.eval()(input_ids=ids).logits)


@pytest.fixture
def saved(tiny, tmp_path):
    """Saves an adapter of the tiny model, its embeddings enlarged where `rows` is given."""

    def save(config: peft.PeftConfig, rows: int | None = None) -> str:
        base = transformers.AutoModelForCausalLM.from_pretrained(tiny)
        if rows:
            base.resize_token_embeddings(rows)
        peft.get_peft_model(base, config).save_pretrained(tmp_path / "a")
        return str(tmp_path / "a")

    return save


def lora(**keys) -> peft.LoraConfig:
    return peft.LoraConfig(**{"r": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM", **keys})


GOOD = {
    "lora": (lora(), None),
    "ia3": (peft.IA3Config(task_type="CAUSAL_LM"), None),
    "modules to save": (lora(modules_to_save=["lm_head"]), None),
    "enlarged": (lora(modules_to_save=["embed_tokens", "lm_head"]), 104),
    "enlarged, saved by itself": (lora(), 104),
    "made smaller": (lora(modules_to_save=["embed_tokens", "lm_head"]), 90),
}


@pytest.mark.parametrize("case", GOOD)
def test_loads_right(saved, case):
    config, rows = GOOD[case]
    path = saved(config, rows)
    assert models.check_saved(path).get_input_embeddings().weight.shape[0] == (rows or 100)
    loaded = models.load_adapted(path, trainable=True)
    assert loaded.get_output_embeddings().weight.shape[0] == (rows or 100)
    file = load_file(Path(path) / "adapter_model.safetensors")
    for name, weight in peft.get_peft_model_state_dict(loaded, save_embedding_layers=False).items():
        torch.testing.assert_close(weight, file[name])


BAD = {
    "prompt tuning": (peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"), "PROMPT_TUNING puts"),
    "prefix tuning": (peft.PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"), "PREFIX_TUNING puts"),
    "p-tuning": (peft.PromptEncoderConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"), "P_TUNING puts"),
    "another task": (lora(task_type="FEATURE_EXTRACTION"), "made for FEATURE_EXTRACTION"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused_in_words(saved, case):
    config, expected = BAD[case]
    path = saved(config)
    for look in (models.check_saved, lambda p: models.load_adapted(p, trainable=False)):
        with pytest.raises(UserError, match=expected):
            look(path)


def edit(path: str, **keys: object) -> None:
    file = Path(path) / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


def test_base_is_gone(saved):
    path = saved(lora())
    for name, expected in (("/gone/base", "/gone/base is not there"), (None, "does not name"), ("no-such", "no-such")):
        edit(path, base_model_name_or_path=name)
        with pytest.raises(UserError, match=expected):
            models.check(path)


def test_base_of_another_shape(saved, tmp_path):
    path = saved(lora())
    for name, keys in (("wide", {"hidden_size": 64}), ("deep", {"num_hidden_layers": 3}), ("flat", {})):
        base = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**SIZES, **keys}))
        base.save_pretrained(tmp_path / name)
        edit(path, base_model_name_or_path=str(tmp_path / name))
        for look in (models.check_saved, lambda p: models.load_adapted(p, trainable=False)):
            with pytest.raises(UserError, match="adapter"):
                look(path)


def test_tensors_are_missing(saved):
    path = saved(lora())
    file = Path(path) / "adapter_model.safetensors"
    found = load_file(file)
    save_file({k: v for k, v in found.items() if "layers.0" not in k}, file)
    for look in (models.check_saved, lambda p: models.load_adapted(p, trainable=False)):
        with pytest.raises(UserError, match=r"2 of its tensors are missing.*layers.0"):
            look(path)
    save_file({k.replace("base_model.", ""): v for k, v in found.items()}, file)
    with pytest.raises(UserError, match="4 of its tensors are missing"):
        models.check_saved(path)
    save_file({}, file)
    with pytest.raises(UserError, match="holds no tensors"):
        models.check_saved(path)


def test_the_recipe_describes_the_adapter(saved):
    path = saved(lora(lora_alpha=4))
    models.check_start(path, None)
    models.check_start(path, models.Adapter(rank=2, alpha=4))
    for adapter, expected in (
        (models.Adapter(rank=4, alpha=4), "adapter.rank is 4, .* has 2"),
        (models.Adapter(rank=2), "adapter.alpha is 32, .* has 4"),
        (models.Adapter(rank=2, alpha=4, kind="dora"), "adapter.kind is dora, .* has lora"),
    ):
        with pytest.raises(UserError, match=expected):
            models.check_start(path, adapter)


def test_tokenizer_of_the_base(saved, tiny, tmp_path):
    path = saved(lora())
    assert models.load_tokenizer(path)("w0").input_ids == [1, 8]
    moved = shutil.copytree(tiny, tmp_path / "base")
    edit(path, base_model_name_or_path="base")
    assert models.check_saved(path).name_or_path == str(moved.resolve())


def test_an_adapter_changes_what_is_loaded(saved, tiny):
    """As a model to write and to compare by, it is the base with the adapter, enlarged embeddings included."""
    from contextune.models.embeddings import pooled

    path = saved(lora(modules_to_save=["embed_tokens", "lm_head"]), 104)
    file = Path(path) / "adapter_model.safetensors"
    save_file({k: torch.randn(v.shape) if "lora_B" in k else v for k, v in load_file(file).items()}, file)
    models.load_tokenizer(str(tiny)).save_pretrained(path)
    ids = torch.arange(8)[None]
    with torch.no_grad():
        plain, loaded = models.load_model(str(tiny)), models.load_model(path)
        truth = models.load_adapted(path, trainable=False).eval()(input_ids=ids, output_hidden_states=True)
        torch.testing.assert_close(loaded.eval()(input_ids=ids).logits, truth.logits)
        assert (loaded(input_ids=ids).logits[..., :100] - plain(input_ids=ids).logits).abs().max() > 1e-3
    found = pooled(path, ["w0 w1"], 8)
    states = truth.hidden_states[-1]
    assert found.shape[1] == states.shape[2]
    assert abs(found - pooled(str(tiny), ["w0 w1"], 8)).max() > 1e-3
