"""One answer while it is written, in the parts in which it comes."""

from __future__ import annotations

from collections.abc import Generator
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import torch
from transformers import LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from contextune.core.asking import window
from contextune.core.encoding import decode
from contextune.core.errors import UserError
from contextune.models.ends import ends_of

from .local import Gumbel, LocalEngine, request_ids
from .protocol import Request
from .replies import ended

UNFINISHED = "\ufffd"
"""What stands for a character of which not all bytes are written yet."""


def stream(engine: LocalEngine, request: Request) -> Generator[str]:
    """Parts of the answer, as soon as they are there; together they are what `complete` answers, also where it is cut.

    Closing the iterator ends the writing at the next token. UserError where the prompt leaves the model no room.
    """
    asked, begun = request_ids(request, engine.tokenizer)
    ids = [*asked, *begun]
    most = min(request.max_tokens, window(engine.model, engine.tokenizer) - len(ids))
    if most < 1:
        raise UserError(
            f"the prompt has {len(ids):,} tokens, the model reads {window(engine.model, engine.tokenizer):,} at once",
            "ask with a shorter context",
        )
    heard: SimpleQueue[str | BaseException | None] = SimpleQueue()
    told = _Told(engine, request, len(ids), begun, heard)

    def write() -> None:
        try:
            with engine.writing() as pad:
                row = torch.tensor([ids], device=engine.model.device)
                engine.model.generate(  # type: ignore[operator]
                    input_ids=row,
                    attention_mask=torch.ones_like(row),
                    max_new_tokens=most,
                    use_cache=engine.way().cache,
                    pad_token_id=pad,
                    logits_processor=LogitsProcessorList([Gumbel([request])]),
                    stopping_criteria=StoppingCriteriaList([told]),
                )
            told.finish()
            heard.put(None)
        except BaseException as e:  # what the writing thread cannot say itself
            heard.put(e)

    thread = Thread(target=write, daemon=True)
    thread.start()
    try:
        while (part := heard.get()) is not None:
            if isinstance(part, BaseException):
                raise part
            yield part
    finally:
        told.ended.set()
        thread.join()


class _Told(StoppingCriteria):
    """Hears each new token and passes on the text that no later token can change."""

    def __init__(
        self, engine: LocalEngine, request: Request, width: int, begun: list[int], heard: SimpleQueue[Any]
    ) -> None:
        self.engine, self.request, self.width, self.begun, self.heard = engine, request, width, begun, heard
        self.final = ends_of(engine.model, engine.tokenizer)
        self.ended, self.said, self.text = Event(), 0, ""

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        new = [i for i in input_ids[0, self.width :].tolist() if i not in self.final]
        self.text = decode([*self.begun, *new], self.engine.tokenizer)
        whole = ended(self.text, self.request.stop)
        stopped = len(whole) < len(self.text)
        self._tell(whole if stopped else whole[: len(whole) - self._open(whole)])
        return torch.tensor([stopped or self.ended.is_set()], device=input_ids.device)

    def _open(self, text: str) -> int:
        """Characters at the end that may yet change: a character half written, or the beginning of a stop text."""
        half = len(text) - len(text.rstrip(UNFINISHED))
        begins = (n for stop in self.request.stop for n in range(1, len(stop)) if text.endswith(stop[:n]))
        return max(half, *begins, 0)

    def _tell(self, text: str) -> None:
        if len(text) > self.said:
            self.heard.put(text[self.said :])
            self.said = len(text)

    def finish(self) -> None:
        self._tell(ended(self.text, self.request.stop))
