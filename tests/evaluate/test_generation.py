from __future__ import annotations

import pytest
import torch

from contextune.core.errors import UserError
from contextune.evaluate.scoring.generate import generate
from tests.evaluate.conftest import llama

PROMPTS = ["The hyoid bone arises from", "A", "Which of these is the answer? Answer:", "", "noise " * 9]


def greedy(model, tokenizer, prompt: str, count: int) -> str:
    """No cache, no batch, no library. A space that ends the prompt is left to be written, as in training."""
    ids = tokenizer.encode(prompt.removesuffix(" ")) or [tokenizer.eos_token_id]
    new: list[int] = []
    with torch.no_grad():
        while len(new) < count:
            new.append(int(model(torch.tensor([ids + new])).logits[0, -1].argmax()))
            if new[-1] == tokenizer.eos_token_id:
                break
    return tokenizer.decode(new, skip_special_tokens=True)


def test_greedy_and_left_padded(model, byte_level):
    expected = [greedy(model, byte_level, p, 12) for p in PROMPTS]
    assert generate(model, byte_level, PROMPTS, max_tokens=12, stop=()) == expected
    assert generate(model, byte_level, PROMPTS, max_tokens=12, stop=(), tokens=1) == expected


def test_metaspace_prompts_begin_with_bos_once(metaspace):
    model = llama(len(metaspace), seed=3)
    model.config.eos_token_id = model.generation_config.eos_token_id = metaspace.eos_token_id
    prompts = ["The third arch", "noise"]
    found = generate(model, metaspace, prompts, max_tokens=9, stop=())
    # transformers' decoding takes the space of a first word for the beginning of a text
    assert [text.lstrip() for text in found] == [greedy(model, metaspace, p, 9).lstrip() for p in prompts]


def test_a_stop_text_ends_each_row_and_is_left_out(model, byte_level):
    whole = generate(model, byte_level, PROMPTS, max_tokens=20, stop=())
    stop = [whole[0][5:7], whole[2][9:10]]
    cut = generate(model, byte_level, PROMPTS, max_tokens=20, stop=stop)
    for text, short in zip(whole, cut, strict=True):
        ends = [text.find(s) for s in stop if s in text]
        assert short == (text[: min(ends)] if ends else text)


def test_generation_ends_once_all_rows_have_stopped(model, byte_level):
    steps = []
    handle = model.register_forward_hook(lambda *a: steps.append(1))
    first = generate(model, byte_level, ["A"], max_tokens=20, stop=())[0]
    steps.clear()
    generate(model, byte_level, ["A"], max_tokens=20, stop=(first[:2],))
    handle.remove()
    assert len(steps) <= 3


def test_an_answer_ends_at_eos(byte_level):
    model = llama(len(byte_level))
    with torch.no_grad():
        model.lm_head.weight.zero_()  # every logit is equal: the first token of the vocabulary is EOS
    assert generate(model, byte_level, ["A", "B C"], max_tokens=5) == ["", ""]


def test_the_models_own_settings_play_no_part(model, byte_level):
    expected = generate(model, byte_level, PROMPTS, max_tokens=12)
    before = model.generation_config
    model.generation_config = type(before)(do_sample=True, temperature=9.0, repetition_penalty=50.0, num_beams=2)
    settings = model.generation_config
    try:
        assert generate(model, byte_level, PROMPTS, max_tokens=12) == expected
        assert model.generation_config is settings
    finally:
        model.generation_config = before


def test_an_adapters_settings_are_restored_inside_and_out(byte_level):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(llama(len(byte_level)), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    inner = model.get_base_model().generation_config
    generate(model, byte_level, ["A"], max_tokens=3)
    assert model.get_base_model().generation_config is inner


def test_a_long_prompt_loses_its_beginning(byte_level):
    model = llama(len(byte_level), window=24)
    a, b = ("noise " * n + "Which of these?" for n in (40, 70))
    assert generate(model, byte_level, [a], max_tokens=6) == generate(model, byte_level, [b], max_tokens=6)
    with pytest.raises(UserError, match="max_tokens is 24, the model reads 24"):
        generate(model, byte_level, ["A"], max_tokens=24)
