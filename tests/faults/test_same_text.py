"""The same template on the same row gives the same text, in every process and on every day."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, datetime

import pytest

from contextune.core.errors import UserError
from contextune.core.special_tokens import write_chat
from contextune.core.templates import TextTemplate, ValueTemplate

ROW = {
    "x": ["b", "a"], "a": {"p": 1, "q": 2, "r": 3}, "b": {"q": 1}, "when": datetime(2020, 1, 1),
    "day": date(2020, 1, 1), "t": "<object at 0x7f00aa11>", "now": {"now": 1},
}  # fmt: skip

ADDRESSES = ["x | map('upper')", "x | reverse", "x | batch(1)", "x | unique", "x | select", "x | map('upper') | string",
             "x | map('upper') | pprint", "x | reverse | replace('a', 'b')", "{'a': x | reverse} | xmlattr",
             "[x | map('upper')]", "{1: [x | reverse]}", "x | reverse ~ ''", "'%s' % (x | map('upper'))",
             "'{}'.format(x | map('upper'))", "cycler('a')", "(x | map('upper') | string) < 'g'"]  # fmt: skip
CHANCE = ["x | random", "x | map('random') | list", "lipsum()", "lipsum(n=1)", "x | map(attribute='a') | random"]
CLOCK = ["when.now()", "when.today()", "when.utcnow()", "day.today()", "day.today().year", "[when][0].now()"]


@pytest.mark.parametrize("said", [*ADDRESSES, *CHANCE, *CLOCK])
def test_what_differs_each_time_is_refused(said):
    for make in (lambda text: TextTemplate(text), lambda text: ValueTemplate(text, "answer", "")):
        with pytest.raises(UserError) as e:
            make("{{ " + said + " }}")(ROW, "row 3")
        assert " at 0x" not in e.value.message
        assert "\n" not in e.value.message


def test_the_fault_says_what_to_write():
    for text, said in {
        "{{ x | random }}": "No filter named 'random', which would give another text each time",
        "{{ x | reverse }}": "would write its address in memory, another one each time: write | list behind it",
        "{{ when.now() }}": "now reads the clock; strftime_now",
    }.items():
        with pytest.raises(UserError, match="line 1: No filter" if "random" in text else "row 3: template: ") as e:
            TextTemplate(text)(ROW, "row 3")
        assert said in e.value.message


STEADY = ["x | reverse | list", "x | map('upper') | join", "a.keys() - b.keys()", "(a.keys() - b.keys()) | join",
          "(a.keys() - ['p']) | list", "s", "s | join", "s | list", "[s]", "x | tojson", "a | dictsort", "self",
          "range(3)", "t", "[t]", "when", "now.now", "when.year", "5 - 3"]  # fmt: skip
PROGRAM = """
import json, sys
from datetime import datetime
from contextune.core.templates import TextTemplate
row, said = json.loads(sys.stdin.read())
row |= {"s": {"u", "v", "w", "xx", "yy"}, "when": datetime(2020, 1, 1)}
print(json.dumps([TextTemplate("{{ " + s + " }}")(row, "r") for s in said]))
loops = "{% for i in s %}{{ i }}{% endfor %}{% for k in a.keys() - b.keys() %}{{ k }}{% endfor %}"
print(TextTemplate(loops)(row, "r"))
"""


def test_two_processes_write_the_same():
    plain = json.dumps([{k: v for k, v in ROW.items() if k not in ("when", "day")}, STEADY])
    found = [
        subprocess.run([sys.executable, "-c", PROGRAM], input=plain, capture_output=True, text=True, check=True,
                       env={**os.environ, "PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert found[0] == found[1]
    assert found[0].splitlines()[1] == "uvwxxyypr"


@pytest.mark.parametrize("said", ["[1, 2] | random", "messages | map('upper')", "messages | reverse"])
def test_chat_templates_too(tokenizer, said):
    import copy

    hostile = copy.deepcopy(tokenizer)
    hostile.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}{{ " + said + " }}"
    with pytest.raises(UserError, match=r"the chat template refuses user: .*(each time|another)"):
        write_chat([{"role": "user", "content": "hi"}], hostile, "take another")


@pytest.mark.parametrize("said", ["[input] | random", "[input] | reverse", "lipsum()"])
def test_templates_of_examples_and_prompt_sets_too(said, tmp_path):
    from contextune.contexts.example_format import _rendered
    from contextune.core.sequence import Record, Segment
    from contextune.prompts import load

    pair = Record("r", (Segment("q", "context"), Segment("a", "target")), "r", True, "", {"input": "q", "output": "a"})
    with pytest.raises(UserError, match="template of an example"):
        _rendered("{{ " + said + " }}", pair)
    text = "{{ prompt }}{{ " + said.replace("input", "prompt") + " }}"
    (tmp_path / "p.yaml").write_text(
        f"name: p\nversion: 1\ntemplate: {json.dumps(text)}\nprompts: [{{id: a, text: b}}]"
    )
    with pytest.raises(UserError, match=r"p\.yaml"):
        load("p.yaml", tmp_path)
