from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.evaluate.tasks.load import _refuse_unscorable, load_task, members, names
from tests.conftest import SHARED, needs_shared

MMLU = {"question": " Where is it? ", "choices": ["here", "there", "nowhere", "all over"], "answer": 2}
MMLU_PROMPT = (
    "The following are multiple choice questions (with answers) about anatomy.\n\n"
    "Where is it?\nA. here\nB. there\nC. nowhere\nD. all over\nAnswer:"
)
QUESTION = {"name": "mine", "prompt": "{{ q }}", "options": [" yes", " no"], "answer": "{{ a }}"}
ROWS = [{"q": f"Q{i}?", "a": ("yes", "no")[i % 2]} for i in range(4)]


def one(spec, folder, **more) -> Task:
    (task,) = load_task(spec, folder, **more)
    return task


# What comes along


def test_names_and_groups():
    assert {"medqa", "fiqa", "causal20", "multifin", "mmlu_medical", "mmlu_anatomy"} <= set(names())
    assert len(members("mmlu_medical")) == 6
    assert members("medqa") == ["medqa"]
    assert not any(n.startswith("_") for n in names())


def test_mmlu_as_the_hub_has_it(tmp_path):
    task = one({"task": "mmlu_anatomy", "rows": [MMLU]}, tmp_path)
    assert task.items == (Item("0", MMLU_PROMPT, 2, (" A", " B", " C", " D")),)
    assert (task.name, task.kind, task.metric, task.chance) == ("mmlu_anatomy", "choice", "accuracy", 0.25)


@pytest.mark.parametrize("subject", ["clinical_knowledge", "college_biology", "professional_medicine"])
def test_mmlu_subjects_say_their_name(subject, tmp_path):
    task = one({"task": f"mmlu_{subject}", "rows": [MMLU]}, tmp_path)
    assert f"(with answers) about {subject.replace('_', ' ')}.\n\n" in task.items[0].prompt


def test_mmlu_as_csv_with_examples_from_dev(tmp_path):
    for split, question in (("dev", "Solved?"), ("test", "Asked?")):
        (tmp_path / split).mkdir()
        file = tmp_path / split / f"anatomy_{split}.csv"
        file.write_text(f'question,choice0,choice1,choice2,choice3,answer\n{question},a,"b, c",d,"e ""f""",1\n')
    task = one({"task": "mmlu_anatomy", "path": str(tmp_path), "fewshot": {"n": 1}}, tmp_path)
    assert task.items[0].prompt == (
        "The following are multiple choice questions (with answers) about anatomy.\n\n"
        'Solved?\nA. a\nB. b, c\nC. d\nD. e "f"\nAnswer: B\n\n'
        'Asked?\nA. a\nB. b, c\nC. d\nD. e "f"\nAnswer:'
    )
    assert task.items[0].gold == " B"


MEDQA_PROMPT = "Question: Why?\nA. one\nB. two\nC. three\nD. four\nAnswer:"


@pytest.mark.parametrize(
    "row",
    [
        {"sent1": "Why?", "ending0": "one", "ending1": "two", "ending2": "three", "ending3": "four", "label": 3},
        {"question": "Why?", "options": {"A": "one", "B": "two", "C": "three", "D": "four"}, "answer_idx": "D"},
    ],
    ids=["hub", "authors' files"],
)
def test_medqa(row, tmp_path):
    task = one({"task": "medqa", "rows": [row]}, tmp_path)
    assert task.items == (Item("0", MEDQA_PROMPT, 3, (" A", " B", " C", " D")),)


@pytest.mark.parametrize("name", ["fiqa", "multifin", "causal20"])
def test_pixiu_rows(name, tmp_path):
    row = {"query": "Read.\nText: x\nAnswer:", "answer": "b", "text": "x", "choices": ["a", "b"], "gold": 1}
    task = one({"task": name, "rows": [row]}, tmp_path)
    assert task.items == (Item("0", "Read.\nText: x\nAnswer:", "b", ("a", "b")),)
    assert (task.kind, task.metric, task.stop, task.max_tokens) == ("generate", "weighted_f1", (), 32)


