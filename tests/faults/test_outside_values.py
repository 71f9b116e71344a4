"""Values from outside that are empty, endless or of odd characters: one error each, at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextune.cli import main
from contextune.core import ownership
from contextune.core.errors import UserError, commonest
from contextune.core.reading import whole_number
from contextune.core.yaml_files import parse_yaml
from contextune.data import paths
from contextune.data.options import Source
from contextune.evaluate.metrics import external
from contextune.evaluate.tasks.load import load_task
from contextune.experiment import recipe
from contextune.models.options import Model
from contextune.models.resolve import check, resolve

TASK = {
    "name": "mine", "kind": "choice", "rows": [{"q": "a"}], "prompt": "{{ q }}",
    "options": [" x", " y"], "answer": "0",
}  # fmt: skip


def refused(spec, **more) -> str:
    with pytest.raises(UserError) as error:
        load_task({**TASK, **spec}, Path(), **more)
    return str(error.value)


@pytest.mark.parametrize("words", [
    ["augment", "FILE", "--operation", "reversed_strings", "--out"], ["augment", "FILE", "--operation", "x", "--store"],
    ["evaluate", "pocket", "--task", "x", "--out"], ["report", "a", "b", "--out"],
    ["run"], ["check"], ["init", "quickstart"],
], ids=" ".join)  # fmt: skip
def test_an_empty_path_is_refused(words, tmp_path, monkeypatch, capsys):
    (tmp_path / "FILE").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        main([*words, ""])
    said = capsys.readouterr().err
    assert done.value.code == 2
    assert "empty, expected a path" in said
    assert "fault in Contextune" not in said
    assert [p.name for p in tmp_path.iterdir()] == ["FILE"]


@pytest.mark.parametrize("out", [".", "/", "./"])
def test_a_file_to_write_has_a_name(out, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        main(["augment", "FILE", "--operation", "reversed_strings", "--out", out])
    assert done.value.code == 2
    assert "expected the name of a file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "x\u202egpj", "\u2066a", "a\u2028b", "a\x7f"])
def test_paths_that_no_line_can_show(name, tmp_path):
    for refuse in (lambda p: ownership.claim(p, "run"), ownership.may_write):
        with pytest.raises(UserError, match="holds the character U\\+") as error:
            refuse(tmp_path / name)
        assert error.value.message.isprintable()
    assert not list(tmp_path.iterdir())
    for plain in ("a b", "é", "\u0646\u0645\u06cc\u200c", "日本"):
        ownership.may_write(tmp_path / plain)


@pytest.mark.parametrize("answer", ["0" * 5000, "9" * 5000, "9" * 19, "²", "-1", "1_0", ""])
def test_an_answer_of_thousands_of_digits(answer):
    said = refused({"rows": [{"q": "a", "a": answer}], "answer": "{{ a }}"})
    assert "answer" in said
    assert len(said) < 400
    assert whole_number(answer) is None
    assert [whole_number(n) for n in ("0", "007", "9" * 18)] == [0, 7, 10**18 - 1]


def test_a_score_beyond_any_float():
    for line in ("9" * 400, '{"score": ' + "9" * 400 + "}", "9" * 5000):
        with pytest.raises(UserError, match="expected a number"):
            external._number(line, "judge", 1, "task mine")


@pytest.mark.parametrize("key", ["9" * 5000, "²", "٣"])
def test_keys_of_digits_in_a_recipe(key):
    value = {"model": "m", "data": {"d": {"path": ["x", 1]}}, "arms": {"a": {"data": "d", "train": {key: {key: 1}}}}}
    with pytest.raises(UserError):
        recipe.parse(value)


@pytest.mark.parametrize("prompt", [
    "{{ ('http://a.b '*100000)|urlize }}", "{{ ('ab '*300000)|wordwrap(1) }}", "{{ 'a' * 70000 }}",
])  # fmt: skip
def test_a_prompt_many_times_longer_than_the_model_reads(prompt):
    for kind in ("choice", "generate"):
        spec = {"kind": kind, "prompt": prompt} | ({"options": [], "answer": "b"} if kind == "generate" else {})
        said = refused(spec, window=512)
        assert "task mine: item 0: its prompt has" in said
        assert "reads 512 tokens" in said
    load_task({**TASK, "prompt": "{{ 'a' * 60000 }}"}, Path(), window=512)
    load_task({**TASK, "prompt": "{{ 'a' * 70000 }}"}, Path(), window=8192)


@pytest.mark.parametrize("key", ["id", "cluster"])
def test_a_name_as_long_as_a_text(key):
    said = refused({key: "{{ 'x' * 500000 }}"})
    assert f"row 1: {key}: 500,000 characters, at most 1,000" in said


@pytest.mark.parametrize(
    "path", ["/", "/**", "/**/*.txt", "/*/**", "../" * 40, "/proc", "/proc/self/fd", "/sys/*", "/dev"]
)
def test_roots_of_the_system_are_no_data(path, tmp_path):
    with pytest.raises(UserError, match=r"the whole file system|a folder of the system") as error:
        paths.find(Source(path=path), tmp_path)
    assert "folder that holds your texts" in error.value.hint


def test_a_link_to_the_system_is_passed_over(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "link").symlink_to("/proc")
    assert "link/ (a folder of the system)" in str(paths.find(Source(path=str(tmp_path)), tmp_path).ignored)
    assert [f.name for f in paths.find(Source(path="**/*.txt"), tmp_path).files] == ["a.txt"]


VALUES = {"model": "m", "data": {"d": {"path": "x"}}, "arms": {"a": {"data": "d"}}}


@pytest.mark.parametrize(("changes", "said"), [
    ("arms.a.data=[]", "recipe: arms.a.data: empty, name a source"),
    ("arms.a={stages: [{data: []}]}", "empty, name a source"),
    ("arms.a.data=[d,d]", "arms.a.data: 'd' is named twice"),
    ("train.lr=1e-13", "train.lr: .*greater than or equal"),
    ("train.clip=1e-300", "train.clip: .*greater than or equal"),
    ("train.betas=[0.9]", "train.betas: 2 values are needed, found 1"),
    ("train.betas=[]", "train.betas: 2 values are needed, found 0"),
    ("train.adapter.alpha=1e30", "train.adapter.alpha: .*less than or equal to 1000000, found"),
    ("train.batch=1e300", "train.batch: .*less than or equal to 65536"),
    ("output=", "output is empty"),
    ("train.lr=", "train.lr is empty"),
    ("data.d.path={}", "data.d.path"),
    ("seeds=[]", "hint: for example"),
    ("seeds=[1,1]", "hint: for example"),
    ("arms={}", "hint: arms: {NAME"),
    ("arms={b: , B: }", "hint: rename one of them"),
    ("evaluate.perplexity=[d]", "hint: data.d.held_out=0.05"),
    ("evaluate.perplexity=[e]", "hint: known: d"),
    ("compare.baseline=zz", "hint: known: a"),
])  # fmt: skip
def test_what_a_recipe_cannot_mean_has_the_fix_of_its_own(changes, said):
    with pytest.raises(UserError, match=said):
        recipe.load(VALUES, changes)


@pytest.mark.parametrize("options", [["a", "a"], ["{{ q }}", "{{ q }}", "b"], [" yes", " no", " yes"]])
def test_equal_options_are_no_choice(options):
    assert "is there twice" in refused({"options": options})


@pytest.mark.parametrize(("prompt", "said"), [
    ("{% include 'x' %}", "templates cannot include"),
    ("{% import 'x' as y %}", "hint: write the text itself"),
    ("{% extends 'x' %}", "templates cannot include"),
    ("{{ self }}", "self is the template"),
    ("{{ [self] }}", "self is the template"),
    ("{{ range(10**9) | list }}", "shorten its loops"),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "shorten its loops"),
    ("{% for a in [[1]] recursive %}{{ loop(a) }}{% endfor %}", "over what is no list"),
    ("{{ q | xmlattr }}", "a filter of mappings"),
])  # fmt: skip
def test_what_templates_cannot_do_is_said_in_words(prompt, said):
    found = refused({"prompt": prompt})
    assert said in found
    assert "TypeError" not in found


@pytest.mark.parametrize(("text", "hint"), [
    ("*", "in quotes"), ("*x", "in quotes"), ("&", "in quotes"), ("!x y", "tag"), ("!!python/name:os.system", "tag"),
    ("&a [*a]", "leave the reference"), ("[" * 70 + "]" * 70, "fewer levels"), ("9" * 400, "smaller number"),
    ('"\\0"', "remove it"), ("{a: 1, a: 2}", "keep one"), ("{[1]: 2}", "text as the key"),
])  # fmt: skip
def test_the_fix_of_yaml_fits(text, hint):
    with pytest.raises(UserError) as error:
        parse_yaml(text, "override")
    assert hint in error.value.hint
    assert "x00" not in error.value.message


@pytest.mark.parametrize("name", ["a\nb", "x" * 3000, "\u202eb"])
def test_a_models_name_stays_in_its_line(name, tmp_path):
    for refuse in (lambda: resolve(Model(path=f"./{name}"), tmp_path), lambda: check(name)):
        with pytest.raises(UserError) as error:
            refuse()
        assert error.value.message.isprintable()
        assert len(error.value.message) < 500


def test_reasons_are_short_and_grouped():
    long = "the server said " + "x" * 4000
    assert commonest([long, f"{long}y", "b\nc"]) == [f"2 times: {long[:90]}…", "1 times: b c"]
