"""Rows with an answer that is not to be given: pairs and conversations, golden; what cannot be is refused."""

from __future__ import annotations

import json

import pytest

from contextune.core.errors import UserError
from contextune.data import load
from contextune.data.options import Source
from contextune.data.records import records


def read(tmp_path, tokenizer, rows, **options):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Source(path="rows.jsonl", **options)
    return records(load(source, tmp_path).documents, source, tokenizer, 20).records


PAIR = {"prompt": "w1", "chosen": "w2", "bad": "w3 w4"}


def test_pairs(tmp_path, tokenizer):
    columns = {"completion": "chosen", "rejected": "bad"}
    (record,) = read(tmp_path, tokenizer, [PAIR], kind="pairs", columns=columns, separator=" ")
    assert [(s.role, s.text) for s in record.segments] == [("context", "w1\n"), ("target", " w2")]
    assert [(s.role, s.text) for s in record.rejected] == [("context", "w1\n"), ("target", " w3 w4")]
    (plain,) = read(tmp_path, tokenizer, [PAIR], kind="pairs", columns={"completion": "chosen"})
    assert plain.rejected == ()
    assert plain.fields["bad"] == "w3 w4"


def test_conversations_learn_their_last_answer(tmp_path, tokenizer):
    said = [("user", "w1"), ("assistant", "w2"), ("user", "w3")]
    turns = [{"role": role, "content": text} for role, text in said]
    row = {
        "good": [*turns, {"role": "assistant", "content": "w4"}],
        "bad": [*turns, {"role": "assistant", "content": "w5"}],
    }
    columns = {"messages": "good", "rejected": "bad"}
    (record,) = read(tmp_path, tokenizer, [row], kind="messages", columns=columns)
    assert [s.role for s in record.segments] == ["context"] * 3 + ["target"]
    assert record.segments[:-1] == record.rejected[:-1]
    assert (record.segments[-1].text.split()[0], record.rejected[-1].text.split()[0]) == ("w4", "w5")
    (plain,) = read(tmp_path, tokenizer, [row], kind="messages", columns={"messages": "good"})
    assert ([s.role for s in plain.segments], plain.rejected) == (["context", "target"] * 2, ())
    row["bad"] = [{"role": "user", "content": "w9"}, *row["bad"][1:]]
    with pytest.raises(UserError, match="with another last answer"):
        read(tmp_path, tokenizer, [row], kind="messages", columns=columns)


@pytest.mark.parametrize(("change", "said"), [
    ({"bad": "w2"}, "the completion and the rejected answer are the same"),
    ({"bad": None}, "column 'bad': expected text"),
    ({"bad": "w1 " * 30}, "its target has 30 tokens where 20 fit"),
])  # fmt: skip
def test_bad_rows(tmp_path, tokenizer, change, said):
    with pytest.raises(UserError, match=said):
        read(tmp_path, tokenizer, [PAIR | change], kind="pairs", columns={"completion": "chosen", "rejected": "bad"})
