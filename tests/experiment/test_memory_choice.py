"""What `check` and a run choose for want of memory, and for a GPU that is not here."""

from __future__ import annotations

import json

import pytest

import contextune
from contextune.core import memory as machine
from contextune.core.errors import UserError
from contextune.experiment import fingerprint, memory
from contextune.experiment.prepare import prepare
from contextune.experiment.recipe import parse
from contextune.experiment.run_dir import fingerprint_of, stage_folder
from contextune.train import memory as counted

WIDE = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "intermediate_size": 8192,
    "num_hidden_layers": 2, "num_attention_heads": 16, "num_key_value_heads": 4, "tie_word_embeddings": False,
    "vocab_size": 8000, "max_position_embeddings": 2048,
}  # fmt: skip


@pytest.fixture
def recipe(tiny, tmp_path):
    """A wide model of two layers without its weights, and rows of about 500 tokens."""
    rows = [{"text": " ".join(f"w{(i * 7 + j) % 92}" for j in range(700))} for i in range(6)]
    (tmp_path / "docs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    folder = tmp_path / "wide"
    folder.mkdir()
    for file in tiny.glob("tokenizer*"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "config.json").write_text(json.dumps(WIDE))
    return {
        "name": "room", "model": str(folder), "output": str(tmp_path / "out"), "data": {"docs": {"path": "docs.jsonl"}},
        "arms": {"cpt": {"data": "docs"}}, "train": {"max_length": 512, "batch": 8, "steps": 5, "precision": "fp32"},
        "evaluate": {"samples": 0},
    }  # fmt: skip


def made(recipe, tmp_path, **train):
    (tmp_path / "out").mkdir(exist_ok=True)
    values = {**recipe, "train": {**recipe["train"], **train}}
    return prepare(parse(values), tmp_path, tmp_path / "out", plan=True)


@pytest.fixture
def needs(recipe):
    """(bytes that a row needs, with recomputed activations)."""
    train = parse(recipe).train
    ways = [train, train.model_copy(update={"checkpointing": True})]
    return [counted.footprint(recipe["model"], None, t, 512).need(512) for t in ways]


def test_activations_are_recomputed_where_no_row_fits_without(recipe, tmp_path, monkeypatch, needs):
    plain, recomputed = needs
    assert recomputed < 0.95 * plain
    prepared = made(recipe, tmp_path)
    before = fingerprint_of(prepared, prepared.arms["cpt"][0], "cpt", 0, 0)
    for free, expected in ((plain + (1 << 20), False), ((plain + recomputed) // 2, True)):
        monkeypatch.setattr(machine, "free", lambda free=free: free)
        settled, chosen = memory.settle(prepared)
        assert settled.arms["cpt"][0].train.recomputes is expected
        assert chosen["cpt/stage-0"].need <= free
    ready = settled.arms["cpt"][0]
    assert fingerprint_of(settled, ready, "cpt", 0, 0) == before, "it has no effect on what is learned"
    memory.write(prepared, chosen)
    fingerprint.begin(stage_folder(prepared.out, "cpt", 0, 0), {})
    monkeypatch.setattr(machine, "free", lambda: 1 << 45)  # resumed elsewhere
    assert memory.settle(prepared)[0].arms["cpt"][0].train.recomputes
    assert memory.with_tokens(prepared, memory.read(prepared.out)).arms["cpt"][0].train.recomputes
    monkeypatch.setattr(machine, "free", lambda: (plain + recomputed) // 2)
    with pytest.raises(UserError, match="one row of") as e:
        memory.settle(made(recipe, tmp_path, checkpointing=False))
    assert "set train.checkpointing: true" in e.value.hint
    assert "train.optimizer (adamw8bit takes about" in e.value.hint


def test_a_gpu_that_is_not_here(recipe, tmp_path):
    """Counted as in bf16 there; time is not measured, and nothing is written."""
    recipe["train"] |= {"precision": "auto", "adapter": {"kind": "lora"}}
    found = contextune.check(recipe, base=tmp_path, memory="24GB")
    assert found["estimate"] is None
    (row,) = found["memory"]
    layers, tables = 2 * (256 * (256 + 2 * 64 + 256 + 3 * 8192)), 8000 * 256
    norms = 5 * 256
    assert row["parts"]["weights"] == 2 * (layers + tables) + 4 * (tables + norms) + 4 * row["trained"]
    assert row["parts"]["gradients"] == 4 * row["trained"]
    assert row["parts"]["optimizer"] == 8 * row["trained"]
    assert row["peak"] == sum(row["parts"].values()) < row["need"] <= row["free"] == 24_000_000_000
    assert row["stage"] == "cpt/stage-0"
    assert not (tmp_path / "out" / "memory.json").exists()
    with pytest.raises(UserError, match=r"1\.\d GiB are free|MiB are free"):
        contextune.check(recipe, base=tmp_path, memory="300MB")


@pytest.mark.parametrize(
    ("text", "size"), [("80GB", 80 * 10**9), ("24 GiB", 24 << 30), ("1.5g", 1.5 * 10**9), ("512MB", 512 * 10**6)]
)
def test_sizes(text, size):
    assert machine.size_of(text) == size


@pytest.mark.parametrize("text", ["", "80", "0GB", "eighty", "80 GBs", "-3GB"])
def test_what_is_no_size(text):
    with pytest.raises(UserError, match="is no size") as e:
        machine.size_of(text)
    assert "80GB" in e.value.hint


def test_a_gpu_computes_more_tokens_at_once(recipe, tmp_path):
    recipe["train"] |= {"batch": 64}
    found = contextune.check(recipe, base=tmp_path, memory="141GB")
    assert found["memory"][0]["tokens"] > 8192
