"""DPO's loss and gradient are TRL's and autograd's; a stage of pairs learns, and resumes bit for bit."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from contextune import models
from contextune.contexts import NoContext
from contextune.core.sequence import Record, Rendered, Segment
from contextune.models.options import Adapter
from contextune.train import stage
from contextune.train.fast_path import FastPath
from contextune.train.layouts import OWN
from contextune.train.objectives.dpo import DPO, BoundDPO
from contextune.train.options import Train
from contextune.train.scores import log_likelihoods, numbered, weighted

from .kills import killed, same_weights

CHOSEN = [Rendered((1, 8, 9, 20, 21, 2), (-100, -100, -100, 20, 21, 2)), Rendered((1, 8, 30, 2), (-100, -100, 30, 2))]
REJECTED = [Rendered((1, 8, 9, 40, 2), (-100, -100, -100, 40, 2)), Rendered((1, 8, 31, 32, 2), (-100, -100, 31, 32, 2))]
ROWS = [replace(c, rejected=r) for c, r in zip(CHOSEN, REJECTED, strict=True)]
CPU = torch.device("cpu")


def pairs() -> list[Record]:
    """A question with two answers of other lengths; the first one is wanted."""

    def made(question: int, answer: str) -> tuple[Segment, ...]:
        return (Segment(f"w{question} w1", "context"), Segment(answer, "target"))

    return [replace(Record(f"p{i}", made(i, f"w{50 + i} w3")), rejected=made(i, f"w{70 + i} w4 w5")) for i in range(12)]


@pytest.fixture
def model(tiny):
    return models.load_model(str(tiny))


def alone(model, row: Rendered) -> torch.Tensor:
    """One row's log-likelihood, by transformers' own labels."""
    ids, labels = torch.tensor([row.ids]), torch.tensor(row.labels[1:])
    logits = model(input_ids=ids).logits[0, :-1]
    return -F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")


@pytest.mark.parametrize("layout", ["single", "padded", "packed", "shared"])
def test_scores_of_rows_in_any_layout(model, layout):
    rows = [*CHOSEN, *REJECTED]
    expected = [float(alone(model, row).detach()) for row in rows]
    for tokens in (8, 1000):
        found = log_likelihoods(model, FastPath(spans=layout == "shared"), rows, OWN[layout], tokens, 0, CPU)
        assert found.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("layout", ["padded", "shared"])
def test_weighted_rows(model, layout, parts):
    rows, weights = [*CHOSEN, *REJECTED], torch.tensor([0.5, -1.0, 2.0, 0.0])
    expected = sum(-w * alone(model, row) for w, row in zip(weights, rows, strict=True))
    slopes = torch.autograd.grad(expected, model.model.embed_tokens.weight)[0]
    engine = FastPath(spans=layout == "shared", parts=parts)
    found = torch.zeros(())
    model.zero_grad()
    for batch in weighted(rows, weights, 0, 1, OWN[layout], 9, 0):
        with engine.around(model, batch):
            loss = engine.loss(model, batch)
            loss.backward()
        found = found + loss.detach()
    assert float(found) == pytest.approx(float(expected), abs=1e-4)
    assert torch.allclose(model.model.embed_tokens.weight.grad, slopes, atol=1e-5)


def test_numbers_take_the_place_of_labels():
    assert [row.labels for row in numbered(CHOSEN)] == [(-100, -100, -100, 0, 0, 0), (-100, -100, 1, 1)]


def test_golden_losses():
    """Scores of two pairs, by hand: differences 0.5 and −1 beyond the reference's."""
    scores, reference = torch.tensor([-3.0, -5.0, -4.0, -2.0]), torch.tensor([-3.0, -4.0, -3.5, -2.0])
    rows = [*CHOSEN, *REJECTED]

    def loss(**options) -> float:
        bound = BoundDPO(DPO(**options), torch.nn.Linear(1, 1))
        return float(bound.loss(rows, scores, reference)[0])

    sigmoid = [math.log1p(math.exp(-0.1 * d)) for d in (0.5, -1.0)]
    assert loss() == pytest.approx(sum(sigmoid) / 2, abs=1e-6)
    assert loss(loss="hinge", beta=2.0) == pytest.approx((0.0 + 3.0) / 2)
    ipo = [(0 / 3 + 0.5 / 2 - 5) ** 2, (-1 / 2 - 0 / 3 - 5) ** 2]
    assert loss(loss="ipo") == pytest.approx(sum(ipo) / 2, abs=1e-5)


def test_rows_without_a_pair_are_left_out():
    bound = BoundDPO(DPO(), torch.nn.Linear(1, 1))
    assert bound.rows([CHOSEN[0], ROWS[1]]) == [ROWS[1], REJECTED[1]]
    assert bound.rows(CHOSEN) == []


