"""Special token ids and generation defaults are made valid, and what is valid stays."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from contextune.models import fix_configs


@pytest.fixture(scope="module")
def model():
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=50, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    )


IDS = {
    "pad 0": ({"eos_token_id": 2, "pad_token_id": 0}, (2, 0, None)),
    "several ends, no pad": ({"eos_token_id": [5, 7]}, ([5, 7], 5, None)),
    "a list of one": ({"eos_token_id": [5], "pad_token_id": [3]}, (5, 3, None)),
    "negative pad": ({"eos_token_id": 2, "pad_token_id": -1}, (2, 2, None)),
    "beyond the vocabulary": ({"eos_token_id": [2, 50, 99], "pad_token_id": 50}, (2, 2, None)),
    "lists of beginnings and paddings": (
        {"eos_token_id": 2, "bos_token_id": [1, 4], "pad_token_id": [0, 3]},
        (2, 0, 1),
    ),
    "not ids": ({"eos_token_id": [None, True, "</s>", 3], "pad_token_id": [None]}, (3, 3, None)),
    "end 0": ({"eos_token_id": 0}, (0, 0, None)),
}


@pytest.mark.parametrize("where", ["config", "generation_config"])
@pytest.mark.parametrize("case", IDS)
def test_ids(model, case, where, tmp_path):
    given, (eos, pad, bos) = IDS[case]
    if where == "config" and not all(isinstance(given.get(k, 0), int) for k in ("pad_token_id", "bos_token_id")):
        pytest.skip("transformers refuses such a config.json")
    for at in (model.config, model.generation_config):
        for name in ("eos_token_id", "pad_token_id", "bos_token_id"):
            setattr(at, name, given.get(name) if at is getattr(model, where) else None)
    fix_configs(model, SimpleNamespace())
    found = model.generation_config
    assert found.eos_token_id in (eos, [eos])
    assert found.pad_token_id == pad
    assert getattr(model, where).bos_token_id == bos
    model.config.save_pretrained(tmp_path)
    found.save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path).pad_token_id == pad


def test_ids_of_the_tokenizer(model, tokenizer):
    model.config.eos_token_id = model.config.pad_token_id = None
    model.generation_config = GenerationConfig()
    fix_configs(model, tokenizer)
    assert (model.generation_config.eos_token_id, model.generation_config.pad_token_id) == (2, 0)
    assert model.config.pad_token_id is None


@pytest.mark.parametrize(
    "keys",
    [
        {"temperature": 0.9, "top_p": 0.6, "do_sample": False},
        {"temperature": 0.7},
        {"top_k": 20, "min_p": 0.1, "do_sample": False, "repetition_penalty": 1.1},
        {"typical_p": 0.5},
        {"top_p": 0.9, "some_vendor_key": {"a": 1}, "temperature": None},
        {"early_stopping": True, "length_penalty": 2.0, "top_k": 5},
    ],
)
def test_sampling_defaults_are_kept(model, keys, tmp_path):
    model.generation_config = GenerationConfig(eos_token_id=2, **keys)
    with pytest.raises(ValueError, match="`"):
        model.generation_config.save_pretrained(tmp_path)
    fix_configs(model)
    model.generation_config.save_pretrained(tmp_path)
    saved = GenerationConfig.from_pretrained(tmp_path)
    assert saved.do_sample
    for name, value in keys.items():
        if name not in ("do_sample", "early_stopping", "length_penalty"):  # of beams, of which there are none
            assert getattr(saved, name) == value


def test_valid_stays(model):
    model.generation_config = GenerationConfig(eos_token_id=[2, 3], pad_token_id=0, do_sample=True, temperature=0.5)
    before = model.generation_config.to_dict()
    fix_configs(model)
    assert model.generation_config.to_dict() == before
