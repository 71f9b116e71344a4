"""Shared beginnings computed once: the loss and gradients of one sequence at a time, for every shape of model."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.core.errors import UserError
from contextune.core.sequence import IGNORED, Rendered
from contextune.train import spans as prefix
from contextune.train.attention import NAME
from contextune.train.fast_path import FastPath
from contextune.train.layouts import LAYOUTS, SHARED, SPARING, choose, single
from contextune.train.spans import Span
from contextune.train.updates import micro_batches

from .shapes import make, update

EXACT = ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma3", "gpt2", "gpt_neox"]
ALONE = ["gemma2", "mamba"]  # a soft cap, a recurrent state


def plain(model, rows):
    """transformers' own loss, one sequence at a time."""
    model.zero_grad()
    targets, total = sum(r.trained for r in rows), 0.0
    for row in rows:
        loss = model(input_ids=torch.tensor([row.ids]), labels=torch.tensor([row.labels])).loss * row.trained / targets
        loss.backward()
        total += loss.item()
    return total, gradient(model)


def fast(model, rows, engine, layout=SHARED, tokens=10_000, ranks=1):
    model.zero_grad()
    total = 0.0
    for rank in range(ranks):
        batches, targets = micro_batches(rows, rank, ranks, layout, tokens, 0)
        for batch in batches:
            with engine.around(model, batch):
                loss = engine.loss(model, batch) / targets
                loss.backward()
            total += loss.item()
    return total, gradient(model)


def gradient(model):
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def same(found, expected, rel=1e-6):
    assert found[0] == pytest.approx(expected[0], rel=rel)
    assert (found[1] - expected[1]).norm() < 2 * rel * expected[1].norm()


@pytest.mark.parametrize("name", EXACT)
def test_every_shape_gets_the_fast_path_and_is_exact(name):
    model, rows = make(name), update()
    engine = FastPath.of(model, 96)
    assert engine == FastPath(spans=True, parts=True, last=True)
    expected = plain(model, rows)
    for tokens, ranks in ((10_000, 1), (60, 1), (100, 3)):
        same(fast(model, rows, engine, tokens=tokens, ranks=ranks), expected)


@pytest.mark.parametrize("name", ALONE)
def test_what_cannot_be_shared_is_seen_and_trained_the_plain_way(name):
    model, rows = make(name), update()
    engine = FastPath.of(model, 96)
    assert not engine.spans
    same(fast(model, rows, engine, LAYOUTS["padded"]), plain(model, rows), 2e-6)


def test_a_window_shorter_than_the_rows_is_not_shared():
    assert not FastPath.of(make("mistral", sliding_window=16), 96).spans
    assert FastPath.of(make("mistral", sliding_window=96), 96).spans
    model = make("gemma3", sliding_window=16)
    with pytest.raises(Exception, match="a window of 16 tokens"):
        fast(model, update(), FastPath())


def test_the_layout_follows_the_trial():
    assert choose("auto", "sdpa", "cpu", spans=True) is SPARING
    assert choose("auto", "sdpa", "cpu", spans=False) is LAYOUTS["padded"]
    assert choose("auto", "flash_attention_2", "cuda", spans=True) is LAYOUTS["packed"]
    assert choose("padded", "sdpa", "cpu", spans=True) is LAYOUTS["padded"]
    with pytest.raises(UserError, match="does not compute shared beginnings"):
        choose("shared", "sdpa", "cpu", spans=False)


def test_logits_behind_the_head_are_kept():
    """Granite divides its logits: the loss in parts would miss that."""
    from transformers import GraniteConfig, GraniteForCausalLM

    from .shapes import WIDE

    torch.manual_seed(0)
    model = GraniteForCausalLM(GraniteConfig(**WIDE, logits_scaling=3.0)).train()
    engine = FastPath.of(model, 96)
    assert engine == FastPath(spans=True, parts=False, last=True)
    same(fast(model, update(), engine), plain(model, update()))


@pytest.mark.parametrize("switch", ["spans", "parts", "last"])
def test_each_lever_alone(switch):
    model = make("llama")
    layout = SHARED if switch == "spans" else LAYOUTS["padded"]
    same(fast(model, update(), FastPath(**{switch: True}), layout), plain(model, update()))


def test_the_model_is_as_it_was_afterwards():
    model = make("llama")
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    before = model(input_ids=torch.tensor([update()[0].ids])).logits
    fast(model, update(), FastPath.of(model, 96))
    assert model.config._attn_implementation == "sdpa" != NAME
    assert model.training
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert torch.equal(before, model(input_ids=torch.tensor([update()[0].ids])).logits)


def test_tokens_are_computed_once():
    context = tuple(range(3, 63))
    rows = [Rendered((*context, *t), (IGNORED,) * 60 + t) for t in ((70, 71, 72), (80, 81), (90,))]
    (batch,) = SHARED(rows, 10_000, 0)
    assert batch.spans == (Span(60, (2, 1)),), "the last token is only predicted: of one row no tail is left"
    assert batch.input_ids.numel() == 63
    assert sum(b.input_ids.numel() for b in single(rows, 0, 0)) == 186


