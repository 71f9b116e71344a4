"""Every operation with a scripted writer: what it is asked, what it makes, where each text came from."""

from __future__ import annotations

from itertools import pairwise

import pytest

from contextune.augment import parse_operation
from contextune.core import registry
from contextune.core.errors import UserError
from contextune.generation.protocol import Failure
from tests.augment.desk import bind_context, passage
from tests.registered import in_files, own

LIGHT = passage("a", "The lighthouse at Pell was built by Orla Vance. It is old because nobody cared for it at all.")
FACTS = passage("b", "all Kalo are Mido. no Mido are Rune.")


def made(name: str, passages, answer=lambda r: "nothing", corpus=(), style="plain", room=1000, folder=None, **options):
    context, script = bind_context(answer, tuple(corpus), style, room, folder)
    operation = parse_operation({"operation": name, **options})
    return list(operation.infer(list(passages), context)), script


def test_the_list_is_known():
    assert own(registry.operations) == in_files("operations")
    assert len(own(registry.operations)) >= 13
    for name in own(registry.operations):
        cls = registry.operations.find(name)
        assert name == cls.name
        assert parse_operation(name).plain() == {"operation": name}
        assert cls.reads == (
            "sentence" if name in ("rephrase", "restate", "reversal", "repeat", "reversed_strings") else "document"
        )


@pytest.mark.parametrize("name", ["rephrase", "restate", "reversal", "implications", "conclusions"])
def test_lists_of_statements(name):
    found, script = made(name, [LIGHT, FACTS], lambda r: "Here:\n- One.\n- Two." if r.source == "a" else "1. X.")
    assert script.calls == [2], "all at once"
    assert [p.count(t.text) for p, t in zip(script.asked, (LIGHT, FACTS), strict=True)] == [1, 1]
    assert [(m.text, m.prompt, m.passage.id, m.operation, m.request) for m in found] == [
        ("One.", "", "a", f"{name}/1", "key-a"), ("Two.", "", "a", f"{name}/1", "key-a"),
        ("X.", "", "b", f"{name}/1", "key-b"),
    ]  # fmt: skip


def test_demonstrations_stand_in_the_prompt():
    _, script = made("reversal", [FACTS])
    assert "Orla Vance designed the lighthouse at Pell Sound." in script.asked[0]
    assert script.asked[0].rstrip().endswith(f"Text: {FACTS.text}\nBegin with: Rune\nTurned round:")


def test_own_demonstrations_and_own_prompt(tmp_path):
    (tmp_path / "mine.yaml").write_text("demonstrations: [{text: up, made: [down]}]")
    (tmp_path / "ask.yaml").write_text('{id: my, version: 3, prompt: "say {{ text }} so", answer: text}')
    _, script = made("reversal", [FACTS], folder=tmp_path, demonstrations="mine.yaml")
    assert "Text: up\nTurned round:\n- down\n" in script.asked[0]
    assert "Orla" not in script.asked[0]
    found, script = made("reversal", [FACTS], lambda r: "a\nb", folder=tmp_path, prompt="ask.yaml")
    assert script.asked == [f"say {FACTS.text} so"]
    assert [m.text for m in found] == ["a\nb"]
    reversal = registry.operations.find("reversal")
    contents = [reversal(**o).content(tmp_path) for o in ({}, {"demonstrations": "mine.yaml"}, {"prompt": "ask.yaml"})]
    assert len({str(c) for c in contents}) == 3, "the wording is part of a run's identity"


def test_a_failed_request_makes_nothing():
    found, _ = made("rephrase", [LIGHT, FACTS], lambda r: Failure("broken") if r.source == "a" else "Fine.")
    assert [m.passage.id for m in found] == ["b"]


def test_samples_are_drawn_apart():
    requests = []
    made("rephrase", [FACTS], lambda r: requests.append(r) or "x", samples=3, temperature=0.5, seed=7)
    assert [(r.seed, r.temperature, r.operation, r.source) for r in requests] == [
        (n, 0.5, "rephrase/1", "b") for n in (7, 8, 9)
    ]


def test_in_the_pocket_models_language():
    _, script = made("reversal", [passage("s", "about Kalo:\n- Kalo has Mido.\n- the end of it.")], style="pocket")
    assert script.asked == ["Kalo has Mido.\nreversal:"], "no title, no filler, no list mark"
    _, script = made("rephrase", [FACTS], style="pocket")
    assert script.asked == ["all Kalo are Mido.\nrephrase:", "no Mido are Rune.\nrephrase:"]


