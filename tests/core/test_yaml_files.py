"""YAML from outside: one message with the line, whatever it holds, and soon."""

from __future__ import annotations

import os
import time

import pytest

from contextune.core.errors import UserError
from contextune.core.yaml_files import apply, read_yaml

LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 20))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 20))
STAIRS = "".join(f"a{i}: &a{i} {'[' * 50}{f'*a{i - 1}' if i else 1}{']' * 50}\n" for i in range(40))
BAD = {
    "aliases": (LAUGHS, ":6: ", "more than 200,000 values, with aliases written out"),
    "merged aliases": (MERGES, ":6: ", "more than 200,000 values"),
    "an alias in itself": ("a: &a [*a]\n", ":1: ", "an alias stands in what it refers to"),
    "a mapping in itself": ("b: 1\na: &a {c: *a}\n", ":2: ", "an alias stands in what it refers to"),
    "depth": ("a: " + "[" * 100_000, ":1: ", "nested deeper than 64 levels"),
    "depth of mappings": ("a: " + "{a: " * 10_000, ":1: ", "nested deeper than 64 levels"),
    "depth by indentation": ("".join(f"{' ' * i}a:\n" for i in range(100)), ":6", "nested deeper than 64 levels"),
    "depth by aliases": (STAIRS, ":2: ", "nested deeper than 64 levels"),
    "a list as a key": ("a: 1\n? [b, c]\n: 2\n", ":2: ", "a list or a mapping cannot be a key"),
    "a mapping as a key": ("{{a: 1}: 2}\n", ":1: ", "a list or a mapping cannot be a key"),
    "a huge number": (f"a: 1{'0' * 5000}\n", ":1: ", "a number of 5,001 digits, at most 300 are read"),
    "a number of some size": (f"a: -1{'0' * 400}\n", ":1: ", "a number of 402 digits, at most 300 are read"),
    "a tag of Python": ("a: !!python/object/apply:os.system [ls]\n", ":1: ", "could not determine a constructor"),
    "a tag of one's own": ("a: !mine b\n", ":1: ", "could not determine a constructor"),
    "bytes": ("a: !!binary aGk=\n", ":1: ", "could not determine a constructor"),
    "a set": ("a: !!set {b}\n", ":1: ", "could not determine a constructor"),
    "no truth": ("a: !!bool perhaps\n", ":1: ", "'perhaps' is no bool"),
    "no number": ("a: !!int ten\n", ":1: ", "'ten' is no int"),
    "no fraction": ("b: 1\na: !!float ten\n", ":2: ", "'ten' is no float"),
    "NUL": ("a: b\nc: \0", ":2: ", "the character U+0000"),
    "NUL escaped": ('a: "b\\0"\n', ":1: ", "a NUL character in 'b…'"),
    "surrogate": ('a: "b\\ud800"\n', ":1: ", "half of a surrogate pair in 'b…'"),
    "surrogate in a key": ('"b\\ud800": 1\n', ":1: ", "half of a surrogate pair in 'b…'"),
    "twice": ("a: 1\nb: {c: 1, c: 2}\n", ":2: ", "the key 'c' is given twice"),
    "twice, in two ways": ('a: 1\n"a": 2\n', ":2: ", "the key 'a' is given twice"),
    "tab": ("a:\n\tb: 1\n", ":2: ", "'\\t'"),
    "two documents": ("a: 1\n---\na: 2\n", ":2: ", "single document"),
    "a merge of nothing": ("a: {<<: 3}\n", ":1: ", "expected a mapping"),
    "many bytes": ("a: b\n" * 200_000, ": ", "more than 524,288 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_yaml(name, tmp_path):
    text, line, message = BAD[name]
    (tmp_path / "r.yaml").write_text(text)
    began = time.process_time()
    with pytest.raises(UserError) as e:
        read_yaml(tmp_path / "r.yaml")
    assert time.process_time() - began < 3
    assert f"r.yaml{line}" in e.value.message
    assert message in e.value.message
    assert e.value.hint


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_other_encodings(encoding, tmp_path):
    (tmp_path / "r.yaml").write_bytes("name: é\n".encode(encoding))
    with pytest.raises(UserError, match=r"r.yaml.*(not UTF-8|U.0000)"):
        read_yaml(tmp_path / "r.yaml")


def test_words_stay_words(tmp_path):
    said = "\ufeffdate: 2024-02-30\nat: 2024-01-01 10:00:00\n"
    said += "odd: 010\ntime: 1:30\nlr: 1e-4\nn: 1_000\nx: -.inf\nv: .5\nh: 0x1F\n"
    (tmp_path / "r.yaml").write_text(said)
    assert read_yaml(tmp_path / "r.yaml") == {
        "date": "2024-02-30", "at": "2024-01-01 10:00:00", "odd": "010", "time": "1:30", "lr": 1e-4, "n": 1000,
        "x": float("-inf"), "v": 0.5, "h": 31,
    }  # fmt: skip


def test_merge_keys_and_aliases(tmp_path):
    (tmp_path / "r.yaml").write_text("a: &a {b: 1, c: 2}\nd: {<<: *a, c: 3}\ne: [*a, *a]\n")
    found = read_yaml(tmp_path / "r.yaml")
    assert (found["d"], found["e"]) == ({"b": 1, "c": 3}, [{"b": 1, "c": 2}] * 2)


@pytest.mark.parametrize(
    "text", ["a=[[[[", "a=!!bool perhaps", "a={[1]: 2}", f"a={'[' * 999}", "a=\0", "." * 999 + "=1"]
)
def test_bad_overrides(text):
    with pytest.raises(UserError, match="override '") as e:
        apply({}, [text])
    assert e.value.hint


def test_pipes_devices_and_odd_names(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, message in (
        (tmp_path / "pipe.yaml", "a pipe, expected a YAML file"),
        (tmp_path, "a folder, expected a YAML file"),
        ("/dev/zero", "a device, expected a YAML file"),
        ("a" * 300, "a path of 300 bytes"),
        ("a\0b", "a path with a NUL character"),
        ("a\udcff", "a path that is not UTF-8"),
    ):
        with pytest.raises(UserError, match=message) as e:
            read_yaml(type(tmp_path)(path))
        assert e.value.hint
