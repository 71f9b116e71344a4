"""A file, a mapping or a Recipe, wherever a recipe is taken; its mistakes are UserErrors."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import contextune
from contextune import Recipe, UserError

VALUES = {"model": "model", "data": {"docs": {"path": "docs.jsonl"}}, "arms": {"cpt": {"data": "docs"}}}


@pytest.fixture
def folder(tmp_path, tiny) -> Path:
    """A recipe in a folder beside its data, which is not where the test works."""
    made = tmp_path / "recipes"
    made.mkdir()
    (made / "mine.yaml").write_text(yaml.safe_dump(VALUES))
    (made / "docs.jsonl").write_text('{"text": "w1 w2 w3 w4 w5"}\n' * 4)
    (made / "model").symlink_to(tiny)
    return made


@pytest.mark.parametrize("form", ["file", "path", "recipe", "mapping", "overridden"])
def test_paths_begin_at_the_file_or_at_base(folder, form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = folder / "mine.yaml"
    given, more = {
        "file": (str(file), {}),
        "path": (file, {}),
        "recipe": (contextune.load(file), {}),
        "mapping": (VALUES, {"base": str(folder)}),
        "overridden": (contextune.load(contextune.load(file), ["train.lr=1e-3"]), {}),
    }[form]
    found = contextune.check(given, measure=False, overrides="output=here", **more)
    assert found["accounting"][0]["rows"] == 4
    assert contextune.prepare(given, *more.values()).out == Path("runs/comparison")


def test_paths_begin_where_one_works_if_there_is_no_file(folder, monkeypatch):
    monkeypatch.chdir(folder)
    values = {**VALUES, "model": Path("model"), "data": {"docs": {"path": Path("docs.jsonl")}}}
    for given in (values, Recipe.model_validate(values), Recipe(**VALUES)):
        assert contextune.check(given, measure=False)["accounting"][0]["rows"] == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trian": {}}, "recipe: unknown key 'trian'\nhint: did you mean 'train'?"),
        ({"seeds": [0, 0]}, "recipe: seeds: seeds must be different numbers"),
        ({"train": {"lr": "fast"}}, "recipe: train.lr: .*, found 'fast'"),
        ({"arms": {"cpt": {"data": "docs", "train": {"lrr": 1}}}}, "recipe: unknown key 'arms.cpt.train.lrr'"),
        ({"arms": {"cpt": {"data": "docs", "context": {"policy": "promts"}}}}, "recipe: unknown .*policy 'promts'"),
        ({"arms": {"cpt": {"data": "dosc"}}}, "recipe: arms.cpt: stage 0 uses data 'dosc'\nhint: did you mean 'docs'"),
        ({"model": None}, "recipe: model"),
    ],
)  # fmt: skip
def test_mistakes_are_user_errors(change, said, folder):
    values = {**VALUES, **change}
    for make in (Recipe.model_validate, lambda v: Recipe(**v), contextune.load, contextune.check, contextune.run):
        with pytest.raises(UserError, match=said):
            make(values)
    (folder / "mine.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=said.replace("recipe: ", "mine.yaml: ", 1)):
        contextune.load(folder / "mine.yaml")


@pytest.mark.parametrize("given", [3, None, ["a.yaml"], object()])
def test_what_is_no_recipe(given):
    for take in (contextune.load, contextune.check, contextune.run, contextune.prepare):
        with pytest.raises(UserError, match="a recipe is a file, a mapping or a Recipe, found"):
            take(given)
    with pytest.raises(UserError, match="expected a mapping"):
        Recipe.model_validate(given)


def test_an_arm_may_be_written_as_its_stage():
    short = contextune.Arm.model_validate({"data": "docs", "about": "plain"})
    assert short == contextune.Arm.model_validate({"stages": [{"data": "docs"}], "about": "plain"})
    assert Recipe.model_validate({**VALUES, "arms": {"cpt": short, "none": None}}).arms["cpt"] == short