def test_causal20_takes_fincausal_rows(tmp_path):
    rows = [
        {"index": "1", "text": "Prices rose, so we sold.", "label": 1},
        {"index": "2", "text": "Hello.", "label": 0},
    ]
    task = one({"task": "causal20", "rows": rows}, tmp_path)
    assert task.items[0].prompt == (
        "Does this passage of financial news state a cause and its effect? Answer causal if it does, noise if not.\n"
        "Text: Prices rose, so we sold.\nAnswer:"
    )
    assert [i.gold for i in task.items] == ["causal", "noise"]
    assert task.items[0].options == ("causal", "noise")


@needs_shared
def test_local_mmlu_and_medqa_are_whole():
    tasks = load_task({"task": "mmlu_medical", "path": str(SHARED / "mmlu_medical")}, SHARED)
    assert {t.name: len(t.items) for t in tasks} == {
        "mmlu_anatomy": 135,
        "mmlu_clinical_knowledge": 265,
        "mmlu_college_biology": 144,
        "mmlu_college_medicine": 173,
        "mmlu_medical_genetics": 100,
        "mmlu_professional_medicine": 272,
    }
    gold = [i.answer for i in tasks[-1].items]
    assert gold.count(3) == 122
    medqa = one({"task": "medqa", "path": "medqa_usmle_4opt/test.jsonl"}, SHARED)
    assert [[i.answer for i in medqa.items].count(k) for k in range(4)] == [353, 309, 346, 265]
    causal = one({"task": "causal20", "path": "fincausal2020_task1/trial_full.jsonl"}, SHARED, limit=1000)
    assert len(causal.items) == 1000


# Task files and mappings


def test_a_task_file_names_itself_and_finds_its_rows(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    spec = {k: v for k, v in QUESTION.items() if k != "name"} | {"path": "rows.jsonl", "measure": "retain"}
    (tmp_path / "deep" / "ours.yaml").write_text(yaml.safe_dump(spec))
    task = one("deep/ours.yaml", tmp_path)
    assert (task.name, task.measure, len(task.items)) == ("ours", "retain", 4)
    assert [i.answer for i in task.items] == [0, 1, 0, 1]
    cut = one({"task": "deep/ours.yaml", "limit": 2, "name": "short"}, tmp_path)
    assert (cut.name, len(cut.items)) == ("short", 2)
    assert len(one("deep/ours.yaml", tmp_path, limit=3).items) == 3


def test_a_group_of_files(tmp_path):
    for name in ("x", "y"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**QUESTION, "name": name, "rows": ROWS}))
    (tmp_path / "both.yaml").write_text("group: [x.yaml, y.yaml]\n")
    assert [t.name for t in load_task({"task": "both.yaml", "limit": 1}, tmp_path)] == ["x", "y"]


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        (2, ["3", "2", "1"]),
        ("C", ["x", "y", "z"]),
        ("z", ["x", "y", "z"]),
        ("2", ["x", "y", "z"]),
        ("Z", ["x", "y", "z"]),
    ],
    ids=["a number is an index", "letter", "text", "digits", "text in another case"],
)
def test_how_an_answer_may_be_written(answer, options, tmp_path):
    spec = {**QUESTION, "rows": [{"q": "?", "a": answer, "o": options}], "options": "{{ o }}"}
    assert one(spec, tmp_path).items[0].answer == 2


def test_numbers_without_quotes_are_text(tmp_path):
    spec = {**QUESTION, "rows": [{"q": "?", "a": "7"}], "options": [5, 7]}
    assert one(spec, tmp_path).items[0].options == ("5", "7")
    assert one(spec, tmp_path).items[0].answer == 1


def test_another_kind_of_a_task_that_comes_along(tmp_path):
    row = {"query": "Read.", "choices": ["a", "b"], "gold": 1}
    spec = {"task": "fiqa", "rows": [row], "kind": "choice", "options": "{{ [' ' ~ choices[0], ' ' ~ choices[1]] }}"}
    task = one(spec, tmp_path)
    assert (task.kind, task.metric, task.items[0].options) == ("choice", "accuracy", (" a", " b"))


