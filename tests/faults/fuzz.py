# ruff: noqa: E501  (tables of inputs)
"""A seeded fuzzer: recipes, data, tasks, prompt sets, model folders and command lines, mutated; each trial in process.

    FUZZ=500:20000 pytest tests/faults/test_fuzz.py -m slow -s      500 trials from number 20000 on

Trial N is a pure function of N. It ends with status 0, or 2 and one message with a hint, within SECONDS; whatever else
it does is a fault: another status, an exception, a message without a fix, no end.
"""

from __future__ import annotations

import contextlib
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

from .fuzz_inputs import (
    GOOD,
    GRADED,
    ITEMS,
    OPERATION,
    PAIRS,
    PROMPTS,
    RECIPE,
    TALK,
    TASK,
    WRITTEN,
    as_lines,
    as_yaml,
    changed,
    hashable,
    spoiled,
    value,
)

SECONDS = 5.0


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
