"""What must answer at once does, without torch; what prints JSON prints nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIGHT = [["--help"], ["--version"], ["run", "--help"], ["recipes"], ["recipes", "--json"], ["schema"],
         ["prompts"], ["worlds"], ["prompts", "learning", "--json"], ["run", "no-such-recipe.yaml"]]  # fmt: skip


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_light_commands_never_import_torch(arguments):
    probe = (
        "import sys, contextlib, io\nfrom contextune.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as e:\n    code = e.code\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pyarrow', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy), code, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert f"HEAVY [] {2 if 'no-such' in arguments[-1] else 0}" in done.stderr
    if "--json" in arguments or arguments == ["schema"]:
        json.loads(done.stdout)


def test_schema_accepts_every_ready_recipe():
    jsonschema = pytest.importorskip("jsonschema")
    from contextune.cli.recipes import folder
    from contextune.core.yaml_files import read_yaml
    from contextune.experiment.schema import recipe_schema

    schema = recipe_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for file in folder().glob("*.yaml"):
        validator.validate(json.loads(json.dumps(read_yaml(file))))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"model": "m", "data": {}, "arms": {"a": {"data": "d", "lr": 1}}})


def test_every_ready_recipe_parses_and_says_what_it_is():
    from contextune.cli.recipes import about, folder
    from contextune.experiment import recipe

    files = list(folder().glob("*.yaml"))
    assert len(files) >= 5
    for file in files:
        recipe.load(file)
        assert len(about(file)) > 30


def test_a_copied_recipe_is_the_recipe(tmp_path, monkeypatch, capsys):
    from contextune.cli import main
    from contextune.cli.recipes import folder

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["init", "cft"])
    assert Path("cft.yaml").read_text() == (folder() / "cft.yaml").read_text()


@pytest.mark.parametrize("name", ["quickstart"])
def test_a_ready_recipe_previews(name, capsys, tmp_path, monkeypatch):
    """With its deciding tasks named, although a preview loads none."""
    from contextune.cli import main
    from contextune.cli.recipes import folder

    recipe = str(folder() / f"{name}.yaml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["preview", recipe, "--json", "--arm", "cpt", "--row", "2", "--rows", "1"])
    (row,) = json.loads(capsys.readouterr().out)
    assert end.value.code in (0, None)
    first, second = row["epochs"]
    assert first["tokens"] == second["tokens"], "nothing precedes the text, so nothing is drawn"
    assert first["counts"]["trained"] == len(first["tokens"]) - 1


def test_numbers_as_people_write_them():
    from contextune.core.yaml_files import apply

    assert apply({}, ["train.lr=1e-4", "model.revision=v2", "seeds=[1, 2]"]) == {
        "train": {"lr": 1e-4}, "model": {"revision": "v2"}, "seeds": [1, 2],
    }  # fmt: skip
    assert apply({"model": "m"}, ["model.revision=v2"]) == {"model": {"path": "m", "revision": "v2"}}


def test_datasets_is_quiet_whether_it_is_there_or_comes_later():
    """A command that needs none of it does not import it, which takes a second."""
    code = (
        "import os, sys\nfrom contextune.core.environment import quiet_libraries\n"
        "quiet_libraries()\n"
        "print('datasets' in sys.modules, os.environ.pop('HF_DATASETS_DISABLE_PROGRESS_BARS'))\n"
        "import datasets\nbefore = datasets.are_progress_bars_disabled()\n"
        "quiet_libraries()\nprint(before, datasets.are_progress_bars_disabled())"
    )
    environment = {k: v for k, v in os.environ.items() if k != "HF_DATASETS_DISABLE_PROGRESS_BARS"}
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert made.stdout.splitlines() == ["False 1", "False True"]
