"""Tasks that are asked through a chat template: as the template writes it, not a token more."""

from __future__ import annotations

import copy

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from contextune.core.asking import chat_ids, chat_pair, chat_text
from contextune.core.errors import UserError
from contextune.core.items import Item
from contextune.evaluate.options import Evaluate
from contextune.evaluate.scoring.generate import fitted
from contextune.evaluate.scoring.harness import export_task
from contextune.evaluate.scoring.score import score
from contextune.evaluate.tasks.chat import Asking, asking, refuse_unused_system
from contextune.evaluate.tasks.load import load_task
from contextune.models.likelihood import LikelihoodRow, log_likelihoods

ROWS = [{"q": "w1 w2", "a": 0}, {"q": "w3", "a": 1}, {"q": "w4 w5", "a": 0}]
CHOICE = {"name": "c", "rows": ROWS, "prompt": "{{ q }} ?", "options": [" w8", " w9"], "answer": "{{ a }}"}
FREE = {"name": "f", "kind": "generate", "rows": ROWS, "prompt": "{{ q }} ?", "answer": "w{{ a }}"}
TEMPLATES = {
    "chatml": (
        "{% for m in messages %}<|{{ m.role }}|> {{ m.content }} <|end|> {% endfor %}"
        "{% if add_generation_prompt %}<|assistant|> {% endif %}"
    ),
    "with a bos": "<s> {% for m in messages %}<|{{ m.role }}|> {{ m.content }} {% endfor %}<|assistant|> ",
    "a space before answers": (
        "{% for m in messages %}{% if m.role == 'user' %}w90 {{ m.content }} w91{% else %} {{ m.content }} </s>"
        "{% endif %}{% endfor %}"
    ),
    "a channel before answers": (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %} w80 w81{% endif %} {{ m.content }} "
        "<|end|> {% endfor %}{% if add_generation_prompt %}<|assistant|> {% endif %}"
    ),
    "an open thought": (
        "{% for m in messages %}<|{{ m.role }}|> {{ m.content }} <|end|> {% endfor %}"
        "{% if add_generation_prompt %}<|assistant|> w70 {% endif %}"
    ),
}  # fmt: skip
BEFORE = {
    "chatml": "<|user|> w1 w2 ? <|end|> <|assistant|>",
    "with a bos": "<s> <|user|> w1 w2 ? <|assistant|>",
    "a space before answers": "w90 w1 w2 ? w91",
    "a channel before answers": "<|user|> w1 w2 ? <|end|> <|assistant|> w80 w81",
    "an open thought": "<|user|> w1 w2 ? <|end|> <|assistant|>",
}


def with_template(tokenizer, template: str):
    made = copy.deepcopy(tokenizer)
    made.chat_template = template
    return made


def ids(text: str, tokenizer) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("name", TEMPLATES)
def test_options_stand_where_the_template_puts_answers(name, tokenizer, tmp_path):
    made = with_template(tokenizer, TEMPLATES[name])
    (task,) = load_task({**CHOICE, "chat": True}, tmp_path, tokenizer=made)
    assert task.items[0].options == ("w8", "w9")
    given, scored = chat_pair(task.asked(task.items[0]), "w9", made)
    assert given == ids(BEFORE[name], made), "no BOS that the template does not write"
    assert scored == ids("w9", made)


