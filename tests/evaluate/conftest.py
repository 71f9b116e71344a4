"""Two subword tokenizers as real models have them, and tiny random models that read their tokens."""

from __future__ import annotations

import pytest

TEXT = [
    "Which of these is the answer? Answer: A B C D causal noise positive negative neutral\n",
    "The following are multiple choice questions (with answers) about anatomy.\n\n",
    "It was said that the hyoid bone arises from the second and third pharyngeal arches.",
    "Total health care spending would be about $3.9 trillion next year, because prices rose.",
    "naïve café, 東京 and Zürich",
] * 4


@pytest.fixture(scope="session")
def byte_level():
    """GPT-2's kind: bytes, spaces belong to the word that follows, no special token is added."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, special_tokens=["<|end|>"])
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|end|>")


@pytest.fixture(scope="session")
def metaspace():
    """Llama 2's kind: ▁ for a space, one put before the first word, <s> added to every text, bytes for the rest."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    specials = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    core.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=500, special_tokens=specials))
    core.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def llama(vocabulary: int, window: int = 256, seed: int = 0):
    """Random weights, wide enough apart that no two options tie."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=window,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def model(byte_level):
    return llama(len(byte_level))
