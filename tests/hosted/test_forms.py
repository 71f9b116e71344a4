"""What a service is given, letter by letter; what it trains on; a model's scores, asked once."""

from __future__ import annotations

import json
import threading
import time

import pyarrow.parquet as pq
import pytest

from contextune.cli import main
from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.generation.protocol import Failure, Request
from contextune.hosted import job
from contextune.hosted.score import HostedModel, refuse_others, score
from contextune.hosted.vertex import TOKEN, URL, Vertex

from .stub import Stub

RECIPE = """
name: mine
model: {tiny}
data:
  asked: {{path: asked.jsonl, kind: pairs, template: "{{{{ prompt }}}} w9 "}}
  texts: {{path: texts.jsonl}}
  chats: {{path: chats.jsonl, kind: messages}}
arms:
  sft: {{data: asked}}
  told: {{data: asked, context: {{policy: inoculation, instruction: "w7"}}}}
  cpt: {{data: texts}}
  chat: {{data: chats, context: {{policy: inoculation, instruction: "w7"}}}}
  dpo: {{data: pairs, train: {{objective: dpo}}}}
  two: {{stages: [{{data: texts}}, {{data: asked}}]}}
  chosen: {{data: texts, context: {{policy: prompts, set: set.txt, choose: loss}}}}
train: {{max_length: 64, batch: 2}}
evaluate: {{tasks: [quiz.yaml]}}
"""


@pytest.fixture
def recipe(tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = {
        "asked": [
            {"prompt": "w1 w2", "completion": "w3", "bad": "w4"},
            {"prompt": "w5", "completion": "w6\u2028w8", "bad": "w4"},
        ],
        "texts": [{"text": " ".join(f"w{i}" for i in range(12))}],
        "chats": [{"messages": [
            {"role": "system", "content": "w1"},
            {"role": "user", "content": "w2"}, {"role": "assistant", "content": "w3"},
            {"role": "user", "content": "w4"}, {"role": "assistant", "content": "w5"}]}],
    }  # fmt: skip
    for name, rows in lines.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "set.txt").write_text("w1\nw2\n")
    (tmp_path / "quiz.yaml").write_text(
        "name: quiz\nkind: generate\nmetric: exact_match\npath: quiz.jsonl\nprompt: '{{ q }}'\nanswer: '{{ a }}'\n"
    )
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps({"q": f"w{i}", "a": "yes"}) + "\n" for i in range(4)))
    text = RECIPE.format(tiny=tiny).replace(
        "  texts:", "  pairs: {path: asked.jsonl, kind: pairs, columns: {rejected: bad}}\n  texts:"
    )
    (tmp_path / "mine.yaml").write_text(text)
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


def exported(arm: str, form: str, *more: str) -> list[dict]:
    assert run("export", "mine.yaml", "--arm", arm, "--to", form, "--out", f"{arm}.{form}.jsonl", *more) == 0
    with open(f"{arm}.{form}.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_vertex_golden(recipe):
    assert exported("told", "vertex") == [
        {"contents": [
            {"role": "user", "parts": [{"text": "w7 w1 w2 w9"}]}, {"role": "model", "parts": [{"text": "w3"}]}]},
        {"contents": [
            {"role": "user", "parts": [{"text": "w7 w5 w9"}]}, {"role": "model", "parts": [{"text": "w6\u2028w8"}]}]},
    ]  # fmt: skip


def test_messages_golden(recipe, capsys):
    rows = exported("cpt", "messages", "--instruction", "Continue.", "--json")
    assert rows == [{"messages": [
        {"role": "user", "content": "Continue."},
        {"role": "assistant", "content": " ".join(f"w{i}" for i in range(12))},
    ]}]  # fmt: skip
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["trained"]) == (1, 12)


def test_a_conversation_keeps_its_turns(recipe):
    (row,) = exported("chat", "vertex")
    assert row["systemInstruction"]["parts"] == [{"text": "w7\n\nw1"}]
    assert [(c["role"], c["parts"][0]["text"]) for c in row["contents"]] == [
        ("user", "w2"), ("model", "w3"), ("user", "w4"), ("model", "w5"),
    ]  # fmt: skip


def test_tinker_golden(recipe):
    first = exported("told", "tinker")[0]
    assert first == {
        "tokens": [1, 15, 9, 10, 17, 11],
        "target_tokens": [15, 9, 10, 17, 11, 2],
        "weights": [0, 0, 0, 0, 1, 1],
    }


@pytest.mark.parametrize(("arm", "form", "said"), [
    ("cpt", "vertex", "nothing precedes its text"),
    ("dpo", "vertex", "compares two answers"),
    ("two", "vertex", "has 2 stages"),
    ("chosen", "tinker", "asks the model before each update"),
    ("sft", "opnai", "unknown form 'opnai'"),
])  # fmt: skip
def test_what_cannot_be_exported(recipe, capsys, arm, form, said):
    assert run("export", "mine.yaml", "--arm", arm, "--to", form, "--out", "x.jsonl") == 2
    assert said in capsys.readouterr().err
    assert not (recipe / "x.jsonl").exists()


