"""Every layout, budget and number of processes gives the loss and gradients of one sequence at a time."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune import models
from contextune.core.sequence import IGNORED, Rendered, Sequence, render
from contextune.train.layouts import LAYOUTS, _cuts, evenly, padded, single
from contextune.train.loss import labelled_logits, nll
from contextune.train.updates import micro_batches


@pytest.fixture(scope="module")
def model(tiny):
    return models.load_model(str(tiny)).train()


@pytest.fixture(scope="module")
def rows(records, tokenizer):
    return [render(Sequence(r.segments), tokenizer) for r in records]


def loss_and_gradient(model, rows, layout, tokens=256, ranks=1):
    model.zero_grad()
    total = 0.0
    for rank in range(ranks):
        batches, targets = micro_batches(rows, rank, ranks, layout, tokens, 0)
        loss = sum(nll(model, b) for b in batches) / targets
        loss.backward()
        total += loss.item()
    return total, torch.cat([p.grad.flatten() for p in model.parameters()]).clone()


@pytest.fixture(scope="module")
def reference(model, rows):
    """Computed with transformers' own loss, one sequence at a time, so that ours is held against another's."""
    model.zero_grad()
    targets = sum(r.trained for r in rows)
    total = 0.0
    for row in rows:
        loss = model(input_ids=torch.tensor([row.ids]), labels=torch.tensor([row.labels])).loss * row.trained / targets
        loss.backward()
        total += loss.item()
    return total, torch.cat([p.grad.flatten() for p in model.parameters()]).clone()


@pytest.mark.parametrize("tokens", [40, 256, 10_000])
@pytest.mark.parametrize("name", LAYOUTS)
def test_same_loss_and_gradients(model, rows, reference, name, tokens):
    loss, gradient = loss_and_gradient(model, rows, LAYOUTS[name], tokens)
    assert loss == pytest.approx(reference[0], rel=1e-6)
    assert (gradient - reference[1]).norm() / reference[1].norm() < 2e-6


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("name", LAYOUTS)
def test_processes_add_up(model, rows, reference, name, ranks):
    loss, gradient = loss_and_gradient(model, rows, LAYOUTS[name], ranks=ranks)
    assert loss == pytest.approx(reference[0], rel=1e-6)
    assert (gradient - reference[1]).norm() / reference[1].norm() < 2e-6


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_packs_are_isolated(tiny, rows, attention):
    model = models.load_model(str(tiny)).eval()
    model.set_attn_implementation(attention)
    alone = torch.cat([labelled_logits(model, b) for b in single(rows, 0, 0)])
    batches = LAYOUTS["packed"](rows, 10_000, 0)
    assert any((b.position_ids == 0).sum() > len(b.position_ids) for b in batches), "nothing was packed"
    together = torch.cat([labelled_logits(model, b) for b in batches])
    targets = torch.cat([b.targets for b in batches])
    assert targets.sort().values.tolist() == torch.cat([b.targets for b in single(rows, 0, 0)]).sort().values.tolist()
    assert alone.sum(0).sub(together.sum(0)).abs().max() < 1e-3
    exact = "donot_use_mm_for_euclid_dist"
    assert torch.cdist(together, alone, compute_mode=exact).min(1).values.max() < 1e-4


def test_head_sees_labelled_positions_only(model, rows):
    for batch in padded(rows, 256, 0):
        assert labelled_logits(model, batch).shape == (len(batch.targets), 100)
    assert sum(len(b.targets) for b in padded(rows, 256, 0)) == sum(r.trained for r in rows)


def test_golden_padded_batch():
    rows = [Rendered((1, 8, 9, 2), (-100, -100, 9, 2)), Rendered((1, 7), (-100, 7))]
    (batch,) = padded(rows, 100, 0)
    assert batch.input_ids.tolist() == [[1, 7, 0, 0], [1, 8, 9, 2]]
    assert batch.position_ids is None
    assert batch.keep.tolist() == [0, 5, 6]
    assert batch.targets.tolist() == [7, 9, 2]


def test_golden_packed_batch():
    rows = [Rendered((1, 8, 9, 2), (-100, 8, 9, 2)), Rendered((1, 7), (-100, 7)), Rendered((1, 6), (-100, 6))]
    (batch,) = LAYOUTS["packed"](rows, 100, 0)
    assert batch.input_ids.tolist() == [[1, 8, 9, 2], [1, 7, 1, 6]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3], [0, 1, 0, 1]]
    assert batch.keep.tolist() == [0, 1, 2, 4, 6]
    assert batch.targets.tolist() == [8, 9, 2, 7, 6]


lengths = st.lists(st.integers(1, 60), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(lengths, st.integers(1, 400), st.sampled_from(sorted(LAYOUTS)))
def test_no_token_is_lost_or_doubled(lengths, tokens, name):
    rows = [
        Rendered(tuple(range(100 * i, 100 * i + n)), (IGNORED, *range(100 * i + 1, 100 * i + n)))
        for i, n in enumerate(lengths, start=1)
    ]
    batches = LAYOUTS[name](rows, tokens, 0)
    seen = sorted(t for b in batches for t in b.targets.tolist())
    assert seen == sorted(t for r in rows for t in r.labels[1:])
    for batch in batches:
        assert len(batch.input_ids) == 1 or batch.input_ids.numel() <= tokens


@given(lengths, st.integers(1, 400))
def test_cuts_cover_the_rows_in_order(lengths, tokens):
    cuts = _cuts(sorted(lengths), tokens)
    assert cuts[0][0] == 0
    assert cuts[-1][1] == len(lengths)
    assert all(a[1] == b[0] for a, b in pairwise(cuts))


@given(lengths, st.integers(1, 5))
def test_every_sequence_is_dealt_once(lengths, ranks):
    rows = [Rendered((i,) * n, (i,) * n) for i, n in enumerate(lengths)]
    assert sorted(r.ids[0] for share in evenly(rows, ranks) for r in share) == list(range(len(rows)))
