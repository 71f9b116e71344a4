"""A small untrained model, its tokenizer trained on the user's own text: to try a recipe where no weights are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from contextune.core import memory
from contextune.core.errors import UserError
from contextune.core.files import sync_tree
from contextune.core.machine import refusals
from contextune.core.memory import gib
from contextune.core.options import LARGEST_SEED, whole

CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def make(
    out: Path,
    texts: Iterable[str],
    vocabulary: int = 4096,
    width: int = 256,
    layers: int = 4,
    length: int = 1024,
    seed: int = 0,
) -> Path:
    """Write a Llama of `layers` x `width` with random weights and a byte-level BPE tokenizer of `vocabulary` tokens.

    Every UTF-8 text can be encoded. Raises UserError where `out` exists or the sizes do not fit.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    if out.exists():
        raise UserError(f"{out} exists already", "give another folder")
    if vocabulary < 300 or width % 64:
        raise UserError(
            f"vocabulary {vocabulary}, width {width}: expected at least 300, and a multiple of 64", "--width 256"
        )
    specials = ["<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=specials,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    core.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = CHAT
    torch.manual_seed(whole(seed, "seed", 0, LARGEST_SEED))
    size = 4 * (len(tokenizer) * width + whole(layers, "layers", 1) * 12 * width**2)
    if size > memory.free_ram():
        raise UserError(
            f"{layers} layers of width {width} take about {gib(size)}, {gib(memory.free_ram())} of memory are free",
            "lower layers, width or vocabulary",
        )
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=8 * width // 3 // 32 * 32,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            max_position_embeddings=length,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with refusals(out):
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
            sync_tree(part)
            os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out
