"""Who answers, what precedes a question, and what a conversation is."""

from __future__ import annotations

import io

import pytest

from contextune.chat.contexts import Library, preceded
from contextune.chat.conversation import Conversation, Part, Settings
from contextune.chat.speakers import Speaker, speakers
from contextune.core.errors import UserError
from contextune.models.options import Model


class Engine:
    """What is asked of it is kept; it answers with the number of turns."""

    def __init__(self, template: str | None) -> None:
        self.asked = []
        self.tokenizer = type("T", (), {"chat_template": template})()


def parts(engine, request):
    engine.asked.append(request)
    if "fail" in request.prompt:
        raise UserError("too long", "ask less")
    yield from ("a ", f"{len(request.turns)}")


@pytest.fixture
def talk(monkeypatch):
    monkeypatch.setattr("contextune.generation.streaming.stream", parts)
    made = Conversation([Speaker(n, n, Model(path=n)) for n in ("one", "two")], Settings(system="Be brief."))
    made._engines.update(one=Engine("a template"), two=Engine(None))
    return made


def said(found) -> str:
    return "".join(p.text for p in found if p.kind == "text")


def test_each_model_keeps_its_turns_and_the_context_precedes_the_newest_question_alone(talk):
    talk.context = "Kalo teaches Mido."
    first = list(talk.ask("Who teaches Mido?"))
    assert first[0] == Part("context", "one", "Kalo teaches Mido.")
    assert [p.kind for p in first] == ["context", "text", "text", "end"] * 2
    list(talk.ask("And whom?"))
    one, two = talk._engines["one"].asked, talk._engines["two"].asked
    assert one[1].turns == (
        ("system", "Be brief."),
        ("user", "Who teaches Mido?"),
        ("assistant", "a 2"),
        ("user", "Kalo teaches Mido.\n\nAnd whom?"),
    )
    assert two[1].turns == ()
    assert (two[1].prompt, two[1].stop) == ("Kalo teaches Mido.\n\nAnd whom?", ("\n",))
    talk.forget()
    list(talk.ask("Anew?"))
    assert one[2].turns == (("system", "Be brief."), ("user", "Kalo teaches Mido.\n\nAnew?"))


def test_one_that_cannot_answer_stops_none_of_the_others(talk):
    found = list(talk.ask("fail", only=("one", "two")))
    assert [(p.kind, p.speaker) for p in found] == [(k, n) for n in ("one", "two") for k in ("context", "error")]
    assert found[1].text == "too long; ask less"
    assert said(talk.ask("fine", only=("two",))) == "a 0"


def test_bytes_that_are_no_text_of_the_terminal(talk, monkeypatch, capsys):
    from contextune.cli.chat import _talk

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Caf\xe9?\n"), encoding="utf-8"))
    _talk(talk)
    assert talk._engines["two"].asked[0].prompt == "Caf\ufffd?"
    assert "two: a 0" in capsys.readouterr().out


def test_the_wording():
    assert preceded("Who?", "") == preceded("Who?", " \n") == "Who?"
    assert preceded("Who?", "Kalo.\n") == "Kalo.\n\nWho?"


def test_passages_are_found_by_their_words(tmp_path):
    (tmp_path / "a.md").write_text("# Birds\n\nThe heron waits for fish.\n\nThe swift sleeps on the wing.\n")
    (tmp_path / "b.txt").write_text("A heron nests in high trees and returns to them.")
    library = Library([str(tmp_path)], k=2)
    found = library.find("Where does the heron nest in trees?")
    assert found[0].startswith("A heron nests")
    assert len(found) == 2
    assert library.find("zzz") == []
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "d.md").write_text("# Only a heading\n")
    with pytest.raises(UserError, match="no prose"):
        Library([str(tmp_path / "c")])


def run_folder(folder, tiny, finished=("cft",)):
    folder.mkdir()
    (folder / "recipe.yaml").write_text(
        f"name: r\nmodel: {tiny}\ndata: {{d: {{world: school}}}}\nseeds: [3, 4]\n"
        "arms: {none: {}, cpt: {data: d}, cft: {data: d, context: prompts}}\ntrain: {steps: 1}\n"
    )
    for arm in finished:
        stage = folder / "arms" / arm / "seed-4" / "stage-0"
        (stage / "model").mkdir(parents=True)
        (stage / "stage.json").write_text("{}")
        (stage / "model" / "config.json").write_text("{}")
    return folder


def test_the_arms_of_a_run(tmp_path, tiny):
    run = run_folder(tmp_path / "run", tiny)
    assert [s.name for s in speakers([str(run)])] == ["none", "cft"]
    assert speakers([str(run)])[1].path.endswith("run/arms/cft/seed-4/stage-0/model")
    assert [s.name for s in speakers([str(run), str(tiny)], arms=["cft"])] == ["cft", tiny.name]
    assert [s.name for s in speakers([str(tiny), str(tiny)])] == [tiny.name, f"{tiny.name} ({tiny.name})"]


def test_an_arm_that_asks_otherwise_gives_the_untrained_model_no_name(tmp_path, tiny):
    """Neither `weights_of` nor `before` has stages, but only an arm without both is the model as it is."""
    run = run_folder(tmp_path / "run", tiny)
    file, more = run / "recipe.yaml", "{before: {retrieve: d}}"
    for arms in ("cft+retrieval: {weights_of: cft}, none:", f"none+retrieval: {more}, none:"):
        file.write_text(file.read_text().replace("none:", arms, 1))
    assert [s.name for s in speakers([str(run)])] == ["none", "cft"]


@pytest.mark.parametrize(
    ("arm", "hint"), [("cft+retrieval", "--arm cft; --documents"), ("none+retrieval", "leave --arm out")]
)
def test_an_arm_without_a_model_of_its_own(tmp_path, tiny, arm, hint):
    run = run_folder(tmp_path / "run", tiny)
    file = run / "recipe.yaml"
    arms = "cft+retrieval: {weights_of: cft}, none+retrieval: {before: {retrieve: d}}, none:"
    file.write_text(file.read_text().replace("none:", arms, 1))
    with pytest.raises(UserError, match="it has no model of its own") as e:
        speakers([str(run)], [arm])
    assert hint in e.value.hint


@pytest.mark.parametrize(
    ("arms", "seed", "message"),
    [
        (["cpt"], None, "the weights of arm cpt are not there"),
        (["cft"], 3, "the weights of arm cft are not there"),
        (["ctf"], None, "--arm ctf: no arm of that name"),
        ([], 9, "--seed 9: .* has the seeds 3, 4"),
        (["none"], 9, "--seed 9: .* has the seeds 3, 4"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, tiny, arms, seed, message):
    run = run_folder(tmp_path / "run", tiny)
    with pytest.raises(UserError, match=message):
        speakers([str(run)], arms, seed)


def test_no_model_and_no_run(tmp_path, tiny):
    with pytest.raises(UserError, match=r"no config\.json"):
        speakers([str(tmp_path)])
    with pytest.raises(UserError, match="no arm is trained yet"):
        speakers([str(run_folder(tmp_path / "run", tiny, finished=()))])
