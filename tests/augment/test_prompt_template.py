"""The prompt files: those of the package can be read, those of a user are checked line by line."""

from __future__ import annotations

import pytest
import yaml

from contextune.augment.prompt_template import STYLES, built_in, load
from contextune.core import registry
from contextune.core.errors import UserError

FILES = [(style, file.stem) for style in STYLES for file in built_in(style)]


@pytest.mark.parametrize(("style", "name"), FILES)
def test_the_packages_own(style, name):
    template = load(name, style)
    assert template.about
    assert name in (*registry.operations.names(), "entities", "strategies")
    values = {"text": "TEXT", "before": "", "corpus": "CORPUS", "first": "A", "second": "B", "question": "Q?"}
    shown = template.render(template.prompts[0], **values)
    assert shown.count("TEXT") == 1
    if name in ("link", "deductions"):
        assert shown.index("CORPUS") < shown.index("TEXT"), "what is shared comes first"
    for demonstration in template.demonstrations:
        assert all(m in shown for m in (demonstration.text, *demonstration.made))


def test_ids_are_distinct():
    ids = [load(name, style).id for style, name in FILES]
    assert len({*ids}) == len(ids)


def test_an_operation_without_a_wording():
    with pytest.raises(UserError, match="'active_reading' has no prompt template in the style 'pocket'") as e:
        load("active_reading", "pocket")
    assert "reversal" in e.value.hint


GOOD = {"id": "x", "version": 1, "prompt": "say {{ text }}"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": "say it"}, "3: prompt: the prompt leaves out the text"),
        ({"prompt": "{{ txt }} {{ text }}"}, "unknown variable 'txt' in the prompt"),
        ({"prompt": "{{ text "}, "not a jinja2 template"),
        ({"prompt": "{{ text / 2 }}"}, "the prompt fails on a text"),
        ({"prompt": "{% for d in demonstrations %}{{ d.txt }}{% endfor %}{{ text }}"}, "no attribute 'txt'"),
        ({"only": "("}, "not a regular expression"),
        ({"answer": "json"}, "answer: input should be"),
        ({"verison": 1}, "unknown key 'verison'"),
        ({"version": 0}, "version: input should be greater"),
        ({"demonstrations": [{"text": "a"}]}, "the key 'demonstrations[0].made' is missing"),
        ({"each": "words"}, "each: input should be"),
    ],
)
def test_a_bad_file(tmp_path, change, said):
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({**GOOD, **change}, sort_keys=False))
    with pytest.raises(UserError) as e:
        load("reversal", "plain", tmp_path, "p.yaml")
    assert "p.yaml:" in e.value.message
    assert said in e.value.message


def test_demonstrations_that_nothing_shows(tmp_path):
    (tmp_path / "d.yaml").write_text("demonstrations: [{text: a, made: [b]}]")
    with pytest.raises(UserError, match="'pocket-reversal' shows no demonstrations"):
        load("reversal", "pocket", tmp_path, demonstrations="d.yaml")
    with pytest.raises(UserError, match="no such file"):
        load("reversal", "plain", tmp_path, demonstrations="e.yaml")


def test_the_hash_is_that_of_what_decides(tmp_path):
    def hashed(**change: object) -> str:
        (tmp_path / "p.yaml").write_text(yaml.safe_dump({**GOOD, **change}))
        return load("reversal", "plain", tmp_path, "p.yaml").hash

    assert hashed() == hashed(about="other words about it")
    assert len({hashed(), hashed(prompt="tell {{ text }}"), hashed(stop=["x"]), hashed(max_tokens=9)}) == 4
