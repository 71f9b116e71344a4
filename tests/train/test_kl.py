"""The penalty on the distance from the first model: which tokens, its loss and gradient by plain torch, a stage."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import torch

from contextune.contexts.policy import BoundPolicy, ContextDraw
from contextune.core.sequence import IGNORED, DrawKey, Record, Rendered, Segment
from contextune.models.options import Adapter
from contextune.train import stage
from contextune.train.layouts import Batch, share_of
from contextune.train.objectives.kl import KL
from contextune.train.options import Train

from .kills import killed, same_weights
from .moved import moved

LEARNED = Rendered((1, 40, 41, 20, 21, 2), (-100, -100, -100, 20, 21, 2))
GENERAL = Rendered((1, 50, 51, 2), (-100, -100, 51, 2), replayed=True)


@pytest.mark.parametrize(
    ("on", "learned", "general"),
    [
        ("replay", None, (-100, 50, 51, 2)),
        ("context", (-100, 40, 41, -100, -100, -100), None),
        ("targets", (-100, -100, -100, 20, 21, 2), None),
        (("replay", "context"), (-100, 40, 41, -100, -100, -100), (-100, 50, 51, 2)),
        (("context", "targets"), (-100, 40, 41, 20, 21, 2), None),
    ],
)
def test_which_tokens_are_held(on, learned, general):
    """A row's first token is predicted from nothing."""
    found = [KL(at=on).holds(row) for row in (LEARNED, GENERAL)]
    assert [row and row.labels for row in found] == [learned, general]


@dataclass(frozen=True)
class Marked(BoundPolicy):
    """Every third record is general text; a word precedes the others."""

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        general = int(record.id) % 3 == 0
        return ContextDraw(replayed=True) if general else ContextDraw((Segment("w60 w61 ", "context"),))


def job(tokenizer, start, folder, **options) -> stage.TrainJob:
    rows = [Record(str(i), (Segment(f"w{20 + i} w{30 + i} w{3 + i % 2}", "target"),)) for i in range(12)]
    given = {"epochs": 2, "batch": 6, "lr": 5e-3, "max_length": 32, "kl": {"at": ["replay", "context"]}}
    return stage.TrainJob(rows, Marked(), tokenizer, Train(**{**given, **options}), 3, str(start), folder)


def curve(folder) -> list[dict]:
    return json.loads((folder / "losses.json").read_text())


def chosen(row: Rendered, on: list[str]) -> list[int]:
    """Positions that are held, from the rule in words."""
    if row.replayed:
        return list(range(1, len(row))) if "replay" in on else []
    return [i for i in range(1, len(row)) if ("context" if row.labels[i] == IGNORED else "targets") in on]


def plain(name: str, p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    m = (p + q) / 2
    kl = lambda a, b: (a * (a.log() - b.log())).sum(-1)  # noqa: E731
    return {"forward_kl": kl(p, q), "reverse_kl": kl(q, p), "jsd": (kl(p, m) + kl(q, m)) / 2}[name]


@pytest.mark.parametrize("layout", ["single", "padded", "packed", "shared"])
@pytest.mark.parametrize(
    ("divergence", "on", "learn"),
    [
        ("forward_kl", ["replay", "context"], True),
        ("reverse_kl", ["replay"], False),
        ("jsd", ["targets", "context"], True),
    ],
)
@pytest.mark.parametrize("tokens", [12, 1000])
def test_loss_and_gradient_are_a_plain_computation(tokenizer, tiny, tmp_path, layout, divergence, on, learn, tokens):
    """Likelihood over the rows that are learned, and the weighted mean divergence over the tokens that are held."""
    kl = {"at": on, "divergence": divergence, "weight": 0.7, "learn_replay": learn}
    made = job(tokenizer, tiny, tmp_path, kl=kl, layout=layout, tokens=tokens)
    trainer, now, first = moved(made, tiny)
    rows = made.updates[0]
    assert 0 < sum(row.replayed for row in rows) < len(rows)
    loss = trainer.training_step(now, rows)
    slopes = {n: p.grad.clone() for n, p in now.named_parameters()}
    now.zero_grad()
    nats, apart = [], []
    for row in rows:
        ids = torch.tensor([row.ids])
        q, p = now(input_ids=ids).logits[0].softmax(-1), first(input_ids=ids).logits[0].softmax(-1).detach()
        if learn or not row.replayed:
            nats += [-q[i - 1, label].log() for i, label in enumerate(row.labels) if label != IGNORED]
        apart += [plain(divergence, p[i - 1], q[i - 1]) for i in chosen(row, on)]
    expected = torch.stack(nats).mean() + 0.7 * torch.stack(apart).mean()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert trainer.noted["kl"] == pytest.approx(torch.stack(apart).mean().item(), abs=1e-5)
    assert all(torch.allclose(p.grad, slopes[n], atol=1e-5) for n, p in now.named_parameters())


def test_it_goes_with_another_objective(tokenizer, tiny, tmp_path):
    """At the beginning both distances are 0 where teacher and student see the same; only the contexts tell apart."""
    made = job(tokenizer, tiny, tmp_path, objective={"objective": "distill"}, kl={"at": "targets"}, epochs=8)
    stage.run(made)
    first, last = curve(tmp_path)[0], curve(tmp_path)[-1]
    assert (first["kl"], first["loss"] > 0) == (0, True)
    assert last["kl"] > 0
    assert {"agreed", "kl"} <= last.keys()


def test_a_heavy_penalty_keeps_what_is_held(tokenizer, tiny, tmp_path):
    for name, weight in (("light", 1e-6), ("heavy", 100.0)):
        stage.run(job(tokenizer, tiny, tmp_path / name, epochs=8, kl={"at": "context", "weight": weight}))
    light, heavy = (curve(tmp_path / name)[-1]["kl"] for name in ("light", "heavy"))
    assert 0 <= heavy < 0.2 * light


@pytest.mark.parametrize("adapter", [None, pytest.param(Adapter(kind="lora", rank=4), marks=pytest.mark.slow)])
def test_resumed_is_bit_equal(tokenizer, tiny, tmp_path, adapter):
    options = {"adapter": adapter, "save": 1, "epochs": 2}
    stage.run(job(tokenizer, tiny, tmp_path / "whole", **options))
    killed(job(tokenizer, tiny, tmp_path / "resumed", **options), 3)
    stage.run(job(tokenizer, tiny, tmp_path / "resumed", **options))
    assert same_weights(tmp_path / "whole", tmp_path / "resumed")
    assert curve(tmp_path / "whole")[-1]["kl"] == curve(tmp_path / "resumed")[-1]["kl"] > 0


def test_a_process_without_a_row_makes_blank_passes():
    batch = Batch(torch.ones(1, 3), None, torch.tensor([0]), torch.tensor([5]))
    (blank,) = share_of([[batch], []], 1, Batch.blank)
    assert (tuple(blank.input_ids.shape), len(blank.keep)) == ((1, 1), 0)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"kl\.learn_replay"):
        KL(at="context", learn_replay=False)
    with pytest.raises(ValueError, match="at least 1"):
        KL(at=[])


def test_a_recipe_may_write_it_without_quotes():
    """YAML reads some words as truths: no key is one of them."""
    import yaml

    text = yaml.safe_load("kl: {at: [replay, context], weight: 0.5, divergence: jsd, topk: 5, learn_replay: false}")
    assert Train(**text).kl == KL(at=("replay", "context"), weight=0.5, divergence="jsd", topk=5, learn_replay=False)
