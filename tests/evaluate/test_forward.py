"""Log-likelihoods against the plainest way to compute them: one row at a time, every position, no cache."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM, MistralConfig, MistralForCausalLM

from contextune.core.errors import UserError
from contextune.models import likelihood as forward
from contextune.models.likelihood import LikelihoodRow, log_likelihoods
from tests.evaluate.conftest import llama

VOCABULARY = 60


def gpt2():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.2)
    return GPT2LMHeadModel(config)


def mistral():
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=8,
        initializer_range=0.2,
    )
    return MistralForCausalLM(config)


def mamba():
    torch.manual_seed(0)
    return MambaForCausalLM(MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4))


MODELS = {"llama": lambda: llama(VOCABULARY), "gpt2": gpt2, "mistral": mistral, "mamba": mamba}


def plain(model, rows: list[LikelihoodRow]) -> list[float]:
    model.eval()
    found = []
    with torch.no_grad():
        for row in rows:
            text = torch.tensor([row.given + row.scored])
            scores = model(text).logits[0].log_softmax(-1)
            places = range(len(row.given) - 1, text.shape[1] - 1)
            found.append(sum(scores[p, text[0, p + 1]].item() for p in places))
    return found


def questions(count: int = 12, shots: int = 25) -> list[LikelihoodRow]:
    """A shared beginning, questions of mixed lengths, options of one to four tokens of which some begin alike."""
    rng = random.Random(0)
    draw = lambda n: tuple(rng.randrange(VOCABULARY) for _ in range(n))  # noqa: E731
    few, rows = draw(shots), []
    for _ in range(count):
        given = few + draw(rng.randint(1, 20))
        stem = draw(2)
        rows += [LikelihoodRow(given, o) for o in (draw(1), draw(1), (*stem, 3), (*stem, 4), draw(4))]
    return rows


def tried(model):
    """The model, after it was found out how it may be scored."""
    log_likelihoods(model, questions(2))
    return model


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("pass_cost", [0, 192, 10**9], ids=["share everything", "as it pays", "share nothing"])
def test_equal_to_one_row_at_a_time(name, pass_cost, monkeypatch):
    monkeypatch.setattr(forward, "PASS", pass_cost)
    model, rows = MODELS[name](), questions()
    assert log_likelihoods(model, rows, 700) == pytest.approx(plain(model, rows), abs=2e-5)


@pytest.mark.parametrize("tokens", [1, 64, 300, 100_000])
def test_the_budget_has_no_effect(tokens):
    model, rows = llama(VOCABULARY), questions()
    assert log_likelihoods(model, rows, tokens) == pytest.approx(plain(model, rows), abs=1e-5)


@pytest.mark.parametrize("pass_cost", [0, 10**9])
def test_what_all_share_may_be_all_that_is_given(pass_cost, monkeypatch):
    """The last given token is never kept back: it predicts the first scored one."""
    monkeypatch.setattr(forward, "PASS", pass_cost)
    model, few = llama(VOCABULARY), tuple(range(30))
    rows = [
        LikelihoodRow(few, (1, 2)),
        LikelihoodRow(few, (3, 4)),
        LikelihoodRow((*few, 5), (6,)),
        LikelihoodRow((*few, 5), (7, 8)),
    ]
    assert log_likelihoods(model, rows) == pytest.approx(plain(model, rows), abs=1e-5)


def test_given_of_one_token_and_no_shared_beginning():
    model = llama(VOCABULARY)
    rows = [LikelihoodRow((i,), (i + 1, 5)) for i in range(9)] + [LikelihoodRow((7, 8, 9), (1,))]
    assert log_likelihoods(model, rows) == pytest.approx(plain(model, rows), abs=1e-5)
    assert log_likelihoods(model, []) == []


def test_equal_inputs_are_read_once_and_the_head_runs_where_needed():
    model, seen, read = tried(llama(VOCABULARY)), [], []
    model.get_output_embeddings().register_forward_hook(lambda m, a, out: seen.append(out.shape[1]))
    model.get_input_embeddings().register_forward_hook(lambda m, a, out: read.append(out.shape[:2].numel()))
    rows = [LikelihoodRow(tuple(range(10)), (o,)) for o in range(4)] + [
        LikelihoodRow((9, *range(9)), (o,)) for o in range(4)
    ]
    log_likelihoods(model, rows)
    assert seen == [2]  # one position for each of two questions, four options each
    assert read == [20]


def test_shared_beginnings_are_read_once():
    model, read = tried(llama(VOCABULARY)), []
    model.get_input_embeddings().register_forward_hook(lambda m, a, out: read.append(out.shape[:2].numel()))
    few = tuple(range(50)) + tuple(range(50))
    log_likelihoods(model, [LikelihoodRow((*few, i), (1,)) for i in range(8)])
    assert read == [100, 8]


def test_rows_are_batched_within_the_budget():
    model, shapes = tried(llama(VOCABULARY)), []
    model.get_input_embeddings().register_forward_hook(lambda m, a, out: shapes.append(tuple(out.shape[:2])))
    rows = [LikelihoodRow((i,) * length, (1,)) for i, length in enumerate((3, 9, 9, 4, 3, 2))]
    done: list[int] = []
    log_likelihoods(model, rows, 18, done.append)
    assert shapes == [(2, 9), (4, 4)]
    assert done == [2, 6]


def test_modes_and_gradients_are_as_before():
    model = llama(VOCABULARY).train()
    model.model.layers[0].eval()
    before = [m.training for m in model.modules()]
    log_likelihoods(model, questions(2))
    assert [m.training for m in model.modules()] == before
    assert torch.is_grad_enabled()
    assert not model.get_output_embeddings()._forward_pre_hooks


def test_dropout_plays_no_part():
    model = gpt2().train()  # its dropout is 0.1
    rows = questions(3)
    assert log_likelihoods(model, rows) == log_likelihoods(model, rows)


def test_broken_weights_are_said():
    model = llama(VOCABULARY)
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="not finite"):
        log_likelihoods(model, questions(1))


def test_adapters_are_scored_with_their_base():
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    model = get_peft_model(
        llama(VOCABULARY), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    )
    rows = questions(4)
    assert log_likelihoods(model, rows) == pytest.approx(plain(model, rows), abs=2e-5)
    assert log_likelihoods(model, rows) != pytest.approx(log_likelihoods(llama(VOCABULARY), rows), abs=1e-2)