def test_scores_are_those_of_the_template(tiny, tokenizer, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    (task,) = load_task({**CHOICE, "chat": {"system": "w20"}, "fewshot": {"n": 1}}, tmp_path, tokenizer=tokenizer)
    table = score(model, tokenizer, [task], arm="a", seed=0)["c"].to_pylist()
    begin = (
        "<|system|> w20 <|end|> <|user|> w3 ? <|end|> <|assistant|> w9 <|end|> <|user|> w1 w2 ? <|end|> <|assistant|>"
    )
    rows = [LikelihoodRow(tuple(ids(begin, tokenizer)), tuple(ids(o, tokenizer))) for o in ("w8", "w9")]
    assert table[0]["options"] == ["w8", "w9"]
    # the first other row is the example of all but itself
    assert task.items[0].turns[1:] == (("user", "w3 ?"), ("assistant", "w9"))
    assert table[0]["sums"] == pytest.approx(log_likelihoods(model, rows), abs=1e-5)


def test_examples_as_turns_or_within_one(tokenizer, tmp_path):
    own = {"fewshot": {"n": 2, "between": "\n"}, "description": "Answer. "}
    (turns,) = load_task({**FREE, **own, "chat": True}, tmp_path, tokenizer=tokenizer)
    assert turns.asked(turns.items[0]) == (
        ("user", "Answer. w3 ?"), ("assistant", "w1"), ("user", "w4 w5 ?"), ("assistant", "w0"), ("user", "w1 w2 ?")
    )  # fmt: skip
    (one,) = load_task({**FREE, **own, "chat": {"fewshot": "prompt"}}, tmp_path, tokenizer=tokenizer)
    assert one.asked(one.items[0]) == (("user", "Answer. w3 ? w1\nw4 w5 ? w0\nw1 w2 ?"),)
    (plain,) = load_task({**FREE, **own}, tmp_path, tokenizer=tokenizer)
    assert plain.asked(plain.items[0]) == one.items[0].prompt


def test_generated_prompts_are_the_templates(tiny, tokenizer, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    (task,) = load_task({**FREE, "chat": True}, tmp_path, tokenizer=tokenizer)
    assert task.stop == ()
    assert load_task({**FREE, "chat": True, "stop": ["w"]}, tmp_path)[0].stop == ("w",)
    asked = task.asked(task.items[0])
    assert fitted(model, tokenizer, [asked], 4)[0] == [chat_ids(asked, tokenizer)]
    rows = score(model, tokenizer, [task], arm="a", seed=0)["f"]
    from contextune.evaluate.scoring import outcomes

    assert outcomes.about(rows)["prompt"] == chat_text(asked, tokenizer), "the report shows what the model read"


def test_a_context_comes_into_the_users_turn(tokenizer, tmp_path):
    (tmp_path / "short.txt").write_text("w7\n")
    spec = {**CHOICE, "chat": {"system": "w20"}, "before": {"policy": "prompts", "set": str(tmp_path / "short.txt")}}
    (task,) = load_task(spec, tmp_path, tokenizer=tokenizer)
    (_, system), (role, said) = task.asked(task.items[0])
    assert (system, role) == ("w20", "user")
    assert said.split()[0] == "w7"
    assert said.endswith("w1 w2 ?")


def test_graded_examples_come_into_the_users_turn(tokenizer, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"q": "w50 w51", "a": 0}\n{"q": "w52 w53", "a": 1}\n')
    spec = {**CHOICE, "chat": True, "graded": {"pool": "p.jsonl", "k": 2, "grades": ["low"]}}
    (task,) = load_task(spec, tmp_path, tokenizer=tokenizer)
    ((_, said),) = task.asked(task.items[0])
    assert sorted(said.split("\n")) == ["w1 w2 ?", "w50 w51 ? w8", "w52 w53 ? w9"]


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"chat": {"sytem": "x"}}, "unknown key 'chat.sytem'"),
        ({"chat": {"fewshot": "turn"}}, "chat.fewshot"),
        ({"chat": "yes"}, "chat"),
    ],
)
def test_bad_input(tmp_path, keys, why):
    with pytest.raises(UserError, match=why):
        load_task({**CHOICE, **keys}, tmp_path)
    text = {"name": "p", "kind": "perplexity", "rows": ROWS, "answer": "{{ q }}", "chat": True}
    with pytest.raises(UserError, match="the key 'chat' has no effect on a task of kind perplexity"):
        load_task(text, tmp_path)


def test_templates_that_cannot(tokenizer, tmp_path):
    refuses = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}{% endfor %}"
    )
    with pytest.raises(UserError, match="task c: item 0: the chat template refuses system, user: no system"):
        load_task({**CHOICE, "chat": {"system": "w1"}}, tmp_path, tokenizer=with_template(tokenizer, refuses))
    with pytest.raises(UserError, match="task c: item 0: the tokenizer has no chat template"):
        load_task({**CHOICE, "chat": True}, tmp_path, tokenizer=with_template(tokenizer, None))


def test_what_does_not_chat_is_as_before(tmp_path):
    (task,) = load_task({**CHOICE, "chat": False}, tmp_path)
    assert (task.chat, task.items[0]) == (False, Item("0", "w1 w2 ?", 0, (" w8", " w9")))


def test_a_chat_task_is_exported_with_how_it_is_asked(tmp_path):
    """As --apply_chat_template asks it, and not as if it were none."""
    (task,) = load_task({**CHOICE, "chat": {"system": "Be brief."}}, tmp_path)
    first = export_task(task, tmp_path).read_text().splitlines()[0]
    assert first.endswith("--apply_chat_template --system_instruction 'Be brief.'")
    (task,) = load_task({**CHOICE, "chat": True}, tmp_path)
    assert export_task(task, tmp_path).read_text().splitlines()[0].endswith("--apply_chat_template")
    (task,) = load_task({**CHOICE, "chat": True, "fewshot": {"n": 1}}, tmp_path)
    with pytest.raises(UserError, match="solved examples as turns of a chat cannot be exported"):
        export_task(task, tmp_path)


