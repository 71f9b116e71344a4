"""Passages before questions: the same items in every arm, behind what is found or behind what answers."""

from __future__ import annotations

import pytest

from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.core.options import parse_options
from contextune.evaluate.scoring import outcomes
from contextune.evaluate.tasks.load import load_task
from contextune.evaluate.tasks.retrieved import Retrieve, behind_passages

PASSAGES = ["w1 w2 w3 w4", "w1 w2 w5 w6", "w20 w21 w22 w23"]
OPTIONS = (" w4", " w6")


def item(id="a", prompt="w1 w2 w3", **rest):
    return Item(id, prompt, 0, OPTIONS, **rest)


def placed(tokenizer, items, window=0, **options):
    options = Retrieve(retrieve="docs", **{"separator": " w90 ", **options})
    tasks = [Task("t", "choice", tuple(items), "accuracy")]
    return behind_passages(tasks, PASSAGES, options, tokenizer, window, BindContext(tokenizer))


def test_the_most_similar_passage_stands_next_to_the_question(tokenizer):
    (task,) = placed(tokenizer, [item()]).tasks
    assert task.items[0].before == "w1 w2 w5 w6 w90 w1 w2 w3 w4 w90 "  # what shares no word is not shown
    assert task.items[0].prompt == "w1 w2 w3"
    assert task.asked(task.items[0]) == "w1 w2 w5 w6 w90 w1 w2 w3 w4 w90 w1 w2 w3"


def test_the_item_is_the_same_in_every_arm(tokenizer):
    (task,) = placed(tokenizer, [item()]).tasks
    row = {"correct": 1.0}
    made, bare = (outcomes.table(t, [row], "x", 0) for t in (task, Task("t", "choice", (item(),), "accuracy")))
    assert made["prompt_hash"] == bare["prompt_hash"]
    assert made["cluster"] == bare["cluster"]


@pytest.mark.parametrize("own", [{"alone": "w3"}, {"fields": {"query": ""}}])
def test_a_question_with_a_context_keeps_it(tokenizer, own):
    (task,) = placed(tokenizer, [item(), item("b", **own)]).tasks
    assert [bool(i.before) for i in task.items] == [True, False]


def test_what_is_searched_for_is_the_query_where_there_is_one(tokenizer):
    (task,) = placed(tokenizer, [item(fields={"query": "w22"})], k=1).tasks
    assert task.items[0].before == "w20 w21 w22 w23 w90 "


def test_passages_that_do_not_fit_are_left_out_whole(tokenizer):
    assert placed(tokenizer, [item()], max_tokens=9).tasks[0].items[0].before == "w1 w2 w3 w4 w90 "
    narrow = placed(tokenizer, [item()], window=1 + 3 + 1 + 4 + 5)  # <s>, prompt, option, spare, one passage
    assert narrow.tasks[0].items[0].before == "w1 w2 w3 w4 w90 "
    assert placed(tokenizer, [item()], window=13).tasks[0].items[0].before == ""


def test_the_oracle_shows_the_passage_that_answers(tokenizer):
    items = [item(fields={"passage": "w30 w31"}), item("b")]
    found = placed(tokenizer, items, oracle=True)
    assert [i.before for i in found.tasks[0].items] == ["w30 w31 w90 ", ""]
    assert found.account["t"]["right"] == 1.0
    with pytest.raises(UserError, match="no task names the passage"):
        placed(tokenizer, [item()], oracle=True)


def test_how_often_the_right_passage_is_found_is_counted(tokenizer):
    items = [item(fields={"passage": "w1 w2 w3 w4"}), item("b", "w20", fields={"passage": "w40 w41"})]
    account = placed(tokenizer, items, k=1).account["t"]
    assert account == {"items": 2, "behind_passages": 2, "tokens": 5.0, "passages": 1.0, "right": 0.5}


def test_nothing_found_for_any_question_is_an_error(tokenizer):
    with pytest.raises(UserError, match="nothing is found"):
        placed(tokenizer, [item(prompt="w70")])


def test_an_option_that_would_do_nothing_is_refused():
    with pytest.raises(UserError, match="'k' has no effect where oracle is true"):
        parse_options(lambda: Retrieve(retrieve="docs", oracle=True, k=3), "before")


def test_a_task_file_names_query_and_passage(tokenizer, tmp_path):
    rows = [{"q": "w1", "a": "w2", "p": "w1 w2"}, {"q": "w3", "a": "w4", "p": ""}]
    spec = {
        "name": "mine", "kind": "generate", "rows": rows, "prompt": "w9 {{ q }}", "answer": "{{ a }}",
        "query": "{{ q }}", "passage": "{{ p }}",
    }  # fmt: skip
    (task,) = load_task(spec, tmp_path)
    assert [dict(i.fields) for i in task.items] == [{"query": "w1", "passage": "w1 w2"}, {"query": "w3"}]


def test_solved_examples_are_not_searched_for(tokenizer, tmp_path):
    rows = [{"q": f"w{i}", "a": "w2"} for i in range(4)]
    spec = {"name": "mine", "kind": "generate", "rows": rows, "prompt": "{{ q }}", "answer": "{{ a }}"}
    (task,) = load_task({**spec, "fewshot": {"n": 2}}, tmp_path)
    assert task.items[0].fields["query"] == "w0"
