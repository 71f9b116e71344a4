"""Frozen weights in bf16 under an adapter: the run of fp32 ones under autocast, bit for bit, at half the memory."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from contextune import models
from contextune.contexts import NoContext
from contextune.models import frozen
from contextune.models.options import Adapter
from contextune.train import stage
from contextune.train.fast_path import FastPath
from contextune.train.options import Train

OPTIONS = {"steps": 4, "batch": 8, "lr": 1e-2, "max_length": 64, "threads": 1}


def job(records, tokenizer, start, folder, **options):
    return stage.TrainJob(records, NoContext(), tokenizer, Train(**{**OPTIONS, **options}), 3, str(start), folder)


def losses(folder):
    return [row["loss"] for row in json.loads((folder / "losses.json").read_text())]


def adapter_of(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model" / "adapter_model.safetensors")


@pytest.mark.parametrize("kind", ["lora", pytest.param("dora", marks=pytest.mark.slow)])
def test_the_run_of_fp32_weights_bit_for_bit(records, tokenizer, tiny, tmp_path, monkeypatch, kind):
    """dora takes norms of the frozen weights, in fp32 of what was rounded: there it is near, not equal."""
    options = {"precision": "bf16", "adapter": Adapter(kind=kind, rank=4)}
    opened = stage.open_model(job(records, tokenizer, tiny, tmp_path, **options))
    kinds = {n: p.dtype for n, p in opened.named_parameters()}
    assert {d for n, d in kinds.items() if "lora_" in n or "norm" in n or "embed" in n} == {torch.float32}
    assert {d for n, d in kinds.items() if "base_layer" in n or "lm_head" in n} == {torch.bfloat16}
    stage.run(job(records, tokenizer, tiny, tmp_path / "low", **options))
    monkeypatch.setattr(stage, "halves", lambda *a: False)
    stage.run(job(records, tokenizer, tiny, tmp_path / "high", **options))
    low, high = adapter_of(tmp_path / "low"), adapter_of(tmp_path / "high")
    if kind == "lora":
        assert losses(tmp_path / "low") == losses(tmp_path / "high")
        assert all(torch.equal(low[k], high[k]) for k in high)
    assert losses(tmp_path / "low") == pytest.approx(losses(tmp_path / "high"), rel=1e-3)


def test_fp32_is_kept_where_products_are_in_fp32(records, tokenizer, tiny, tmp_path):
    opened = stage.open_model(job(records, tokenizer, tiny, tmp_path, precision="fp32", adapter=Adapter(rank=4)))
    assert {p.dtype for p in opened.parameters()} == {torch.float32}


def test_files_in_bf16_are_read_as_they_are(records, tokenizer, tiny, tmp_path):
    """Embeddings and norms are then brought to fp32, which loses nothing; without bf16 products all weights are."""
    AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16).save_pretrained(tmp_path / "low")
    tokenizer.save_pretrained(tmp_path / "low")
    assert models.stored_in_bf16(tmp_path / "low")
    assert not models.stored_in_bf16(tiny)
    whole = models.load_model(str(tmp_path / "low")).state_dict()
    for precision, kept in (("bf16", torch.bfloat16), ("auto", torch.float32)):
        options = {"precision": precision, "adapter": Adapter(rank=4)}
        opened = stage.open_model(job(records, tokenizer, tmp_path / "low", tmp_path, **options)).get_base_model()
        assert opened.lm_head.weight.dtype == kept
        assert opened.model.embed_tokens.weight.dtype == torch.float32
        for name, weight in opened.state_dict().items():
            if "lora_" not in name:
                assert torch.equal(weight.float(), whole[name.replace(".base_layer", "")])


def test_a_tied_head_stays_as_the_embedding_is(tiny):
    config = AutoConfig.from_pretrained(tiny, tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_config(config)
    model.requires_grad_(False)
    count = frozen.halve(model)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.lm_head.weight.dtype == torch.float32
    assert count == sum(m.weight.numel() for n, m in model.named_modules() if n.endswith("_proj"))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_outside_autocast_products_are_in_fp32(tiny, name):
    """As the trial before training and callbacks compute: what the rounded weights give in fp32, and gradients."""
    if name == "gpt2":
        from transformers import GPT2Config

        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(
            GPT2Config(vocab_size=100, n_embd=32, n_layer=2, n_head=4, n_positions=64)
        )
    else:
        model = models.load_model(str(tiny))
    model = models.adapt(model, Adapter(rank=2)).eval()
    frozen.halve(model)
    ids = torch.arange(8, 20)[None]
    with frozen.upcast(model):
        low = model(input_ids=ids, labels=ids)
        low.loss.backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    with pytest.raises(RuntimeError):
        model(input_ids=ids)
    model.zero_grad()
    model.float()
    whole = model(input_ids=ids, labels=ids)
    whole.loss.backward()
    assert torch.equal(low.logits, whole.logits)
    assert found
    assert all(torch.equal(g, model.get_parameter(n).grad) for n, g in found.items())


def test_the_trial_allows_what_it_allows_in_fp32(tiny):
    model = models.adapt(models.load_model(str(tiny)), Adapter(rank=2))
    whole = FastPath.of(model, 64)
    frozen.halve(model)
    assert FastPath.of(model, 64) == whole
    assert whole.spans
    assert whole.last
    assert whole.parts
    assert not whole.refused


@pytest.mark.slow
def test_callbacks_look_at_a_halved_model(records, tokenizer, tiny, tmp_path):
    from dataclasses import replace

    seen = []

    def look(step, model):
        with torch.no_grad():
            seen.append(float(model(input_ids=torch.arange(8, 20)[None]).logits.sum()))

    made = job(records, tokenizer, tiny, tmp_path, precision="bf16", adapter=Adapter(rank=4))
    stage.run(replace(made, every=2, look=look))
    assert len(set(seen)) == 3