def test_the_reference_is_the_model_of_the_beginning(model):
    bound = DPO().bind(model)
    before = float(alone(model, CHOSEN[0]).detach())
    with torch.no_grad():
        model.model.norm.weight.mul_(1.5)
    after = float(alone(model, CHOSEN[0]).detach())
    assert after != before
    with bound.reference(model):
        assert float(alone(model, CHOSEN[0]).detach()) == before
    assert float(alone(model, CHOSEN[0]).detach()) == after


def job(tokenizer, start, folder, records=None, **options) -> stage.TrainJob:
    given = {"epochs": 4, "batch": 4, "lr": 5e-3, "max_length": 32, "objective": {"objective": "dpo", "beta": 0.5}}
    return stage.TrainJob(
        records or pairs(), NoContext(), tokenizer, Train(**{**given, **options}), 3, str(start), folder
    )


def curve(folder) -> list[dict]:
    return json.loads((folder / "losses.json").read_text())


def test_a_stage_prefers_the_answers_that_are_wanted(tokenizer, tiny, tmp_path):
    stage.run(job(tokenizer, tiny, tmp_path / "whole"))
    rows = curve(tmp_path / "whole")
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)  # nothing is preferred yet
    assert (rows[0]["margin"], rows[0]["pairs"]) == (0.0, 4)
    assert rows[-1]["preferred"] == 1.0
    assert rows[-1]["loss"] < 0.3


@pytest.mark.parametrize("adapter", [None, Adapter(kind="lora", rank=4)])
def test_resumed_is_bit_equal(tokenizer, tiny, tmp_path, adapter):
    """The reference after a resume is the model of the stage's beginning, not of the checkpoint."""
    options = {"adapter": adapter, "save": 2, "epochs": 2}
    stage.run(job(tokenizer, tiny, tmp_path / "whole", **options))
    killed(job(tokenizer, tiny, tmp_path / "resumed", **options), 5)
    assert list((tmp_path / "resumed").glob("checkpoint-*"))
    stage.run(job(tokenizer, tiny, tmp_path / "resumed", **options))
    assert same_weights(tmp_path / "whole", tmp_path / "resumed")
    assert [r["loss"] for r in curve(tmp_path / "whole")] == [r["loss"] for r in curve(tmp_path / "resumed")]


@pytest.mark.parametrize("loss", ["sigmoid", "hinge", "ipo"])
def test_equals_trl(model, tokenizer, tiny, tmp_path, loss):
    """TRL's DPOTrainer on the same two pairs, its own collator and loss: value and gradients."""
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    torch.manual_seed(1)
    trained = models.load_model(str(tiny))
    with torch.no_grad():
        for p in trained.parameters():
            p.add_(0.02 * torch.randn_like(p))

    arguments = trl.DPOConfig(
        output_dir=str(tmp_path), beta=0.3, loss_type=[loss], use_cpu=True, bf16=False, gradient_checkpointing=False,
        report_to="none", disable_tqdm=True,
    )  # fmt: skip
    told = [
        {"prompt": p, "chosen": c, "rejected": r}
        for p, c, r in [("w0 w1", " w12 w13", " w32"), ("w0", " w22", " w23 w24")]
    ]
    trainer = trl.DPOTrainer(
        model=trained,
        ref_model=model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(told),
    )
    made = [trainer.train_dataset[i] for i in range(2)]
    inputs = trainer.data_collator(made)
    theirs = trainer._compute_loss(trained, inputs, False)
    theirs.backward()
    slopes = {name: p.grad.clone() for name, p in trained.named_parameters()}
    trained.zero_grad()

    given = [(r["prompt_ids"], r["chosen_ids"], r["rejected_ids"]) for r in made]
    rows = [
        Rendered((*prompt, *answer), (*[-100] * len(prompt), *answer))
        for place in (1, 2)
        for prompt, answer in [(g[0], g[place]) for g in given]
    ]
    engine = FastPath()
    bound = BoundDPO(DPO(beta=0.3, loss=loss), trained)
    scores = log_likelihoods(trained, engine, rows, OWN["padded"], 1000, 0, CPU).requires_grad_()
    reference = log_likelihoods(model, engine, rows, OWN["padded"], 1000, 0, CPU)
    ours, _ = bound.loss(rows, scores, reference)
    assert float(ours) == pytest.approx(float(theirs), abs=1e-5)
    (weights,) = torch.autograd.grad(ours, scores)
    for batch in weighted(rows, -weights, 0, 1, OWN["padded"], 1000, 0):
        engine.loss(trained, batch).backward()
    assert all(torch.allclose(p.grad, slopes[name], atol=1e-5) for name, p in trained.named_parameters())
