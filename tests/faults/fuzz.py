# ruff: noqa: E501  (tables of inputs)
"""A seeded fuzzer: recipes, data, tasks, prompt sets, model folders and command lines, mutated; each trial in process.

    FUZZ=500:20000 pytest tests/faults/test_fuzz.py -m slow -s      500 trials from number 20000 on

Trial N is a pure function of N. It ends with status 0, or 2 and one message with a hint, within SECONDS; whatever else
it does is a fault: another status, an exception, a message without a fix, no end.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SECONDS = 5.0
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


class TooSlow(BaseException):
    """A trial that has not ended."""


@dataclass
class Fault:
    seed: int
    kind: str
    what: str
    told: str

    def __str__(self) -> str:
        return f"{self.seed} {self.kind}: {self.what}: {self.told[-300:]}"


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


class Bench:
    """Good files, of which each trial spoils one."""

    def __init__(self, folder: Path, tiny: Path) -> None:
        self.good, self.tiny = folder / "good", tiny
        self.good.mkdir()
        self.folder = folder / "trial"
        for name, content in {
            "docs.jsonl": as_lines(GOOD), "pairs.jsonl": as_lines(PAIRS), "talk.jsonl": as_lines(TALK),
            "items.jsonl": as_lines(ITEMS), "docs.json": json.dumps(GOOD).encode(), "docs.txt": b"w1 w2\nw3\n",
            "docs.csv": b"text,id\nw1 w2 w3,a\n\"w4, w5\",b\n", "task.yaml": as_yaml(TASK), "prompts.yaml": as_yaml(PROMPTS),
            "operation.yaml": as_yaml(OPERATION), "prompts.txt": b"w1 w2\nw3 w4\n",
            "group.yaml": as_yaml({"group": ["task.yaml", {"task": "task.yaml", "name": "other", "limit": 2}]}),
            "recipe.yaml": as_yaml({**RECIPE, "model": str(tiny)}),
        }.items():  # fmt: skip
            (self.good / name).write_bytes(content)
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(
            pa.table({"text": ["w1 w2 w3", "w4 w5"], "id": ["x", "y"], "n": [1, None]}), self.good / "docs.parquet"
        )
        self.names = [p.name for p in self.good.iterdir()]

    def fresh(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for name in self.names:
            os.link(self.good / name, self.folder / name)
        os.chdir(self.folder)

    def write(self, name: str, content: bytes) -> None:
        file = self.folder / name
        file.unlink(missing_ok=True)  # a link to the good one
        file.write_bytes(content)

    def cli(self, *arguments: str) -> None:
        from contextune.cli import main

        main(list(arguments))


Trial = Callable[[Bench, random.Random], None]


def recipe_values(b: Bench, rng: random.Random) -> None:
    b.write("recipe.yaml", as_yaml(changed({**RECIPE, "model": str(b.tiny)}, rng)))
    _look(b, rng)


def recipe_text(b: Bench, rng: random.Random) -> None:
    b.write("recipe.yaml", spoiled((b.good / "recipe.yaml").read_bytes(), rng))
    _look(b, rng)


def _look(b: Bench, rng: random.Random) -> None:
    """Mostly the recipe is read; now and then all that it names."""
    if rng.random() < 0.7:
        from contextune.experiment import recipe

        recipe.load(b.folder / "recipe.yaml")
    else:
        b.cli(*rng.choice((("check", "recipe.yaml", "--quick"), ("preview", "recipe.yaml"))))


def data(b: Bench, rng: random.Random) -> None:
    from contextune.data import load
    from contextune.data.options import Source

    name = rng.choice(("docs.jsonl", "pairs.jsonl", "talk.jsonl", "docs.json", "docs.txt", "docs.csv", "docs.parquet"))
    rows = {"docs.jsonl": GOOD, "pairs.jsonl": PAIRS, "talk.jsonl": TALK}.get(name)
    whole = rows is not None and rng.random() < 0.5
    b.write(name, as_lines(changed(rows, rng)) if whole else spoiled((b.good / name).read_bytes(), rng))
    kind = {"pairs.jsonl": "pairs", "talk.jsonl": "messages"}.get(name, "text")
    made = load(Source(path=name, kind=kind, held_out=rng.choice((0.0, 0.3))), b.folder)
    _records(made.documents, kind, b)


def _records(documents: Any, kind: str, b: Bench) -> None:
    from contextune.data.options import Source
    from contextune.data.records import records

    records(documents, Source(path="x", kind=kind, overlong="drop"), _tokenizer(b), 40)


def sources(b: Bench, rng: random.Random) -> None:
    from contextune.core.options import parse_options
    from contextune.data import load
    from contextune.data.options import Source

    name = rng.choice(("docs", "pairs", "talk", "table"))
    keys = changed({name: RECIPE["data"][name]}, rng).get(name)
    made = parse_options(lambda: Source.model_validate(keys), name)
    if made.path is not None:
        load(made, b.folder)


def tasks(b: Bench, rng: random.Random) -> None:
    from contextune.evaluate.tasks.load import load_task

    spec: Any = changed({"t": rng.choice((TASK, WRITTEN, GRADED))}, rng).get("t")
    if rng.random() < 0.3:
        b.write("task.yaml", spoiled((b.good / "task.yaml").read_bytes(), rng))
        spec = rng.choice(("task.yaml", "group.yaml"))
    elif rng.random() < 0.2:
        b.write("items.jsonl", spoiled((b.good / "items.jsonl").read_bytes(), rng))
        spec = dict(TASK)
    elif rng.random() < 0.3:
        b.write("group.yaml", as_yaml(changed({"group": ["task.yaml", {"task": "group.yaml"}, WRITTEN]}, rng)))
        spec = "group.yaml"
    from contextune.data.options import Source

    pool = {"pairs": Source(path="pairs.jsonl", kind="pairs")}
    load_task(spec, b.folder, rng.choice((None, 2)), _tokenizer(b), pool)


def prompt_sets(b: Bench, rng: random.Random) -> None:
    from contextune import prompts
    from contextune.augment.prompt_template import load as load_operation

    name, good = rng.choice((("prompts.yaml", PROMPTS), ("operation.yaml", OPERATION), ("prompts.txt", None)))
    whole = good is not None and rng.random() < 0.6
    b.write(name, as_yaml(changed(good, rng)) if whole else spoiled((b.good / name).read_bytes(), rng))
    if name == "operation.yaml":
        made = load_operation("reversal", "plain", b.folder, name)
        for template in made.prompts:
            made.render(template, text="w1 w2 " * 50)
    else:
        chosen = prompts.load(name, b.folder)
        for prompt in chosen.prompts:
            chosen.render(prompt)


def model_folders(b: Bench, rng: random.Random) -> None:
    from contextune import models
    from contextune.models.options import Model

    folder = b.folder / "model"
    folder.mkdir()
    for file in b.tiny.iterdir():
        os.link(file, folder / file.name)
    name = rng.choice(("config.json", "config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors",
                       "generation_config.json", "chat_template.jinja", "adapter_config.json"))  # fmt: skip
    if name == "adapter_config.json":
        good = {"base_model_name_or_path": str(b.tiny), "peft_type": "LORA", "r": 2, "lora_alpha": 4, "task_type": "CAUSAL_LM",
                "target_modules": ["q_proj", "v_proj"], "rank_pattern": {}, "bias": "none"}  # fmt: skip
        (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
        raw = json.dumps(good).encode()
    else:
        raw = (
            (folder / name).read_bytes() if (folder / name).exists() else b"{% for m in messages %}{{ m }}{% endfor %}"
        )
    values = name.endswith(".json") and rng.random() < 0.6
    if values:
        made = json.dumps(hashable(changed(json.loads(raw), rng))).encode()
    elif name == "model.safetensors":
        made = spoiled(raw[:3000], rng) + raw[3000:]
    else:
        made = spoiled(raw, rng)
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_bytes(made)
    where = models.resolve(Model(path="model"), b.folder)
    models.check(where)
    if models.is_adapter(where):
        models.check_saved(where)
        return
    if name.startswith(("config", "model")):
        models.skeleton(where)
    else:
        from contextune.core.encoding import count
        from contextune.core.special_tokens import turn_end, write_chat

        tokenizer = models.load_tokenizer(where)
        count("w1 w2 <s> é", tokenizer)
        if tokenizer.chat_template:
            write_chat([{"role": "user", "content": "w1"}], tokenizer, "take another")
            turn_end(tokenizer)


def command_lines(b: Bench, rng: random.Random) -> None:
    lines = (
        ["check", "recipe.yaml", "--quick"], ["check", "recipe.yaml", "--quick", "train.lr=1e-3", "--arm", "cpt"],
        ["preview", "recipe.yaml", "--arm", "cft", "--row", "1", "--rows", "2", "--epochs", "1"],
        ["preview", "recipe.yaml", "--json", "data.docs.limit=2"], ["prompts", "prompts.yaml"], ["prompts", "learning", "--json"],
        ["augment", "docs.jsonl", "--operation", "reversed_strings", "--dry-run", "--model", str(b.tiny)],
        ["augment", "recipe.yaml", "--dry-run", "--arm", "said"], ["recipes"], ["worlds", "reversals"], ["report", "out"],
        ["augment", "docs.jsonl", "--operation", "{operation: reversal, temperature: 0.5}", "--dry-run", "--model", str(b.tiny)],
        ["check", "recipe.yaml", "--quick", "evaluate.tasks=[task.yaml]", "train.adapter=null", "seeds=[1, 2]"],
    )  # fmt: skip
    words = list(rng.choice(lines))
    command, rest = words[0], words[1:]
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(rest) + 1)
        new = str(value(rng))[:2000]
        keys = ("train.lr", "data.docs.path", "model", "arms.cpt.data", "seeds", "train.adapter.rank", "name", "data")
        match rng.randrange(5):
            case 0 if at < len(rest):
                del rest[at]
            case 1:
                rest.insert(at, f"{rng.choice(keys)}={new}")
            case 2 if at < len(rest) and "=" in rest[at]:
                rest[at] = rest[at].split("=")[0] + "=" + new
            case 3 if at < len(rest):
                rest[at] = spoiled(rest[at].encode(errors="replace"), rng).decode("utf-8", "surrogateescape")[:2000]
            case _:
                rest.insert(at, rng.choice((new, "--json", "--arm", "--quick", "--row", "-5", "--nope")))
    if command == "check":
        rest.append("--quick")  # without a few steps of training, which are measured
    if command == "augment" and "--dry-run" not in rest:
        rest.append("--dry-run")
    b.cli(command, *(w for w in rest if w not in ("--html", "--push", "--out", "--store")))


KINDS: dict[str, tuple[Trial, int]] = {
    "recipe values": (recipe_values, 25), "recipe text": (recipe_text, 15), "data": (data, 20), "sources": (sources, 10),
    "tasks": (tasks, 15), "prompt sets": (prompt_sets, 10), "model folders": (model_folders, 10),
    "command lines": (command_lines, 10),
}  # fmt: skip
_tokenizers: dict[Path, Any] = {}


def _tokenizer(b: Bench) -> Any:
    from contextune import models

    if b.tiny not in _tokenizers:
        _tokenizers[b.tiny] = models.load_tokenizer(str(b.tiny))
    return _tokenizers[b.tiny]


def trial(bench: Bench, seed: int) -> tuple[str, str, Fault | None]:
    """(kind, how it ended, the fault in it)."""
    from contextune.core.errors import UserError
    from contextune.core.machine import refusal

    rng = random.Random(seed)
    kind = rng.choices(list(KINDS), [weight for _, weight in KINDS.values()])[0]
    bench.fresh()
    told, began, status, what = io.StringIO(), time.monotonic(), 0, ""
    try:
        signal.setitimer(signal.ITIMER_REAL, 2 * SECONDS)
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            KINDS[kind][0](bench, rng)
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
        what = "" if status in (0, 2) else f"status {status}"
    except UserError as e:
        status = 2
        told.write(f"error: {e.message}\n" + "".join(f"hint: {p.hint}\n" for p in e.parts if p.hint))
    except TooSlow:
        what = "no end"
    except BaseException as e:
        if isinstance(e, OSError) and refusal(e) is not None:
            status = 2
            told.write(f"error: {refusal(e)}\nhint: \n")
        else:
            what = f"{type(e).__name__}: {e}"[:150]
            told.write("".join(traceback.format_exc()[-1200:]))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds, text = time.monotonic() - began, told.getvalue()
    if not what and seconds > SECONDS:
        what = f"{seconds:.1f} s"
    if not what and "Traceback" in text:
        what = "a traceback"
    if not what and status == 2 and "error: " in text and not any(w in text for w in ("hint: ", "fix: ")):
        what = "no hint"
    ended = what or ("refused" if status == 2 else "accepted")
    return kind, ended, Fault(seed, kind, what, text) if what else None


@contextlib.contextmanager
def benched(tiny: Path) -> Iterator[Bench]:
    """A bench in a folder of its own, a bounded look into folders, and no network."""
    from contextune.data import paths

    def late(*_: object) -> None:
        raise TooSlow

    before, here, most = signal.signal(signal.SIGALRM, late), Path.cwd(), paths.MOST
    paths.MOST = 2_000
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Bench(Path(folder), tiny)
            os.chdir(here)
    finally:
        os.chdir(here)
        paths.MOST = most
        signal.signal(signal.SIGALRM, before)


def fuzz(tiny: Path, trials: int, first: int = 0) -> tuple[Counter[tuple[str, str]], list[Fault]]:
    """How trials ended, by kind, and the faults."""
    ends, faults = Counter[tuple[str, str]](), list[Fault]()
    with benched(tiny) as bench:
        for seed in range(first, first + trials):
            kind, ended, fault = trial(bench, seed)
            ends[kind, ended if fault is None else "FAULT"] += 1
            if fault is not None:
                faults.append(fault)
    return ends, faults
