"""Chat templates as Go templates, and those that have none."""

from __future__ import annotations

import copy

import pytest

from contextune.deploy.ollama import modelfile, pieces

CHATML = (
    "{% if messages[0].role != 'system' %}<|system|>Be kind.<|end|>\n{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for m in messages %}<turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}</turn>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
LAST_TURN_DIFFERS = (
    "{% for m in messages %}{{ '>>' if loop.last else '>' }}{{ m.role }} {{ m.content }};{% endfor %}"
    "{% if add_generation_prompt %}A:{% endif %}"
)
COUNTS = "{% for m in messages %}{{ loop.index }} {{ m.role }} {{ m.content }};{% endfor %}A:"


@pytest.fixture
def told(tokenizer):
    def of(template):
        made = copy.deepcopy(tokenizer)
        made.chat_template = template
        return modelfile(made)

    return of


def test_a_template_becomes_a_go_template_and_its_default_a_system_turn(told):
    text, lacks = told(CHATML)
    assert lacks == ""
    assert text == (
        "FROM .\n"
        'TEMPLATE """{{ range .Messages }}{{ if eq .Role "user" }}<|user|>{{ .Content }}<|end|>\n'
        '{{ else if eq .Role "assistant" }}<|assistant|>{{ .Content }}<|end|>\n'
        '{{ else if eq .Role "system" }}<|system|>{{ .Content }}<|end|>\n'
        '{{ end }}{{ end }}<|assistant|>"""\n'
        'SYSTEM """Be kind."""\n'
        'PARAMETER stop "<|end|>"\n'
        'PARAMETER stop "</s>"\n'
    )


def test_without_system_turns(told):
    text, lacks = told(GEMMA)
    assert lacks == "a system turn is left out: the chat template has no turn of its own for it"
    assert text.startswith(
        'FROM .\nTEMPLATE """{{ range .Messages }}{{ if eq .Role "user" }}<turn>user\n{{ .Content }}'
    )
    assert '"system"' not in text
    assert "<s>" not in text  # Ollama puts it there, as the tokenizer does


@pytest.mark.parametrize(
    "template", [LAST_TURN_DIFFERS, COUNTS, "{{ raise_exception('never') }}", "{{ messages | length }}"]
)
def test_templates_that_say_more_than_turn_by_turn_are_said_to_have_none(told, template):
    text, lacks = told(template)
    assert text == "FROM .\n"
    assert lacks.startswith("the chat template ")


def test_braces_and_quotes(told):
    text, lacks = told(
        "{% for m in messages %}{{ '{{' }}{{ m.role }}}} {{ m.content }};{% endfor %}{{ '{{' }}assistant}} "
    )
    assert (text, lacks != "") == ("FROM .\n", True)  # the generation prompt is always there
    quoted = CHATML.replace("Be kind.", 'Say """.')
    assert told(quoted) == ("FROM .\n", 'the chat template holds """, which a Modelfile cannot quote')
    text, lacks = told(CHATML.replace("<|end|>", "{{ '{{' }}"))
    assert (lacks, text.count('{{ "{{" }}')) == ("", 3)


def test_without_a_template(tokenizer):
    plain = copy.deepcopy(tokenizer)
    plain.chat_template = None
    assert modelfile(plain) == ('FROM .\nTEMPLATE """{{ .Prompt }}"""\n', "the tokenizer has no chat template")
    assert pieces(plain) == "the tokenizer has no chat template"
