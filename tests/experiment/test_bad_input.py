"""Whatever a user gets wrong: one clear message, exit status 2, no traceback, nothing half-written."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from contextune.cli import main
from tests.data.rich.made import docx, paragraph, pdf
from tests.data.rich.test_rich import LOCKED

GOOD = '{"text": "w0 w1 w2 w3 w4 w5 w6 w7 w8 w9"}\n{"text": "w9 w8 w7 w6 w5 w4 w3 w2 w1 w0 w0 w1"}\n'


class Bench:
    """A folder with a good recipe, good data and a good model, of which each case spoils one thing."""

    def __init__(self, folder: Path, tiny: Path) -> None:
        self.folder, self.tiny = folder, tiny
        self.write("docs.jsonl", GOOD)
        self.recipe = {
            "name": "bad",
            "model": str(tiny),
            "output": str(folder / "out"),
            "data": {"docs": {"path": "docs.jsonl", "chunk": 16}},
            "arms": {"none": None, "cpt": {"data": "docs"}},
            "train": {"max_length": 32, "steps": 1, "batch": 2},
            "evaluate": {"tasks": [{"name": "t", "kind": "choice", "path": "items.jsonl", "prompt": "{{ q }}",
                                    "options": [" w1", " w2"], "answer": "{{ a }}"}], "samples": 0},
        }  # fmt: skip
        self.write("items.jsonl", '{"q": "w5 w6", "a": 0}\n{"q": "w7", "a": 1}\n')

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def set(self, dotted: str, value: object) -> None:
        *keys, last = dotted.split(".")
        at = self.recipe
        for key in keys:
            at = at.setdefault(key, {})
        at[last] = value

    def drop(self, key: str) -> None:
        del self.recipe[key]

    def model(self, **files: str | bytes | None) -> None:
        """A copy of the model with files replaced, or removed where None."""
        folder = self.folder / "model"
        shutil.copytree(self.tiny, folder)
        for name, content in files.items():
            name = name.replace("__", ".")
            (folder / name).unlink(missing_ok=True)
            if content is not None:
                self.write(f"model/{name}", content)
        self.recipe["model"] = str(folder)

    def saved(self) -> str:
        return str(self.write("recipe.yaml", yaml.safe_dump(self.recipe, sort_keys=False)))


def data(content: str | bytes, name: str = "docs.jsonl", **keys: object):
    def spoil(b: Bench) -> None:
        b.write(name, content)
        b.set("data.docs", {"path": name, "chunk": 16, **keys})

    return spoil


def pairs(content: str, **keys: object):
    def spoil(b: Bench) -> None:
        b.write("pairs.jsonl", content)
        b.set("data.docs", {"path": "pairs.jsonl", "kind": "pairs", **keys})

    return spoil


def talk(content: object):
    def spoil(b: Bench) -> None:
        b.write("talk.jsonl", json.dumps({"messages": content}) + "\n")
        b.set("data.docs", {"path": "talk.jsonl", "kind": "messages"})

    return spoil


def mute(content: object):
    """Conversations for a model whose chat template leaves the assistant out."""

    def spoil(b: Bench) -> None:
        talk(content)(b)
        b.model(chat_template__jinja="{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}")

    return spoil


def key(dotted: str, value: object):
    return lambda b: b.set(dotted, value)


def context(**options: object):
    return key("arms.cpt.context", options)


def text(content: str | bytes):
    """A recipe file of this content."""

    def spoil(b: Bench) -> list[str]:
        return ["run", str(b.write("recipe.yaml", content))]

    return spoil


def command(*words: str):
    """Another command line; RECIPE stands for the good recipe, HERE for its folder."""

    def spoil(b: Bench) -> list[str]:
        return [w.replace("RECIPE", b.saved()).replace("HERE", str(b.folder)) for w in words]

    return spoil


TASK = {"name": "t", "kind": "choice", "path": "items.jsonl", "prompt": "{{ q }}", "options": [" w1", " w2"],
        "answer": "{{ a }}"}  # fmt: skip

CASES = {
    # the recipe file
    "recipe missing": (lambda b: ["run", str(b.folder / "no.yaml")], r"no\.yaml: no such file"),
    "recipe is a folder": (lambda b: ["run", str(b.folder)], r"a folder, expected a YAML file"),
    "recipe empty": (text(""), r"expected a mapping of keys, found nothing"),
    "recipe not UTF-8": (text(b"name: caf\xe9\n"), r"recipe\.yaml: not UTF-8 at byte 9"),
    "recipe with a tab": (text("name: x\n\tmodel: y\n"), r"recipe\.yaml:2: not valid YAML"),
    "recipe is a list": (text("- a\n- b\n"), r"expected a mapping of keys, found list"),
    "key given twice": (text("name: a\nname: b\n"), r"recipe\.yaml:2: .*the key 'name' is given twice"),
    "unknown key": (key("modle", 1), r"unknown key 'modle'[\s\S]*did you mean 'model'\?"),
    "unknown key below": (key("train.lrr", 1), r"unknown key 'train\.lrr'[\s\S]*did you mean 'lr'\?"),
    "key in the wrong place": (key("arms.cpt.lr", 1), r"unknown key 'arms\.cpt\.lr'[\s\S]*'lr' belongs in train"),
    "wrong key in a stage's train": (key("arms.cpt.train", {"epoch": 1}), r"arms\.cpt.*epoch[\s\S]*'epochs'"),
    "wrong type": (key("train.lr", "fast"), r"train\.lr: .*number.*found 'fast'"),
    "out of range": (key("train.epochs", 0), r"train\.epochs: .*greater than 0, found 0"),
    "no arms": (lambda b: b.drop("arms"), r"the key 'arms' is missing"),
    "no data": (lambda b: b.drop("data"), r"the key 'data' is missing"),
    "arms empty": (key("arms", {}), r"at least one arm is needed"),
    "arm of unknown data": (key("arms.cpt.data", "dcos"), r"arms\.cpt.*'dcos'.*did you mean 'docs'"),
    "arm's name with a slash": (key("arms", {"a/b": {"data": "docs"}}), r"a/b"),
    "unknown policy": (context(policy="promts"), r"unknown context policy 'promts'[\s\S]*'prompts'"),
    "context without a policy": (context(set="learning"), r"mapping with the key 'policy'"),
    "unknown option of a policy": (context(policy="prompts", sett=1), r"sett[\s\S]*did you mean 'set'"),
    "unknown prompt set": (context(policy="prompts", set="lerning"), r"lerning[\s\S]*learning"),
    "seeds repeated": (key("seeds", [1, 1]), r"seeds must be different numbers"),
    "unknown baseline": (key("compare.baseline", "cppt"), r"no arm 'cppt'.*did you mean 'cpt'"),
    "perplexity of nothing held out": (key("evaluate.perplexity", ["docs"]), r"holds nothing out"),
    "two origins": (key("data.docs.world", "x"), r"exactly one of path, hub, world; found path, world"),
    "override without a value": (command("run", "RECIPE", "train.lr"), r"expected KEY=VALUE"),
    "override of a leaf": (command("run", "RECIPE", "name.x=1"), r"'name' is not a group of keys"),
    "unknown arm asked for": (command("run", "RECIPE", "--arm", "ctp"), r"no arm 'ctp'[\s\S]*'cpt'"),
    # the data
    "data missing": (key("data.docs.path", "dosc.jsonl"), r"dosc\.jsonl"),
    "data empty": (data(""), r"docs\.jsonl.*(empty|no rows)"),
    "wrong column": (data('{"txt": "w0 w1"}\n'), r"docs\.jsonl:1.*'text'.*found txt"),
    "not UTF-8": (data(b'{"text": "caf\xe9"}\n'), r"docs\.jsonl.*not UTF-8"),
    "NUL": (data('{"text": "w0 \\u0000 w1"}\n'), r"docs\.jsonl:1.*NUL"),
    "truncated JSON": (data(GOOD + '{"text": "w0'), r"docs\.jsonl:3.*not valid JSON"),
    "a row that is no object": (data(GOOD + "[1]\n"), r"docs\.jsonl:3.*(object|list)"),
    "duplicate ids": (data('{"id": 1, "text": "w0 w1"}\n{"id": 1, "text": "w2"}\n'), r"docs\.jsonl:2.*id '1'"),
    "empty text": (data('{"text": ""}\n'), r"docs\.jsonl:1.*empty"),
    "null text": (data('{"text": null}\n'), r"docs\.jsonl:1.*null"),
    "number for text": (data('{"text": 7}\n'), r"docs\.jsonl:1.*expected text, found the number 7"),
    "ragged CSV": (data("id,text\n1,w0\n2,w1,w2\n", "docs.csv"), r"docs\.csv:3"),
    "broken Parquet": (data(b"PAR1 no", "docs.parquet"), r"docs\.parquet.*[Pp]arquet"),
    "unknown suffix": (data("w0", "docs.xyz"), r"docs\.xyz.*"),
    "bad template": (pairs('{"prompt": "w0", "completion": "w1"}\n', template="{{ promt }}"), r"promt[\s\S]*prompt"),
    "template does not parse": (pairs('{"prompt": "w0", "completion": "w1"}\n', template="{{ prompt"), r"template"),
    "empty completion": (pairs('{"prompt": "w0", "completion": ""}\n'), r"pairs\.jsonl:1.*completion.*empty"),
    "target too long": (
        pairs(json.dumps({"prompt": "w0", "completion": "w1 " * 60}) + "\n"),
        r"pairs\.jsonl:1.*60 tokens[\s\S]*max_length",
    ),
    "option without effect": (key("data.docs.template", "x"), r"'template' has no effect"),
    "no assistant": (talk([{"role": "user", "content": "w0"}]), r"talk\.jsonl:1.*no assistant message"),
    "template without an assistant": (
        mute([{"role": "user", "content": "w0"}, {"role": "assistant", "content": "w1"}]),
        r"talk\.jsonl:1.*message 2: the chat template does not write the answer 'w1'[\s\S]*set a chat_template",
    ),
    "rows of two forms": (
        data('{"text": "w0 w1"}\n{"messages": [{"role": "user", "content": "w0"}]}\n'),
        r"docs\.jsonl:2.*'text'.*found messages",
    ),
    "scanned PDF": (data(pdf([[], []]), "a.pdf"), r"a\.pdf.*no text on any of its 2 pages: it was scanned"),
    "encrypted PDF": (data(LOCKED, "a.pdf"), r"a\.pdf.*encrypted, and needs a password"),
    "broken DOCX": (data(docx(paragraph("a"))[:300], "a.docx"), r"a\.docx.*no DOCX file, or a part of one"),
    "folder of an exam that is not there": (
        key("evaluate.tasks", ["exam/"]),
        r"task exam/: no such folder.*contextune exam DOCUMENTS --out",
    ),
    "unknown tracker": (key("track", ["tensorbord"]), r"track: no tracker 'tensorbord'[\s\S]*'tensorboard'"),
    "unknown role": (talk([{"role": "bot", "content": "w0"}]), r"talk\.jsonl:1.*unknown role 'bot'"),
    "unknown world": (key("data.docs", {"world": "atlantis"}), r"unknown world 'atlantis'"),
    "chunk too large": (key("data.docs.chunk", 31), r"data\.docs: a chunk of 31 tokens does not fit[\s\S]*30 or less"),
    "chunk too large for a prompt": (context(policy="prompts"), r"longest context of arm cpt takes \d+ tokens"),
    "chunk smaller than is sensible": (key("data.docs.chunk", 2), r"at least 8"),
    "test items in the data": (
        lambda b: (
            b.write("items.jsonl", json.dumps({"q": " ".join(f"w{i}" for i in range(14)), "a": 0}) + "\n"),
            b.write("docs.jsonl", json.dumps({"text": " ".join(f"w{i}" for i in range(20))}) + "\n"),
        )[:0],
        r"1 test items occur in the training texts[\s\S]*allow_overlap",
    ),
    # the model
    "model missing": (key("model", "./nowhere"), r"model: no folder \./nowhere"),
    "model is a file": (lambda b: b.set("model", str(b.write("m.bin", "x"))), r"is a file, expected a model folder"),
    "hub model out of reach": (key("model", "nobody/nothing"), r"model 'nobody/nothing'.*"),
    "model without configuration": (lambda b: b.model(config__json=None), r"no config\.json"),
    "model with broken configuration": (lambda b: b.model(config__json="{"), r"config\.json is not valid JSON"),
    "model without weights": (lambda b: b.model(model__safetensors=None), r"no weights"),
    "pickle weights": (
        lambda b: b.model(model__safetensors=None, pytorch_model__bin="x"), r"pickles \(pytorch_model\.bin\)"
    ),
    "broken weights": (lambda b: b.model(model__safetensors="x"), r"does not load"),
    "model without tokenizer": (
        lambda b: b.model(tokenizer__json=None, tokenizer_config__json=None), r"no tokenizer"
    ),
    "broken tokenizer": (lambda b: b.model(tokenizer__json="{"), r"tokenizer does not load"),
    "adapter on modules that are not there": (key("train.adapter", {"targets": ["nope"]}), r"train\.adapter\.targets"),
    "adapter given up between stages": (
        key("arms.cpt", {"stages": [{"data": "docs", "train": {"adapter": {"rank": 2}}}, {"data": "docs"}]}),
        r"arms\.cpt: stage 1 does not continue with the adapter of stage 0",
    ),
    "question of a test in the data": (
        lambda b: (
            b.write("items.jsonl", json.dumps({"q": "Question: w0 w1 w2 w3 w4 w5 w6 w7 w8", "a": 0}) + "\n"),
            b.write("docs.jsonl", json.dumps({"text": " ".join(f"w{i}" for i in range(12))}) + "\n"),
        )[:0],
        r"1 test items occur in the training texts",
    ),
    "qlora without its library": (key("train.adapter", {"kind": "qlora"}), r"bitsandbytes"),
    # the output
    "output is a file": (lambda b: b.set("output", str(b.write("o", "x"))), r"a file of that name is in the way"),
    "output cannot be made": (key("output", "/proc/nowhere/out"), r"output /proc/nowhere/out: cannot be written"),
    # tasks
    "unknown task": (key("evaluate.tasks", ["mmlu_anatomi"]), r"mmlu_anatomi[\s\S]*mmlu_anatomy"),
    "task file missing": (key("evaluate.tasks", ["./no_task.yaml"]), r"no_task\.yaml"),
    "unknown key of a task": (key("evaluate.tasks", [{**TASK, "promt": "x"}]), r"promt[\s\S]*prompt"),
    "unknown metric": (key("evaluate.tasks", [{**TASK, "metric": "acuracy"}]), r"acuracy[\s\S]*accuracy"),
    "task twice": (key("evaluate.tasks", [TASK, TASK]), r"task 't' is there twice"),
    "deciding task unknown": (key("compare.tasks", ["tt"]), r"no task 'tt'"),
    # other commands
    "row that is not there": (command("preview", "RECIPE", "--row", "99"), r"has 2 records, row 99 is not there"),
    "init of nothing": (command("init", "quickstrat", "HERE/x.yaml"), r"no recipe 'quickstrat'[\s\S]*quickstart"),
    "init onto a file": (command("init", "cft", "RECIPE"), r"exists already"),
    "report of no run": (command("report", "HERE"), r"not a run's folder"),
    "evaluate without a model": (command("evaluate", "HERE/none", "--task", "medqa", "--out", "HERE/o"), r"no folder"),
    "prompts of nothing": (command("prompts", "lerning"), r"lerning[\s\S]*learning"),
    "unknown command": (lambda b: ["runn"], r"No such command"),
    "unknown flag": (command("run", "RECIPE", "--fast"), r"No such option"),
    "scratch without text": (command("scratch", "HERE/m", "--text", "HERE/none.txt"), r"none\.txt"),
}  # fmt: skip


def call(arguments: list[str], capsys) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    shown = capsys.readouterr()
    return int(end.value.code or 0), shown.out + shown.err


@pytest.fixture
def bench(tmp_path, tiny, monkeypatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path, tiny)


def test_the_bench_itself_is_good(bench, capsys):
    status, shown = call(["run", bench.saved(), "--workers", "1"], capsys)
    assert status == 0, shown


@pytest.mark.parametrize("case", CASES)
def test_bad_input(bench, capsys, case):
    spoil, expected = CASES[case]
    arguments = spoil(bench) or ["run", bench.saved()]
    status, shown = call(arguments, capsys)
    flat = re.sub(r"\s+", " ", shown)
    assert status == 2, shown
    assert re.search(expected.replace(r"[\s\S]*", ".*"), flat), shown
    assert "Traceback" not in shown
    assert "fault in Contextune" not in shown
    made = bench.folder / "out"
    assert not list(made.glob("arms/*/*/*/model")), "a model was written"
    assert not list(made.glob("outcomes/*.parquet"))
    assert not list(bench.folder.rglob("*.part*"))


def test_disk_full(bench, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    status, shown = call(["run", bench.saved()], capsys)
    assert status == 2
    assert re.search(r"0 MiB free, about \d+ MiB needed", shown)


def test_another_run_in_the_same_folder(bench, capsys):
    assert call(["run", bench.saved(), "--workers", "1"], capsys)[0] == 0
    before = (bench.folder / "out/arms/cpt/seed-0/stage-0/model/model.safetensors").read_bytes()
    bench.set("train.lr", 0.5)
    status, shown = call(["run", bench.saved()], capsys)
    assert status == 2
    assert "changed: train.lr" in shown
    assert "--fresh" in shown
    assert (bench.folder / "out/arms/cpt/seed-0/stage-0/model/model.safetensors").read_bytes() == before
    assert call(["run", bench.saved(), "--workers", "1", "--fresh"], capsys)[0] == 0


def test_two_runs_at_once(bench, capsys):
    from contextune.experiment.run_dir import locked

    (bench.folder / "out").mkdir()
    with locked(bench.folder / "out"):
        status, shown = call(["run", bench.saved()], capsys)
    assert status == 2
    assert "another run is working in this folder" in shown


def test_debug_shows_the_traceback(bench):
    from contextune.core.errors import UserError

    with pytest.raises(UserError):
        main(["run", str(bench.folder / "no.yaml"), "--debug"])