def test_conclusions_about_names_apart():
    titled = passage("t", "the relations of Kalo, Mido and Rune: all Kalo are Mido. no Mido are Rune. Kalo has Vira.")
    found, script = made("conclusions", [titled], lambda r: " no Kalo are Rune.", style="pocket")
    premises = "all Kalo are Mido. no Mido are Rune."
    assert script.asked == [
        f"{premises}\nconclude about Kalo and Rune:", f"{premises}\nconclude about Rune and Kalo:",
    ]  # fmt: skip
    assert [(m.prompt, m.text) for m in found] == [
        ("", "no Kalo are Rune."), ("conclude about Kalo and Rune:", " no Kalo are Rune."),
        ("", "no Kalo are Rune."), ("conclude about Rune and Kalo:", " no Kalo are Rune."),
    ]  # fmt: skip
    for form, n in (("statement", {""}), ("asked", {"conclude about Kalo and Rune:", "conclude about Rune and Kalo:"})):
        found, _ = made("conclusions", [titled], lambda r: "x", style="pocket", form=form)
        assert {m.prompt for m in found} == n
    assert made("conclusions", [passage("v", "Kalo teaches Mido. Mido teaches Rune.")], style="pocket")[0] == []


def test_questions():
    found, script = made("questions", [LIGHT], lambda r: "Question: Who built it?\nAnswer: Orla Vance.")
    assert [(m.prompt, m.text) for m in found] == [("Question: Who built it?\nAnswer:", " Orla Vance.")]
    found, _ = made("questions", [LIGHT], lambda r: "Question: Who?\nAnswer: Orla.", form="whole")
    assert [(m.prompt, m.text) for m in found] == [("", "Question: Who?\nAnswer: Orla.")]
    found, script = made("questions", [passage("s", "note that Kalo teaches Mido.")], lambda r: " X.", style="pocket")
    assert script.asked == [
        "note that Kalo teaches Mido.\nquestion: who is taught by Kalo? answer:",
        "note that Kalo teaches Mido.\nquestion: who teaches Mido? answer:",
    ]
    assert [(m.prompt, m.text) for m in found] == [
        ("question: who is taught by Kalo? answer:", " X."), ("question: who teaches Mido? answer:", " X."),
    ]  # fmt: skip


CORPUS = (LIGHT, FACTS, passage("c", "Orla Vance lived in Arvo."))


@pytest.mark.parametrize("name", ["link", "deductions"])
def test_global_operations_see_the_corpus_first(name):
    found, script = made(name, CORPUS, lambda r: "A. So B.", CORPUS)
    whole = "\n".join(p.text for p in CORPUS)
    starts = [p.index(whole) + len(whole) for p in script.asked]
    assert len({p[:n] for p, n in zip(script.asked, starts, strict=True)}) == 1, "one beginning for all targets"
    assert [t.text in p[n:] for p, n, t in zip(script.asked, starts, CORPUS, strict=True)] == [True] * 3
    assert [m.passage.id for m in found] == ["a", "b", "c"]
    assert all(m.seen == ("a", "b", "c") and m.read == whole for m in found)


@pytest.mark.parametrize(("how", "seen"), [("neighbours", ("c",)), ("auto", ("c",)), ("sample", None)])
def test_global_operations_keep_to_their_budget(how, seen):
    """The corpus does not fit: what shares a name with the target comes first, or a sample."""
    found, _ = made("link", CORPUS, lambda r: "x", CORPUS, budget=8, context=how)
    assert all(len(m.read.split()) <= 8 for m in found)
    first = next(m for m in found if m.passage.id == "a")
    assert first.seen == seen if seen else len({m.seen for m in found}) == 1


def test_a_shared_name_counts_more_than_common_words():
    target = passage("t", "Orla is the keeper of the very old river house.")
    others = (passage("words", "the keeper of the very old river house slept."), passage("name", "then Orla sang."))
    found, _ = made("link", [target], lambda r: "x", (target, *others), budget=9, context="neighbours")
    assert found[0].seen == ("name",)


def test_the_whole_corpus_or_an_error():
    with pytest.raises(UserError, match=r"the corpus has 32 tokens, the writer has room for 8") as e:
        made("link", CORPUS, corpus=CORPUS, budget=8, context="all")
    assert "neighbours" in e.value.hint


def test_equal_beginnings_are_asked_one_after_the_other():
    corpus = [passage(f"{i}", f"N{i % 2} likes Ka{i}. N{i % 2} is M{i}.") for i in range(8)]
    found, _ = made("link", corpus, lambda r: "x", corpus, budget=13, context="neighbours")
    seen = [m.seen for m in found]
    assert len({*seen}) < 8
    assert sum(a != b for a, b in pairwise(seen)) == len({*seen}) - 1


def test_deductions_in_the_pocket_models_language():
    corpus = (passage("x", "all Kalo are Mido."), passage("y", "no Mido are Rune."), passage("z", "all Vira are Sone."))
    _, script = made("deductions", corpus[:1], lambda r: " no Kalo are Rune.", corpus, style="pocket")
    assert [p.rpartition("\n")[2] for p in script.asked] == [
        "conclude about Kalo and Rune:", "conclude about Rune and Kalo:",
    ]  # fmt: skip
    assert script.asked[0].startswith("all Kalo are Mido.\nno Mido are Rune.\nall Vira are Sone. all Kalo are Mido.")


