"""Conversations through templates of many families: each answer behind the prompt that inference would give it."""

from __future__ import annotations

import pytest

from contextune import data
from contextune.core.encoding import decode
from contextune.core.errors import UserError
from contextune.core.sequence import IGNORED, Sequence, render
from contextune.core.special_tokens import control_tokens, document_end, opens, turn_end
from contextune.data import chat
from tests.data.conftest import CHATML, build

TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "Bye bye."},
]
SYSTEM = [{"role": "system", "content": "Be short."}, *TURNS]
ASKED = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
EMPTY_THOUGHTS = (  # Qwen3: before the last answer only
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n"
    "{% endfor %}" + ASKED
)
OPENS_THOUGHTS = (  # DeepSeek-R1's distils, QwQ
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
END_ONCE = CHATML.replace("{% endif %}", "{% else %}</s>{% endif %}")  # Phi-3.5
SYSTEM_IN_THE_LAST = (  # Mistral: the system message stands in the last user message
    "<s>{% set s = messages[0].content if messages[0].role == 'system' else '' %}"
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {% if loop.index0 >= messages | length - 2 %}{{ s }} "
    "{% endif %}{{ m.content }}[/INST]{% elif m.role == 'assistant' %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
HEADERS = (  # Llama 3
    "<s>{% for m in messages %}<|im_start|>{{ m.role }}<pad>\n\n{{ m.content | trim }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant<pad>\n\n{% endif %}"
)
CHANNELS = (  # gpt-oss: the last answer ends with another token than those before
    "{% for m in messages %}<|im_start|>{{ m.role }}{% if m.role == 'assistant' %}<pad>final{% endif %}"
    "<s>{{ m.content }}{% if loop.last and m.role == 'assistant' %}</s>{% else %}<|im_end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)
NO_END = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def learned(messages, tokenizer):
    """[(what is read, what is learned)] of each row, by the ids that are trained."""
    rows = chat.rows(messages, tokenizer, "a.jsonl:1")
    found = []
    for row in rows:
        rendered = render(Sequence(row, ends=False), tokenizer)
        targets = [label for label in rendered.labels if label != IGNORED]
        found.append((tokenizer.decode(rendered.ids[: len(rendered) - len(targets)]), tokenizer.decode(targets)))
    return found


@pytest.mark.parametrize(
    ("template", "messages", "rows"),
    [
        (CHATML, SYSTEM, [["Hello.<|im_end|>", "Bye bye.<|im_end|>"]]),
        (HEADERS, SYSTEM, [["Hello.<|im_end|>", "Bye bye.<|im_end|>"]]),
        (END_ONCE, TURNS, [["Hello.<|im_end|>", "Bye bye.<|im_end|>"]]),
        (
            EMPTY_THOUGHTS,
            TURNS,
            [["<think>\n\n</think>\n\nHello.<|im_end|>"], ["<think>\n\n</think>\n\nBye bye.<|im_end|>"]],
        ),
        (OPENS_THOUGHTS, TURNS, [["\n</think>\n\nHello.<|im_end|>"], ["\n</think>\n\nBye bye.<|im_end|>"]]),
        (SYSTEM_IN_THE_LAST, SYSTEM, [[" Hello.</s>"], [" Bye bye.</s>"]]),
        (CHANNELS, TURNS, [["<pad>final<s>Hello.</s>"], ["<pad>final<s>Bye bye.</s>"]]),
        (NO_END, TURNS, [["Hello.\n\n</s>"], ["Bye bye.\n\n</s>"]]),
    ],
    ids=["chatml", "llama3", "phi", "qwen3", "r1", "mistral", "gpt-oss", "no-end"],
)
def test_each_answer_is_learned_with_its_end_behind_its_own_prompt(template, messages, rows):
    tokenizer = build("</s>", template)
    found = chat.rows(messages, tokenizer, "a.jsonl:1")
    assert [[s.text for s in row if s.role == "target"] for row in found] == rows
    answers = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
    if len(rows) > 1:  # inference sees the same prompt
        for row, i in zip(found, answers, strict=True):
            prompt = tokenizer.apply_chat_template(messages[:i], tokenize=False, add_generation_prompt=True)
            assert row[0].text == prompt
    else:
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        assert whole.startswith("".join(s.text for s in found[0]))


def test_ids_are_those_of_the_template():
    for template in (CHATML, HEADERS):
        tokenizer = build("</s>", template)
        (row,) = chat.rows(TURNS, tokenizer, "a")
        rendered = render(Sequence(row, ends=False), tokenizer)
        whole = tokenizer.apply_chat_template(TURNS, tokenize=True, return_dict=False)
        assert list(rendered.ids) == whole[: len(rendered)]
        assert tokenizer.decode(whole[len(rendered) :]).strip() == ""


def test_thoughts_that_a_message_brings_are_learned_once():
    thinking = [TURNS[0], {"role": "assistant", "content": "<think>\nA greeting.\n</think>\n\nHello."}]
    assert learned(thinking, build("</s>", OPENS_THOUGHTS))[0][1] == "A greeting.\n</think>\n\nHello.<|im_end|>"
    assert learned(thinking, build("</s>", CHATML))[0][1] == "<think>\nA greeting.\n</think>\n\nHello.<|im_end|>"


def test_turns_of_weight_0_are_read_and_not_learned():
    tokenizer = build("</s>", CHATML)
    silent = [{**m, "weight": 0} if m["content"] == "Hello." else m for m in TURNS]
    ((read, target),) = learned(silent, tokenizer)
    assert target == "Bye bye.<|im_end|>"
    assert "Hello.<|im_end|>" in read
    last = [{**m, "weight": 0} if m["content"] == "Bye bye." else m for m in TURNS]
    assert [t for _, t in learned(last, tokenizer)] == ["Hello.<|im_end|>"]
    assert [t for _, t in learned(silent, build("</s>", EMPTY_THOUGHTS))] == [
        "<think>\n\n</think>\n\nBye bye.<|im_end|>"
    ]
    with pytest.raises(UserError, match="no assistant message is learned: each has weight 0"):
        chat.rows([{**m, "weight": 0} for m in TURNS], tokenizer, "a.jsonl:1")


@pytest.mark.parametrize("weight", [0.5, 2, -1, "0", True, [0]])
def test_a_weight_is_0_or_1(weight, write, tmp_path):
    turns = [TURNS[0], {**TURNS[1], "weight": weight}]
    with pytest.raises(UserError, match=r"a\.jsonl:1: message 2: expected a weight of 0 \(read only\) or 1"):
        data.load(write([{"messages": turns}], kind="messages"), tmp_path)


def test_a_template_that_drops_the_answer_is_refused():
    deaf = build("</s>", "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}")
    with pytest.raises(UserError, match=r"a\.jsonl:1: message 2: the chat template does not write the answer 'Hello"):
        chat.rows(TURNS, deaf, "a.jsonl:1")


@pytest.mark.parametrize("spelled", ["<|im_end|>", "<|im_start|>assistant\n", "a <s> b</s>"])
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_control_tokens_that_a_message_spells_out_are_characters(spelled, role):
    tokenizer = build("</s>", CHATML)
    turns = [{**m, "content": f"Say {spelled} twice"} if m["role"] == role else m for m in TURNS[:2]]
    (row,) = chat.rows(turns, tokenizer, "a")
    rendered = render(Sequence(row, ends=False), tokenizer)
    marks = [i for i in rendered.ids if i in set(control_tokens(tokenizer).values())]
    assert tokenizer.convert_ids_to_tokens(marks) == ["<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>"]
    assert f"Say {spelled} twice" in decode(rendered.ids, tokenizer, follows=False)


@pytest.mark.parametrize(
    ("template", "end"),
    [(CHATML, "<|im_end|>"), (SYSTEM_IN_THE_LAST, "</s>"), (HEADERS, "<|im_end|>"), (CHANNELS, "</s>"), (NO_END, None)],
)
def test_the_token_that_ends_a_turn(template, end):
    tokenizer = build("</s>", template)
    assert turn_end(tokenizer) == (None if end is None else tokenizer.convert_tokens_to_ids(end))


def test_a_document_does_not_end_or_begin_as_a_turn():
    """SmolLM2-Instruct: BOS and end of text are its turn markers, and the tokenizer adds neither."""
    tokenizer = build("<|im_end|>", CHATML)
    tokenizer.bos_token = "<|im_start|>"
    assert document_end(tokenizer) == tokenizer.convert_tokens_to_ids("</s>")
    assert opens(tokenizer) == (tokenizer.convert_tokens_to_ids("</s>"),)
    plain = build("<|im_end|>")
    assert document_end(plain) == plain.eos_token_id
