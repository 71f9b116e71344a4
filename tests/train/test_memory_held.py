"""What is counted for a pass is what real tensors take, and what autograd says that it keeps of them."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from contextune import models
from contextune.train import loss, memory
from contextune.train.fast_path import FastPath
from contextune.train.layouts import Batch
from contextune.train.options import Train

CONFIG = LlamaConfig(
    vocab_size=4000, hidden_size=48, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, tie_word_embeddings=True,
)  # fmt: skip
ROWS, LONG = 8, 96


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """The logits of 64 rows stand at once, as those of 170 do of a usual vocabulary."""
    for module in (loss, memory):
        monkeypatch.setattr(module, "LOGITS", 64 * CONFIG.vocab_size)
    memory._counted.cache_clear()
    yield
    memory._counted.cache_clear()


def opened(train):
    model = AutoModelForCausalLM.from_config(CONFIG, dtype=torch.float32)
    model = model if train.adapter is None else models.adapt(model, train.adapter)
    if train.recomputes:
        model.activation_checkpointing_enable()
    model.config.use_cache = False
    for p in model.parameters():
        p.grad = torch.zeros_like(p) if p.requires_grad else None
    return model.train()


def held(model):
    """(peak bytes beside weights and gradients, bytes that the forward pass saves) of `ROWS` rows."""
    ids = torch.zeros((ROWS, LONG), dtype=torch.long)
    batch = Batch(ids, None, torch.arange(ids.numel()), ids.flatten())
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    saved: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        FastPath(parts=True).loss(model, batch)
    kept = sum(storage.nbytes() for storage in saved.values())
    saved.clear()
    with memory.Live(model) as live:
        FastPath(parts=True).loss(model, batch).backward()
    return live.peak, kept


@pytest.mark.parametrize("recomputes", [False, True])
@pytest.mark.parametrize("adapter", [None, {"kind": "lora", "rank": 4}, {"kind": "dora", "rank": 4}])
def test_counted_is_what_is_held(tmp_path, adapter, recomputes):
    CONFIG.save_pretrained(tmp_path)
    train = Train(adapter=adapter, checkpointing=recomputes, precision="fp32")
    found = memory.footprint(str(tmp_path), None, train, LONG)
    counted = found.peak(ROWS * LONG) - sum(found.parts.values())
    peak, saved = held(opened(train))
    assert peak <= counted * 1.02
    assert counted + sum(found.parts.values()) <= 1.15 * (peak + sum(found.parts.values()))
    assert saved < counted


def test_one_block_of_logits_stands_at_a_time():
    """The block before is gone when the next is made: two blocks take no more than one, but for their rows."""
    head, peaks = torch.nn.Linear(16, CONFIG.vocab_size, bias=False).requires_grad_(False), []
    for n in (64, 128):
        hidden = torch.zeros((n, 16), requires_grad=True)
        with memory.Live(head) as live:
            loss.LinearCrossEntropy.apply(hidden, head.weight, None, torch.zeros(n, dtype=torch.long), torch.float32)
        peaks.append(live.peak)
    assert peaks[1] < 1.05 * peaks[0]


def test_the_heads_gradient_stands_once():
    """What the forward pass made becomes the weight's gradient, with no copy beside it; the graph is gone with it."""
    head = torch.nn.Linear(64, 5000, bias=False)
    with memory.Live(head) as live:
        targets = torch.zeros(3, dtype=torch.long)
        found = loss.LinearCrossEntropy.apply(torch.ones(3, 64), head.weight, None, targets, torch.float32)
        found.backward()
    assert live.peak < 1.5 * head.weight.nbytes
    with pytest.raises(RuntimeError, match="second time"):
        found.backward()
