"""A byte-level BPE that splits words as real tokenizers do, with and without a chat template."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextune.data.options import Source

SENTENCES = [
    "Mitochondria make the energy of the cell.",
    "Ribosomes make proteins from amino acids, as the messenger RNA tells them.",
    "The nucleus holds the DNA; it is read there and copied into RNA.",
    "What does the cell do when the energy runs out?",
    "It stops making proteins!",
]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build(eos: str, template: str | None = None):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(SENTENCES * 3, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token=eos, pad_token="<pad>")
    fast.chat_template = template
    return fast


@pytest.fixture(scope="session")
def bpe():
    """No chat template; text ends with </s>."""
    return build("</s>")


@pytest.fixture(scope="session")
def chatty():
    """ChatML; a message ends with <|im_end|> and a newline."""
    return build("<|im_end|>", CHATML)


class Slow:
    """A tokenizer without offsets, as those written in Python are: a token for each two letters of a word."""

    is_fast = False
    bos_token_id = eos_token_id = None

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [hash(word[i : i + 2]) for word in text.split() for i in range(0, len(word), 2)]


@pytest.fixture(scope="session")
def slow():
    return Slow()


@pytest.fixture
def write(tmp_path):
    """Writes a file in the recipe's folder: bytes as they are, text, or rows as JSON Lines. Gives a Source for it."""

    def write(content: bytes | str | list, name: str = "a.jsonl", **options) -> Source:
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path: Path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Source(**{"path": name, **options})

    return write
