"""Self-distillation: loss and gradient are a plain reference's and TRL's; a stage learns, and resumes bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from contextune import models
from contextune.contexts import NoContext
from contextune.contexts.inoculation import Inoculation
from contextune.core.sequence import Record, Rendered, Segment
from contextune.models.options import Adapter
from contextune.train import stage
from contextune.train.fast_path import FastPath
from contextune.train.layouts import OWN
from contextune.train.objectives.distill import BoundDistill, Distill
from contextune.train.objectives.divergence import divergence
from contextune.train.options import Train
from contextune.train.teacher import aligned, answers, passes

from .kills import killed, same_weights
from .moved import moved

BARE = [Rendered((1, 20, 21, 2), (-100, 20, 21, 2)), Rendered((1, 8, 30, 2), (-100, -100, 30, 2))]
SEEN = [
    Rendered((1, 40, 41, 20, 21, 2), (-100, -100, -100, 20, 21, 2), bare=BARE[0]),
    Rendered((1, 42, 8, 30, 2), (-100, -100, -100, 30, 2), bare=BARE[1]),
]
CPU = torch.device("cpu")


@pytest.fixture
def model(tiny):
    return models.load_model(str(tiny))


def plainly(name: str, p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Sums over the vocabulary, from probabilities."""
    middle = (p + q) / 2
    return {
        "forward_kl": (p * (p / q).log()).sum(-1),
        "reverse_kl": (q * (q / p).log()).sum(-1),
        "jsd": ((p * (p / middle).log()).sum(-1) + (q * (q / middle).log()).sum(-1)) / 2,
    }[name]


def test_golden():
    """Two tokens, by hand: p = (.5, .5), q = (.25, .75)."""
    p, q = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    assert divergence("forward_kl", p, q).item() == pytest.approx(0.143841, abs=1e-6)
    assert divergence("reverse_kl", p, q).item() == pytest.approx(0.130812, abs=1e-6)
    assert divergence("jsd", p, q).item() == pytest.approx(0.033823, abs=1e-6)


@pytest.mark.parametrize(("name", "alpha"), [("forward_kl", 0.0), ("reverse_kl", 1.0), ("jsd", 0.5)])
@pytest.mark.parametrize("topk", [None, 5])
def test_equals_trl(name, alpha, topk):
    pytest.importorskip("trl")
    from trl.experimental.gkd import GKDTrainer
    from trl.experimental.sdft import loss_utils

    torch.manual_seed(0)
    student, teacher = torch.randn(7, 30, requires_grad=True), torch.randn(7, 30)
    ours = BoundDistill(Distill(divergence=name, topk=topk), torch.nn.Linear(1, 1)).loss(student, teacher, None)
    if topk is None:
        theirs = loss_utils.compute_full_logit_self_distillation_loss(student, teacher, distillation_alpha=alpha)
        also = GKDTrainer.generalized_jsd_loss(student[None], teacher[None], beta=alpha, reduction="sum")
        assert ours.sum().item() == pytest.approx(also.item(), abs=1e-5)
    else:
        theirs = loss_utils.compute_topk_self_distillation_loss(
            student, teacher, distillation_topk=topk, distillation_alpha=alpha, distillation_add_tail=True
        )
    assert torch.allclose(ours, theirs, atol=1e-5)
    slopes = [torch.autograd.grad(loss.sum(), student, retain_graph=True)[0] for loss in (ours, theirs)]
    assert torch.allclose(*slopes, atol=1e-5)


def test_targets_are_aligned_from_the_end():
    """Without anything before it a row's first token is not predicted: the teacher's is left out too."""
    bare = Rendered((20, 21, 2), (20, 21, 2))
    teacher, student = aligned(Rendered((1, 40, 20, 21, 2), (-100, -100, 20, 21, 2), bare=bare))
    assert teacher.labels == (-100, -100, -100, 21, 2)
    assert student.labels == (-100, 21, 2)
    assert aligned(BARE[0]) == (BARE[0], BARE[0])  # no context: the teacher sees the same


@pytest.mark.parametrize("layout", ["single", "padded", "packed", "shared"])
@pytest.mark.parametrize("tokens", [5, 1000])
def test_a_target_meets_its_own_answer_in_any_layout(model, layout, tokens):
    engine = FastPath(spans=layout == "shared")
    made, targets = passes(SEEN, 0, 1, OWN[layout], tokens, 0)
    assert targets == 5
    with torch.no_grad():
        plain = [model(input_ids=torch.tensor([row.ids])).logits[0] for row in SEEN]
    expected = torch.cat([plain[0][2:5], plain[1][2:4]])
    for p in made:
        found = answers(model, engine, p, OWN[layout], tokens, 0, CPU)
        assert torch.allclose(found, expected[p.numbers], atol=1e-5)
        assert p.batch.targets.tolist() == [[20, 21, 2, 30, 2][n] for n in p.numbers]
    assert sorted(n for p in made for n in p.numbers.tolist()) == [0, 1, 2, 3, 4]


