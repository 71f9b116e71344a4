"""Templates from outside end, in data, prompts, examples and chat templates, with one message of what is wrong."""

from __future__ import annotations

import copy
import time

import pytest

from contextune.core import template_budget
from contextune.core.errors import UserError
from contextune.core.special_tokens import write_chat
from contextune.core.templates import TextTemplate, ValueTemplate

GROW = "{%% set ns = namespace(x='ab') %%}{%% for i in range(99) %%}{%% set ns.x = %s %%}{%% endfor %%}"
ENDLESS = {
    "loops": "{% for a in range(9999) %}{% for b in range(9999) %}{{ x }}{% endfor %}{% endfor %}",
    "empty turns": "{% for a in range(99999) %}{% for b in range(99999) if b < 0 %}{% endfor %}{% endfor %}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "recursion": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "a loop in itself": "{% for a in [x] recursive %}{{ loop([a]) }}{% endfor %}",
    "a block in itself": "{% block a %}{{ self.a() }}{% endblock %}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "product": "{% set ns = namespace(x=2) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "text": "{{ x * 9 ** 9 }}",
    "list": "{{ [x] * 9 ** 8 }}",
    "grows by ~": GROW % "ns.x ~ ns.x",
    "grows by +": GROW % "ns.x + ns.x",
    "grows by %": GROW % "'%s%s' % (ns.x, ns.x)",
    "grows by format": GROW % "'{}{}'.format(ns.x, ns.x)",
    "grows by join": GROW % "[ns.x, ns.x] | join",
    "grows by replace": GROW % "ns.x | replace('a', 'aa')",
    "grows as a list": GROW % "[ns.x, ns.x]",
    "grows as a mapping": GROW % "dict(a=ns.x, b=ns.x)",
    "grows in a set block": "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x %}{{ ns.x }}{{ ns.x }}"
    "{% endset %}{% endfor %}",
    "center": "{{ x | center(999999999) }}",
    "ljust": "{{ x.ljust(999999999) }}",
    "zfill": "{{ x.zfill(999999999) }}",
    "expandtabs": "{{ '\t'.expandtabs(999999999) }}",
    "indent": "{{ x | indent(999999999, true) }}",
    "format": "{{ '%999999999d' | format(1) }}",
    "format of a width": "{{ '%*d' | format(999999999, 1) }}",
    "%": "{{ '%999999999d' % 1 }}",
    "str.format": "{{ '{:999999999}'.format(1) }}",
    "str.format of a width": "{{ '{:{w}}'.format(1, w=999999999) }}",
    "batch": "{{ [x] | batch(999999999, 'x') | list }}",
    "sum of lists": "{{ ([[1]] * 100000) | sum(start=[]) }}",
    "join": "{{ range(100000) | map('string') | join(x * 60000) }}",
    "tojson": "{{ {x: [1]} | tojson(indent=999999999) }}",
    "striptags": "{{ ('<!--' * 1000000) | striptags }}",
    "lipsum": "{{ lipsum(n=9999999) }}",
    "parentheses": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "attributes": "{{ x" + ".a" * 20_000 + " }}",
    "blocks": "{% for a in x %}" * 40 + "{% endfor %}" * 40,
    "digits": "{{ " + "9" * 5_000 + " }}",
    "long": "{{ x }}" + "a" * 2_000_000,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_templates_end(name, monkeypatch):
    monkeypatch.setattr(template_budget, "SECONDS", 0.3)
    monkeypatch.setattr(template_budget, "STEPS", 10_000)
    began = time.process_time()
    with pytest.raises(UserError, match="key") as e:
        TextTemplate(ENDLESS[name], "key")({"x": "abc"}, "a.jsonl:3")
    assert time.process_time() - began < 3
    assert e.value.hint
    assert len(e.value.message) < 400


def test_an_expression_is_bounded_and_each_has_bounds_of_its_own(monkeypatch):
    monkeypatch.setattr(template_budget, "STEPS", 20)
    options = ValueTemplate("{{ x.split() }}", "options", "task t")
    for row in range(30):
        assert options({"x": "a b"}, f"row {row}") == ["a", "b"]
    with pytest.raises(UserError, match="row 1: options: it takes more than"):
        ValueTemplate("{{ x * 9 ** 9 }}", "options", "task t")({"x": "a"}, "row 1")


def test_a_busy_machine_refuses_nothing(monkeypatch):
    """The time that counts is the processor's: another program may have it for as long as it likes."""
    clock = iter(range(0, 10**9, 60))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert TextTemplate("{% for a in range(9) %}{{ x }}{% endfor %}", "key")({"x": "b"}, "a.jsonl:3") == "b" * 9


def test_what_rows_need_is_left_alone():
    row = {"text": "ä b\n" * 500_000, "turns": [{"role": "user", "content": "c" * 1000}] * 300, "n": [1.5] * 1000}
    said = "{{ text }}{% for t in turns[1:] %}{{ t.role | upper ~ ': ' + t.content }}{% endfor %}{{ n | sum }}"
    said += "{{ '%.2f' % n[0] }}"
    assert len(TextTemplate(said)(row, "r")) == 2_000_000 + 299 * 1006 + len("1500.01.50")
    assert (
        TextTemplate("{{ [1, 2] | join('-') }}{{ (1, 2) | tojson }}{{ 2 ** 10 }}{{ 'a' | center(5) }}")({}, "r")
        == "1-2[1, 2]1024  a  "
    )
    assert (
        TextTemplate("{{ rows | sum(attribute='n') }}{{ [[1], [2]] | sum(start=[]) }}")({"rows": [{"n": 2}]}, "r")
        == "2[1, 2]"
    )


def test_prompts_and_examples_are_bounded(tmp_path):
    from contextune.contexts.example_format import _rendered
    from contextune.core.sequence import Record, Segment
    from contextune.prompts import load

    (tmp_path / "p.yaml").write_text(
        'name: p\nversion: 1\ntemplate: "{{ prompt * 9 ** 9 }}"\nprompts: [{id: a, text: b}]'
    )
    with pytest.raises(UserError, match=r"fails on a text .more than") as e:
        load("p.yaml", tmp_path)
    assert e.value.hint
    record = Record("r1", (Segment("q", "context"), Segment("a", "target")))
    with pytest.raises(UserError, match="template of an example: r1: more than"):
        _rendered("{{ input * 9 ** 9 }}", record)


@pytest.mark.parametrize("name", ["loops", "macros", "power", "text", "grows by ~", "center", "blocks", "lipsum"])
def test_chat_templates_are_bounded(name, tokenizer, monkeypatch):
    monkeypatch.setattr(template_budget, "STEPS", 10_000)
    hostile = copy.deepcopy(tokenizer)
    hostile.chat_template = "{% set x = messages[0].content %}" + ENDLESS[name]
    began = time.process_time()
    with pytest.raises(UserError, match=r"the chat template (takes|refuses)") as e:
        write_chat([{"role": "user", "content": "hi"}], hostile, "take another")
    assert time.process_time() - began < 3
    assert e.value.hint
