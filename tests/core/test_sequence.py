"""Golden ids and labels: context is -100, targets are their own ids, specials stand where they should."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Segment, Sequence, render
from tests.conftest import WORDS

_ = -100


def seq(*pieces: tuple[str, str], ends: bool = True) -> Sequence:
    return Sequence(tuple(Segment(text, role) for role, text in pieces), ends, {"record": "r7"})


def test_continued_pretraining(tokenizer):
    row = render(seq(("target", "w0 w1 w2")), tokenizer)
    assert row.ids == (1, 8, 9, 10, 2)
    assert row.labels == (_, 8, 9, 10, 2)
    assert row.trained == 4


def test_prompt_and_completion(tokenizer):
    row = render(seq(("context", "w5 w6 "), ("target", "w0")), tokenizer)
    assert row.ids == (1, 13, 14, 8, 2)
    assert row.labels == (_, _, _, 8, 2)


def test_chunk_that_is_not_the_last_has_no_end(tokenizer):
    row = render(seq(("context", "w5 "), ("target", "w0 w1"), ends=False), tokenizer)
    assert row.ids == (1, 13, 8, 9)
    assert row.labels == (_, _, 8, 9)


def test_turns(tokenizer):
    row = render(
        seq(("context", "w1 "), ("target", "w2 "), ("context", "w3 "), ("target", "w4"), ends=False), tokenizer
    )
    assert row.ids == (1, 9, 10, 11, 12)
    assert row.labels == (_, _, 10, _, 12)


def test_given_ids_stand_for_the_text(tokenizer):
    row = render(Sequence((Segment("anything", "context", ids=(50, 51)), Segment("w0", "target"))), tokenizer)
    assert row.ids == (1, 50, 51, 8, 2)
    assert row.labels == (_, _, _, 8, 2)


def test_a_template_that_writes_bos_gets_no_second_one(tokenizer):
    written = Sequence((Segment("<s> w0 w1", "target", markup=True),))
    assert render(written, tokenizer).ids == (1, 8, 9, 2)
    behind = Sequence((Segment("w2 ", "context"), *written.segments))
    assert render(behind, tokenizer).ids == (1, 10, 8, 9, 2)


def test_too_long_cuts_the_oldest_context_and_counts_it(tokenizer):
    row = render(seq(("context", "w1 w2 w3 "), ("target", "w0 w0")), tokenizer, max_length=5)
    assert (row.ids, row.labels, row.cut) == ((1, 11, 8, 8, 2), (_, _, 8, 8, 2), 2)


def test_a_target_is_never_cut(tokenizer):
    with pytest.raises(UserError, match=r"record r7: its target needs 5 tokens with the specials, max_length is 4"):
        render(seq(("context", "w1 "), ("target", "w0 w0 w0")), tokenizer, max_length=4)


@pytest.mark.parametrize("pieces", [[("context", "w1 w2")], [("context", "w1"), ("target", "")], []])
def test_a_row_without_loss_is_refused(tokenizer, pieces):
    with pytest.raises(UserError, match="record r7: no token is trained on"):
        render(seq(*pieces), tokenizer)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["context", "target"]), st.lists(st.sampled_from(WORDS), min_size=1))))
def test_labels_are_ids_exactly_at_targets(tokenizer, pieces):
    pieces = [*pieces, ("target", ["w0"])]
    row = render(seq(*((role, " ".join(text)) for role, text in pieces)), tokenizer)
    roles = ["context"] + [role for role, text in pieces for _ in text] + ["target"]
    assert row.labels == tuple(i if role == "target" else _ for i, role in zip(row.ids, roles, strict=True))


@given(st.integers(0, 5), st.integers(0, 5), st.text(max_size=5))
def test_a_draw_depends_on_seed_epoch_and_key_alone(seed, epoch, key):
    first = DrawKey(seed, epoch).rng(key, 1).random()
    DrawKey(seed, epoch).rng("other").random()
    assert DrawKey(seed, epoch).rng(key, 1).random() == first
    assert DrawKey(seed, epoch + 1).rng(key, 1).random() != first
    assert DrawKey(seed + 1, epoch).rng(key, 1).random() != first


def test_a_draw_is_the_same_on_every_machine():
    assert DrawKey(3, 1).rng("r7").randrange(1000) == 676


def test_without_a_bos_the_first_token_is_learned_all_the_same(tokenizer):
    """GPT-2 and Qwen put nothing first: a text that nothing precedes begins after an end of text."""
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="</s>", unk_token="<unk>")
    bare.backend_tokenizer.post_processor = None
    alone = render(seq(("target", "w0 w1")), bare)
    after = render(seq(("context", "w5 "), ("target", "w0 w1")), bare)
    assert (alone.ids, alone.labels) == ((2, 8, 9, 2), (_, 8, 9, 2))
    assert (after.ids, after.labels) == ((13, 8, 9, 2), (_, 8, 9, 2))
    assert alone.trained == after.trained == 3
