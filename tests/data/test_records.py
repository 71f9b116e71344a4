from __future__ import annotations

import pytest

from contextune import data
from contextune.core.encoding import encode
from contextune.core.errors import UserError
from contextune.core.sequence import IGNORED, Segment, Sequence, render
from contextune.data.options import Source
from contextune.data.records import SMALLEST, records, specials
from tests.data.conftest import SENTENCES, build

CHAT = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "Bye bye."},
    {"role": "user", "content": "never learned"},
]


def of(source, folder, tokenizer, budget=64):
    return records(data.load(source, folder).documents, source, tokenizer, budget)


def test_chunks_of_a_text_end_only_with_the_document(write, tmp_path, bpe):
    source = write([{"text": " ".join(SENTENCES), "id": "bio"}, {"text": "A cell.", "id": 2}], chunk=20)
    found = of(source, tmp_path, bpe).records
    assert [(r.id, r.document, r.ends) for r in found] == [
        ("bio#0", "bio", False),
        ("bio#1", "bio", False),
        ("bio#2", "bio", False),
        ("bio#3", "bio", True),
        ("2#0", "2", True),
    ]
    assert " ".join(r.target for r in found[:4]) == " ".join(SENTENCES)
    assert all(len(encode(r.target, bpe)) <= 20 for r in found)
    assert found[0].origin == "a.jsonl:1"


def test_chunk_none_leaves_the_text_as_it_is(write, tmp_path, bpe):
    source = write([{"text": " two\n"}], chunk="none")
    assert of(source, tmp_path, bpe).records[0].segments == (Segment(" two\n", "target"),)


def test_pairs(write, tmp_path, bpe):
    row = {"question": "What?", "answer": "That.", "topic": "words"}
    columns = {"prompt": "question", "completion": "answer"}
    template = "{{ topic }}: {{ prompt }} <{{ question }}>\nA:"
    source = write([row], kind="pairs", columns=columns, template=template, separator=" ")
    (record,) = of(source, tmp_path, bpe).records
    assert record.segments == (Segment("words: What? <What?>\nA:", "context"), Segment(" That.", "target"))
    assert (record.id, record.document, record.ends, record.fields) == (
        "a.jsonl:1",
        "a.jsonl:1",
        True,
        {"topic": "words"},
    )


def test_the_default_template_keeps_its_newline(write, tmp_path, bpe):
    source = write([{"prompt": "<b>&", "completion": "4"}], kind="pairs")
    (record,) = of(source, tmp_path, bpe).records
    assert record.segments == (Segment("<b>&\n", "context"), Segment("4", "target"))


def test_an_integer_is_a_label_only_in_pairs(write, tmp_path, bpe):
    source = write([{"prompt": "good?", "completion": 1}], kind="pairs")
    assert of(source, tmp_path, bpe).records[0].target == "1"


def test_chat_targets_are_the_assistants_messages_with_their_end(write, tmp_path, chatty):
    source = write([{"messages": CHAT}], kind="messages")
    (record,) = of(source, tmp_path, chatty).records
    assert [(s.text, s.role, s.markup) for s in record.segments] == [
        (
            "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
            "context",
            True,
        ),
        ("Hello.<|im_end|>", "target", True),
        ("\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n", "context", True),
        ("Bye bye.<|im_end|>", "target", True),
    ]
    assert record.ends is False
    rendered = render(Sequence(record.segments, record.ends), chatty)
    learned = chatty.decode([i for i in rendered.labels if i != IGNORED])
    assert learned == "Hello.<|im_end|>Bye bye.<|im_end|>"
    whole = chatty.apply_chat_template(CHAT[:5], tokenize=False)
    assert chatty.decode(rendered.ids) == whole.rstrip("\n")


def test_no_template_and_what_a_template_refuses(write, tmp_path, bpe):
    source = write([{"messages": CHAT}], kind="messages")
    with pytest.raises(UserError, match="messages need a chat template and the model's tokenizer has none"):
        of(source, tmp_path, bpe)
    strict = build("</s>", "{{ raise_exception('no system role') }}")
    with pytest.raises(UserError, match=r"a\.jsonl:1: the chat template refuses system, user: no system role"):
        of(source, tmp_path, strict)


def test_a_conversation_that_the_assistant_begins(write, tmp_path, chatty):
    with pytest.raises(UserError, match="begins with the assistant"):
        of(write([{"messages": CHAT[2:4]}], kind="messages"), tmp_path, chatty)


def test_overlong_rows_are_named_and_counted(write, tmp_path, bpe):
    rows = [{"prompt": "a", "completion": "x" * n} for n in (3, 200, 64, 100)]
    with pytest.raises(
        UserError, match=r"a\.jsonl:2: its target has 200 tokens where 64 fit, and so do 1 more of 4 rows"
    ):
        of(write(rows, kind="pairs"), tmp_path, bpe)
    found = of(write(rows, kind="pairs", overlong="drop"), tmp_path, bpe)
    assert [r.id for r in found.records] == ["a.jsonl:1", "a.jsonl:3"]
    assert (found.dropped, found.overlong) == (2, ("a.jsonl:2", "a.jsonl:4"))


def test_a_long_prompt_is_not_an_overlong_target(write, tmp_path, bpe):
    """The context gives way when rendered; only the target must fit."""
    source = write([{"prompt": "x" * 500, "completion": "y"}], kind="pairs")
    assert of(source, tmp_path, bpe).dropped == 0


def test_dropping_everything_is_an_error(write, tmp_path, bpe):
    source = write([{"text": "x" * 200}], chunk="none", overlong="drop")
    with pytest.raises(UserError, match="200 tokens where 64 fit") as e:
        of(source, tmp_path, bpe)
    assert "would leave nothing" in e.value.hint


def test_the_target_of_a_pair_counts_its_separator(write, tmp_path, bpe):
    source = write([{"prompt": "a", "completion": "x" * 60}], kind="pairs", separator="-----")
    with pytest.raises(UserError, match="65 tokens where 64 fit"):
        of(source, tmp_path, bpe)


def test_a_chunk_that_does_not_fit_is_not_made_smaller_in_silence(write, tmp_path, bpe):
    with pytest.raises(UserError, match="chunk is 100 tokens, but max_length leaves 64") as e:
        of(write([{"text": "a"}], chunk=100), tmp_path, bpe)
    assert "64 or less" in e.value.hint


@pytest.mark.parametrize("budget", [0, -3, SMALLEST - 1])
def test_a_budget_too_small(write, tmp_path, bpe, budget):
    with pytest.raises(UserError, match=f"max_length leaves {budget} tokens"):
        of(write([{"text": "a"}]), tmp_path, bpe, budget)


def test_no_documents_no_records(bpe):
    assert records((), Source(path="x"), bpe, 64).records == ()


def test_specials(bpe, tokenizer):
    assert specials(bpe) == 2  # </s>, and <s> although the tokenizer writes none of its own: `opens`
    assert specials(tokenizer) == 2
