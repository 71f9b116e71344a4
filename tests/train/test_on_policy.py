"""Answers written while training: whose, after what, as targets of both; TRL's loss on them; resumed bit for bit."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from contextune import models
from contextune.contexts import bind_policy, compose
from contextune.contexts.demonstration import Demonstration
from contextune.contexts.inoculation import Inoculation
from contextune.core.binding import BindContext
from contextune.core.sequence import DrawKey, Record, Rendered, Segment
from contextune.generation.local import LocalEngine
from contextune.generation.protocol import Request
from contextune.models.options import Adapter
from contextune.train import stage
from contextune.train.objectives.base import Writing
from contextune.train.objectives.distill import BoundDistill, Distill
from contextune.train.on_policy import AnswerWriter, prompt_of, with_answers
from contextune.train.options import Train

from .kills import killed, same_weights
from .moved import moved

BARE = Rendered((1, 20, 21, 30, 2), (-100, -100, -100, 30, 2))
SEEN = Rendered((1, 40, 20, 21, 30, 2), (-100, -100, -100, -100, 30, 2), bare=BARE)

ENDS = {2, 7}
"""</s>, and what ends a turn of the chat template."""


@pytest.fixture
def model(tiny):
    return models.load_model(str(tiny)).eval()


def test_an_answer_takes_the_place_of_the_rows_own():
    (row,) = with_answers([SEEN], [(50, 51, 2)], skip=1)
    assert (row.ids, row.labels) == ((1, 40, 20, 21, 50, 51, 2), (*[-100] * 5, 51, 2))
    assert (row.bare.ids, row.bare.labels) == ((1, 20, 21, 50, 51, 2), (*[-100] * 4, 51, 2))
    assert with_answers([SEEN, BARE], [(50,), None], skip=1) == [BARE]


def test_of_a_conversation_the_last_answer_is_written():
    assert prompt_of(Rendered((1, 5, 6, 7, 8, 9), (-100, -100, 6, -100, 8, 9))) == (1, 5, 6, 7)
    assert prompt_of(Rendered((1, 5, 6, 7), (-100, 5, 6, -100))) == (1,)


@pytest.mark.parametrize(("by", "prompt"), [("student", [1, 20, 21]), ("teacher", [1, 40, 20, 21])])
def test_who_writes_reads_what_it_may(tokenizer, model, by, prompt):
    writer = AnswerWriter(tokenizer, 3, 32)
    greedy = Writing(by, 6, 0.0)
    expected = list(prompt)
    for _ in range(6):
        with torch.no_grad():
            expected.append(int(model(input_ids=torch.tensor([expected])).logits[0, -1].argmax()))
        if expected[-1] in ENDS:
            break
    assert writer.answers(model, [SEEN], greedy, 0) == [tuple(expected[len(prompt) :])]


def test_a_row_without_a_prompt_keeps_its_text(tokenizer, model):
    text = Rendered((1, 20, 21, 2), (-100, 20, 21, 2))
    found = AnswerWriter(tokenizer, 3, 32).answers(model, [text, SEEN], Writing("student", 4, 1.0), 0)
    assert found[0] is None
    assert len(found[1]) in range(1, 5)


def test_draws_are_of_seed_update_and_row(tokenizer, model):
    sampled = Writing("student", 8, 1.0)
    rows = [SEEN] * 6
    one, again = (AnswerWriter(tokenizer, 3, 32).answers(model, rows, sampled, 4) for _ in range(2))
    assert one == again
    assert len(set(one)) == 6
    assert AnswerWriter(tokenizer, 3, 32).answers(model, rows[:2], sampled, 4) == one[:2]
    assert AnswerWriter(tokenizer, 3, 32).answers(model, rows, sampled, 5) != one
    assert AnswerWriter(tokenizer, 4, 32).answers(model, rows, sampled, 4) != one


def test_no_row_becomes_longer_than_it_may(tokenizer, model):
    (answer,) = AnswerWriter(tokenizer, 3, 6).answers(model, [SEEN], Writing("student", 50, 1.0), 0)
    assert len(answer) <= 2  # four precede it for the teacher


def test_an_answer_ends_with_the_token_that_ends_it(tokenizer, model):
    """As many ids as the text that the engine gives has, and the end behind them."""
    engine = LocalEngine(model, tokenizer, 8192)
    prompts = [[1, 20 + i, 30] for i in range(20)]
    found = engine.continuations(prompts, [Request("", 40, 1.0, seed) for seed in range(20)])
    assert any(ids[-1] in ENDS for ids in found)
    assert all(ENDS.isdisjoint(ids[:-1]) for ids in found)
    assert all(len(ids) == 40 or ids[-1] in ENDS for ids in found)


@pytest.mark.parametrize("mode", ["full_logits", "topk_logits", "sampled_token"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_loss_and_gradient_equal_trls_on_the_same_rollouts(tokenizer, model, tiny, mode, alpha):
    """TRL's own computation of each rollout's loss, teacher and student read by transformers alone."""
    pytest.importorskip("trl")
    from trl.experimental.sdft.sdft_trainer import SDFTTrainer

    if mode == "sampled_token" and alpha != 1:
        pytest.skip("TRL has it for the reverse KL alone")
    name = {0.0: "forward_kl", 0.5: "jsd", 1.0: "reverse_kl"}[alpha]
    options = Distill(
        divergence=name, topk=7 if mode == "topk_logits" else None, answers="student", max_tokens=5, skip=1,
        sampled=mode == "sampled_token",
    )  # fmt: skip
    writing = BoundDistill(options, model).writing
    rows = with_answers([SEEN] * 3, AnswerWriter(tokenizer, 0, 32).answers(model, [SEEN] * 3, writing, 0), 1)
    student, teacher = models.load_model(str(tiny)), models.load_model(str(tiny))
    with torch.no_grad():
        for p in student.parameters():
            p.mul_(1.1)
    args = SimpleNamespace(
        distillation_mode=mode, distillation_topk=7, distillation_alpha=alpha, distillation_add_tail=True,
        distillation_is_clip=2.0,
    )  # fmt: skip
    trainer = SimpleNamespace(
        args=args, accelerator=SimpleNamespace(gather=lambda x: x), _log_self_distillation_metric=lambda *_: None
    )
    for row in rows:
        answer = torch.tensor([row.ids[len(prompt_of(SEEN)) :]])
        n = answer.shape[1]
        q = student(input_ids=torch.tensor([row.bare.ids])).logits[:, -n - 1 : -1]
        p = teacher(input_ids=torch.tensor([row.ids])).logits[:, -n - 1 : -1].detach()
        mask = torch.ones(1, n)
        mask[:, 0] = 0
        logits = SimpleNamespace(student_logits=q, teacher_logits=p, completion_ids=answer, loss_mask=mask)
        now = q.detach().log_softmax(-1).gather(-1, answer[..., None])[..., 0]
        theirs = SDFTTrainer._compute_self_distillation_loss(trainer, student, {"old_per_token_logps": now}, logits)
        ours = BoundDistill(options, student).loss(q[0, 1:], p[0, 1:], answer[0, 1:]).mean()
        assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
        slopes = [torch.autograd.grad(x, list(student.parameters()), retain_graph=True) for x in (ours, theirs)]
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*slopes, strict=True))


def records() -> list[Record]:
    return [Record(f"r{i}", (Segment(f"w{i} w9 ", "context"), Segment(f"w{30 + i}", "target"))) for i in range(8)]


def job(tokenizer, start, folder, context=None, train=None, **distill) -> stage.TrainJob:
    objective = {"objective": "distill", "answers": "student", "max_tokens": 6, **distill}
    given = {"epochs": 2, "batch": 4, "lr": 5e-3, "max_length": 32, "objective": objective, **(train or {})}
    context = context or Inoculation(instruction="w60 w61 ")
    return stage.TrainJob(records(), context, tokenizer, Train(**given), 3, str(start), folder)


def curve(folder) -> list[dict]:
    return json.loads((folder / "losses.json").read_text())


@pytest.mark.parametrize("layout", ["single", "padded", "packed", "shared"])
def test_an_update_is_a_plain_references_on_what_was_written(tokenizer, tiny, tmp_path, layout):
    made = job(tokenizer, tiny, tmp_path, divergence="reverse_kl", train={"layout": layout, "tokens": 24})
    trainer, now, first = moved(made, tiny)
    rows = made.updates[0]
    answers = trainer.writer.answers(now, rows, trainer.objective.writing, 0)
    loss = trainer.training_step(now, rows)
    slopes = {n: p.grad.clone() for n, p in now.named_parameters()}
    now.zero_grad()
    found = []
    for row, answer in zip(rows, answers, strict=True):
        n = len(answer)
        ids = [*row.ids[: len(prompt_of(row))], *answer]
        bare = [*row.bare.ids[: len(prompt_of(row.bare))], *answer]
        assert ids[1:3] == [68, 69]  # w60 w61, for the teacher alone
        q = now(input_ids=torch.tensor([bare])).logits[0, -n - 1 : -1].log_softmax(-1)
        p = first(input_ids=torch.tensor([ids])).logits[0, -n - 1 : -1].log_softmax(-1).detach()
        found.append((q.exp() * (q - p)).sum(-1))
    expected = torch.cat(found).mean()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert trainer.noted["wrote"] == pytest.approx(sum(map(len, answers)) / 4, abs=1e-3)
    assert all(torch.allclose(p.grad, slopes[n], atol=1e-5) for n, p in now.named_parameters())


@pytest.mark.parametrize(
    ("answers", "adapter", "ema"),
    [
        ("student", None, 0.2),
        pytest.param("teacher", None, 0.2, marks=pytest.mark.slow),
        pytest.param("student", Adapter(kind="lora", rank=4), 0.0, marks=pytest.mark.slow),
    ],
)
def test_resumed_is_bit_equal(tokenizer, tiny, tmp_path, answers, adapter, ema):
    options = {"answers": answers, "ema": ema, "train": {"adapter": adapter, "save": 1, "epochs": 1}}
    stage.run(job(tokenizer, tiny, tmp_path / "whole", **options))
    killed(job(tokenizer, tiny, tmp_path / "resumed", **options), 1)
    stage.run(job(tokenizer, tiny, tmp_path / "resumed", **options))
    assert same_weights(tmp_path / "whole", tmp_path / "resumed")
    whole, resumed = curve(tmp_path / "whole"), curve(tmp_path / "resumed")
    assert [(r["loss"], r["wrote"]) for r in whole] == [(r["loss"], r["wrote"]) for r in resumed]


def test_a_demonstration_is_the_records_own_answer_for_the_teacher_alone(tokenizer):
    policy = Demonstration(text="w1 {answer} w2 {prompt} w3 ")
    record = Record("r", (Segment("w7 w8 ", "context"), Segment("w9 {prompt}", "target")))
    bound = bind_policy(policy, BindContext(tokenizer, [record]))
    made = compose(record, bound, DrawKey(0, 0))
    assert [s.text for s in made.segments] == ["w1 w9 {prompt} w2 w7 w8 w3 ", "w7 w8 ", "w9 {prompt}"]
    short = bind_policy(policy.model_copy(update={"max_tokens": 3}), BindContext(tokenizer, [record]))
    assert short.draw(record, DrawKey(0, 0)).segments[0].ids == (15, 16, 11)
    with pytest.raises(ValueError, match=r"without \{answer\}"):
        Demonstration(text="w1 ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_tokens": 8}, r"distill\.max_tokens: the texts are given"),
        ({"sampled": True, "answers": "student"}, "set divergence: reverse_kl"),
        ({"sampled": True, "divergence": "reverse_kl", "answers": "teacher"}, "set answers: student"),
    ],
)
def test_what_makes_no_sense_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Distill(**options)
