"""Rows as others have them: much-used hub data sets load without `columns`, and what cannot be read is said.

hub_schemas.jsonl holds their columns with invented values.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextune import data
from contextune.core.errors import UserError
from contextune.data import corpus
from contextune.data.conversations import normal, tools_of
from contextune.data.options import Source
from contextune.data.records import records
from contextune.data.schemas import TITLES

SETS = [json.loads(line) for line in (Path(__file__).parent / "hub_schemas.jsonl").read_text().splitlines()]
USER, GPT = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}
SHAREGPT = {"conversations": [USER, GPT]}
ALPACA = {"instruction": "Do", "input": "x", "output": "done"}
TOOLS = [{"type": "function", "function": {"name": "rain", "parameters": {}}}]
WITH_TOOLS = (
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}{% if m.content %}\n{{ m.content }}{% endif %}"
    "{% for c in m.tool_calls or [] %}\n<call>{{ c.function | tojson }}</call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def load(tmp_path, *rows, **options):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return data.load(Source(path="a.jsonl", **options), tmp_path)


def made(document):
    if document.text:
        return [document.text]
    if document.completion:
        return [*filter(None, (document.prompt, document.completion, document.rejected))]
    said = [f"assistant: {m['content']}" if m["role"] == "assistant" else m["role"] for m in document.messages]
    return said + [f"rejected: {m['content']}" for m in document.rejected[-1:]]


@pytest.mark.parametrize("known", SETS, ids=[f"{s['hub']}-{s['kind']}" for s in SETS])
def test_hub_sets_load_without_columns(tmp_path, known):
    row = known["row"] if known["row"].get("id") is not None else {k: v for k, v in known["row"].items() if k != "id"}
    found = load(tmp_path, row, kind=known["kind"])
    assert made(found.documents[0]) == known["made"]
    own = "messages" in known["row"] and known["kind"] == "messages"
    assert found.read_as.partition(" (")[0] == ("" if own else TITLES.get(known["read_as"], ""))
    if known["read_as"]:
        assert made(load(tmp_path, row, kind=known["kind"], read_as=known["read_as"]).documents[0]) == known["made"]


def test_there_are_twenty_of_them():
    assert len({s["hub"] for s in SETS}) >= 20


def test_the_schema_is_said_with_its_columns(tmp_path):
    assert load(tmp_path, SHAREGPT, kind="messages").read_as == "ShareGPT (conversations)"
    assert load(tmp_path, ALPACA, kind="pairs").read_as == "Alpaca (instruction, input, output)"
    assert load(tmp_path, {"prompt": "a", "completion": "b"}, kind="pairs").read_as == ""


def test_a_guess_is_corrected(tmp_path):
    row = {**ALPACA, "question": "Which?", "answer": "This."}
    assert made(load(tmp_path, row, kind="pairs").documents[0])[1] == "done"
    assert made(load(tmp_path, row, kind="pairs", read_as="question").documents[0]) == ["Which?\n", "This."]
    columns = {"prompt": "input", "completion": "answer"}
    assert made(load(tmp_path, row, kind="pairs", columns=columns).documents[0]) == ["x\n", "This."]
    with pytest.raises(UserError, match="no column 'completion'"):
        load(tmp_path, ALPACA, kind="pairs", read_as="plain")


def test_alpaca_as_a_conversation_with_earlier_turns(tmp_path):
    row = {"system": "Be brief.", "history": [["One?", "1"]], **ALPACA}
    (document,) = load(tmp_path, row, kind="messages", read_as="alpaca").documents
    assert [(m["role"], m["content"]) for m in document.messages] == [
        ("system", "Be brief."), ("user", "One?"), ("assistant", "1"), ("user", "Do\n\nx"), ("assistant", "done"),
    ]  # fmt: skip


def test_columns_may_name_a_sharegpt_column(tmp_path):
    (document,) = load(tmp_path, {"talk": [USER, GPT]}, kind="messages", columns={"messages": "talk"}).documents
    assert [m["role"] for m in document.messages] == ["user", "assistant"]


def test_blocks_become_messages():
    blocks = [
        {"type": "thinking", "thinking": "Look it up."},
        {"type": "text", "text": "Wait."},
        {"type": "tool_use", "id": "c1", "name": "rain", "input": {"place": "Rome"}},
    ]
    call = {"id": "c1", "type": "function", "function": {"name": "rain", "arguments": {"place": "Rome"}}}
    assert list(normal({"role": "assistant", "content": blocks}, "")) == [
        {"role": "assistant", "content": "<think>\nLook it up.\n</think>\n\nWait.", "tool_calls": [call]}
    ]
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "yes"}]}
    assert list(normal({"role": "user", "content": [result, {"type": "text", "text": "So?"}]}, "")) == [
        {"role": "tool", "content": "yes", "tool_call_id": "c1"}, {"role": "user", "content": "So?"},
    ]  # fmt: skip
    openai = {"id": "c1", "type": "function", "function": {"name": "rain", "arguments": '{"place": "Rome"}'}}
    assert list(normal({"role": "assistant", "content": None, "tool_calls": [openai]}, "")) == [
        {"role": "assistant", "content": "", "tool_calls": [call]}
    ]
    spoken = {"from": "function_call", "value": '{"name": "rain", "arguments": {"place": "Rome"}}'}
    assert next(normal(spoken, "", True))["tool_calls"][0]["function"] == call["function"]
    assert tools_of('[{"name": "rain", "input_schema": {}}]', "") == TOOLS


def test_calls_are_trained_on_and_tools_are_read(tmp_path, chatty):
    chatty = type(chatty)(tokenizer_object=chatty.backend_tokenizer, eos_token="<|im_end|>", pad_token="<pad>")
    chatty.chat_template = WITH_TOOLS
    call = {"function": {"name": "rain", "arguments": '{"place": "Rome <|im_end|>"}'}}
    said = [
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "yes"},
        {"role": "assistant", "content": "Yes."},
    ]
    row = {"messages": said, "tools": json.dumps(TOOLS)}
    source = Source(path="a.jsonl", kind="messages")
    found = records(load(tmp_path, row, kind="messages").documents, source, chatty, 400).records
    written = '{"name": "rain", "arguments": {"place": "Rome <|im_end|>"}}</call><|im_end|>'
    targets = [s.text for r in found for s in r.segments if s.role == "target"]
    assert targets == [f"<call>{written}", "Yes.<|im_end|>"]
    assert '"rain"' in found[0].segments[0].text
    end = chatty.convert_tokens_to_ids("<|im_end|>")
    ids = next(s.ids for r in found for s in r.segments if s.role == "target")
    assert ids.count(end) == 1  # the one that the call spells out is plain characters
    chatty.chat_template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    with pytest.raises(UserError, match=r"a.jsonl:1: the chat template does not write the tool 'rain'"):
        records(load(tmp_path, row, kind="messages").documents, source, chatty, 400)


def test_a_prepared_corpus_says_it_too(tmp_path, chatty, monkeypatch):
    monkeypatch.setenv("CONTEXTUNE_CACHE", str(tmp_path / "cache"))
    rows = [{"conversations": [USER, {"from": "gpt", "value": f"No {i}."}]} for i in range(3)]
    found = load(tmp_path, *rows, kind="messages")
    kept = corpus.open_corpus(Source(path="a.jsonl", kind="messages"), tmp_path, chatty, 50)
    assert kept is not None
    assert kept.documents.read_as == found.read_as == "ShareGPT (conversations)"
    assert kept.documents.fingerprint == found.fingerprint


MESSAGES, PAIRS = {"kind": "messages"}, {"kind": "pairs"}
BAD = {
    "mixed": (MESSAGES, [SHAREGPT, {"messages": [{"role": "user", "content": "a"}]}],
        "a.jsonl:2: no column 'conversations'.*read as ShareGPT.*by the first row; this row looks like OpenAI"),
    "mixed pairs": (PAIRS, [ALPACA, {"question": "a", "answer": "b"}],
        "a.jsonl:2: no column '.*read as Alpaca .*this row looks like questions and answers"),
    "mixed messages": (MESSAGES, [SHAREGPT, {"conversations": [{"role": "user", "content": "a"}]}],
        "a.jsonl:2: no assistant message.*read as ShareGPT"),
    "speaker": (MESSAGES, [{"conversations": [{"from": "humn", "value": "a"}, GPT]}],
        "a.jsonl:1: message 1: unknown speaker 'humn'"),
    "empty answer": (MESSAGES, [{"conversations": [USER, GPT, USER, {"from": "gpt", "value": ""}]}],
        r"a.jsonl:1: message 4 \(assistant\): expected text, found an empty text"),
    "no answer": (PAIRS, [{**ALPACA, "output": ""}], "column 'output': expected text, found an empty text"),
    "no instruction": (PAIRS, [ALPACA, {"input": "a", "output": "b"}], "a.jsonl:2: no column 'instruction'"),
    "history": (PAIRS, [{**ALPACA, "history": [["a", "b"]]}], "column 'history': earlier turns are no pair"),
    "image": (MESSAGES, [{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}],
        "a.jsonl:1: message 1: a content block of type 'image_url'"),
    "arguments": (MESSAGES, [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": None,
        "tool_calls": [{"function": {"name": "rain", "arguments": "{"}}]}]}],
        "message 2: the arguments of rain: not valid JSON"),
    "nameless call": (MESSAGES, [{"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]}],
        "message 1: a tool call without a name"),
    "tools": (MESSAGES, [{**SHAREGPT, "tools": '[{"parameters": {}}]'}], "column 'tools': a tool without a name"),
    "tools in prose": (MESSAGES, [{**SHAREGPT, "tools": "rain"}], "column 'tools': not valid JSON"),
    "same answers": (PAIRS, [{"prompt": "a", "chosen": "b", "rejected": "b"}], "the rejected answer are the same"),
    "other prompts": (MESSAGES, [{"chosen": "\n\nHuman: a\n\nAssistant: b",
        "rejected": "\n\nHuman: c\n\nAssistant: d"}],
        "expected the conversation of 'chosen' with another last answer"),
    "not as named": ({**MESSAGES, "read_as": "sharegpt"}, [{"messages": []}],
        "a.jsonl:1: not ShareGPT of kind messages"),
    "another kind": ({**PAIRS, "read_as": "sharegpt"}, [SHAREGPT], "a.jsonl:1: not ShareGPT of kind pairs"),
    "named twice": ({**PAIRS, "read_as": "alpaca", "columns": {"prompt": "a"}}, [ALPACA], "names its columns itself"),
    "texts": ({"read_as": "alpaca"}, [{"text": "a"}], "the option 'read_as' has no effect"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_rows(tmp_path, name):
    options, rows, said = BAD[name]
    with pytest.raises(UserError, match=said) as e:
        load(tmp_path, *rows, **options)
    assert e.value.hint
