"""The decoding loop of `generate` without the rows that have ended: a batch costs what its answers are long.

transformers computes each row until the last one has ended; answers of a batch seldom are equally long.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import Any, Protocol

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class OfRows(Protocol):
    """What a loop calls with the rows that are left, and knows something of each."""

    def keep(self, left: Seq[int]) -> None:
        """From now on only these of the present rows are there, in this order."""


def dropping(pad: int, parts: Seq[OfRows] = ()) -> Callable[..., torch.Tensor]:
    """A `custom_generate` that takes the likeliest token and drops each row when it has ended.

    `parts` are those among the logits processors and stopping criteria that know rows. Gives (rows, longest), the
    prompts included, filled up with `pad`.
    """

    def write(
        model: Any, input_ids: torch.Tensor, logits_processor: Any, stopping_criteria: Any, generation_config: Any,
        **state: Any,
    ) -> torch.Tensor:  # fmt: skip
        whole, places, over = list(input_ids), list(range(len(input_ids))), [False] * len(input_ids)
        outputs = model._prefill(input_ids, generation_config, state)
        while True:
            state = model._update_model_kwargs_for_generation(outputs, state)
            logits = outputs.logits[:, -1].to(copy=True, dtype=torch.float32)
            chosen = logits_processor(input_ids, logits).argmax(-1)
            input_ids = torch.cat([input_ids, chosen[:, None]], -1)
            for row, ended in enumerate(stopping_criteria(input_ids, None).tolist()):
                if ended and not over[row]:
                    whole[places[row]], over[row] = input_ids[row], True
            left = [row for row, ended in enumerate(over) if not ended]
            if not left:
                return pad_sequence(whole, batch_first=True, padding_value=pad)
            if len(left) < len(places) and _droppable(state):
                state = {name: _only(value, left, len(places)) for name, value in state.items()}
                input_ids, places, over = input_ids[left], [places[row] for row in left], [False] * len(left)
                for part in parts:
                    part.keep(left)
            read = model.prepare_inputs_for_generation(input_ids, next_sequence_length=1, **state)
            outputs = model(**read, return_dict=True)

    return write


def _droppable(state: dict[str, Any]) -> bool:
    """Whether what is kept of each row is keys and values alone."""
    caches = [value for value in state.values() if isinstance(value, Cache)]
    return all(isinstance(layer, DynamicLayer) for cache in caches for layer in cache.layers)


def _only(value: Any, left: list[int], rows: int) -> Any:
    if isinstance(value, Cache):
        value.batch_select_indices(torch.tensor(left))
        return value
    if not isinstance(value, torch.Tensor):
        return value
    if value.dim() == 3 and value.shape[1] == rows:  # positions of several sorts: (sorts, rows, tokens)
        return value[:, left]
    return value[left] if value.dim() and value.shape[0] == rows else value
