"""Users' files: whatever output, --out, --store, --fresh, suffixes, names and links say, they stay as they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from contextune.core import ownership
from contextune.core.errors import UserError
from contextune.core.files import checksums, edited, files_in, seal
from contextune.core.progress import Reporter
from contextune.experiment import recipe as recipes
from contextune.experiment.run import run
from contextune.experiment.run_files import claim, clear, foreign, refuse_inputs

from .users_folder import call, content


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
    for usual in (
        "model.safetensors",
        "config.json",
        "optimizer.pt",
        "rng_state_0.pth",
        "trainer_state.json",
        ".tmpDvJZ1m",
    ):
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


def test_a_folder_that_only_looks_like_a_checkpoint_stays(tmp_path):
    from contextune.train import checkpoints

    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-2").mkdir()
    assert checkpoints.last_whole(tmp_path) is None
    assert (tmp_path / "checkpoint-best").is_dir()
