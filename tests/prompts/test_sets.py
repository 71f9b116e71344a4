"""The sets that come with the package: complete, distinct, of equal length, and their words as released."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections import Counter

import pytest

from contextune.core.errors import UserError
from contextune.prompts import Prompt, PromptSet, load, load_meta, names

SETS = ("learning", "negative", "neutral")


def test_names():
    assert names() == list(SETS)


@pytest.mark.parametrize("name", SETS)
def test_ten_categories_of_at_least_three(name):
    chosen = load(name)
    assert (chosen.name, chosen.version, chosen.licence) == (name, 1, "Apache-2.0")
    assert chosen.source
    assert len(chosen.categories) == 10
    assert min(Counter(p.category for p in chosen.prompts).values()) >= 3


def test_the_categories_of_the_paper():
    assert load("learning").categories == (
        "Application of Knowledge",
        "In-Depth Exploration",
        "Reflective Thinking",
        "Creative Interpretation",
        "Summarization and Synthesis",
        "Focus on Key Concepts",
        "Contextual Understanding",
        "Critical Analysis",
        "Question-Based Learning",
        "Comparative Learning",
    )


@pytest.mark.parametrize("name", SETS)
def test_one_or_two_plain_sentences(name):
    for prompt in load(name).prompts:
        assert prompt.text.isascii(), prompt.id
        assert prompt.text[-1] in ".?", prompt.id
        assert 1 <= len(re.findall(r"[.?!](?:\s|$)", prompt.text)) <= 2, prompt.id
        assert "  " not in prompt.text, prompt.id


def test_no_text_stands_twice():
    texts = [p.text for name in SETS for p in load(name).prompts]
    assert len(set(texts)) == len(texts) == 90


def test_lengths_are_balanced():
    """Within 15 % of the learning set on average, and prompts at the same place within a third of each other."""
    words = {name: [len(load(name).render(p).split()) for p in load(name).prompts] for name in SETS}
    for name in ("negative", "neutral"):
        assert statistics.mean(words[name]) == pytest.approx(statistics.mean(words["learning"]), rel=0.15)
        assert all(2 / 3 < a / b < 3 / 2 for a, b in zip(words[name], words["learning"], strict=True))


def test_sets_correspond_place_by_place():
    learning, negative = load("learning").prompts, load("negative").prompts
    assert [f"no-{p.id}" for p in learning] == [p.id for p in negative]
    for name in SETS:
        assert [p.id[-1] for p in load(name).prompts] == ["1", "2", "3"] * 10


def test_form_of_figure_one():
    chosen = load("learning")
    assert chosen.render(chosen.prompts[21]) == (
        "Critical Analysis: Test the text as you go. Identify what is claimed, what evidence is offered, which "
        "assumptions are left unsaid, and how strong the conclusion therefore is. "
    )


def test_hashes_are_those_of_version_one():
    """A changed word is a new version: raise `version` in the file, then these."""
    assert {name: load(name).hash for name in SETS} == {
        "learning": "78edd6b0698cc914b3d032861aaf5f60",
        "negative": "aa82787b4dab5b3472b5d1bdff28dcf8",
        "neutral": "b7d636ddce52780bab35f5ca7c556115",
    }
    assert (load_meta().id, load_meta().hash) == ("text-adapt@1", "f4d298b2023b42c21006478e5125dd6d")


def test_hash_is_of_what_is_drawn():
    base = PromptSet(name="a", version=1, prompts=(Prompt(id="1", category="C", text="x"),))
    assert base.hash == base.model_copy(update={"licence": "MIT", "source": "elsewhere", "version": 2}).hash
    assert base.hash != base.model_copy(update={"template": "{{ prompt }} "}).hash
    assert base.hash != base.model_copy(update={"prompts": (Prompt(id="1", category="C", text="y"),)}).hash


def test_only():
    chosen = load("learning").only(("Critical Analysis", "In-Depth Exploration"))
    assert [p.id for p in chosen.prompts] == ["depth-1", "depth-2", "depth-3", "critique-1", "critique-2", "critique-3"]
    assert load("learning").only(()) == load("learning")
    with pytest.raises(UserError, match="unknown category 'Critical Thinking'") as e:
        load("learning").only(("Critical Thinking",))
    assert e.value.hint == "did you mean 'Critical Analysis'?"


def test_meta_prompt_ends_in_a_cue():
    question = load_meta().question("{{ not a template }}")
    assert question.endswith("\n\nPassage:\n{{ not a template }}\n\nPrompt:")
    assert load_meta().render("Look closely.") == "Look closely. "


def test_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load("learning").prompts[0].text = "other"


def test_import_is_light():
    code = "import sys, contextune.contexts; print({'torch', 'transformers', 'jinja2'} & {*sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"