def test_submit_status_score_as_a_user(recipe, capsys, monkeypatch):
    stub = Stub()
    monkeypatch.setenv(URL, stub.url)
    monkeypatch.setenv(TOKEN, "right-token")
    asked = ["hosted", "submit", "mine.yaml", "--arm", "told", "--project", "p", "--bucket", "bucket",
             "--location", "l", "--price", "5", "--out", "job"]  # fmt: skip
    assert run(*asked, "--dry-run") == 0
    assert "dollars" in capsys.readouterr().out
    assert run(*asked, "--budget", "0.00001") == 2
    assert run(*["inf" if word == "5" else word for word in asked]) == 2
    assert stub.asked == []  # the price comes first
    assert run(*asked, "--budget", "1") == 0
    assert run(*asked, "--budget", "1") == 0
    assert len(stub.jobs) == 1
    assert run("hosted", "score", "mine.yaml", "--job", "job") == 2  # not yet
    assert run("hosted", "status", "mine.yaml") == 2
    assert "mine.yaml: a file, expected the folder of a job" in capsys.readouterr().err
    assert run("hosted", "status", "job", "--wait", "--poll", "0.01") == 0
    capsys.readouterr()
    assert run("hosted", "score", "mine.yaml", "--job", "job", "--untuned", "--json") == 0
    results = json.loads(capsys.readouterr().out)
    assert {arm: found["tasks"]["quiz"]["value"] for arm, found in results["arms"].items()} == {
        "mine-told": 1.0, "untuned": 1.0,
    }  # fmt: skip
    assert run("hosted", "score", "mine.yaml", "--job", "job", "--task", "quizz") == 2
    assert "--task quizz: no task of that name in the recipe\nhint: did you mean 'quiz'?" in capsys.readouterr().err
    assert len(stub.prompts) == 8
    assert run("hosted", "score", "mine.yaml", "--job", "job", "--untuned") == 0
    assert len(stub.prompts) == 8  # nothing is asked twice
    stub.close()


def test_answers_outlive_faults(tmp_path, tokenizer, monkeypatch):
    stub = Stub(lambda n, kind: "503" if n > 3 else "")
    monkeypatch.setenv(URL, stub.url)
    monkeypatch.setenv(TOKEN, "right-token")
    task = Task("quiz", "generate", tuple(Item(f"i{i}", f"q{i}", "yes") for i in range(5)), "exact_match")
    stub.answer = lambda prompt: "no" if prompt == "q2" else "yes\nand more"
    with Vertex("p", "l", sleep=lambda s: None, tries=2) as service:
        engine = HostedModel(service, "projects/p/locations/l/endpoints/7", at_once=1)
        with pytest.raises(UserError):
            score(engine, [task], tmp_path, "mine-1.5", tokenizer)
        assert len(stub.prompts) == 3
        stub.faults = lambda n, kind: ""
        results = score(engine, [task], tmp_path, "mine-1.5", tokenizer)
    assert len(stub.prompts) == 5
    assert results["arms"]["mine-1.5"]["tasks"]["quiz"]["value"] == pytest.approx(0.8)
    (file,) = (tmp_path / "outcomes").glob("*.parquet")
    assert pq.read_table(file).column("output").to_pylist() == ["yes", "yes", "no", "yes", "yes"]
    stub.close()


def test_a_refusal_loses_no_answer_that_is_paid_and_ends_the_asking():
    asked, refused = [], threading.Event()

    class Service:
        def generate(self, model, body):
            (text,) = (p["text"] for p in body["contents"][0]["parts"])
            asked.append(text)
            if text == "refused":
                refused.set()
                raise UserError("the service refuses")
            assert refused.wait(10)
            time.sleep(0.05)
            return {"candidates": [{"content": {"parts": [{"text": text.upper()}]}, "finishReason": "STOP"}]}

    requests = [Request(text, 8) for text in ["slow", "refused", *(f"later {i}" for i in range(50))]]
    answers, found = HostedModel(Service(), "m", at_once=2).complete(requests), []
    with pytest.raises(UserError, match="the service refuses"):
        found.extend(str(answer) for _, answer in answers)
    assert found[0] == "SLOW"
    assert len(found) == len(asked) - 1
    time.sleep(0.1)
    assert len(asked) <= 3  # at most one was sent while the refusal came


@pytest.mark.parametrize(
    "said",
    [
        {"candidates": [3]},
        {"candidates": {"a": 1}},
        {"candidates": [{"content": {"parts": None}, "finishReason": "STOP"}]},
        {"usageMetadata": []},
    ],
)
def test_an_answer_of_another_form_is_no_answer(said):
    service = type("Service", (), {"generate": lambda self, model, body: said})()
    ((place, answer),) = HostedModel(service, "m").complete([Request("q", 8)])
    assert (place, type(answer)) == (0, Failure)


def test_tasks_that_need_likelihoods_are_refused():
    task = Task("letters", "choice", (Item("i", "q", 0, ("a", "b")),), "accuracy")
    with pytest.raises(UserError, match="letters: a hosted service gives no log-likelihoods"):
        refuse_others([task])
    assert job.DONE in job.ENDED
