"""A deep model's memory from two shallow ones: what is counted so is what the whole gives."""

from __future__ import annotations

import pytest
from transformers import Gemma3TextConfig, GPT2Config, LlamaConfig, Qwen3MoeConfig

from contextune.train import memory
from contextune.train.options import Train

WIDE = {"hidden_size": 64, "num_hidden_layers": 9, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16}
DEEP = {
    "llama": LlamaConfig(vocab_size=500, intermediate_size=128, **WIDE),
    "gemma3": Gemma3TextConfig(vocab_size=500, intermediate_size=128, **WIDE),
    "gpt2": GPT2Config(vocab_size=500, n_embd=64, n_layer=9, n_head=4, n_positions=512),
}
UNEVEN = Qwen3MoeConfig(
    vocab_size=500, intermediate_size=128, moe_intermediate_size=16, num_experts=4, mlp_only_layers=[7], **WIDE
)


@pytest.fixture
def whole(monkeypatch):
    def counted(folder, **options):
        with monkeypatch.context() as m:
            m.setattr(memory, "DEPTHS", (50, 100))
            memory._counted.cache_clear()
            found = memory.footprint(folder, None, Train(**options), 96)
        memory._counted.cache_clear()
        return found

    return counted


CASES = [("llama", {}), *((n, {}) for n in ("gemma3", "gpt2")), ("llama", {"checkpointing": True}),
         ("llama", {"adapter": {"rank": 4}})]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options"), [CASES[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[1:])]
)
def test_two_shallow_models_give_the_deep_ones(name, options, tmp_path, whole):
    DEEP[name].save_pretrained(tmp_path)
    exact, found = whole(str(tmp_path), **options), memory.footprint(str(tmp_path), None, Train(**options), 96)
    assert (found.parameters, found.trainable) == (exact.parameters, exact.trainable)
    assert found.need(96) == pytest.approx(exact.need(96), rel=0.02)
    assert found.token == pytest.approx(exact.token, rel=0.05)


def test_layers_that_differ_are_counted_all(tmp_path, monkeypatch):
    UNEVEN.save_pretrained(tmp_path)
    depths = []
    count = memory._attended
    monkeypatch.setattr(memory, "_attended", lambda m, *a: depths.append(m.config.num_hidden_layers) or count(m, *a))
    memory.footprint(str(tmp_path), None, Train(), 96)
    assert depths == [9]
