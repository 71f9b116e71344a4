"""What check says of time and memory: of a folder without weights too, from one probe, pools read once."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

import contextune
from contextune import UserError
from contextune.core.items import Item, Task
from contextune.evaluate.tasks import examples
from contextune.experiment import estimate, probe
from contextune.experiment.alike import Wanted
from contextune.experiment.prepare import prepare
from contextune.experiment.probe import Probe

LLAMA_8B = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": False,
    "vocab_size": 128256, "max_position_embeddings": 8192,
}  # fmt: skip


@pytest.fixture
def bare(tiny, tmp_path):
    """A model's folder without its weights."""
    folder = tmp_path / "bare"
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


def recipe(folder, tmp_path, **more):
    (tmp_path / "t.jsonl").write_text("".join(f'{{"text": "w{i} w{i + 1} w{i + 2} w{i + 3}"}}\n' for i in range(12)))
    task = {"name": "q", "kind": "choice", "rows": [{"q": f"w{i}", "a": i % 2} for i in range(6)],
            "prompt": "{{ q }}", "options": [" w8", " w9"], "answer": "{{ a }}"}  # fmt: skip
    return {
        "model": str(folder), "data": {"t": {"path": str(tmp_path / "t.jsonl")}}, "arms": {"cpt": {"data": "t"}},
        "train": {"steps": 6, "batch": 4, "max_length": 32}, "evaluate": {"tasks": [task], "samples": 0},
        "output": str(tmp_path / "out"), **more,
    }  # fmt: skip


def test_a_folder_without_weights_is_judged_by_its_configuration(bare, tiny, tmp_path):
    found = contextune.check(recipe(bare, tmp_path))
    whole = contextune.check(recipe(tiny, tmp_path))
    assert found["model"]["parameters"] == whole["model"]["parameters"]
    assert any("no weights (*.safetensors) are there" in text for text in found["warnings"])
    assert found["estimate"]["parts"]["training"] > 0
    with pytest.raises(UserError, match="no weights"):
        prepare(recipe(bare, tmp_path))  # as a run does


def test_what_cannot_fit_is_said_with_parameters_and_an_adapters_need(bare, tmp_path, monkeypatch):
    (bare / "config.json").write_text(json.dumps(LLAMA_8B))
    monkeypatch.setattr("contextune.core.memory.free", lambda: 24 << 30)
    monkeypatch.setattr("contextune.train.precision.native_bf16", list)  # where there is, frozen weights take half
    with pytest.raises(UserError) as e:
        contextune.check(recipe(bare, tmp_path))
    assert "to train the 8.03 B parameters" in e.value.message
    assert "138.3 GiB for weights, gradients and optimizer" in e.value.message
    assert "{kind: lora} takes about 3" in e.value.hint


def test_stages_that_train_alike_are_measured_once(tiny, tmp_path, monkeypatch):
    measured, measure = [], probe._measured
    monkeypatch.setattr(probe, "_measured", lambda *a: measured.append(a[2]) or measure(*a))
    arms = {"a": {"data": "t"}, "b": {"data": "t", "train": {"lr": 1e-3}}, "c": {"data": "t", "train": {"threads": 1}}}
    found = contextune.check(recipe(tiny, tmp_path, arms=arms))
    assert len(measured) == 2
    assert len(found["estimate"]["stages"]) == 3


def test_a_part_of_a_model_stands_for_the_whole():
    whole, half = Probe(None, 1000.0, 200.0, 0.0), Probe(None, 1000.0, 200.0, 0.0, share=0.5)
    assert whole.work(10, 5, 4) == whole.tried(10, 5, 4) == half.work(10, 5, 4) == 10_800
    assert half.tried(10, 5, 4) == 5_800
    assert half.scale == pytest.approx(1050 / 550)


@pytest.mark.parametrize("adapter", [None, {"rank": 2}])
def test_the_probe_leaves_the_model_as_it_was(tiny, tmp_path, adapter):
    train = {"steps": 6, "batch": 4, "max_length": 32, "adapter": adapter}
    prepared = prepare(recipe(tiny, tmp_path, train=train), plan=True)
    made = probe.open_probe(prepared)
    before = {k: v.clone() for k, v in made.model.state_dict().items()}
    ready = prepared.arms["cpt"][0]
    from contextune.train.updates import Updates

    rows = Updates(ready.records, ready.context, prepared.tokenizer, ready.plan(0), 32)[0]
    rates = probe.training_rates(made, prepared, ready.train, rows)
    assert rates.work > 0
    assert rates.step > 0
    assert {k: v.tolist() for k, v in made.model.state_dict().items()} == {k: v.tolist() for k, v in before.items()}
    assert not made.model.training


