from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from contextune.augment.base import Inferred, Passage
from contextune.augment.filters.contradiction import Yes
from contextune.augment.filters.entailment import scores
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from tests.augment.filters.made import context, judge, made


@pytest.fixture(scope="module")
def model(tiny):
    return AutoModelForCausalLM.from_pretrained(tiny).eval()


@pytest.fixture
def on(model, tokenizer):
    return BindContext(tokenizer, load_model=lambda: model)


def text(said: str, source: str, prompt: str = "", read: str = "") -> Inferred:
    return Inferred(said, Passage("p", source, "p"), "w9/1", prompt, (), read)


def likelihood(model, given: list[int], scored: list[int]) -> float:
    with torch.no_grad():
        logs = model(torch.tensor([given + scored])).logits[0].log_softmax(-1)
    return sum(float(logs[len(given) + i - 1, token]) for i, token in enumerate(scored))


def test_the_score_is_what_the_source_adds_a_token(model, on):
    """w0 is token 8; <s> is 1."""
    texts = [text("w2 w3 w4", "w0 w1"), text("w5", "w0 w1 w2", "w7", "w6")]
    first = likelihood(model, [1, 8, 9, 17], [10, 11, 12]) - likelihood(model, [1], [10, 11, 12])
    second = likelihood(model, [1, 14, 8, 9, 10, 17, 15], [13]) - likelihood(model, [1, 15], [13])
    found = scores(texts, on, "{source}\n{operation} ")
    assert found == pytest.approx([first / 3, second], abs=1e-4)


def test_the_threshold_and_the_empty_text(on):
    texts = [text("w2 w3", "w0 w1"), text("", "w0")]
    score, nothing = scores(texts, on)
    assert nothing == float("-inf")
    assert judge("entailment", texts, on, threshold=score + 0.01) == ["not entailed"] * 2
    assert judge("entailment", texts, on, threshold=score - 0.01) == ["", "not entailed"]


def test_a_source_longer_than_the_window_loses_its_beginning(on, model):
    long = " ".join(["w1"] * model.config.max_position_embeddings) + " w2"
    assert scores([text("w3", long)], on) == pytest.approx(scores([text("w3", "w1 " + long)], on))


def test_no_model_and_no_source():
    with pytest.raises(UserError, match="'entailment' needs a model"):
        judge("entailment", [made("a")], context())
    with pytest.raises(ValueError, match="must hold"):
        judge("entailment", [], given="text: ")


def test_yes_against_no(on, model):
    judge_ = Yes(on, "{first} {second}", (" w5", " w6"))
    yes, no = (likelihood(model, [1, 8, 9], [token]) for token in (13, 14))
    p = float(torch.tensor([yes, no]).softmax(0)[0])
    assert judge_.false([("w0", "w1."), ("w0 ", "w1")]) == pytest.approx([1 - p] * 2, abs=1e-5)