def test_more_processes_than_rows_make_equal_passes():
    shares = [passes(SEEN, rank, 2, OWN["single"], 1000, 0) for rank in range(2)]
    assert [(len(made), targets) for made, targets in shares] == [(1, 5), (1, 5)]
    one = [*SEEN, SEEN[0]]
    shares = [passes(one, rank, 2, OWN["single"], 1000, 0) for rank in range(2)]
    assert sorted(len(made[-1].numbers) for made, _ in shares)[0] == 0
    assert len({len(made) for made, _ in shares}) == 1


def records() -> list[Record]:
    return [Record(f"r{i}", (Segment(f"w{20 + i} w{30 + i} w3", "target"),)) for i in range(12)]


def job(tokenizer, start, folder, context=None, **options) -> stage.TrainJob:
    given = {"epochs": 4, "batch": 4, "lr": 5e-3, "max_length": 32, "objective": {"objective": "distill"}}
    context = context or Inoculation(instruction="w60 w61 w62 ")
    return stage.TrainJob(records(), context, tokenizer, Train(**{**given, **options}), 3, str(start), folder)


def curve(folder) -> list[dict]:
    return json.loads((folder / "losses.json").read_text())


@pytest.mark.parametrize(("name", "layout"), [("forward_kl", "padded"), ("reverse_kl", "packed"), ("jsd", "shared")])
def test_loss_and_gradient_of_an_update_are_a_plain_references(tokenizer, tiny, tmp_path, name, layout):
    """Mean over the update's targets, each row alone, by transformers' own logits."""
    made = job(
        tokenizer, tiny, tmp_path, objective={"objective": "distill", "divergence": name}, layout=layout, tokens=16
    )
    trainer, trained, first = moved(made, tiny)
    rows = made.updates[0]
    assert rows[0].ids[1:4] == (68, 69, 70)  # w60 w61 w62, for the teacher alone
    assert rows[0].ids[4:] == rows[0].bare.ids[1:]
    loss = trainer.training_step(trained, rows)
    slopes = {n: p.grad.clone() for n, p in trained.named_parameters()}
    trained.zero_grad()
    found = []
    for row in rows:
        n = row.trained
        q = trained(input_ids=torch.tensor([row.bare.ids])).logits[0, -n - 1 : -1].softmax(-1)
        p = first(input_ids=torch.tensor([row.ids])).logits[0, -n - 1 : -1].softmax(-1).detach()
        found.append(plainly(name, p, q))
    expected = torch.cat(found).mean()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert all(torch.allclose(p.grad, slopes[n], atol=1e-5) for n, p in trained.named_parameters())


def test_a_stage_comes_to_say_without_the_context_what_it_said_with_it(tokenizer, tiny, tmp_path):
    stage.run(job(tokenizer, tiny, tmp_path / "whole"))
    rows = curve(tmp_path / "whole")
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert 0 <= rows[-1]["agreed"] <= 1


def test_without_a_context_teacher_and_student_begin_alike(tokenizer, tiny, tmp_path):
    stage.run(job(tokenizer, tiny, tmp_path / "whole", NoContext(), epochs=1))
    first = curve(tmp_path / "whole")[0]
    assert (round(first["loss"], 6), first["agreed"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("adapter", "ema"), [pytest.param(None, 0.0, marks=pytest.mark.slow), (Adapter(kind="lora", rank=4), 0.3)]
)
def test_resumed_is_bit_equal(tokenizer, tiny, tmp_path, adapter, ema):
    """The teacher after a resume is the one that the checkpoint was made with."""
    options = {"adapter": adapter, "save": 2, "epochs": 2, "objective": {"objective": "distill", "ema": ema, "topk": 8}}
    stage.run(job(tokenizer, tiny, tmp_path / "whole", **options))
    killed(job(tokenizer, tiny, tmp_path / "resumed", **options), 5)
    kept = list((tmp_path / "resumed").glob("checkpoint-*/reference.safetensors"))
    assert bool(kept) == bool(ema)
    stage.run(job(tokenizer, tiny, tmp_path / "resumed", **options))
    assert same_weights(tmp_path / "whole", tmp_path / "resumed")
    assert [r["loss"] for r in curve(tmp_path / "whole")] == [r["loss"] for r in curve(tmp_path / "resumed")]


def test_the_teacher_follows(tokenizer, tiny, tmp_path):
    bound = Distill(ema=0.25).bind(torch.nn.Linear(1, 1, bias=False))
    model = torch.nn.Linear(1, 1, bias=False)
    bound.teacher.kept["weight"].fill_(1.0)
    with torch.no_grad():
        model.weight.fill_(2.0)
    bound.begin(model)
    with bound.reference(model):
        assert model.weight.item() == 1.25
    assert model.weight.item() == 2.0


def test_alternatives_and_second_answers_have_their_own(tokenizer):
    from contextune.core.sequence import Sequence
    from contextune.train.updates import Updates

    updates = Updates([], NoContext(), tokenizer, None, 32, bare=True)
    drawn = Sequence((Segment("w5 ", "context"), Segment("w1 w2", "target")), drawn=1)
    made = updates.rendered(replace(drawn, alternatives=(drawn,)))
    assert made.bare.ids == (1, 9, 10, 2)
    assert made.alternatives[0].bare.ids == (1, 9, 10, 2)
    assert updates.rendered(replace(drawn, drawn=0)).bare is None