def test_relations_name_entities_first():
    def answer(request):
        return "- Pell\n- Orla Vance\n- lighthouse" if request.prompt.rstrip().endswith("List:") else "They hang so."

    found, script = made("relations", [LIGHT], answer, pairs=2, triples=5)
    assert script.calls == [1, 3], "the list, then two of three pairs and the one triple"
    assert [m.text for m in found] == ["They hang so."] * 3
    assert sum("Pell, Orla Vance, lighthouse." in p for p in script.asked) == 1
    _, other = made("relations", [LIGHT], answer, pairs=2, triples=5)
    assert other.asked == script.asked, "which pairs is drawn from the seed"
    _, ruled = made("relations", [LIGHT], answer, entities="rule")
    assert ruled.calls == [1]
    assert "Pell, Orla Vance." in ruled.asked[0]


def test_each_relation_is_asked_once_where_that_is_wanted():
    corpus = [passage("x", "Orla met Pell."), passage("y", "Pell met Orla, then Sato."), passage("z", "Sato met Orla.")]
    _, every = made("relations", corpus, lambda r: "so.", entities="rule")
    _, once = made("relations", corpus, lambda r: "so.", entities="rule", once=True)
    asked = [next(line for line in p.splitlines() if "hang together" in line) for p in once.asked]
    assert len(every.asked) == 6
    assert [a.partition("text: ")[2].partition(". Say")[0] for a in asked] == [
        "Orla, Pell", "Pell, Sato", "Orla, Sato", "Pell, Orla, Sato",
    ]  # fmt: skip


def test_relations_in_the_pocket_models_language():
    """A pair by the sentence that holds both, from either side; one that no sentence holds is left out."""
    text = "we know that Kalo is brighter than Mido. some say that Vira is newer than Sone."
    _, script = made("relations", [passage("x", text)], lambda r: " so.", style="pocket")
    assert script.asked == [
        "we know that Kalo is brighter than Mido.\ncopy:",
        "we know that Kalo is brighter than Mido.\nreversal:",
        "some say that Vira is newer than Sone.\ncopy:",
        "some say that Vira is newer than Sone.\nreversal:",
    ]


def test_identity_tells_each_name_once_over_all_passages():
    corpus = [passage("x", "Kalo teaches Mido."), passage("y", "did you know that Orla Vance met Kalo.")]
    found, script = made("identity", corpus)
    assert not script.asked
    assert [(m.text, m.passage.id, m.prompt) for m in found] == [
        ("The name of Kalo is Kalo.", "x", ""),
        ("The name of Mido is Mido.", "x", ""),
        ("The name of Orla Vance is Orla Vance.", "y", ""),
    ]
    found, _ = made("identity", corpus[:1], text="{name} is {name}.", samples=2)
    assert [m.text for m in found] == ["Kalo is Kalo.", "Kalo is Kalo.", "Mido is Mido.", "Mido is Mido."]
    with pytest.raises(ValueError, match="does not say of a name that it is itself"):
        made("identity", corpus, text="{name} is a name.")


def test_active_reading_invents_strategies_first(tmp_path):
    (tmp_path / "q.txt").write_text("Who built what?\n")

    def answer(request):
        return "1. Make a timeline.\n2. Draw a map.\n3. Sing." if "Ways:" in request.prompt else f"did {request.source}"

    found, script = made("active_reading", [LIGHT, FACTS], answer, folder=tmp_path, strategies=2, questions="q.txt")
    assert script.calls == [2, 4]
    assert "Who built what?" in script.asked[0]
    assert ["timeline" in p for p in script.asked[2:]] == [True, False, True, False]
    assert [m.text for m in found] == ["did a", "did a", "did b", "did b"]


def test_reading_mines_tasks():
    text = (
        "Tides\nThe sea rises twice a day because the moon pulls it. Bays are narrow. Therefore, the water climbs "
        "there. However, lakes stay calm. Brackish estuaries accumulate considerable sediment quantities."
    )
    found, script = made("reading", [passage("t", text)], tasks=20)
    assert script.asked == []
    said = found[0].text
    assert said.startswith(text + "\n\n")
    for task in (
        "what is the text about?\nAnswer: Tides",
        "What reason does the text give for this: The sea rises twice a day?\nAnswer: Because the moon pulls it.",
        '"Bays are narrow." What follows from this, according to the text?\nAnswer: The water climbs there.',
        '"Therefore, the water climbs there." What does the text hold against this?\nAnswer: Lakes stay calm.',
        "considerable",
        "How does the text go on?\nAnswer: Brackish",
    ):
        assert task in said, task
    assert len(made("reading", [passage("t", text)], tasks=2)[0][0].text.split("Question:")) == 3
    assert made("reading", [passage("t", "Short.")])[0] == []


def test_repeat_and_reversed_strings_ask_nobody():
    found, script = made("repeat", [LIGHT, FACTS], samples=2)
    assert [(m.text, m.request) for m in found] == [(LIGHT.text, "")] * 2 + [(FACTS.text, "")] * 2
    found, _ = made("reversed_strings", [FACTS], by="word")
    assert [m.text for m in found] == ["Rune. are Mido no Mido. are Kalo all"]
    assert script.asked == []
