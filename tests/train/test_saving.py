"""All that a save writes is written and read back before the first update; the finished folder loads and answers."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from contextune import models
from contextune.contexts import NoContext
from contextune.core.errors import UserError
from contextune.train import saving, stage
from contextune.train.options import Train


@pytest.fixture
def folder(tiny, tmp_path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "m"))


def job(folder: Path, records, **options) -> stage.TrainJob:
    train = Train(**{"steps": 1, "batch": 4, "max_length": 64, **options})
    out = folder.parent / "out"
    tokenizer = models.load_tokenizer(str(folder))
    return stage.TrainJob(records, NoContext(), tokenizer, train, 0, str(folder), out, card="# A card\n")


def edit(file: Path, **keys: object) -> None:
    file.write_text(json.dumps({**(json.loads(file.read_text()) if file.exists() else {}), **keys}))


CONFIGS = {
    "sampling defaults": ({}, {"temperature": 0.9, "top_p": 0.6, "do_sample": False}),
    "several ends, no pad": ({"eos_token_id": [2, 7], "pad_token_id": None},) * 2,
    "pad 0": ({"pad_token_id": 0, "eos_token_id": [2, 7]}, {"pad_token_id": 0, "eos_token_id": [2, 7]}),
    "unknown keys and nulls": ({}, {"vendor": {"x": 1}, "temperature": None, "top_k": None, "max_length": 20}),
    "ids that are not there": ({}, {"eos_token_id": [2, 100_000], "pad_token_id": -1, "bos_token_id": [1]}),
    "beams without beams": ({}, {"early_stopping": True, "length_penalty": 0.5}),
    "no cache": ({"use_cache": False}, {"use_cache": False, "cache_implementation": "static"}),
    "scores without a dictionary": ({}, {"output_scores": True, "return_dict_in_generate": False}),
}  # fmt: skip


@pytest.mark.parametrize("adapter", [None, {"rank": 2}])
@pytest.mark.parametrize("case", CONFIGS)
def test_saved_loads_and_answers(folder, records, case, adapter):
    config, generation = CONFIGS[case]
    edit(folder / "config.json", **config)
    edit(folder / "generation_config.json", **generation)
    out = stage.run(job(folder, records, adapter=adapter))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert (out / "README.md").read_text() == "# A card\n"
    assert not list(out.parent.glob("save*"))
    ids = tokenizer("w1 w2 w3", return_tensors="pt")
    assert model.generate(**ids, max_new_tokens=3).shape[1] > ids["input_ids"].shape[1]
    if adapter is None:
        saved = GenerationConfig.from_pretrained(out)
        assert isinstance(saved.pad_token_id, int)
        assert saved.pad_token_id == 0
        if case == "sampling defaults":
            assert (saved.temperature, saved.top_p, saved.do_sample) == (0.9, 0.6, True)


def test_no_generation_config(folder, records):
    (folder / "generation_config.json").unlink()
    out = stage.run(job(folder, records))
    assert GenerationConfig.from_pretrained(out).eos_token_id == 2


class Broken:
    """What a save could fail at, each before the first update."""

    @staticmethod
    def tokenizer(monkeypatch, made):
        made.tokenizer.chat_template = "{{ messages }}"
        real = type(made.tokenizer).save_pretrained

        def forgets(self, folder, **keys):
            real(self, folder, **keys)
            (Path(folder) / "chat_template.jinja").unlink()

        monkeypatch.setattr(type(made.tokenizer), "save_pretrained", forgets)

    @staticmethod
    def config(monkeypatch, made):
        def fails(self, *args, **keys):
            raise ValueError("the config is impossible")

        monkeypatch.setattr(transformers.LlamaConfig, "save_pretrained", fails)

    @staticmethod
    def ids(monkeypatch, made):
        monkeypatch.setattr(models, "fix_configs", lambda model, tokenizer=None: None)
        real = GenerationConfig.save_pretrained

        def forgets(self, folder, **keys):
            real(self, folder, **keys)
            edit(Path(folder) / "generation_config.json", eos_token_id=5)

        monkeypatch.setattr(GenerationConfig, "save_pretrained", forgets)


@pytest.mark.parametrize(
    ("what", "expected"),
    [("tokenizer", "its chat template"), ("config", "the config is impossible"), ("ids", "eos_token_id 2")],
)
def test_refused_before_the_first_update(folder, records, monkeypatch, what, expected):
    made = job(folder, records)
    getattr(Broken, what)(monkeypatch, made)
    seen = []
    with pytest.raises(UserError, match=f"could not be saved: .*{expected}"):
        stage.run(made, lambda done, of, loss: seen.append(done))
    assert not seen
    assert not list(made.folder.iterdir())


@pytest.mark.parametrize("kind", ["MixtralForCausalLM", "Qwen3MoeForCausalLM", "GptOssForCausalLM", "GPT2LMHeadModel"])
def test_weights_of_other_formats_are_tried(kind, tokenizer, tmp_path):
    """Mixtures are written in another form than they are held in; a tied head is written once."""
    cls = getattr(transformers, kind)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    more = {
        "num_key_value_heads": 2,
        "num_experts": 4,
        "num_local_experts": 4,
        "moe_intermediate_size": 16,
        "n_embd": 32,
    }
    options = sizes if "GPT2" in kind else {**sizes, **more}
    model = cls(cls.config_class(vocab_size=100, bos_token_id=1, eos_token_id=2, pad_token_id=0, **options))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    saving.try_save(model, tokenizer, "card", tmp_path)
    assert not list(tmp_path.iterdir())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (SafetensorError("IoError(Os { code: 28, message: No space left on device })"), errno.ENOSPC),
        (RuntimeError("[enforce fail at inline_container.cc] PytorchStreamWriter failed"), errno.ENOSPC),
        (SafetensorError("Read-only file system (os error 30)"), errno.EROFS),
    ],
)  # fmt: skip
def test_a_full_disk_is_an_error_of_the_disk(error, number):
    with pytest.raises(OSError, match=r".") as caught, saving.disk_errors():
        raise error
    assert caught.value.errno == number
    with pytest.raises(RuntimeError, match="shapes"), saving.disk_errors():
        raise RuntimeError("shapes differ")


@pytest.mark.parametrize(
    "variables",
    [
        {"ACCELERATE_MIXED_PRECISION": "bf16"},
        {"ACCELERATE_MIXED_PRECISION": "fp8"},
        {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4", "ACCELERATE_GRADIENT_CLIPPING": "0.001"},
        {"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR", "ACCELERATE_DYNAMO_MODE": "default"},
    ],
)
def test_the_recipe_decides(folder, records, monkeypatch, variables):
    made = job(folder, records, precision="fp32")
    made.folder.mkdir()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    trainer = stage.build(made, stage.open_model(made), lambda *_: None)
    import os

    assert trainer.args.mixed_precision == "no"
    assert trainer.accelerator.mixed_precision == "no"
    assert trainer.accelerator.gradient_accumulation_steps == 1
    assert trainer.accelerator.state.dynamo_plugin.backend.value == "NO"
    assert {k: os.environ[k] for k in variables} == variables


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_MIXED_PRECISION": "bf16"}, "is bf16.*precision is fp32"),
        ({"ACCELERATE_USE_DEEPSPEED": "1", "ACCELERATE_GRADIENT_CLIPPING": "0.5"}, "CLIPPING is 0.5.*clip is 1.0"),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "8"}, "STEPS is 8"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, "MEGATRON_LM is set"),
        ({"ACCELERATE_USE_FSDP": "1"}, "FSDP was asked"),
    ],
)  # fmt: skip
def test_refusals_name_both(folder, records, monkeypatch, variables, expected):
    made = job(folder, records, precision="fp32")
    model = stage.open_model(made)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=expected):
        stage.build(made, model, lambda *_: None)
