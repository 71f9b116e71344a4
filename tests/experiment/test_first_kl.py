"""How far each arm's models have moved from the first one on general text: by plain torch, in results, and refused."""

from __future__ import annotations

import json
import random

import pytest
import torch
import yaml

from contextune import load, models, run
from contextune.core.errors import UserError
from contextune.core.items import Item
from contextune.evaluate.general import ROW, first_kl, readable, shipped
from contextune.evaluate.scoring.first_model import divergence, log_probabilities, table
from contextune.experiment.prepare import prepare
from contextune.experiment.rebuild import rebuild
from tests.conftest import words

TEXTS = ("w1 w2 w3 w4", "w5 w6 w7")


def items() -> tuple[Item, ...]:
    return tuple(Item(f"t{i}", "", text) for i, text in enumerate(TEXTS))


def moved(tiny):
    made = models.load_model(str(tiny)).eval()
    with torch.no_grad():
        for p in made.parameters():
            p.mul_(1.2)
    return made


def test_is_the_plain_sum_over_the_vocabulary(tokenizer, tiny):
    """<s> stands before each text and is not predicted."""
    first, now = models.load_model(str(tiny)).eval(), moved(tiny)
    task = first_kl("mine", items(), tokenizer)
    kept = list(log_probabilities(first, tokenizer, task.items))
    found = table(kept, now, tokenizer, task, "arm", 0).to_pydict()
    for text, sums, tokens in zip(TEXTS, found["sums"], found["tokens"], strict=True):
        ids = torch.tensor([[1, *(8 + int(w[1:]) for w in text.split())]])
        p, q = (m(input_ids=ids).logits[0, :-1].softmax(-1) for m in (first, now))
        assert sums == [pytest.approx((p * (p / q).log()).sum().item(), abs=1e-5)]
        assert tokens == [len(text.split())]


def test_of_the_first_model_itself_it_is_exactly_0(tokenizer, tiny):
    first = models.load_model(str(tiny)).eval()
    task = first_kl("mine", items(), tokenizer)
    kept = list(log_probabilities(first, tokenizer, task.items))
    assert table(kept, first, tokenizer, task, "arm", 0)["sums"].to_pylist() == [[0.0], [0.0]]
    assert table(kept, None, tokenizer, task, "arm", 0)["sums"].to_pylist() == [[0.0], [0.0]]


def test_more_words_later_change_nothing_of_what_the_first_expected():
    p, q = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.4, 0.4, 0.2]]).log()
    assert divergence(p, q) == pytest.approx(0.223144, abs=1e-6)


def test_it_reads_a_bounded_number_of_tokens(tokenizer, tiny):
    long = (Item(f"t{i}", "", "w1 " * 2000) for i in range(50))
    task = first_kl("long", long, tokenizer)
    assert len(task.items) == 4
    assert [len(p) for p in log_probabilities(models.load_model(str(tiny)), tokenizer, task.items)] == [ROW - 1] * 4


def test_what_ships_is_read_by_those_that_know_it(tokenizer):
    assert not readable(shipped("plain"), tokenizer)
    pocket = models.load_tokenizer(models.resolve(models.Model(path="pocket"), None))
    assert readable(shipped("pocket"), pocket)
    assert len(shipped("another style")) == len(shipped("plain")) >= 16


def recipe(tiny, folder) -> dict:
    rng = random.Random(0)
    rows = [{"id": f"d{i}", "text": words(rng, 20, 30)} for i in range(24)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "general.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows[::-1]))
    rows = [{"q": words(rng, 2, 4), "a": rng.randrange(2)} for _ in range(10)]
    (folder / "items.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = {"name": "pick", "path": "items.jsonl", "prompt": "{{ q }}", "options": [" w1", " w2"], "answer": "{{ a }}"}
    return {
        "name": "moved", "model": str(tiny), "output": str(folder / "out"), "seeds": [0, 1],
        "data": {"docs": {"path": "docs.jsonl"}, "general": {"path": "general.jsonl", "held_out": 0.3}},
        "arms": {"none": None, "much": {"data": "docs"}},
        "train": {"max_length": 48, "steps": 3, "batch": 4, "lr": 0.02},
        "evaluate": {"tasks": [task], "samples": 0, "general": "general"},
        "compare": {"resamples": 200},
    }  # fmt: skip


def test_each_arm_and_seed_has_its_own(tiny, tmp_path):
    mine = recipe(tiny, tmp_path)
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(mine))
    results = run(tmp_path / "r.yaml", workers=1)
    found = results["first_kl"]["arms"]
    assert found["none"] == {"value": 0.0, "interval": [0.0, 0.0], "seeds": {"0": 0.0}}
    assert set(found["much"]["seeds"]) == {"0", "1"}
    assert len(set(found["much"]["seeds"].values())) == 2
    low, high = found["much"]["interval"]
    assert found["much"]["value"] > 0
    assert low < found["much"]["value"] < high
    assert list(results["tasks"]) == ["pick"]
    assert rebuild(tmp_path / "out")["first_kl"] == results["first_kl"]
    assert "KL from the first model" in (tmp_path / "out" / "report.html").read_text()
    prepared = prepare(load(tmp_path / "r.yaml", "evaluate.general=off"))
    assert prepared.general is None
    assert prepared.scored("much") == tuple(prepared.tasks)


def test_what_cannot_be_is_refused(tiny, tmp_path):
    mine = recipe(tiny, tmp_path)
    for name, said in (("docs", "holds nothing out"), ("generel", "is not in data")):
        with pytest.raises(UserError, match=said):
            load({**mine, "evaluate": {**mine["evaluate"], "general": name}})


@pytest.mark.parametrize(
    ("at", "said"), [("replay", "at names replay, but none of the 24 rows"), ("context", "at names context")]
)
def test_a_penalty_on_tokens_that_are_not_there_is_refused(tiny, tmp_path, at, said):
    mine = recipe(tiny, tmp_path)
    mine["arms"]["much"]["train"] = {"kl": {"at": at}}
    with pytest.raises(UserError, match=said):
        prepare(load(mine), tmp_path)
    mine["arms"]["much"]["augment"] = {"mix": {"replay": {"data": "general"}}}
    mine["arms"]["much"]["context"] = {"policy": "inoculation", "instruction": "w7"}
    assert prepare(load(mine), tmp_path).arms["much"][0].train.kl.at == (at,)