def test_one_reading_for_all_rows(tmp_path):
    """As text the first row would be right by chance; the second shows that indices are meant."""
    rows = [{"q": "?", "a": "1", "o": ["2", "1", "0"]}, {"q": "!", "a": "0", "o": ["5", "6", "7"]}]
    task = one({**QUESTION, "rows": rows, "options": "{{ o }}"}, tmp_path)
    assert [i.answer for i in task.items] == [1, 0]


def test_labels_stand_for_the_datas_answers(tmp_path):
    spec = {**QUESTION, "rows": [{"q": "?", "a": 1}, {"q": "!", "a": 0}], "labels": {1: "yes", 0: "no"}}
    assert [i.gold for i in one(spec, tmp_path).items] == [" yes", " no"]
    free = {"name": "t", "kind": "generate", "prompt": "{{ q }}", "answer": "{{ a }}"}
    assert [i.gold for i in one({**free, **{k: spec[k] for k in ("rows", "labels")}}, tmp_path).items] == ["yes", "no"]


def test_columns_ids_and_the_row_itself(tmp_path):
    spec = {
        **QUESTION,
        "rows": [{"Die Frage": "Was?", "key": 7, "a": "no"}],
        "columns": {"q": "Die Frage"},
        "id": "k{{ key }}",
        "prompt": "{{ q }} {{ row['Die Frage'] }}\n",
    }
    assert one(spec, tmp_path).items == (Item("k7", "Was? Was?\n", 1, (" yes", " no")),)


def test_examples_are_the_first_rows_but_never_the_item(tmp_path):
    rows = [*ROWS, {"q": "Q0?", "a": "no"}]  # asks what the first row asks
    task = one({**QUESTION, "rows": rows, "description": "D ", "fewshot": {"n": 2}}, tmp_path)
    assert task.items[0].prompt == "D Q1? no\n\nQ2? yes\n\nQ0?"
    assert task.items[3].prompt == "D Q0? yes\n\nQ1? no\n\nQ3?"
    assert task.items[4].prompt == "D Q1? no\n\nQ2? yes\n\nQ0?"


def test_examples_of_generation(tmp_path):
    spec = {"name": "t", "kind": "generate", "rows": ROWS, "prompt": "{{ q }}", "answer": "{{ a }}"}
    task = one({**spec, "fewshot": {"n": 1, "before_answer": " -> ", "between": "\n"}}, tmp_path)
    assert task.items[2].prompt == "Q0? -> yes\nQ2?"
    assert task.metric == "exact_match"


def test_perplexity_takes_texts(tmp_path):
    task = one({"name": "t", "kind": "perplexity", "rows": [{"text": " a b "}], "answer": "{{ text }}"}, tmp_path)
    assert task.items == (Item("0", "", " a b "),)
    assert (task.metric, task.chance) == ("perplexity", None)


def test_tasks_of_a_world(tmp_path, monkeypatch):
    from contextune.core import registry
    from contextune.core.world import World

    def build(size: int = 3):
        items = tuple(Item(str(i), "?", 0, (" a", " b")) for i in range(size))
        return World("toy", {}, {n: Task(n, "choice", items, "accuracy") for n in ("one", "two")})

    monkeypatch.setitem(registry.worlds._known, "toy", build)
    assert [t.name for t in load_task({"world": "toy"}, tmp_path)] == ["one", "two"]
    (task,) = load_task({"world": "toy", "options": {"size": 9}, "tasks": ["two"]}, tmp_path, limit=4)
    assert (task.name, len(task.items)) == ("two", 4)
    with pytest.raises(UserError, match="no task 'tow'") as e:
        load_task({"world": "toy", "tasks": ["tow"]}, tmp_path)
    assert e.value.hint == "did you mean 'two'?"
    with pytest.raises(UserError, match="unknown key 'option'"):
        load_task({"world": "toy", "option": {}}, tmp_path)