def test_a_built_in_task_may_be_asked_so(tiny, tmp_path):
    (tmp_path / "t.jsonl").write_text('{"q": "w1", "a": "w2"}\n')
    (tmp_path / "mine.yaml").write_text("kind: generate\npath: t.jsonl\nprompt: '{{ q }}'\nanswer: '{{ a }}'\n")
    (task,) = load_task({"task": "mine.yaml", "chat": True}, tmp_path, tokenizer=AutoTokenizer.from_pretrained(tiny))
    assert task.chat


@pytest.mark.parametrize(
    ("chat", "trained", "template", "expected"),
    [
        ("auto", ["messages"], True, True),
        ("auto", ["messages", "pairs"], True, False),
        ("auto", ["text"], True, False),
        ("auto", [], True, False),
        ("auto", ["messages"], False, False),
        ("on", ["text"], True, True),
        ("off", ["messages"], True, False),
        (True, [], True, True),  # YAML's on
    ],
)
def test_how_tasks_are_asked(tokenizer, chat, trained, template, expected):
    made = tokenizer if template else with_template(tokenizer, None)
    assert asking(Evaluate(chat=chat), made, trained).chat is expected


def test_a_recipes_word_and_a_tasks_own(tokenizer, tmp_path):
    how = Asking(True, "w20")

    def turns(**keys):
        (task,) = load_task({**CHOICE, **keys}, tmp_path, tokenizer=tokenizer, how=how)
        return task.asked(task.items[0])

    assert turns() == (("system", "w20"), ("user", "w1 w2 ?"))
    assert turns(chat={"system": "w21"}) == (("system", "w21"), ("user", "w1 w2 ?"))
    assert turns(chat={"system": ""}) == (("user", "w1 w2 ?"),)
    assert turns(chat=False) == "w1 w2 ?"
    text = {"name": "p", "kind": "perplexity", "rows": ROWS, "answer": "{{ q }}"}
    assert not load_task(text, tmp_path, tokenizer=tokenizer, how=how)[0].chat
    (own,) = load_task({**CHOICE, "chat": True}, tmp_path, tokenizer=tokenizer, how=Asking(False, "w20"))
    assert own.items[0].turns == (("system", "w20"),)


def test_a_worlds_tasks_are_asked_so_too(tokenizer):
    world = {"world": "reversals", "options": {"size": "small"}}
    for task, plain in zip(load_task(world, ".", how=Asking(True, "w20")), load_task(world, "."), strict=True):
        assert task.chat is (task.kind != "perplexity")
        if task.chat:
            assert task.asked(task.items[0]) == (("system", "w20"), ("user", plain.items[0].prompt))
            assert [i.resampled_with for i in task.items] == [i.resampled_with for i in plain.items]
            assert not any(o.startswith(" ") for i in task.items for o in i.options)


def test_what_has_no_effect_is_an_error(tokenizer):
    with pytest.raises(UserError, match=r"evaluate\.chat is on, and the model's tokenizer has no chat template"):
        asking(Evaluate(chat="on"), with_template(tokenizer, None), [])
    with pytest.raises(UserError, match=r"evaluate\.system has no effect"):
        refuse_unused_system(Evaluate(system="w20"), [])


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def harness_chat(turns, answer, tokenizer):
    """lm-evaluation-harness 0.4.13 with --apply_chat_template: the template's text, `_encode_pair`, no delimiter."""
    messages = [{"role": role, "content": text} for role, text in turns]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    given, whole = ids(text.rstrip(), tokenizer), ids(text + answer, tokenizer)
    return given, whole[len(given) :]


@pytest.mark.parametrize("system", ["", "Answer in a word."])
def test_what_is_scored_is_the_harnesses(byte_level, system):
    """The line end behind the assistant's name is scored with the answer."""
    made = with_template(byte_level, CHATML)
    turns = ((("system", system),) if system else ()) + (("user", "Which one is it?\n"),)
    for answer in ("the hyoid", "A", "東京"):
        given, scored = chat_pair(turns, answer, made)
        assert (given, scored) == harness_chat(turns, answer, made)
        assert made.decode(scored) == "\n" + answer
        assert given + scored == chat_ids(turns, made) + ids(answer, made), "as it is trained and generated"
