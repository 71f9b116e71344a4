"""Users' own files: what is read, and how each mistake is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextune.core.errors import UserError
from contextune.prompts import Prompt, PromptSet, load, load_meta

GOOD = """\
name: mine
version: 2
template: "[{{ category }}] {{ prompt }}\\n"
prompts:
  - id: a
    category: Look
    text: Look at it.
  - {id: b, category: Listen, text: "Listen to it: closely."}
"""


def write(folder, text, name="mine.yaml"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_own_yaml_beside_the_recipe(tmp_path):
    write(tmp_path, GOOD)
    chosen = load("mine.yaml", tmp_path)
    assert (chosen.name, chosen.version, chosen.licence) == ("mine", 2, "")
    assert [chosen.render(p) for p in chosen.prompts] == ["[Look] Look at it.\n", "[Listen] Listen to it: closely.\n"]
    assert load(str(tmp_path / "mine.yaml")) == chosen


def test_blanks_around_a_text_are_none_of_it(tmp_path):
    write(tmp_path, GOOD.replace("text: Look at it.", "text: >\n      Look\n      at it.\n"))
    assert load("mine.yaml", tmp_path).prompts[0].text == "Look at it."


def test_own_text_file(tmp_path):
    write(tmp_path, "\ufeffLook at it.\r\n\r\n  Listen to it.  \n", "two.txt")
    chosen = load("two.txt", tmp_path)
    assert chosen.prompts == (Prompt(id="line-1", text="Look at it."), Prompt(id="line-3", text="Listen to it."))
    assert [chosen.render(p) for p in chosen.prompts] == ["Look at it. ", "Listen to it. "]
    assert chosen.name == "two"


def test_prompt_text_is_no_template(tmp_path):
    chosen = PromptSet(name="x", version=1, template="{{ prompt }} ", prompts=(Prompt(id="1", text="{{ 7 * 7 }} {%"),))
    assert chosen.render(chosen.prompts[0]) == "{{ 7 * 7 }} {% "


def replaced(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


BAD = {  # file: (what the message says, what the hint says)
    "misspelt key": (replaced("version", "versoin"), "mine.yaml:2: unknown key 'versoin'", "did you mean 'version'?"),
    "misspelt key of a prompt": (
        replaced("    category: Look", "    categroy: Look"), "mine.yaml:6: unknown key 'prompts[0].categroy'",
        "did you mean 'category'?",
    ),
    "missing key": (replaced("name: mine\n", ""), "mine.yaml:1: the key 'name' is missing", "keys here: name, version"),
    "missing text": (
        replaced("    text: Look at it.\n", ""), "mine.yaml:5: the key 'prompts[0].text' is missing",
        "keys here: id, category, text",
    ),
    "duplicate id": (
        replaced("{id: b", "{id: a"), r"mine.yaml:8: prompts[1].id: duplicate id, also that of prompts[0] ('a')",
        "list each prompt once",
    ),
    "duplicate text": (
        replaced('"Listen to it: closely."', "Look at it."), "mine.yaml:8: prompts[1].text: duplicate text", "once",
    ),
    "empty text": (replaced("Look at it.", "'  '"), "mine.yaml:7: prompts[0].text: the prompt is empty", "remove"),
    "null text": (replaced("Look at it.", ""), "mine.yaml:7: prompts[0].text: input should be a valid string", ""),
    "a text that YAML takes for no": (replaced("category: Look", "category: No"), "found False", ""),
    "no prompts": (GOOD[: GOOD.index("prompts:")] + "prompts: []\n", "mine.yaml:4: prompts: tuple should have at", ""),
    "unknown template variable": (
        replaced("{{ category }}", "{{ categroy }}"), "mine.yaml:3: template: unknown variable 'categroy'",
        "did you mean 'category'?",
    ),
    "template with a function of chance": (replaced("{{ category }}", "{{ lipsum() }}"), "variable 'lipsum'", "known:"),
    "template with a filter of chance": (replaced("{{ category }}", "{{ category|random }}"), "No filter", "brace"),
    "template without the prompt": (
        replaced("{{ prompt }}", "prompt"), "mine.yaml:3: template: the template leaves out the prompt", "{{ prompt }}",
    ),
    "template not closed": (replaced("{{ prompt }}", "{{ prompt"), "mine.yaml:3: template: not a jinja2", "brace"),
    "template that fails": (replaced("{{ prompt }}", "{{ prompt / 2 }}"), "template: the template fails", ""),
    "template that includes a file": (replaced("{{ category }}", "{% include 'a' %}"), "template: ", ""),
    "template names a category that a prompt lacks": (
        replaced("    category: Look\n", ""), "mine.yaml:5: prompts[0]: the prompt has no category", "{{ prompt }} ",
    ),
    "version in words": (replaced("version: 2", "version: two"), "mine.yaml:2: version: input should be", ""),
    "indentation": (replaced("    text: Look", "   text: Look"), "mine.yaml:7: not valid YAML", "indentation"),
    "key given twice": (replaced("version: 2", "version: 2\nname: b"), "mine.yaml:3: not valid YAML (the key", ""),
    "impossible date": (replaced("version: 2", "version: 2024-99-99"), "mine.yaml:2: version: input should be", ""),
    "code": (replaced("name: mine", "name: !!python/name:os.system"), "mine.yaml:1: not valid YAML", ""),
    "two documents": (GOOD + "---\n" + GOOD, "mine.yaml:9: not valid YAML", ""),
    "a list": ("- a\n- b\n", "expected a mapping of keys, found list", ""),
    "nothing": ("# only a comment\n", "expected a mapping of keys, found nothing", ""),
    "not UTF-8": ("name: caf\xe9".encode("latin-1"), "mine.yaml: not UTF-8 at byte 9", "UTF-8"),
    "control characters": (b"name: \x00", "mine.yaml:1: not valid YAML (the character U+0000", "UTF-8"),
    "a list within itself": (replaced("name: mine", "name: &x [*x]"), "mine.yaml:1: not valid YAML (an alias", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_yaml(case, tmp_path):
    text, message, hint = BAD[case]
    write(tmp_path, text)
    with pytest.raises(UserError) as e:
        load("mine.yaml", tmp_path)
    assert message in e.value.message
    assert hint in e.value.hint


def test_bad_text_files(tmp_path):
    write(tmp_path, "One.\n\nTwo.\nOne.\n", "twice.txt")
    with pytest.raises(UserError, match=r"twice\.txt:4: the same prompt as line 1"):
        load("twice.txt", tmp_path)
    write(tmp_path, " \n\n", "empty.txt")
    with pytest.raises(UserError, match=r"empty\.txt: no prompts in it"):
        load("empty.txt", tmp_path)


def test_bad_names(tmp_path):
    write(tmp_path, GOOD)
    (tmp_path / "folder.yaml").mkdir()
    for name, message, hint in (
        ("lerning", "unknown prompt set 'lerning'", "did you mean 'learning'?; or give a .yaml or .txt file"),
        ("meta", "unknown prompt set 'meta'", "known: learning, negative, neutral"),
        ("mien.yaml", "no such file", "did you mean 'mine.yaml'?"),
        ("gone/mine.yaml", "no such file", ""),
        ("mine.json", "unknown kind of prompt file", "expected .yaml, .yml or .txt"),
        ("folder.yaml", "a folder", ""),
    ):
        with pytest.raises(UserError) as e:
            load(name, tmp_path)
        assert message in e.value.message, name
        assert hint in e.value.hint, name


def test_own_meta_prompt(tmp_path):
    write(tmp_path, "name: m\nversion: 3\nask: 'Guide me: {{ text }}'\ntemplate: '({{ prompt }}) '\n", "m.yaml")
    meta = load_meta("m.yaml", tmp_path)
    assert (meta.id, meta.question("T"), meta.render("P")) == ("m@3", "Guide me: T", "(P) ")
    for text, message in (
        ("name: m\nversion: 3\nask: Guide me\n", "m.yaml:3: ask: the template leaves out the text"),
        ("name: m\nversion: 3\nask: '{{ text }} {{ answer }}'\n", "m.yaml:3: ask: unknown variable 'answer'"),
        ("name: m\nversion: 0\nask: '{{ text }}'\n", "m.yaml:2: version: input should be greater"),
        ("name: m\nversion: 1\nasks: '{{ text }}'\n", "m.yaml:3: unknown key 'asks' (and 1 more)"),
    ):
        write(tmp_path, text, "m.yaml")
        with pytest.raises(UserError) as e:
            load_meta("m.yaml", tmp_path)
        assert message in e.value.message
    with pytest.raises(UserError, match="unknown kind of meta-prompt file"):
        load_meta("m.txt", tmp_path)


@given(st.text(max_size=80))
def test_any_text_is_a_set_or_a_user_error(tmp_path_factory, text):
    """No file of whatever content ends in another exception."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    for content in (text, f"name: a\nversion: 1\nprompts: {text}", GOOD.replace("Look at it.", text)):
        path.write_text(content, encoding="utf-8", errors="replace")
        try:
            outcome = load(str(path)).prompts[0].id
        except UserError as e:
            outcome = e.message
        assert outcome
