"""A byte-level tokenizer that reads the prompts as a real one would."""

from __future__ import annotations

import pytest

from contextune.prompts import load, names


@pytest.fixture(scope="session")
def bpe():
    """512 ids: </s> 0 and <s> 1 are special, <tool> is added markup, the rest is learned from the prompt sets."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=511, special_tokens=["</s>", "<s>"], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator([p.text for name in names() for p in load(name).prompts], trainer)
    core.add_tokens([AddedToken("<tool>", special=False)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