def test_golden_batch():
    begin = (1, 5, 6, 7, 8, 9, 10, 11, 12)
    rows = [
        Rendered((*begin, 20, 21, 2), (*(IGNORED,) * 9, 20, 21, 2)),
        Rendered((1, 30, 2), (IGNORED, 30, 2)),
        Rendered((*begin, 40, 2), (*(IGNORED,) * 9, 40, 2)),
    ]
    (batch,) = SHARED(rows, 100, 0)
    assert batch.input_ids.tolist() == [[*begin, 20, 21, 40, 1, 30]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 9, 0, 1]]
    assert batch.spans == (Span(9, (2, 1)), Span(2))
    assert batch.keep.tolist() == [8, 9, 10, 8, 11, 12, 13], "the last shared token predicts both tails' first"
    assert batch.targets.tolist() == [20, 21, 2, 40, 2, 30, 2]


words = st.lists(st.integers(0, 1), min_size=2, max_size=25)


@settings(max_examples=80, deadline=None)
@given(st.lists(words, min_size=1, max_size=12), st.integers(2, 80), st.integers(1, 4), st.randoms())
def test_every_target_keeps_its_history(texts, tokens, ranks, rng):
    """Following positions and spans back from each labelled place gives the ids of its sequence."""
    rows = [
        Rendered(tuple(t), (IGNORED, *(i if rng.random() < 0.6 else IGNORED for i in t[1:-1]), t[-1])) for t in texts
    ]
    shares = prefix.neighbours(rows, min(ranks, len(rows)))
    assert all(shares)
    assert sorted(r.ids for s in shares for r in s) == sorted(r.ids for r in rows)
    found = []
    for batch in (b for share in shares for b in SHARED(share, tokens, 0)):
        ids, origin = batch.input_ids[0].tolist(), []
        for span in batch.spans:
            begin = len(origin)
            origin += [range(begin, begin + i + 1) for i in range(span.shared)]
            for tail in span.tails:
                at = len(origin)
                origin += [(*range(begin, begin + span.shared), *range(at, at + i + 1)) for i in range(tail)]
        assert len(origin) == len(ids)
        assert [len(o) - 1 for o in origin] == batch.position_ids[0].tolist()
        assert len(ids) <= tokens or len(batch.spans) == 1
        for place, target in zip(batch.keep.tolist(), batch.targets.tolist(), strict=True):
            found.append((tuple(ids[i] for i in origin[place]), target))
    assert sorted(found) == sorted((r.ids[:i], r.labels[i]) for r in rows for i in range(1, len(r)) if r.labels[i] >= 0)


@settings(max_examples=50, deadline=None)
@given(st.lists(words, min_size=1, max_size=7))
def test_groups_compute_the_fewest_tokens(texts):
    """Against all ways of cutting the sorted rows into runs."""
    rows = [Rendered(tuple(t), (IGNORED, *t[1:])) for t in texts]
    inputs = sorted(r.ids[:-1] for r in rows)

    def least(left):
        if not left:
            return 0
        costs = []
        for m in range(1, len(left) + 1):
            run, shared = left[:m], 0
            if m > 1:
                shared = min(map(len, run))
                while len({t[:shared] for t in run}) > 1:
                    shared -= 1
                if shared < prefix.LEAST:
                    continue
            costs.append(sum(map(len, run)) - shared * (m - 1) + least(left[m:]))
        return min(costs)

    assert sum(len(g.span) for g in prefix.groups(rows)) == least(inputs)


def test_auto_shares_where_an_update_gains_by_it():
    """Rows of one length that share nothing stand as rows; what begins alike, or differs in length, in one row."""
    bearing = lambda ids: Rendered(tuple(ids), (IGNORED, *ids[1:]))  # noqa: E731
    equal = [bearing(range(i, i + 200)) for i in (3, 300)]
    assert [b.spans for b in SPARING(equal, 8192, 0)] == [None]
    alike = [bearing([*range(3, 150), i, i + 1]) for i in (200, 300)]
    assert all(b.spans for b in SPARING(alike, 8192, 0))
    uneven = [bearing(range(i, i + n)) for i, n in enumerate((60, 90, 150, 250, 400), start=3)]
    assert all(b.spans for b in SPARING(uneven, 8192, 0))


@pytest.mark.parametrize("name", EXACT)
def test_shapes_differ_in_what_attention_sees(name):
    """Guards the tests above: a token of the shared beginning matters to the loss of the tails."""
    model = make(name).eval()
    ids = torch.tensor([update()[0].ids])
    other = ids.clone()
    other[0, 1] = (other[0, 1] + 1) % 97 + 3
    assert (model(input_ids=ids).logits[0, -1] - model(input_ids=other).logits[0, -1]).abs().max() > 1e-3