def test_probes_read_no_pool_again(tiny, tmp_path, monkeypatch):
    read, pool = [], examples.pool
    monkeypatch.setattr(examples, "pool", lambda *a: read.append(a[3]) or pool(*a))
    rows = [{"q": f"w{i} w{i + 1} w{i + 2}", "a": f"w{i}"} for i in range(12)]
    common = {"kind": "generate", "prompt": "{{ q }}", "answer": "{{ a }}", "pool": {"path": str(tmp_path / "p.jsonl")}}
    (tmp_path / "p.jsonl").write_text(
        "".join(json.dumps({"q": f"w{i} w{i + 9}", "a": f"w{i}"}) + "\n" for i in range(30))
    )
    tasks = [{"name": n, "rows": rows, "graded": {"k": 1, "grades": ["none"]}, **common} for n in ("one", "two")]
    probes = {"every": 5, "items": 2, "tasks": ["one"]}
    evaluate = {"tasks": tasks, "samples": 0, "callbacks": {"probes": probes}}
    contextune.check(recipe(tiny, tmp_path, evaluate=evaluate), measure=False)
    assert [where.split()[1].rstrip(":") for where in read] == ["one", "two"]


def test_what_a_large_task_takes_is_measured_on_it(monkeypatch):
    """Not taken from a small one, of which a token costs ten times as much; a small one's rate is the last in doubt."""
    cost = {"small": 1e-2, "large": 1e-3}
    tasks = [
        Task(name, "choice", tuple(Item(f"{i}", "x" * long, 0, ("a", "b")) for i in range(n)), "accuracy")
        for name, n, long in (("small", 4, 10), ("large", 200, 300))
    ]
    monkeypatch.setattr(estimate, "_work", lambda prepared, probe, task: sum(len(i.prompt) for i in task.items))
    monkeypatch.setattr(
        estimate, "_timed", lambda prepared, probe, task: cost[task.name] * sum(len(i.prompt) for i in task.items)
    )
    monkeypatch.setattr("contextune.evaluate.scoring.generate.generate", lambda *_, **__: [])
    prepared = SimpleNamespace(
        tasks=tasks, tokenizer=None, recipe=SimpleNamespace(train=SimpleNamespace(threads=1)), parameters=1
    )
    found, _ = estimate._scoring(prepared, Probe(None, 1000.0, 200.0, 0.0))
    assert list(found) == ["small", "large"]
    assert found["large"].seconds == pytest.approx(200 * 300 * 1e-3)
    assert found["large"].read == pytest.approx(1e-3)
    assert found["small"].seconds < 0.1 * found["large"].seconds


def test_passages_before_a_question_are_read_and_do_not_make_its_answer_longer(monkeypatch):
    """Short instructions behind retrieved passages were taken to be written at fifty times the length."""
    items = tuple(Item(f"{i}", "Go.", "went", (), before=before) for i, before in enumerate(["", "a b c d", "e f"]))
    task = Task("t", "generate", items, "exact_match")
    wanted = {"cpt": Wanted("cpt", 0, task, "k"), "the same model": Wanted("cpt+retrieval", 0, task, "k")}
    monkeypatch.setattr(estimate, "wanted_of", lambda prepared: wanted)
    monkeypatch.setattr(estimate, "encode", lambda text, tokenizer: text.split())
    found = estimate._evaluation(SimpleNamespace(tokenizer=None), {"t": estimate.Cost(100.0, 2.0)}, 5.0)
    assert found == 100 + 2 * (4 + 2) + 5


def test_a_deep_model_is_timed_by_its_first_layers():
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "vocab_size": 32}
    model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=6, **sizes)).eval()
    ids, made = torch.arange(5)[None], Probe(model, 9e7, 0.0, 0.0)
    whole = model(ids).logits
    with probe.shortened(made):
        assert (len(model.model.layers), made.share, made.scale) == (2, 2 / 6, 3.0)
        assert not torch.equal(model(ids).logits, whole)
    assert (len(model.model.layers), made.share) == (6, 1.0)
    assert torch.equal(model(ids).logits, whole)
    small = Probe(model, 1e6, 0.0, 0.0)
    with probe.shortened(small):
        assert (len(model.model.layers), small.share) == (6, 1.0)
