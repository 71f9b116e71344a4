"""Memory is counted on fake tensors: what is counted is held against what can be said by hand."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import Gemma2Config, GPT2Config, LlamaConfig, MambaConfig

from contextune.train import memory
from contextune.train.options import AT_ONCE, Train

WIDE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16}
SHAPES = {
    "llama": LlamaConfig(vocab_size=1000, intermediate_size=128, **WIDE),
    "tied": LlamaConfig(vocab_size=1000, intermediate_size=128, tie_word_embeddings=True, **WIDE),
    "soft cap": Gemma2Config(vocab_size=1000, intermediate_size=128, sliding_window=64, **WIDE),
    "gpt2": GPT2Config(vocab_size=1000, n_embd=64, n_layer=2, n_head=4, n_positions=2048),
    "mamba": MambaConfig(vocab_size=1000, hidden_size=32, num_hidden_layers=1, state_size=4),
}


@pytest.fixture
def folder(tmp_path, request):
    SHAPES[request.param].save_pretrained(tmp_path)
    return str(tmp_path)


def footprint(folder, longest=256, **options):
    return memory.footprint(folder, None, Train(**options), longest)


def test_what_stands_at_the_same_time():
    """x (400 B) and its square are kept; the sum's gradient and that of x follow, and what is gone is not counted."""
    with FakeTensorMode():
        layer = torch.nn.Linear(10, 10, bias=False)
        with memory.Live(layer) as live:
            x = torch.zeros(10, 10)
            for _ in range(5):
                x = x + 1  # two at a time
            del x
    assert (live.peak, live.now, live.operations) == (800, 0, 6)


@pytest.mark.parametrize(
    "folder", [pytest.param(n, marks=pytest.mark.slow) if n == "mamba" else n for n in SHAPES], indirect=True
)
def test_every_shape_is_counted(folder, monkeypatch):
    monkeypatch.setattr(memory, "by_formula", None)  # not taken
    found = footprint(folder)
    model = memory.weightless(memory.config_of(folder, None), None, None)
    assert found.parameters == found.trainable == sum(p.numel() for p in model.parameters())
    assert found.fixed >= 16 * found.parameters
    assert found.token > 0


@pytest.mark.parametrize("folder", ["llama"], indirect=True)
def test_a_token_costs_what_is_kept_of_it(folder):
    """At least inputs of all matrices, at most twice what Llama's blocks make; less where it is computed again."""
    kept = 4 * 2 * (5 * 64 + 3 * 128)
    assert kept < footprint(folder).token < 4 * kept
    assert footprint(folder, checkpointing=True).token < footprint(folder).token / 2


@pytest.mark.parametrize("folder", ["soft cap"], indirect=True)
def test_logits_that_stand_whole_are_counted(folder):
    assert footprint(folder).token > 2 * 4 * 1000


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
@pytest.mark.parametrize(("folder", "more"), [("llama", 2**28 * 8), ("soft cap", 0)], indirect=["folder"])
def test_a_gpu_that_is_not_here_takes_larger_blocks_of_logits(folder, more):
    """2 GiB, as on a GPU that is here; none where the logits are made whole."""
    train = Train(precision="bf16")
    there, here = (memory._counted(folder, None, None, train.precision, False, 256, gpu) for gpu in (True, False))
    assert there.low - here.low == more
    assert (there.weights, there.token) == (here.weights, here.token)


@pytest.mark.parametrize("folder", ["llama"], indirect=True)
@pytest.mark.parametrize("rank", [4, 16])
def test_adapters_by_rank(folder, rank):
    adapter = {"rank": rank}
    found = footprint(folder, adapter=adapter)
    added = 2 * rank * (4 * (64 + 64) + 3 * (64 + 128))
    assert found.trainable == added == memory.adapter_size(folder, None, Train(adapter=adapter).adapter)
    assert found.fixed < footprint(folder).fixed


@pytest.mark.parametrize("folder", ["llama"], indirect=True)
def test_by_formula_where_fake_tensors_fail(folder, monkeypatch):
    counted = footprint(folder)
    memory._counted.cache_clear()
    monkeypatch.setattr(memory, "_peak", lambda *_: (_ for _ in ()).throw(NotImplementedError("no fake kernel")))
    guessed = footprint(folder)
    memory._counted.cache_clear()
    assert counted.token / 2 < guessed.token < 4 * counted.token


@pytest.mark.parametrize(("free", "tokens"), [(0, 0), (10, 0), (1 << 40, AT_ONCE)])
def test_at_once(free, tokens):
    assert memory.Footprint(10, 10, 1000, 100.0).at_once(free) == tokens


def test_at_once_is_a_power_of_two_that_fits():
    found = memory.Footprint(10, 10, 1000, 2.0**20)
    for free in range(300 << 20, 4 << 30, 77 << 20):
        tokens = found.at_once(free)
        assert found.need(tokens) <= free < found.need(2 * tokens)
        assert tokens & (tokens - 1) == 0
