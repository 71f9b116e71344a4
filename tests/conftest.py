"""Tiny real things that all tests share: a word-level tokenizer with known ids and a two-layer Llama."""

from __future__ import annotations

import os

os.environ.update(OMP_WAIT_POLICY="PASSIVE", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", MPLBACKEND="Agg")

import random
from pathlib import Path

import pytest

from contextune.core.sequence import Record, Segment

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not here")
WORDS = [f"w{i}" for i in range(92)]
GPU_BYTES = 8 << 30
"""What one test process may hold of a GPU: models here are tiny, and a leak is told where it happens."""


def pytest_collection_modifyitems(items):
    """Tests marked `gpu` are skipped where torch sees none; elsewhere torch is not even imported for it."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="torch sees no GPU"))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True, scope="session")
def _a_share_of_the_gpu():
    """Several test processes stand beside each other on one GPU."""
    if _has_gpu():
        import torch

        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, GPU_BYTES / total))


@pytest.fixture(autouse=True, scope="module")
def _no_gpu_memory_left():
    """Kept blocks of memory go back after each file; models caught in circles of references go first."""
    yield
    if _has_gpu():
        import gc

        import torch

        gc.collect()
        torch.cuda.empty_cache()


@pytest.fixture(scope="session")
def tokenizer():
    """`w0` is 8, `w1` is 9 …; <pad> 0, <s> 1, </s> 2, <unk> 3, and four marks for chat templates."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = ["<pad>", "<s>", "</s>", "<unk>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
    vocabulary = {token: i for i, token in enumerate(specials + WORDS)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.add_special_tokens(specials)
    core.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|> {{ m.content }} <|end|> {% endfor %}"
        "{% if add_generation_prompt %}<|assistant|> {% endif %}"
    )
    return fast


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, tokenizer) -> Path:
    """A model folder: Llama, width 32, two layers, seeded random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=100,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=512,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def words(rng: random.Random, low: int, high: int) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))


@pytest.fixture(scope="session")
def records() -> list[Record]:
    """Forty records of mixed lengths, half of each context."""
    rng = random.Random(0)
    return [
        Record(f"r{i}", (Segment(words(rng, 1, 9), "context"), Segment(words(rng, 1, 30), "target")), f"d{i // 4}")
        for i in range(40)
    ]
