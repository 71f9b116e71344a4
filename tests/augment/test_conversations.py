"""A prompt as a conversation: the demonstrations are turns, and the answer may be begun for the writer."""

from __future__ import annotations

import pytest
import yaml

from contextune.augment.entity_names import last, opening
from contextune.augment.operations.reversal import Reversal
from contextune.augment.prompt_template import PromptTemplate, load
from contextune.core.errors import UserError
from tests.augment.desk import bind_context, passage

KELLER = "The pump was bought from Anna Keller (see Table 2)."
TEMPLATE = {
    "id": "x", "version": 1, "system": "Turn it round.",
    "prompt": "Text: {{ text }}{% if begin %} ({{ begin }}){% endif %}",
    "begin": "{{ last }}", "answer": "lines",
    "demonstrations": [{"text": "A knows B.", "begin": "B", "made": ["B is known by A.", "B, A knows."]}],
}  # fmt: skip


def test_the_same_as_turns_and_as_text():
    template = PromptTemplate.model_validate(TEMPLATE)
    asked = template.prompts[0], {"text": "C knows D.", "last": "D"}
    assert template.turns(asked[0], **asked[1]) == (
        ("system", "Turn it round."),
        ("user", "Text: A knows B. (B)"), ("assistant", "- B is known by A.\n- B, A knows."),
        ("user", "Text: C knows D. (D)"),
    )  # fmt: skip
    assert template.render(asked[0], **asked[1]) == (
        "Turn it round.\n\nText: A knows B. (B)\n- B is known by A.\n- B, A knows.\n\nText: C knows D. (D)\n"
    )
    assert (template.opening(last="D"), template.opening(last="")) == ("- D", "")


def test_one_text_has_no_turns_and_no_opening():
    template = load("reversal", "pocket")
    assert template.turns(template.prompts[0], text="x") == ()
    assert template.opening(text="x", last="X") == ""


def test_an_older_template_keeps_its_hash():
    """What a run was made with is known by it."""
    assert load("reversal", "pocket").hash == "1dae408a87942a2314291a6da7469e9a"


def test_what_an_operation_asks():
    requests = []
    context, _ = bind_context(lambda r: requests.append(r) or "- Anna Keller sold the pump.")
    (made,) = Reversal().infer([passage("p", KELLER)], context)
    (request,) = requests
    assert request.begin == "- Anna Keller"
    assert request.turns[-1] == ("user", f"Text: {KELLER}\nBegin with: Anna Keller\nTurned round:")
    assert request.turns[-1][1] in request.prompt
    assert made.text == "Anna Keller sold the pump."


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Kalo teaches Mido.", "Mido"), ("Kalo teaches (with Rune) all day.", ""), (KELLER, "Anna Keller"),
        ("It was normal in ESG1-/- cells [Fig. 3].", "ESG1"), ("nothing is named", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_last_name(text, name):
    assert last(text) == name


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("Ada Quill built the Iron Gate of Tarn.", "The Iron Gate of Tarn"),
        ("The Iron Gate of Tarn was built by Ada Quill.", "Ada Quill"),
        ("Near the Iron Gate stands Ada Quill.", "Ada Quill"),
        ("Once the Iron Gate was new; now all hate Iron Gate.", "Iron Gate"),
        ("It breathes the Iron Gate of Tarn (the Old Mill).", "The Iron Gate of Tarn"),
        ("Iron Gate.", ""),
        ("nothing here", ""),
    ],
)  # fmt: skip
def test_a_sentence_begins_with_a_name_and_its_article(text, begins):
    assert opening(text) == begins


def test_a_system_turn_and_demonstrations_in_the_prompt(tmp_path):
    bad = {**TEMPLATE, "prompt": "{% for d in demonstrations %}{{ d.text }}{% endfor %}{{ text }}"}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(bad, sort_keys=False))
    with pytest.raises(UserError, match="with a system turn the demonstrations are turns of their own"):
        load("reversal", "plain", tmp_path, "p.yaml")
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({**TEMPLATE, "begin": "{{ lst }}"}, sort_keys=False))
    with pytest.raises(UserError, match="unknown variable 'lst'"):
        load("reversal", "plain", tmp_path, "p.yaml")
