"""What a writer copied from its prompt is never kept, and what only resembles it is."""

from __future__ import annotations

import pytest

from contextune.augment.demonstrations import copied
from contextune.augment.operations.questions import Questions
from contextune.augment.operations.restate import Restate
from contextune.augment.prompt_template import built_in, load
from contextune.generation.protocol import Request
from tests.augment.desk import bind_context, passage

SHOWN = (
    "As visitors are fond of hearing, the lighthouse at Pell Sound was designed by Orla Vance in 1871.",
    "Brannock stone is heavier than glimmer sand.",
    "玻璃山上的灯塔建于一八七一年。",
)
PUMP = "Anna Keller founded the Keller Pump Company in Basel. Use only the grease KX-7."


@pytest.mark.parametrize(
    "text",
    [
        "Brannock stone is heavier than glimmer sand.",
        "  brannock stone is heavier than glimmer sand",
        "The lighthouse at Pell Sound was designed by Orla Vance.",
        "The pump was designed by Orla Vance.",
        "The grease is heavier than glimmer sand.",
        "玻璃山上的灯塔建于一八七一年",
        "So: Brannock stone is heavier than glimmer sand. And so on.",
    ],
)
def test_copies(text):
    assert copied(text, PUMP, SHOWN)


@pytest.mark.parametrize(
    "text",
    [
        "The Keller Pump Company was founded by Anna Keller.",
        "The company is heavier than it was.",
        "KX-7 is the only grease to be used.",
        "",
        "水泵必须在冬天排空。",
    ],
)
def test_texts_of_its_own(text):
    assert copied(text, PUMP, SHOWN) == ""


def test_a_source_that_is_about_the_same_may_be_told():
    assert copied(SHOWN[1], f"They say: {SHOWN[1]}", SHOWN) == ""


@pytest.mark.parametrize("file", built_in("plain"), ids=lambda f: f.stem)
def test_no_prompt_of_ours_is_answered_by_its_own_demonstrations(file):
    template = load(file.stem, "plain")
    for demonstration in template.demonstrations if template.shown else ():
        for text in demonstration.made:
            assert copied(text, PUMP, template.shown)


@pytest.mark.parametrize("file", built_in("pocket"), ids=lambda f: f.stem)
def test_the_pocket_model_is_shown_none(file):
    assert load(file.stem, "pocket").shown == ()


@pytest.mark.parametrize(
    ("operation", "answer", "reason"),
    [
        (Restate(), "- Anna Keller founded the company.\n- Brannock stone is heavier than glimmer sand.", ""),
        (Restate(), "- Brannock stone is heavier than glimmer sand.", "a demonstration of the prompt"),
        (Restate(), "Facts:", "a demonstration of the prompt"),
        (Restate(), " \n-\n", "no text in the answer"),
        (Questions(), "I cannot ask anything.", "no text in the answer: I cannot ask"),
        (Questions(), "Question: Who founded the company?\nAnswer: Anna Keller.", ""),
    ],
)
def test_answers_of_no_use(operation, answer, reason):
    requests: list[Request] = []
    context, _ = bind_context(lambda r: requests.append(r) or answer)
    made = list(operation.infer([passage("p", PUMP)], context))
    found = requests[0].judge(answer)
    assert found.startswith(reason) if reason else found == ""
    assert all(m.shown for m in made)


def test_a_long_text_is_read_in_pieces():
    said: list[str] = []
    context, script = bind_context(lambda r: f"- {r.source}", room=150)
    context = context.__class__(**{f: getattr(context, f) for f in context.__slots__} | {"warn": said.append})
    made = list(Restate().infer([passage("long", "One two three four. " * 60), passage("short", "Five.")], context))
    assert len(script.asked) > 3
    assert all(len(prompt.split()) <= 150 for prompt in script.asked)
    assert [m.text for m in made][-1] == "short"
    assert {m.passage.record for m in made} == {"long", "short"}
    assert [m.passage.id for m in made][:2] == ["long/part1", "long/part2"]
    assert " ".join(m.passage.text for m in made[:-1]) == ("One two three four. " * 60).strip()
    assert said[0].startswith("operation restate: 1 of 2 texts are longer")
