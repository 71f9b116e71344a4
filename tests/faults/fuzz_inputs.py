# ruff: noqa: E501  (tables of inputs)
"""What the fuzzer begins with, and how it changes a value, a structure or bytes."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import yaml

GOOD = [
    {"text": f"w{i} w{i + 1} w{i + 2} w3 w4 w5 w6 w7 w8 w9", "id": f"d{i}", "tag": ["a", {"b": i}]} for i in range(6)
]
PAIRS = [{"prompt": f"w{i} w5", "completion": f" w{i + 1}", "id": i} for i in range(8)]
TALK = [
    {"messages": [{"role": "user", "content": f"w{i}"}, {"role": "assistant", "content": "w2 w3"}]} for i in range(4)
]
ITEMS = [{"q": f"w{i} w6", "a": i % 2, "choices": ["w1", "w2"], "gold": f"w{i}"} for i in range(6)]
TASK = {
    "name": "mine", "kind": "choice", "path": "items.jsonl", "prompt": "{{ q }}", "options": [" w1", " w2"],
    "answer": "{{ a }}", "fewshot": {"n": 1}, "limit": 4, "measure": "task", "about": "x", "chance": 0.5,
}  # fmt: skip
WRITTEN = {
    "name": "said", "kind": "generate", "rows": ITEMS[:3], "prompt": "{{ q | upper }} {% if a %}w1{% endif %}",
    "answer": "{{ gold }}", "max_tokens": 4, "stop": ["\n"], "metric": "exact_match", "id": "{{ q }}",
}  # fmt: skip
GRADED = {
    "name": "graded", "kind": "generate", "path": "pairs.jsonl", "prompt": "{{ prompt }}", "answer": "{{ completion }}",
    "graded": {"pool": "pairs", "k": 1, "grades": ["none", "low"], "paired": False},
}  # fmt: skip
RECIPE: dict[str, Any] = {
    "name": "fuzzed", "about": "x", "output": "out", "seeds": [0, 1],
    "data": {
        "docs": {"path": "docs.jsonl", "chunk": 16, "held_out": 0.2},
        "pairs": {"path": "pairs.jsonl", "kind": "pairs", "template": "{{ prompt }} ", "columns": {"completion": "completion"}},
        "talk": {"path": "talk.jsonl", "kind": "messages", "overlong": "drop"},
        "table": {"path": ["docs.csv", "docs.parquet"], "columns": {"text": "text"}, "limit": 3},
    },
    "arms": {
        "none": None,
        "cpt": {"data": "docs", "train": {"lr": 1e-3}},
        "cft": {"data": ["docs", "table"], "context": {"policy": "prompts", "set": "prompts.yaml", "per": "document"}},
        "ift": {"stages": [{"data": "pairs", "context": {"policy": "random", "k": 1, "template": "{{ input }} {{ answer }}\n"}}]},
        "talk": {"data": "talk"},
        "said": {"data": "docs", "augment": {"operations": ["reversed_strings"], "split": "none"}},
    },
    "train": {"max_length": 48, "steps": 1, "batch": 2, "lr": 1e-4, "schedule": "cosine", "adapter": {"rank": 2}},
    "evaluate": {"tasks": ["task.yaml", WRITTEN, GRADED], "perplexity": ["docs"], "samples": 1, "limit": 2},
    "compare": {"baseline": "none"},
}  # fmt: skip
PROMPTS = {
    "name": "mine", "version": 1, "licence": "x", "template": "{{ category }}: {{ prompt }} ",
    "prompts": [{"id": "a", "category": "w1", "text": "w2 w3"}, {"id": "b", "category": "w2", "text": "w4"}],
}  # fmt: skip
OPERATION = {
    "id": "reversal", "version": 1, "prompt": "{% for d in demonstrations %}{{ d.text }}{% endfor %}{{ text }}",
    "answer": "lines", "each": "passage", "only": "w", "max_tokens": 8, "stop": ["\n"],
    "demonstrations": [{"text": "w1", "made": ["w2"]}],
}  # fmt: skip
TEMPLATES = (
    "{{ 9 ** 9 ** 9 }}", "{{ 'a' * 9 ** 9 }}", "{{ q | center(9 ** 9) }}", "{{ '%999999999d' % 1 }}", "{{ x.y.z }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{{ q }}{% endfor %}{% endfor %}", "{{", "{% if %}", "{% raw %}",
    "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}", "{% include 'a' %}", "{{ ''.__class__.__mro__ }}",
    "{{ prompt.__init__.__globals__ }}", "{{ range(10 ** 9) | list }}", "{{ 1 / 0 }}", "{{ q.format }}", "{{ [] }}",
    "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}", "{# ", "{{ lipsum() }}",
    "{% for a in q %}" * 30, "{{ " + "(" * 3000, "{{ text * 99999999 }}", "{{ row }}", "{{ '{0.__class__}'.format(q) }}",
)  # fmt: skip
TEXTS = (
    "", " ", "\n", "\0", "a\0b", "\ud800", "a\nb", "../x", "a/../../x", "/dev/zero", "/proc/self/mem", ".", "..", "~", "*",
    "**/*", "[", "a" * 300, "a" * 100_000, "a/" * 3000, "-", "--help", "null", "nan", "1e999", "0x10", "true", "2024-01-01",
    "\u202eabc", "🙂" * 100, "<s>", "</s><|user|>", "<script>alert(1)</script>", "%s%n", "{split}", "{split.__class__}", ":",
    "pocket", "none", "docs", "cpt", "prompts", "random", "(a+)+$", "(", "a{9999999}", "file:///etc/passwd", "\\", "'", '"',
    "=", "a=b", "&a", "!!python/object/apply:os.system [ls]", "[[[[", "\t", "\ufeff", "\r\n", "é", "١٢", "½",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 7, 1.5, -0.5, 1e-12, 1e12, 99_999, 2**31, 2**32, 2**63, 2**64, -(2**63), 10**30, 10**400,
    float("nan"), float("inf"), -float("inf"), 1e308, True, False,
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None,
    [],
    {},
    [[]],
    {"a": {}},
    [None],
    [1, "a"],
    {"": ""},
    {"policy": "none"},
    {"a": [{"b": [1]}]},
)
BYTES = (
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\n", b"\n\n", b"{", b"}", b"[", b"]", b'"', b"'", b",", b":", b"\\",
    b"\\ud800", b"\\u0000", b"NaN", b"Infinity", b"-", b"1e999", b"9" * 5000, b"[" * 5000, b"{\"a\":" * 3000, b"&a [*a]",
    b"*a", b"<<: ", b"!!bool x", b"? [a]\n", b"- ", b"\t", b"---\n", b"%YAML 9\n", b"#", b"|", b">", b"null", b"true", b"\x1a",
)  # fmt: skip


def value(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice((*rng.choice((TEXTS, NUMBERS, OTHERS, TEMPLATES)),)))


def places(thing: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value within."""
    inner = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    for key, held in inner:
        yield (*at, key)
        yield from places(held, (*at, key))


