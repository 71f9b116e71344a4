from __future__ import annotations

import pytest

from contextune.core.asking import pair, prefix_token, window, with_specials
from contextune.core.errors import UserError
from contextune.core.items import Item
from contextune.evaluate.scoring.choice import score_choices
from tests.evaluate.conftest import llama


def tokens(tokenizer, ids):
    return tokenizer.convert_ids_to_tokens(ids)


def test_the_continuation_begins_where_the_prompt_ends(byte_level):
    given, scored = pair("Answer:", " A", byte_level)
    assert tokens(byte_level, given) == ["A", "nswer", ":"]
    assert tokens(byte_level, scored) == ["ĠA"]


def test_spaces_that_end_a_prompt_go_to_the_continuation(byte_level):
    assert pair("Answer: ", "A", byte_level) == pair("Answer:", " A", byte_level)
    assert pair("Answer:\n\n", "A", byte_level)[0] == pair("Answer:", " A", byte_level)[0]


def test_metaspace_adds_its_own_bos_once(metaspace):
    given, scored = pair("The answer:", " A B", metaspace)
    assert tokens(metaspace, given)[:2] == ["<s>", "▁The"]
    assert tokens(metaspace, scored) == ["▁A", "▁B"]
    assert with_specials("<s> The answer", metaspace).count(1) == 1


def test_nothing_before_the_option_is_a_prefix_token(byte_level, metaspace):
    assert prefix_token(byte_level) == byte_level.eos_token_id
    assert pair("", "A B", byte_level)[0] == [byte_level.eos_token_id]
    assert pair("", "A B", metaspace)[0] == [1]


def test_no_prefix_token_is_an_error(byte_level):
    import copy

    bare = copy.deepcopy(byte_level)
    bare.eos_token = bare.bos_token = None
    with pytest.raises(UserError, match="neither a BOS nor an EOS"):
        prefix_token(bare)


def test_window_is_the_models_then_the_tokenizers(byte_level):
    import copy
    from types import SimpleNamespace as Bare

    tokenizer = copy.deepcopy(byte_level)
    assert window(llama(50, window=77), tokenizer) == 77
    recurrent = Bare(config=Bare())
    assert window(recurrent, tokenizer) == 2048
    tokenizer.model_max_length = 99
    assert window(recurrent, tokenizer) == 99
    assert window(Bare(config=Bare(text_config=Bare(n_positions=5), max_position_embeddings=9)), tokenizer) == 5


def test_bytes_leave_out_the_space_before_an_option(model, byte_level):
    (found,) = score_choices(model, byte_level, [Item("0", "Which?", 0, (" naïve", "naïve", " 東京"))])
    assert found.bytes == (6, 6, 6)
    assert found.tokens[0] == len(pair("Which?", " naïve", byte_level)[1])


@pytest.mark.parametrize("budget", [1, 40, 8192])
def test_one_at_a_time_is_as_all_at_once(model, byte_level, budget):
    items = [Item(str(i), "The anatomy " * i + "Answer:", 0, (" A", " the third", " noise")) for i in range(1, 9)]
    together = score_choices(model, byte_level, items)
    apart = [score_choices(model, byte_level, [item], budget)[0] for item in items]
    for a, b in zip(together, apart, strict=True):
        assert a.sums == pytest.approx(b.sums, abs=1e-5)
        assert (a.tokens, a.bytes) == (b.tokens, b.bytes)


def test_a_long_prompt_loses_its_beginning(byte_level):
    small = llama(len(byte_level), window=16)
    tail = "the answer? Answer:"
    long, longer = ("noise " * n + tail for n in (60, 90))
    a, b = score_choices(small, byte_level, [Item("a", long, 0, (" A", " B")), Item("b", longer, 0, (" A", " B"))])
    assert a.sums == pytest.approx(b.sums, abs=1e-5)
    lengths = [len(byte_level.encode(text)) for text in (long, longer)]
    assert [a.cut, b.cut] == [n - 16 for n in lengths]  # the option's one token is predicted, not read


def test_an_option_longer_than_the_window(byte_level):
    with pytest.raises(UserError, match=r"item x: an option has .* the model reads 8"):
        score_choices(llama(len(byte_level), window=8), byte_level, [Item("x", "Q", 0, (" A", " the third arch" * 9))])


def test_an_option_without_a_token(model, metaspace):
    with pytest.raises(UserError, match="item x: the option '' is no token"):
        score_choices(model, metaspace, [Item("x", "Q", 0, (" A", ""))])
