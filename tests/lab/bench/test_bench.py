"""The bench: workloads are what the specification says, the floor is counted right, and all runners agree."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from contextune.core.sequence import IGNORED, Rendered
from contextune_lab.bench import race, workloads
from contextune_lab.bench.run import lines

TINY = SimpleNamespace(
    hidden_size=4, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, intermediate_size=8, vocab_size=10
)


def test_shapes_of_the_workloads():
    rows = workloads.contextual(1000)
    assert [(len(r), r.trained) for r in rows] == [(512, 472)] * 2
    assert rows[0].ids[:40] != rows[1].ids[:40]
    rows = workloads.in_context(1000)
    assert [(len(r), r.trained) for r in rows] == [(360, 20)] * 8
    assert len({r.ids[:300] for r in rows}) == 1 < len({r.ids[300:] for r in rows}) == 8
    sizes = [len(r) for seed in range(200) for r in workloads.mixed(1000, seed)]
    assert 112 < sum(sizes) / len(sizes) < 128
    assert all(r.trained == len(r) - len(r) // 2 for r in workloads.mixed(1000))


def test_floor_by_hand():
    """Width 4, two heads of two, one key-value head; one row of four inputs, the last two of which are trained on."""
    row = Rendered((1, 2, 3, 4, 5), (IGNORED, IGNORED, IGNORED, 4, 5))
    rest = 2 * 4 * 4 * 2 + 3 * 2 * 4 * 8
    keys = 2 * 2 * 4 * 2
    dense = 4 * rest + 2 * rest + 2 * 4 * keys
    attention = 2 * 10 * 2 * 2 * 4
    head = 2 * 2 * 4 * 10
    assert workloads.floor([row], TINY) == pytest.approx(3e-9 * (dense + attention + head))


def test_floor_counts_what_is_shared_once():
    begin = tuple(range(20, 40))
    rows = [Rendered((*begin, i, i + 1), (IGNORED,) * 20 + (i, i + 1)) for i in (50, 60)]
    alone = workloads.floor(rows[:1], TINY)
    assert alone < workloads.floor(rows, TINY) < 1.4 * alone


def test_turns_and_ratios():
    said: list[str] = []
    order: list[str] = []
    times, peaks = race.race({n: lambda n=n: order.append(n) for n in "abc"}, 3, said.append)
    assert order == [*"abc", *"abc", *"bca", *"cab"], "a first round for memory, then each begins once"
    assert said == ["warming up", "round 1 of 3", "round 2 of 3", "round 3 of 3"]
    assert {len(t.seconds) for t in times.values()} == {3}
    assert set(peaks) == {*"abc"}
    assert race.Times((1.0, 2.0, 4.0)).times_faster(race.Times((2.0, 8.0, 4.0))) == (2.0, 1.0, 4.0)


def test_peak_is_what_is_needed_anew():
    found = race.peak(lambda: bytearray(64 << 20))
    if found is None:
        pytest.skip("the system does not say")
    assert 60 << 20 < found < 90 << 20


def test_all_runners_compute_the_same(monkeypatch):
    from contextune import models
    from contextune.worlds import pocket
    from contextune_lab.bench import training
    from tests.train.shapes import make

    monkeypatch.setattr(training, "model_of", lambda size: make("llama"))
    monkeypatch.setattr(training, "tokenizer_of", lambda size: models.load_tokenizer(str(pocket.path())))
    monkeypatch.setitem(workloads.WORKLOADS, "few", lambda vocabulary: workloads.mixed(vocabulary, rows=5, mean=20))
    peers = ["transformers"]
    try:
        import trl  # noqa: F401

        peers.append("trl")
    except ImportError:
        pass
    found = training.measure("tiny", "few", 1, peers, lambda text: None)
    assert set(found["runners"]) == {"ours", *peers}
    for runner in found["runners"].values():
        assert runner["loss"] < 1e-6
        assert runner["gradients"] < 2e-6
    text = "\n".join(lines({"machine": {"cpu": "x", "bf16": [], "threads": 1, "versions": {}}, "missing": [],
                            "training": [found]}))  # fmt: skip
    assert "| transformers |" in text


def test_scoring_agrees_with_the_harness(monkeypatch, tiny, tokenizer):
    pytest.importorskip("lm_eval")
    from contextune import models
    from contextune_lab.bench import scoring

    monkeypatch.setattr(scoring, "model_of", lambda size: models.load_model(str(tiny)))
    monkeypatch.setattr(scoring, "tokenizer_of", lambda size: tokenizer)
    monkeypatch.setattr(scoring, "items", lambda t, n: _items(n))
    found = scoring.measure("tiny", 1, 2, lambda text: None)
    assert found["difference"] < 1e-4


def _items(n):
    from contextune.core.items import Item

    options = (" w1", " w2 w3", " w4", " w5 w6 w7")
    return [Item(f"q{i}", f"w9 w8 w7 w6 w{i}", 0, options) for i in range(n)]


def test_a_document_stands_before_every_prompt():
    from contextune import models
    from contextune.worlds import pocket
    from contextune_lab.bench.generation import _prompts

    tokenizer = models.load_tokenizer(str(pocket.path()))
    alone, after = _prompts(tokenizer, 3, 0), _prompts(tokenizer, 3, 50)
    (document,) = {a.removesuffix(q) for a, q in zip(after, alone, strict=True)}
    assert len(tokenizer.encode(document, add_special_tokens=False)) in (50, 51, 52)
    assert len(set(alone)) == 3


def test_retrieval_is_exact():
    from contextune_lab.bench import retrieval

    assert retrieval.measure(500, 10, 1, lambda text: None, width=16)["same"] == 1.0


@pytest.mark.parametrize("wrong", [["bench", "trainin"], ["bench", "--size", "large"], ["bench", "--device", "gpu"]])
def test_wrong_words_are_named(wrong, capsys):
    from contextune.cli import main

    with pytest.raises(SystemExit) as stopped:
        main(wrong)
    assert stopped.value.code == 2
    assert "bench: no " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("retrieval", "retrieval is not measured on a GPU"),
        ("training", "torch sees no GPU"),
        ("scoring", "torch sees no GPU"),
    ],
)
def test_a_gpu_that_is_not_there(part, said, capsys, monkeypatch):
    import torch

    from contextune.cli import main

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stopped:
        main(["bench", part, "--device", "cuda"])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_json_is_json(monkeypatch):
    from contextune.cli import add_commands, app

    add_commands()
    from contextune_lab.bench import run

    monkeypatch.setattr(run, "bench", lambda *given: {"machine": {}, "given": list(map(str, given[:4]))})
    done = CliRunner().invoke(app, ["bench", "training", "--quick", "--json"])
    assert json.loads(done.stdout)["given"] == ["('training',)", "True", "3", "('pocket',)"]


def test_a_models_folder_is_a_size(monkeypatch, tiny, tokenizer):
    from contextune_lab.bench import generation, training

    monkeypatch.setattr(generation, "_prompts", lambda tokenizer, requests, shared: ["w1 w2 w3", "w4"])
    assert training.tokenizer_of(str(tiny)).get_vocab() == tokenizer.get_vocab()
    found = generation.measure(str(tiny), 1, 2, lambda text: None)
    assert (found["size"], found["same"]) == (str(tiny), 1.0)


def test_shorter_rows_still_begin_alike():
    from contextune_lab.bench.training import _shortened

    rows = [_shortened(row, 4) for row in workloads.in_context(100, targets=3)]
    assert {len(row) for row in rows} == {90}
    assert len({row.ids[:75] for row in rows}) == 1
    assert all(row.trained == 5 for row in rows)


def test_shapes_of_the_workloads_of_a_gpu():
    made = {name: make(1000) for name, make in workloads.GPU_WORKLOADS.items()}
    assert [(len(r), r.trained) for r in made["contextual"]] == [(2048, 2008)] * 16
    for name, groups in (("in_context", 8), ("in_context_own", 64)):
        assert [(len(r), r.trained) for r in made[name]] == [(890, 30)] * 64
        assert len({r.ids[:800] for r in made[name]}) == groups
    sizes = [len(r) for r in made["mixed"]]
    assert len(sizes) == 128
    assert 300 < sum(sizes) / 128 < 480
    assert max(sizes) <= 2048


def test_frozen_weights_have_no_gradients_to_count():
    row = Rendered((1, 2, 3, 4, 5), (IGNORED, IGNORED, IGNORED, 4, 5))
    attention = 3e-9 * 2 * 10 * 2 * 2 * 4
    dense = workloads.floor([row], TINY) - attention
    assert workloads.floor([row], TINY, frozen=True) == pytest.approx(attention + dense * 2 / 3)


def test_rounds_end_when_their_time_is_over():
    times, _ = race.race({n: lambda: None for n in "ab"}, 5, limit=0.0)
    assert {len(t.seconds) for t in times.values()} == {1}, "one at least"


def test_a_copy_shares_what_is_frozen():
    from contextune import models
    from contextune.models.options import Adapter
    from contextune_lab.bench.training import copied
    from tests.train.shapes import make

    model = models.adapt(make("llama"), Adapter(rank=4))
    twin = copied(model)
    same = {a.requires_grad: a is b for a, b in zip(model.parameters(), twin.parameters(), strict=True)}
    assert same == {False: True, True: False}


def test_what_a_peer_patches_stands_only_while_it_runs():
    from transformers.models.llama import modeling_llama

    from contextune_lab.bench.training import TimedStep, standing
    from tests.train.shapes import make

    plain, seen = modeling_llama.apply_rotary_pos_emb, []
    step = TimedStep(make("llama"), lambda: seen.append(modeling_llama.apply_rotary_pos_emb) or 0.0)
    standing(step, {"apply_rotary_pos_emb": len})()
    assert seen == [len]
    assert modeling_llama.apply_rotary_pos_emb is plain


@pytest.mark.gpu
def test_a_gpu_runs_every_part(capsys):
    from contextune.cli import main

    with pytest.raises(SystemExit) as stopped:
        main(["bench", "--device", "cuda", "--size", "pocket", "--rounds", "1"])
    assert not stopped.value.code
    assert "in_context_own" in capsys.readouterr().out