def changed(thing: Any, rng: random.Random) -> Any:
    """A copy with one to three values replaced, removed, renamed, wrapped or put elsewhere."""
    thing = copy.deepcopy(thing)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        ways = list(places(thing))
        if not ways:
            break
        *way, last = rng.choice(ways)
        holder = thing
        for key in way:
            holder = holder[key]
        match rng.randrange(8):
            case 0:
                del holder[last]
            case 1 if isinstance(holder, dict):
                holder[
                    rng.choice((f"{value(rng)!s:.200}", f"{last}s", str(last)[:-1])) if rng.random() < 0.9 else 7
                ] = holder.pop(last)
            case 1 | 2:
                holder[last] = [holder[last]] * rng.choice((1, 2, 100))
            case 3:
                holder[last] = {str(last): holder[last]}
            case 4:
                other = thing
                for key in rng.choice(ways):
                    if isinstance(other, dict | list) and (
                        key in other if isinstance(other, dict) else key < len(other)
                    ):
                        other = other[key]
                holder[last] = copy.deepcopy(other)
            case _:
                holder[last] = value(rng)
    return thing


def spoiled(raw: bytes, rng: random.Random) -> bytes:
    """Bytes with one to three pieces cut, doubled, moved, flipped, or put in."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, to = sorted(rng.randrange(len(raw) + 1) for _ in range(2))
        to = min(to, at + rng.choice((1, 4, 40, 4000)))
        match rng.randrange(6):
            case 0:
                raw = raw[:at] + raw[to:]
            case 1:
                raw = raw[:to] + raw[at:to] * rng.choice((1, 2, 50)) + raw[to:]
            case 2:
                raw = raw[:at]
            case 3 if raw and at < len(raw):
                raw = raw[:at] + bytes([raw[at] ^ (1 << rng.randrange(8))]) + raw[at + 1 :]
            case _:
                raw = raw[:at] + rng.choice(BYTES) + raw[to if rng.random() < 0.3 else at :]
    return raw


def hashable(thing: Any) -> Any:
    """Keys that YAML and JSON can write."""
    if isinstance(thing, dict):
        return {k if isinstance(k, str | int | float) else str(k): hashable(v) for k, v in thing.items()}
    return [hashable(v) for v in thing] if isinstance(thing, list) else thing


def as_yaml(thing: Any) -> bytes:
    return yaml.safe_dump(hashable(thing), sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass")


def as_lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(hashable(row)) + "\n" for row in rows).encode()
