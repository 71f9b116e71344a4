"""Users' files: whatever output, --out, --store, --fresh, suffixes, names and links say, they stay as they are."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import time
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from contextune.cli import main
from contextune.core import ownership
from contextune.core.errors import UserError
from contextune.core.files import checksums, edited, files_in, seal
from contextune.core.items import Item, Task
from contextune.core.progress import Reporter
from contextune.core.yaml_files import dump, read_yaml
from contextune.evaluate.scoring import outcomes
from contextune.evaluate.tasks.load import load_task
from contextune.experiment import recipe as recipes
from contextune.experiment.rebuild import rebuild
from contextune.experiment.run import run
from contextune.experiment.run_files import claim, clear, foreign, refuse_inputs
from contextune.report import write

WORDS = "w0 w1 w2 w3 w4 w5 w6 w7 w8 w9"
TASK = {"name": "quiz", "path": "quiz.jsonl", "prompt": "{{ q }}", "options": [" w1", " w2"], "answer": "{{ a }}"}


@pytest.fixture(scope="module")
def bench(tiny, tmp_path_factory) -> Path:
    """A user's folder, with a recipe whose run is in `out`."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "docs.jsonl").write_text("".join(json.dumps({"text": f"{WORDS} w{i}"}) + "\n" for i in range(4)))
    (folder / "quiz.jsonl").write_text('{"q": "w5 w6", "a": 0}\n{"q": "w7", "a": 1}\n')
    recipe = {
        "name": "mine", "model": str(tiny), "output": "out", "data": {"docs": {"path": "docs.jsonl"}},
        "arms": {"none": None, "cpt": {"data": "docs"}},
        "train": {"steps": 2, "batch": 2, "max_length": 32, "save": 1, "schedule": "constant"},
        "evaluate": {"tasks": [TASK], "samples": 1}, "compare": {"resamples": 100},
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with chdir(folder):
        run("recipe.yaml", reporter=Reporter.silent())
    return folder


@pytest.fixture
def mine(bench, tmp_path, monkeypatch) -> Path:
    """A copy of it, of which each test may spoil something; the working directory."""
    shutil.copytree(bench, tmp_path / "user", symlinks=True)
    monkeypatch.chdir(tmp_path / "user")
    return tmp_path / "user"


def content(folder: Path) -> dict[str, str]:
    """Hashes of all files and what links point to."""
    return {
        str(p.relative_to(folder)): os.readlink(p) if p.is_symlink() else hashlib.md5(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if (p.is_symlink() or p.is_file()) and not p.name.startswith((".contextune-", ".lock"))
    }


def call(capsys, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0), capsys.readouterr().err


def test_a_run_knows_every_file_that_it_writes(mine):
    assert not list(foreign(mine / "out"))
    (mine / "out" / "notes.txt").write_text("mine")
    clear(mine / "out")
    left = {p.name for p in (mine / "out").iterdir()}
    assert left == {"notes.txt", ".lock", ".contextune-run"}
    assert (mine / "recipe.yaml").exists()


STAGE = "arms/cpt/seed-0/stage-0"


@pytest.mark.parametrize(
    "name",
    ["arms/notes.txt", "arms/cpt/plan.md", f"{STAGE}/mine.json", f"{STAGE}/model/model.gguf", f"{STAGE}/model/x/y",
     f"{STAGE}/checkpoint-best/x", "outcomes/table.csv", "outcomes/mine.parquet", "augmented/a.jsonl", "arms/linked"],
)  # fmt: skip
def test_fresh_removes_nothing_of_the_users(mine, name, capsys):
    file = mine / "out" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(mine, file) if name == "arms/linked" else file.write_text("mine")
    before = content(mine)
    status, said = call(capsys, "run", "recipe.yaml", "--fresh")
    assert status == 2
    assert f"--fresh would remove what no run has written: {name}" in said
    assert content(mine) == before


@pytest.mark.parametrize("fresh", [["--fresh"], []], ids=["fresh", "plain"])
@pytest.mark.parametrize(
    "name", [".lock", "arms", "outcomes", "augmented", "arms/cpt", STAGE, f"{STAGE}/model", "results.json", "run.json",
             "outcomes/cpt.seed-0.quiz.parquet", "generated.sqlite", "generated.sqlite-wal", ".contextune-run"],
)  # fmt: skip
def test_no_link_is_followed(mine, name, fresh, capsys):
    link = mine / "out" / name
    if os.path.lexists(link):
        shutil.move(link, mine / "treasure")
    else:
        (mine / "treasure").write_text("gold")
    os.symlink(mine / "treasure", link)
    before = content(mine)
    status, said = call(capsys, "run", "recipe.yaml", "--workers", "1", *fresh)
    assert (status, f"{name} (a link)" in said or (bool(fresh) and name in said)) == (2, True), said
    assert content(mine) == before
    if not fresh and (mine / "out" / "run.json").exists():
        assert call(capsys, "check", "recipe.yaml", "--quick")[0] == 2
        assert call(capsys, "report", "out")[0] == 2


def test_a_new_folder_with_a_lock_that_is_a_link(mine, capsys):
    Path("gold").write_text("gold")
    for made in (os.symlink, os.link):
        shutil.rmtree("new", ignore_errors=True)
        Path("new").mkdir()
        made(mine / "gold", mine / "new" / ".lock")
        status, said = call(capsys, "run", "recipe.yaml", "output=new", "--workers", "1")
        assert (status, "link" in said) == (2, True), said
        assert Path("gold").read_text() == "gold"


def test_a_list_of_what_was_written_that_is_a_link(mine):
    Path("gold").write_text("gold")
    os.symlink("gold", ".contextune-files")
    with pytest.raises(UserError):
        ownership.write(mine / "new.txt", "x")
    assert Path("gold").read_text() == "gold"


@pytest.mark.parametrize("command", ["run recipe.yaml --workers 1", "run recipe.yaml --fresh", "report out",
                                     "check recipe.yaml --quick"])  # fmt: skip
@pytest.mark.parametrize(
    "name", ["samples.json", "run.json", "recipe.yaml", "results.json", f"{STAGE}/identity.json", f"{STAGE}/stage.json",
             f"{STAGE}/whole.json", f"{STAGE}/model/model.safetensors", "outcomes/index.json", "outcomes/new"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_what_never_ends_is_not_read(mine, name, kind, command, capsys):
    file = mine / "out" / name
    file.unlink(missing_ok=True)
    os.mkfifo(file) if kind == "pipe" else os.symlink("/dev/zero", file)
    status, said = call(capsys, *command.split())
    assert (status, name in said) == (2, True), said
    assert "fault in Contextune" not in said
    assert os.path.lexists(file)


@pytest.mark.parametrize("fresh", [["--fresh"], []], ids=["fresh", "plain"])
@pytest.mark.parametrize(
    "name", ["outcomes", "arms", "augmented", "similarities", "run.json", ".lock", "report.html", "arms/cpt",
             f"{STAGE}", f"{STAGE}/identity.json"],
)  # fmt: skip
def test_what_is_in_the_way_is_named(mine, name, fresh, capsys):
    at = mine / "out" / name
    is_file = "." in Path(name).name
    if at.is_dir():
        shutil.rmtree(at)
    at.unlink(missing_ok=True)
    at.mkdir() if is_file else at.write_text("mine")
    status, said = call(capsys, "run", "recipe.yaml", "--workers", "1", *fresh)
    assert "fault in Contextune" not in said
    assert "Traceback" not in said
    if fresh and is_file and name.startswith("arms"):
        assert status == 0, "an empty folder goes with its stage"
    else:
        assert (status, name in said) == (2, True), said
        assert at.is_dir() or at.read_text() == "mine"


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", ["x.txt", "notes.md", "deep/model.safetensors", "plan.json"])
def test_a_users_file_in_a_checkpoint_stays(mine, name, whole, capsys):
    folder = mine / "out" / STAGE / "checkpoint-9"
    folder.mkdir()
    for usual in ("model.safetensors", "config.json", "optimizer.pt", "rng_state_0.pth", "trainer_state.json"):
        (folder / usual).write_text("ours")
    if whole:
        seal(folder, checksums(folder, files_in(folder)))
    assert not list(foreign(mine / "out"))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    before = content(mine)
    for fresh in (["--fresh"], []):
        status, said = call(capsys, "run", "recipe.yaml", "--workers", "1", *fresh)
        assert (status, f"checkpoint-9/{name}" in said) == (2, True), said
    assert content(mine) == before


@pytest.mark.parametrize("edit", [lambda t: "my own", lambda t: t + "And so on.\n", lambda t: t.replace("Base", "My")])
def test_an_edited_card_stays(mine, edit, capsys):
    card = mine / "out" / STAGE / "model" / "README.md"
    mine_now = edit(card.read_text())
    card.write_text(mine_now)
    before = content(mine)
    status, said = call(capsys, "run", "recipe.yaml", "--fresh")
    assert (status, f"{STAGE}/model/README.md" in said) == (2, True), said
    assert content(mine) == before
    run("recipe.yaml", reporter=Reporter.silent())
    assert card.with_name("README.md.yours").read_text() == mine_now
    assert not edited(card)


@pytest.mark.parametrize(
    "edit", [lambda t: "mine", lambda t: t.replace("steps: 2", "steps: 3"), lambda t: f"# my\n{t}"]
)
def test_an_edited_recipe_of_a_run_stays(mine, edit):
    kept = mine / "out" / "recipe.yaml"
    text = edit(kept.read_text())
    for name in ("recipe.yaml.yours", "recipe.yaml.yours-2"):
        kept.write_text(text)
        clear(mine / "out")
        assert not kept.exists()
        assert (mine / "out" / name).read_text() == text


def test_a_plain_run_keeps_an_edited_recipe_and_no_other(mine):
    kept = mine / "out" / "recipe.yaml"
    for text in (kept.read_text(), "mine"):
        kept.write_text(text)
        run("recipe.yaml", reporter=Reporter.silent())
        assert not edited(kept)
        assert kept.with_name("recipe.yaml.yours").exists() == (text == "mine")


def test_fresh_does_not_follow_a_link(mine):
    elsewhere = mine / "big disk"
    shutil.move(mine / "out" / "arms", elsewhere)
    os.symlink(elsewhere, mine / "out" / "arms")
    before = content(mine)
    with pytest.raises(UserError, match=r"arms \(a link\)"):
        clear(mine / "out")
    assert content(mine) == before


def test_training_longer_removes_nothing_of_the_users(mine, capsys):
    (mine / "out" / STAGE / "model" / "notes.txt").write_text("mine")
    before = content(mine)
    status, said = call(capsys, "run", "recipe.yaml", "train.steps=3", "--workers", "1")
    assert (status, "training it longer would remove what no run has written: notes.txt" in said) == (2, True)
    assert {k: v for k, v in content(mine).items() if k.startswith("out/arms")} == {
        k: v for k, v in before.items() if k.startswith("out/arms")
    }


@pytest.mark.parametrize(
    "arguments",
    [
        "run recipe.yaml output=.",
        "run recipe.yaml output=. --fresh",
        "run recipe.yaml output=out/..",
        "run recipe.yaml output=.. --fresh",
        "run recipe.yaml output=HERE --fresh",
        "run recipe.yaml output=link --fresh",
        "run recipe.yaml output=out/arms --fresh",
        "train recipe.yaml output=out/outcomes",
        "run recipe.yaml output=quiz.jsonl",
        "run recipe.yaml output=quiz.jsonl/x",
        "run out/recipe.yaml",
        "run out/recipe.yaml --fresh",
        "run recipe.yaml model=out/arms/cpt/seed-0/stage-0/model --fresh",
        "run recipe.yaml data.docs.path=out/samples.json",
        "run recipe.yaml data.docs.path=out/outcomes/*.parquet",
        "check recipe.yaml output=. --quick",
        "run recipe.yaml output=. --dry-run",
        "preview recipe.yaml output=. --html",
        "augment recipe.yaml --out recipe.yaml",
        "augment docs.jsonl --operation reversed_strings --model pocket --out docs.jsonl",
        "augment docs.jsonl --operation reversed_strings --model pocket --out ./out/../docs.jsonl",
        "augment docs.jsonl --operation reversed_strings --model pocket --out quiz.jsonl",
        "augment docs.jsonl --operation reversed_strings --model pocket --out link",
        "augment docs.jsonl --operation reversed_strings --model pocket --out hard",
        "augment docs.jsonl --operation reversed_strings --model pocket --out listed.jsonl",
        "augment *.jsonl --operation reversed_strings --model pocket --out new.jsonl",
        "augment . --operation reversed_strings --model pocket --out new/made.jsonl",
        "augment docs.jsonl --operation reversed_strings --model pocket --out made.jsonl --store out",
        "augment docs.jsonl --operation reversed_strings --model pocket --out made.jsonl --store .",
        "augment docs.jsonl --operation reversed_strings --model pocket --out s/generated.sqlite --store s",
        "evaluate MODEL --task causal20 --out out",
        "evaluate MODEL --task causal20 --out .",
        "evaluate MODEL --task causal20 --out out/outcomes",
        "adapt MODEL --task mtop_de=x --out out",
        "lab mixture --steps 1 --seeds 1 --out out",
        "lab gradients recipe.yaml --out .",
        "lab support-matrix --only Llama --out recipe.yaml",
        "reproduce augmented --out out",
        "reproduce augmented --out . --fresh",
        "reproduce all --out .",
        "report .",
        "report out out --out thesis.html",
        "report out out --out link",
        "scratch out --text docs.jsonl",
        "pocket build out",
        "init quickstart recipe.yaml",
    ],
)
def test_no_command_writes_over_a_users_files(mine, tiny, arguments, capsys):
    os.symlink("quiz.jsonl" if "augment" in arguments or "report" in arguments else ".", "link")
    os.link("docs.jsonl", "hard")
    Path("thesis.html").write_text("<title>Thesis</title>")
    Path("listed.failures.jsonl").write_text("mine")
    before = content(mine)
    given = [a.replace("HERE", str(mine)).replace("MODEL", str(tiny)) for a in arguments.split(" ")]
    status, said = call(capsys, *given)
    assert (status, "error: " in said, "fault in Contextune" in said) == (2, True, False), said
    after = content(mine)
    assert {k: after.get(k) for k in before} == before
    assert not {k for k in set(after) - set(before) if not k.startswith(("docs.store", "new", "s/"))}


def test_a_folder_whose_mark_is_lost_is_still_a_runs(mine):
    (mine / "out" / ".contextune-run").unlink()
    claim(mine / "out")
    (mine / "out" / ".contextune-run").unlink()
    (mine / "out" / "thesis.md").write_text("mine")
    with pytest.raises(UserError, match="no run of Contextune wrote"):
        claim(mine / "out")


def test_what_a_recipe_reads_elsewhere_is_no_matter(mine):
    made = recipes.load(mine / "recipe.yaml")
    refuse_inputs(made, mine, mine / "other")
    refuse_inputs(made, mine, mine / "out")


SUFFIXES = ["/../../../../ESCAPED", "../..", "a/b", "/abs", "x\0y", "ü", "n" * 120, "a b", "a\nb"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_suffix_does_not_lead_out_of_the_folder(mine, suffix):
    with pytest.raises(UserError, match="part of a file's name"):
        load_task({**TASK, "before": {"policy": "prompts"}, "suffix": suffix}, mine)


@pytest.mark.parametrize("key", ["arms.../x.data=docs", "arms.a/b.data=docs", "name=../x", "arms.CPT.data=docs"])
def test_names_of_arms_and_runs_are_names(mine, key, capsys):
    status, said = call(capsys, "run", "recipe.yaml", key)
    assert (status, "fault in Contextune" in said) == (2, False), said


ARMS = ("none", "cpt", "cpt.seed-5.x", "a.seed-0.b", "cpt.seed-0.quiz.parquet")


def scored(folder: Path) -> Path:
    """A finished run of arms whose names look like names of files."""
    task = Task("quiz", "choice", tuple(Item(str(i), "q", 0, (" a", " b")) for i in range(4)), "accuracy")
    row = {"gold": " a", "predicted": " a", "correct": 1.0, "sums": [0.0, -1.0], "tokens": [1, 1], "bytes": [2, 2],
           "options": [" a", " b"]}  # fmt: skip
    for arm in ARMS:
        outcomes.write(
            folder / "outcomes" / outcomes.file_name(arm, 0, "quiz"), outcomes.table(task, [row] * 4, arm, 0)
        )
    value = {"name": "r", "model": "pocket", "data": {"d": {"path": "d.jsonl"}}, "compare": {"resamples": 100},
             "arms": {arm: None if arm == "none" else {"data": "d"} for arm in ARMS}}  # fmt: skip
    (folder / "recipe.yaml").write_text(dump(value))
    (folder / "run.json").write_text('{"schema": 1, "identity": "x", "status": "done"}')
    return folder


def test_the_report_shows_every_arm(tmp_path):
    folder = scored(tmp_path)
    assert tuple(rebuild(folder)["arms"]) == ARMS
    assert "Without results" not in write(folder).read_text()


def test_the_report_says_which_arm_is_missing(tmp_path):
    folder = scored(tmp_path)
    (folder / "outcomes" / outcomes.file_name("cpt.seed-5.x", 0, "quiz")).unlink()
    rebuild(folder)
    assert "Without results: <bdi>cpt.seed-5.x</bdi>." in write(folder).read_text()


def test_outcomes_that_would_be_one_file_are_refused(mine, capsys):
    recipe = yaml.safe_load(Path("recipe.yaml").read_text())
    recipe["evaluate"]["tasks"] = [TASK, {**TASK, "name": "x.seed-0.quiz"}]
    recipe |= {"output": "new", "seeds": [0, 5], "arms": {"cpt": {"data": "docs"}, "cpt.seed-5.x": {"data": "docs"}}}
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    status, said = call(capsys, "run", "recipe.yaml")
    assert (status, "would be one file, cpt.seed-5.x.seed-0.quiz.parquet" in said) == (2, True), said


TEXTS = [
    *(
        "1e5",
        "1.5e3",
        "yes",
        "~",
        "null",
        "2020-01-01",
        "0x1F",
        "0o7",
        "1_000",
        "12:30:00",
        "=",
        "<<",
        " a ",
        "",
        "a: b",
    ),
    *("# a", "- a", "[x]", "\x85", "\u2028", "a\nb", ".inf", ".nan", "!x", "&a", "*a", "%x", "'", '"'),
]


def test_a_kept_recipe_reads_back(tmp_path):
    made = recipes.parse({
        "model": "pocket", "data": {"d": {"path": TEXTS}}, "train": {"clip": 1e9, "lr": 1e-5},
        "arms": {"a": {"about": "1e5", "data": "d"}}, "about": "[/x] :smile:",
    })  # fmt: skip
    plain = json.loads(made.model_dump_json(exclude_defaults=True))
    (tmp_path / "recipe.yaml").write_text(dump(plain), encoding="utf-8")
    assert read_yaml(tmp_path / "recipe.yaml") == plain
    assert recipes.parse(read_yaml(tmp_path / "recipe.yaml")) == made
    assert made.train.clip == 1e9


MARKUP = ["[/x] a", "[red]b[/red]", "[/]", "[link=file:///x]y[/link]", ":smile:", "[bold", "\\[x]", "[@click=f]x[/]"]


@pytest.mark.parametrize("text", MARKUP)
def test_texts_are_no_markup(text, capsys):
    from rich.table import Table

    from contextune.core.progress import plain_console

    told = Reporter(plain_console(force_terminal=True, width=200, color_system=None))
    told.say(f"warning: {text}", "yellow")
    table = Table()
    table.add_column(text)
    table.add_row(text)
    told.show(table)
    with told.counting(text, 2) as line:
        line.advance(text, text)
        line.live.refresh()
    shown = capsys.readouterr().out
    assert shown.count(text) >= 4


@pytest.mark.parametrize("text", MARKUP[:4])
@pytest.mark.parametrize("arguments", [["TEXT"], ["run", "TEXT"], ["run", "r.yaml", "--TEXT"], ["report", "TEXT"]])
def test_markup_on_the_command_line(text, arguments, capsys):
    status, said = call(capsys, *(a.replace("TEXT", text) for a in arguments))
    assert (status, "fault in Contextune" in said) == (2, False), said


COMET = {"name": "t", "kind": "generate", "metric": "comet", "path": "quiz.jsonl", "prompt": "{{ q }}", "answer": "x"}


@pytest.mark.parametrize("arguments", ["run recipe.yaml", "train recipe.yaml", "check recipe.yaml --quick",
                                       "run recipe.yaml --dry-run", "evaluate MODEL --task t.yaml"])  # fmt: skip
@pytest.mark.parametrize("as_file", [False, True], ids=["in the recipe", "in a file"])
def test_no_task_runs_a_command_unasked(mine, tiny, arguments, as_file, capsys, monkeypatch):
    monkeypatch.delenv("CONTEXTUNE_ALLOW_COMMANDS", raising=False)
    Path("t.yaml").write_text(yaml.safe_dump({**COMET, "command": "touch PWNED"}))
    recipe = yaml.safe_load(Path("recipe.yaml").read_text())
    recipe["evaluate"]["tasks"] = ["t.yaml" if as_file else {**COMET, "command": "touch PWNED"}]
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe | {"output": "new"}))
    status, said = call(capsys, *arguments.replace("MODEL", str(tiny)).split())
    assert (status, "it would run the command 'touch PWNED'" in said) == (2, True), said
    assert "--allow-commands" in said
    assert not Path("PWNED").exists()


def test_no_command_from_python_unasked(mine, tiny, monkeypatch):
    from contextune.core.commands import allowing
    from contextune.evaluate import metrics

    monkeypatch.delenv("CONTEXTUNE_ALLOW_COMMANDS", raising=False)
    (task,) = load_task({**COMET, "command": "sh -c 'cat > PWNED; echo 1; echo 0.5'"}, mine)
    comet = metrics.find("comet")
    with pytest.raises(UserError, match="it would run the command"):
        comet.grade(task, task.items, ["a", "b"])
    assert not Path("PWNED").exists()
    with allowing(True):
        assert [g.correct for g in comet.grade(task, task.items, ["a", "b"])] == [1.0, 0.5]
    with pytest.raises(UserError), allowing(False):
        comet.grade(task, task.items, ["a", "b"])


@pytest.mark.parametrize("command", ["sleep 60", "sh -c 'sleep 60 | cat'", "sh -c 'sleep 60 & exit 0'"])
def test_a_command_ends_in_time_with_what_it_has_started(command):
    from contextune.core.commands import run as run_command

    began = time.monotonic()
    with pytest.raises(UserError, match=r"was not done after 0\.3 seconds"):
        run_command(shlex.split(command), "", 0.3, "t")
    assert time.monotonic() - began < 5


def test_code_of_a_model_is_not_run_unasked(tmp_path, tiny, capsys):
    """A recipe of somebody else's may say `trust_remote_code`; whoever gives the command decides."""
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    (tmp_path / "docs.jsonl").write_text('{"text": "w1 w2 w3"}\n')
    recipe = {
        "model": {"path": str(folder), "trust_remote_code": True},
        "data": {"docs": {"path": "docs.jsonl"}}, "arms": {"cpt": {"data": "docs"}},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    for command in (["check", "--quick"], ["run"]):
        status, said = call(capsys, command[0], str(tmp_path / "recipe.yaml"), *command[1:])
        assert status == 2
        assert "--allow-commands" in said
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_only_looks_like_a_checkpoint_stays(tmp_path):
    from contextune.train import checkpoints

    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-2").mkdir()
    assert checkpoints.last_whole(tmp_path) is None
    assert (tmp_path / "checkpoint-best").is_dir()
