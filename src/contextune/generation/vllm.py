"""A model in vLLM, in this process; what prompts have in common is computed once by its prefix cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune import models
from contextune.core import registry
from contextune.core.errors import UserError

from .protocol import Cost, Failure, Request
from .replies import answer

if TYPE_CHECKING:
    from contextune.core.sequence import Tokenizer

    from .options import Writer

SLICE = 512
"""Requests that are handed over at once; their answers are kept before the next."""


@registry.engines("vllm")
class Vllm:
    """The model in a folder or on the hub; `options` go to vllm.LLM as they are.

    Its sampling is its own: seeds give other texts than with the engine `local`, and rounding may differ with the
    batch. Raises UserError where vllm is not installed or the folder holds an adapter.
    """

    @classmethod
    def open(cls, writer: Writer, path: str, say: Callable[[str], None]) -> Vllm:
        """The model in a folder, loaded when it is first asked."""
        if writer.model is not None:
            models.check(path)
        return cls(path, models.load_tokenizer(path))

    def __init__(self, path: str, tokenizer: Tokenizer, **options: Any) -> None:
        if (Path(path) / "adapter_config.json").exists():
            raise UserError(f"model {path}: an adapter, which the engine vllm does not take", "merge it, or use local")
        self.name, self.tokenizer, self.options = path, tokenizer, options

    @cached_property
    def identity(self) -> str:
        from contextune import models

        text = json.dumps(
            ["vllm", models.fingerprint(self.name), self.tokenizer.chat_template, self.options], default=str
        )
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[int, str | Failure]]:
        """Sorted by prompt, so that what begins alike is asked together, and kept in slices of SLICE."""
        if not requests:
            return
        order = sorted(range(len(requests)), key=lambda i: requests[i].prompt)
        for low in range(0, len(order), SLICE):
            yield from self._slice(order[low : low + SLICE], requests)

    def _slice(self, places: list[int], requests: Sequence[Request]) -> Iterator[tuple[int, str | Failure]]:
        fitting = []
        for place in places:
            ids = self._ids(requests[place])
            most = self._llm.llm_engine.model_config.max_model_len
            if not ids or len(ids) + requests[place].max_tokens > most:
                found = f"the prompt has {len(ids)} tokens and {requests[place].max_tokens} are to be written"
                yield place, Failure(f"{found}, the model holds {most}" if ids else "the prompt is empty")
            else:
                fitting.append((place, ids))
        outputs = self._llm.generate(
            [{"prompt_token_ids": ids} for _, ids in fitting],
            [self._params(requests[place]) for place, _ in fitting],
            use_tqdm=False,
        )
        for (place, ids), output in zip(fitting, outputs, strict=True):
            said = output.outputs[0]
            cost = Cost(len(ids), len(said.token_ids))
            text = requests[place].begin + said.text
            yield place, answer(text, requests[place], said.finish_reason == "length", cost)

    def _ids(self, request: Request) -> list[int]:
        from .local import request_ids

        return [part for found in request_ids(request, self.tokenizer) for part in found]

    def _params(self, request: Request) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        more = (
            {"structured_outputs": StructuredOutputsParams(json=json.loads(request.schema))} if request.schema else {}
        )
        return SamplingParams(
            max_tokens=request.max_tokens, temperature=request.temperature, seed=request.seed,
            stop=list(request.stop) or None, **more,
        )  # fmt: skip

    @cached_property
    def _llm(self) -> Any:
        try:
            from vllm import LLM
        except ImportError:
            raise UserError("writer.engine: vllm needs the package 'vllm'", "pip install 'contextune[vllm]'") from None
        # The model's own sampling defaults (its generation_config.json) are not used, as with the other engines.
        return LLM(model=self.name, enable_prefix_caching=True, generation_config="vllm", **self.options)