def test_no_torch():
    code = (
        "import sys; from contextune.evaluate.tasks.load import load_task, names; names(); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Bad input

BAD = {
    "unknown key": ({**QUESTION, "rows": ROWS, "promt": "x"}, "unknown key 'promt'", "did you mean 'prompt'?"),
    "unknown few-shot key": ({**QUESTION, "rows": ROWS, "fewshot": {"m": 1}}, "unknown key 'fewshot.m'", "known: "),
    "no name": ({k: v for k, v in QUESTION.items() if k != "name"} | {"rows": ROWS}, "the key 'name' is missing", ""),
    "no source": (QUESTION, "exactly one of path, hub, rows; found none", ""),
    "two sources": ({**QUESTION, "rows": ROWS, "hub": "x"}, "found hub, rows", ""),
    "no answer": ({**QUESTION, "rows": ROWS, "answer": ""}, "kind choice needs the key 'answer'", ""),
    "missing answer": (
        {**QUESTION, "rows": [{"q": "?"}]},
        "row 1: answer: 'a' is undefined, there is no such column",
        "known: q",
    ),
    "null answer": ({**QUESTION, "rows": [{"q": "?", "a": None}]}, "row 1: answer: 'a' is null", "fill it"),
    "null in the prompt": ({**QUESTION, "rows": [{"q": None, "a": "no"}]}, "prompt: 'q' is null", ""),
    "answer not among options": (
        {**QUESTION, "rows": [ROWS[0], {"q": "?", "a": "maybe"}]},
        "row 2: answer: 'maybe' is not among the options ' yes', ' no'",
        "an answer is an index",
    ),
    "index out of range": ({**QUESTION, "rows": [{"q": "?", "a": 2}]}, "row 1: answer: '2' is not among", ""),
    "no label": (
        {**QUESTION, "rows": ROWS, "labels": {"1": "yes"}},
        "row 2: answer: 'no' has no label",
        "known: 1, yes",
    ),
    "no rows": ({**QUESTION, "rows": []}, "rows: an empty list", ""),
    "empty file": ({**QUESTION, "path": "empty.jsonl"}, "empty.jsonl: empty", ""),
    "no file": ({**QUESTION, "path": "nowhere.jsonl"}, "nowhere.jsonl: no such file", ""),
    "bad template": (
        {**QUESTION, "rows": ROWS, "prompt": "{{ q "},
        "task mine: prompt: line 1: ",
        "jinja2",
    ),
    "unknown column": (
        {**QUESTION, "rows": ROWS, "prompt": "{{ Q }}"},
        "row 1: prompt: 'Q' is undefined, there is no such column",
        "known: a, q",
    ),
    "failing expression": (
        {**QUESTION, "rows": ROWS, "prompt": "{{ q / 2 }}"},
        "row 1: prompt: TypeError: unsupported operand",
        "columns: q, a",
    ),
    "reaching outside": ({**QUESTION, "rows": ROWS, "prompt": "{{ q.__class__.__mro__ }}"}, "unsafe|no attribute", ""),
    "unknown metric": (
        {**QUESTION, "rows": ROWS, "metric": "acuracy"},
        "metric: unknown 'acuracy'",
        "did you mean 'accuracy'?",
    ),
    "unsuited metric": ({**QUESTION, "rows": ROWS, "metric": "perplexity"}, "not for tasks of kind choice", "known: "),
    "too few examples": (
        {**QUESTION, "rows": ROWS, "fewshot": {"n": 4}},
        "fewshot.n is 4, there are 3 examples",
        "lower",
    ),
    "no split for examples": (
        {**QUESTION, "path": "rows.jsonl", "fewshot": {"n": 1, "split": "dev"}},
        "has no split 'dev'",
        "fewshot.path",
    ),
    "one option": ({**QUESTION, "rows": ROWS, "options": [" yes"]}, "expected at least 2, found 1", ""),
    "empty option": ({**QUESTION, "rows": ROWS, "options": [" yes", " "]}, "options: number 1 is empty", ""),
    "options not a list": ({**QUESTION, "rows": ROWS, "options": "{{ q }}"}, "options: expected a list, found 'Q0", ""),
    "no such column name": (
        {**QUESTION, "rows": ROWS, "columns": {"x": "y"}},
        "no column 'y' for 'x'",
        "columns: q, a",
    ),
    "ids twice": ({**QUESTION, "rows": ROWS, "id": "{{ a }}"}, "two items have the id 'yes'", ""),
    "unknown kind": ({**QUESTION, "rows": ROWS, "kind": "choose"}, "kind: .*found 'choose'", ""),
    "perplexity with options": (
        {"name": "t", "kind": "perplexity", "rows": ROWS, "answer": "{{ q }}", "options": ["a"]},
        "'options' has no effect on a task of kind perplexity",
        "",
    ),
    "truths": ({**QUESTION, "rows": ROWS, "options": [True, False]}, "put them in quotes", ""),
    "label truths": ({**QUESTION, "rows": ROWS, "labels": {True: "yes"}}, "put them in quotes", ""),
    "an option is a list": ({**QUESTION, "rows": ROWS, "options": [["a"], "b"]}, "mine: options.0: .*valid string", ""),
    "config of a file": ({**QUESTION, "rows": ROWS, "config": "x"}, "'config' has no effect .* read from rows", ""),
    "stop of a choice": (
        {**QUESTION, "rows": ROWS, "stop": ["x"]},
        "'stop' has no effect on a task of kind choice",
        "",
    ),
    "empty gold": (
        {"name": "t", "kind": "generate", "rows": [{"q": "?", "a": " "}], "prompt": "{{ q }}", "answer": "{{ a }}"},
        "row 1: answer: empty",
        "",
    ),
    "unknown task": ("medqua", "unknown task 'medqua'", "did you mean 'medqa'?"),
    "hidden task": ({"task": "_mmlu"}, "unknown task '_mmlu'", ""),
    "no task file": ("tasks/none.yaml", "none.yaml: no such file", ""),
    "leads back": ("round.yaml", "leads back to itself", ""),
    "one file for a group": (
        {"task": "mmlu_medical", "path": "rows.jsonl"},
        "'path' would be the same for all",
        "folder",
    ),
    "no folder for a group": (
        {"task": "mmlu_medical", "path": "nowhere"},
        "task mmlu_medical: no such folder .*nowhere",
        "relative to",
    ),
    "no file of the subject": ({"task": "mmlu_anatomy", "path": "."}, "no file matches .*anatomy_test", ""),
    "not a task": (7, "a task is a name, a file or a mapping", ""),
}


@pytest.mark.parametrize(("spec", "message", "hint"), BAD.values(), ids=BAD)
def test_bad_tasks(spec, message, hint, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "round.yaml").write_text("task: round.yaml\n")
    with pytest.raises(UserError, match=message) as e:
        load_task(spec, tmp_path)
    assert hint in e.value.hint


def test_a_fault_leads_to_its_line(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"q": "?", "a": "yes"}\n\n{"q": "!", "a": "perhaps"}\n')
    with pytest.raises(UserError, match=r"rows\.jsonl:3: answer: 'perhaps'"):
        load_task({**QUESTION, "path": "rows.jsonl"}, tmp_path)


def test_options_without_a_token_are_found_before_training(tmp_path, tokenizer):
    """A word-level tokenizer knows no spaces: an option of punctuation alone leaves nothing to predict."""
    spec = {**QUESTION, "rows": [{"q": "w1", "a": 0}]}
    load_task({**spec, "options": [" w2", " w3"]}, tmp_path, tokenizer=tokenizer)
    load_task({**spec, "options": ["w2", " w3"]}, tmp_path, tokenizer=tokenizer)  # encoded apart, as training does it
    empty = Task("mine", "choice", (Item("0", "w1", 0, (" w2", "\n")),), "accuracy")
    with pytest.raises(UserError, match=r"item 0: the option '\\n' is no token of its own"):
        _refuse_unscorable(empty, tokenizer)
