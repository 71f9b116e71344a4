"""Weights lie by columns while much is written, and as before afterwards."""

from __future__ import annotations

import pytest
import torch

from contextune.models.column_major import STEPS, by_columns


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(5, 3)
        self.head = torch.nn.Linear(3, 5, bias=False)
        self.head.weight = self.words.weight
        self.low = torch.nn.Linear(3, 4).to(torch.bfloat16)


def strides(model: Tied) -> list[tuple[int, ...]]:
    return [model.head.weight.stride(), model.words.weight.stride(), model.low.weight.stride()]


def test_strides_alone_change_and_come_back():
    model = Tied()
    before, weight, words = model.head.weight.detach().clone(), model.head.weight, torch.tensor([1, 4])

    def wrong() -> None:
        with by_columns(model, STEPS):
            assert strides(model) == [(1, 5), (1, 5), (3, 1)]
            assert model.head.weight is weight is model.words.weight
            assert torch.equal(weight, before)
            assert torch.equal(model.words(words), before[words])
            raise KeyError

    with pytest.raises(KeyError):
        wrong()
    assert strides(model) == [(3, 1), (3, 1), (3, 1)]
    assert torch.equal(model.head.weight, before)


def test_a_few_steps_are_not_worth_it():
    model = Tied()
    with by_columns(model, STEPS - 1):
        assert strides(model) == [(3, 1), (3, 1), (3, 1)]
