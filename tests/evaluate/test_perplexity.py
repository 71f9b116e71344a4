from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.core.items import Item
from contextune.evaluate.scoring.perplexity import score_texts, windows
from tests.evaluate.conftest import llama


def test_windows_of_a_short_text_in_full():
    assert [(r.given, r.scored) for r in windows([1, 2, 3], [0], 8)] == [((0,), (1, 2, 3))]


def test_windows_of_a_long_text():
    found = [(r.given, r.scored) for r in windows([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [0], 4)]
    assert found == [((0,), (1, 2, 3, 4)), ((4,), (5, 6, 7, 8)), ((6, 7, 8), (9, 10))]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 12))
def test_every_token_is_predicted_once(length, prompt, longest):
    rows = list(windows(range(100, 100 + length), range(prompt), longest))
    assert [t for r in rows for t in r.scored] == list(range(100, 100 + length))
    assert all(len(r.given) >= 1 and len(r.inputs) <= longest for r in rows)
    text = [*range(prompt), *range(100, 100 + length)]
    for row in rows:  # what is given stands directly before what is predicted
        at = text.index(row.scored[0])
        assert tuple(text[at - len(row.given) : at]) == row.given


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12))
def test_windows_are_those_of_the_harness(length, longest):
    lm_utils = pytest.importorskip("lm_eval.utils")
    ids = list(range(100, 100 + length))
    theirs = lm_utils.get_rolling_token_windows(ids, prefix_token=7, max_seq_len=longest, context_len=1)
    expected = [lm_utils.make_disjoint_window(pair) for pair in theirs]
    assert [(list(r.given), list(r.scored)) for r in windows(ids, [7], longest)] == expected


def test_a_uniform_model(byte_level):
    import torch

    model = llama(len(byte_level))
    with torch.no_grad():
        model.lm_head.weight.zero_()
    (found,) = score_texts(model, byte_level, [Item("0", "", "naïve café" * 80)])
    assert found.bytes == 12 * 80
    assert found.tokens == len(byte_level.encode("naïve café" * 80)) > 256  # several windows
    assert found.sum == pytest.approx(-found.tokens * math.log(len(byte_level)), rel=1e-6)


def test_a_bos_that_the_tokenizer_adds_is_given_not_predicted(metaspace):
    model = llama(len(metaspace))
    (found,) = score_texts(model, metaspace, [Item("0", "", "the third arch")])
    assert found.tokens == len(metaspace.encode("the third arch")) - 1


def test_after_a_prompt_only_the_answer_counts(model, byte_level):
    from contextune.evaluate.scoring.choice import score_choices

    (text,) = score_texts(model, byte_level, [Item("0", "The hyoid bone:", " the third arch")])
    (choice,) = score_choices(model, byte_level, [Item("0", "The hyoid bone:", 0, (" the third arch",))])
    assert text.sum == pytest.approx(choice.sums[0], abs=1e-5)
    assert text.tokens == choice.tokens[0]
    assert text.bytes == len(" the third arch")


def test_batches_have_no_effect(model, byte_level):
    items = [Item(str(n), "", "The answer is A. " * n) for n in (1, 7, 80)]
    together = score_texts(model, byte_level, items)
    apart = [score_texts(model, byte_level, [item], 1)[0] for item in items]
    assert [f.sum for f in together] == pytest.approx([f.sum for f in apart], rel=1e-6)
