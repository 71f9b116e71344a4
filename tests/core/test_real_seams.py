"""Seams between prompts and answers with the tokenizers of published models, where a folder of them is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contextune.core.asking import asked_ids, pair
from contextune.core.encoding import decode
from contextune.core.sequence import IGNORED, Segment, Sequence, render

FOLDER = Path(os.environ.get("CONTEXTUNE_TOKENIZERS", "/tmp/tok"))
FAMILIES = {name: FOLDER / name / "package" / "models" for name in ("llama2", "llama3_1", "gemma3", "qwen3", "gptoss",
                                                                    "deepseek_v3")}  # fmt: skip
PROMPTS = ["Answer:", "Answer: ", "Answer:  ", "Q: when?\n", "Q: when?\nA: ", "问题：", "问题： ", "x = ", "(", "a \n"]
ANSWERS = ["Mido", " Mido", "Paris, France", "東京", "1987", "-4.5", "'s", "é", "\nyes", "[IN:GET_WEATHER"]


@pytest.fixture(scope="module", params=FAMILIES)
def tokenizer(request):
    from transformers import AutoTokenizer

    if not FAMILIES[request.param].is_dir():
        pytest.skip(f"no tokenizer in {FAMILIES[request.param]}")
    return AutoTokenizer.from_pretrained(FAMILIES[request.param])


def harness(prompt, answer, tokenizer):
    """`_encode_pair` of lm-evaluation-harness 0.4.13: (context, continuation)."""
    context = prompt.rstrip()
    whole, given = tokenizer.encode(prompt + answer), tokenizer.encode(context)
    return given, whole[len(given) :]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_training_scoring_and_generation_see_the_same_ids(tokenizer, prompt):
    for answer in ANSWERS:
        row = render(Sequence((Segment(prompt, "context"), Segment(answer, "target")), ends=False), tokenizer)
        learned = sum(label != IGNORED for label in row.labels)
        given, scored = pair(prompt, answer, tokenizer)
        assert list(row.ids) == given + scored
        if answer[0].strip() or not prompt.endswith(" "):
            assert list(row.ids[: len(row) - learned]) == asked_ids(prompt, tokenizer)
        assert decode(row.ids, tokenizer, follows=False).strip() == (prompt + answer).strip()


def test_they_are_the_harnesses_wherever_no_token_straddles_a_cut(tokenizer):
    """Where one does, the harness scores the answer behind other ids than any text has: "?" for "?⏎"."""
    agreed = 0
    for prompt in PROMPTS:
        for answer in ANSWERS:
            row = render(Sequence((Segment(prompt, "context"), Segment(answer, "target")), ends=False), tokenizer)
            given, scored = harness(prompt, answer, tokenizer)
            if given + scored == list(row.ids):
                assert pair(prompt, answer, tokenizer) == (given, scored)
                agreed += 1
    assert agreed > 0.5 * len(PROMPTS) * len(ANSWERS)
    for prompt, answer in (("Answer: ", "Mido"), ("Answer:", " Mido"), ("Q: when\n", "Mido"), ("x = ", "1987")):
        assert pair(prompt, answer, tokenizer) == harness(prompt, answer, tokenizer)


@pytest.mark.parametrize("answer", ["Mido teaches Kalo.", "1987", "東京"])
def test_a_drawn_context_leaves_the_targets_as_they_are(tokenizer, answer):
    """Arms train on the same tokens, whatever a policy draws before a text."""
    text = Segment(answer, "target")
    alone = [i for i in render(Sequence((text,), ends=False), tokenizer).labels if i != IGNORED]
    drawn = Sequence((Segment("Read closely. ", "context"), text), ends=False, drawn=1)
    assert [i for i in render(drawn, tokenizer).labels if i != IGNORED] == alone
