"""The replies of servers, odd ones among them: a text, or why there is none in the server's own words."""

from __future__ import annotations

import json

import pytest

from contextune.generation.reply_body import Said, reply_of, words


def body(message, finish="stop", usage=None, **more):
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage, **more})


def content(value, **more):
    return body({"role": "assistant", "content": value, **more})


@pytest.mark.parametrize(
    "raw",
    [
        content("four"),
        content([{"type": "text", "text": "fo"}, {"type": "text", "text": "ur"}]),
        content([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "four"}]),
        content([{"type": "reasoning", "reasoning": "hm"}, {"type": "output_text", "text": "four"}]),
        content(["four"]),
        content("four", reasoning_content="hm", reasoning="hm", thinking="hm"),
        json.dumps({"choices": [{"text": "four"}]}),
        json.dumps(
            {"choices": [{"index": 1, "message": {"content": "five"}}, {"message": {"content": "four"}, "index": 0}]}
        ),
        json.dumps({"error": None, "choices": [{"message": {"content": "four"}}]}),
    ],
)
def test_a_text(raw):
    assert reply_of(raw) == Said("four")


@pytest.mark.parametrize(
    ("raw", "trouble"),
    [
        ("", "the reply cannot be read (no JSON): nothing"),
        ("<html><style>p {}</style><body>Sign in</body></html>", "the reply cannot be read (no JSON): Sign in"),
        ('data: {"id": 1}', "the reply cannot be read (no JSON): data: "),
        ("[" * 100_000, "the reply cannot be read (no JSON): [["),
        ("null", "the reply cannot be read (no choice): null"),
        ("[]", "the reply cannot be read (no choice): []"),
        ("{}", "the reply cannot be read (no choice): {}"),
        ('{"choices": null}', "the reply cannot be read (no choice): "),
        ('{"choices": "four"}', "the reply cannot be read (no choice): "),
        ('{"choices": [4]}', "the reply cannot be read (no choice): "),
        ('{"choices": [{"message": "four"}]}', "the reply cannot be read (its message is of type str): "),
        ('{"choices": [{"message": null}]}', "the reply cannot be read (its message is of type NoneType): "),
        (content(4), "the reply cannot be read (its content is of type int): "),
        (content({"text": "four"}), "the reply cannot be read (its content is of type dict): "),
        (content([{"type": "image_url"}]), "the reply cannot be read (its content has a part of type image_url): "),
        (content([{"type": "text", "text": 4}]), "the reply cannot be read (its content has a part of type text): "),
        (content([None]), "the reply cannot be read (its content has a part of type NoneType): "),
        (content(None, reasoning_content="hm"), "empty: only thoughts"),
        (content([{"type": "thinking", "thinking": "hm"}]), "empty: only thoughts"),
        (body({"content": "", "reasoning": "hm"}, "length"), "over-long: max_tokens went to thoughts"),
        (content(None, tool_calls=[{"id": "1"}]), "empty: the model called a tool"),
        (content(None, refusal="I will not"), "refused: I will not"),
        (content([{"type": "refusal", "refusal": "I will not"}]), "refused: I will not"),
        (body({"content": None}, "content_filter"), "refused: content filter"),
        ('{"error": {"message": "no money", "code": 402}}', "an error with status 200 (code 402): no money"),
        ('{"error": "no money"}', "an error with status 200: no money"),
        ('{"object": "error", "message": "no money"}', "an error with status 200: no money"),
        ('{"detail": [{"loc": ["body", "n"], "msg": "no money"}]}', "an error with status 200: n: no money"),
        ('{"choices": [{"error": {"message": "no money"}}]}', "an error with status 200: no money"),
        ('{"error": {"message": "no money"}, "choices": []}', "an error with status 200: no money"),
    ],
)  # fmt: skip
def test_no_text(raw, trouble):
    found = reply_of(raw)
    assert found.text == ""
    assert found.trouble.startswith(trouble)


@pytest.mark.parametrize("value", [None, {}, ""])
def test_nothing_said(value):
    found = reply_of(content(value or None))
    assert (found.text, found.trouble) == ("", "")


@pytest.mark.parametrize(
    ("value", "count"),
    [(7, 7), ("7", 7), (7.0, 7), (None, None), ("many", None), (-1, None), (True, None), ([7], None), (1e300, None),
     (10**30, None), (0.5, None)],
)  # fmt: skip
def test_counts_of_tokens(value, count):
    assert reply_of(body({"content": "four"}, usage={"prompt_tokens": value})).read == count


@pytest.mark.parametrize("usage", ["7", 7, [7], None])
def test_no_counts(usage):
    assert reply_of(body({"content": "four"}, usage=usage)) == Said("four")


@pytest.mark.parametrize("finish", ["length", "max_tokens"])
def test_cut(finish):
    assert reply_of(body({"content": "fo"}, finish)) == Said("fo", cut=True)


@pytest.mark.parametrize("finish", [None, 4, ["length"], {}])
def test_odd_ends(finish):
    assert reply_of(body({"content": "four"}, finish)) == Said("four")


def test_words():
    assert words({"error": {"errors": [{"reason": "a"}, {"msg": "b"}]}}) == "a; b"
    assert words({"status": 4}) == words(4) == words(None) == ""
