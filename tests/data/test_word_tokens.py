"""Tokens counted by words are the tokenizer's own, for each tokenizer that splits a text into words."""

from __future__ import annotations

import random

import pytest

from contextune.core.encoding import count
from contextune.data import word_tokens
from contextune.data.word_tokens import TextTokens, tokens_of, words_of

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
SPLITS = {"gpt2": (), "smollm2": ("digits",), "llama3": (LLAMA3,)}
LETTERS = "abAB'stre   \n\t.,12éñ“”–  (\"don't We'll -½中\r\x1c\u2028\u0301"


def build(steps, trim: bool):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    split = [
        pre_tokenizers.Digits(individual_digits=True) if s == "digits" else pre_tokenizers.Split(Regex(s), "isolated")
        for s in steps
    ]
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=steps != (LLAMA3,))
    core.pre_tokenizer = pre_tokenizers.Sequence([*split, last]) if split else last
    if trim:
        core.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(["the stres don't we'll ab AB 12 .. we stare at the sea, trees ate 112 rats"] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="<s>")


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("name", SPLITS)
def test_counts_and_beginnings_are_the_tokenizers_own(name, trim, monkeypatch):
    tokenizer, rng = build(SPLITS[name], trim), random.Random(name)
    assert words_of(tokenizer) is not None
    for n in range(250):
        monkeypatch.setattr(word_tokens, "WINDOW", rng.choice((15, 50_000)))
        text = "".join(rng.choices(LETTERS[: -4 if n % 3 else None], k=rng.randint(1, 90)))
        windows = [(a, text[a:b]) for a, b in word_tokens._windows(text)]
        own = TextTokens(text, tokenizer, [a + at for a, w in windows for at in word_tokens._offsets(w, tokenizer)])
        found = tokens_of(text, tokenizer)
        for _ in range(12):
            begin = rng.randrange(len(text))
            end = begin + len(text[begin : rng.randint(begin, len(text))].rstrip())
            if begin < end and not text[begin].isspace():
                assert found.count(begin, end) == own.count(begin, end), (text, begin, end)
            ahead, reach = rng.randint(0, 20), rng.randint(begin, len(text))
            assert found.reach(begin, ahead) == own.reach(begin, ahead), (text, begin, ahead)
            assert found.between(begin, reach) == own.between(begin, reach), (text, begin, reach)


def test_every_character_that_is_taken_for_safe_is_split_alike():
    tokenizer = build((), False)
    words = words_of(tokenizer)
    seen = 0
    for c in (chr(c) for low, high in word_tokens._RANGES for c in range(low, min(high, low + 600) + 1)):
        text = f"a{c}b 1{c} {c}{c}.{c}\n{c}"
        if (found := words.split(text)) is not None:
            seen += 1
            assert sum(map(words.counts.__getitem__, found)) == count(text, tokenizer), hex(ord(c))
    assert seen > 1000


def test_texts_that_spell_added_tokens_are_left_to_the_tokenizer():
    words = words_of(build((), False))
    assert words.split("a <s> b") is None
    assert words.split("a \x1c b") is None
    assert words.split("a < b") == ["a", " <", " b"]


def test_what_is_remembered_has_a_bound(monkeypatch):
    monkeypatch.setattr(word_tokens, "MOST", 3)
    tokenizer = build((), True)
    text = "we ate the rats at sea, 12 trees"
    assert tokens_of(text, tokenizer).count(0, len(text)) == count(text, tokenizer)
    assert len(words_of(tokenizer).counts) <= 3
