"""A transformers model as an engine.

Requests are sorted by length and left-padded in batches; what many of them begin with is computed
once. Sampling is by the Gumbel trick, argmax of logits / T + g with g drawn from a stream of the
request's own, so that what a request is answered does not depend on which others are asked with it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from contextune import models
from contextune.core import registry
from contextune.core.asking import chat_ids, chat_pair
from contextune.core.encoding import decode, encode
from contextune.core.errors import UserError, first_line
from contextune.core.items import Turns
from contextune.core.progress import say_once
from contextune.core.special_tokens import begins
from contextune.models import paged
from contextune.models.at_once import AtOnce, Room, tokens_of
from contextune.models.column_major import by_columns
from contextune.models.decoding import WAYS, Decoding, continues, decoding_of, inputs, keeps_all, read_prefix
from contextune.models.dropping import dropping
from contextune.models.ends import ends_of, writing
from contextune.models.likelihood import evaluating

from .protocol import Answer, Cost, Failure, Request, without_system
from .replies import answer
from .shared_prefix import shared
from .thoughts import is_mark

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from .options import Writer

ON_CPU = 8192
"""Tokens at once on a CPU, where memory holds them."""
Written = tuple[int, list[int], float]
"""The place of a request, the ids written for it and what fills its row, seconds."""
SLICE = 512
"""Requests that are written together in pages; their answers are kept before the next."""


@registry.engines("local")
class LocalEngine:
    """`model` and `tokenizer` as they are in memory; at most `tokens` positions are computed at once, half as many
    after each time that memory runs out.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Tokenizer, tokens: AtOnce = "auto", name: str = "") -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.room = Room(tokens_of(tokens, model, ON_CPU))
        self.share = True  # no effect on the answers

    @property
    def tokens(self) -> int:
        return self.room.tokens

    @classmethod
    def open(cls, writer: Writer, path: str, say: Callable[[str], None]) -> LocalEngine:
        """The model in a folder, loaded now."""
        if writer.model is not None:
            models.check(path)
        return cls(models.load_model(path).eval(), models.load_tokenizer(path), writer.tokens, path)

    @cached_property
    def identity(self) -> str:
        return identify(self.model, self.tokenizer)

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[int, str | Failure]]:
        """Greedy where the temperature is 0; a prompt that leaves no room in the model is a Failure.

        What many prompts begin with is computed once. An answer without any text is an answer.
        """
        queue: list[tuple[int, list[int]]] = []
        for place, request in enumerate(requests):
            ids = [part for parts in request_ids(request, self.tokenizer) for part in parts]
            if reason := self._unfit(len(ids), request.max_tokens):
                yield place, Failure(reason)
            else:
                queue.append((place, ids))
        ends = _Ends(list(requests), self.tokenizer, 0, ends_of(self.model, self.tokenizer))
        size = {place: len(ids) for place, ids in queue}
        for place, ids, seconds in self._written(queue, requests):
            yield place, ends.answer(place, ids, size[place], seconds)

    def continuations(self, prompts: Sequence[list[int]], requests: Sequence[Request]) -> list[list[int]]:
        """Ids written after each prompt, the token that ends them among them; of a request all but its prompt counts.

        Raises UserError where a prompt leaves no room in the model.
        """
        if reason := next(
            (r for p, q in zip(prompts, requests, strict=True) if (r := self._unfit(len(p), q.max_tokens))), ""
        ):
            raise UserError(reason, "write fewer tokens, or shorten the prompts")
        final, found = ends_of(self.model, self.tokenizer), dict[int, list[int]]()
        for place, ids, _ in self._written(list(enumerate(prompts)), requests):
            ids = ids[: requests[place].max_tokens]
            found[place] = ids[: next((i + 1 for i, token in enumerate(ids) if token in final), len(ids))]
        return [found[place] for place in range(len(prompts))]

    def _written(self, queue: list[tuple[int, list[int]]], requests: Sequence[Request]) -> Iterator[Written]:
        """What is written after each prompt's ids, by its place in `requests`."""
        written = set()
        for place, ids, seconds in self._in_pages(queue, requests):
            written.add(place)
            yield place, ids, seconds
        queue = [(place, ids) for place, ids in queue if place not in written]
        plan = [(size, group, list(self._batches(group, requests))) for size, group in self._groups(queue, requests)]
        steps = sum(max(requests[place].max_tokens for place, _ in batch) for _, _, made in plan for batch in made)
        with by_columns(self.model, steps):
            for size, group, made in plan:
                past = self._read(group[0][1][:size]) if size else None
                for batch in made:
                    for part, found in self.room.results(batch, partial(self._answers, requests, past, size), _area):
                        for (place, _), (ids, seconds) in zip(part, found, strict=True):
                            yield place, ids, seconds

    def _in_pages(self, queue: list[tuple[int, list[int]]], requests: Sequence[Request]) -> Iterator[Written]:
        """Greedy answers by continuous batching where the model allows it; those are missing that it failed at."""
        greedy = [(place, ids) for place, ids in queue if requests[place].temperature == 0]
        with self.writing() as pad:
            if not greedy or not paged.allowed(self.model, pad):
                return
        for low in range(0, len(greedy), SLICE):
            part = greedy[low : low + SLICE]
            found = self._paged([ids for _, ids in part], [requests[place] for place, _ in part])
            yield from ((part[i][0], ids, seconds) for i, ids, seconds in found)
            if len(found) < len(part):
                return

    def _paged(self, prompts: list[list[int]], requests: list[Request]) -> list[Written]:
        final, began = ends_of(self.model, self.tokenizer), time.monotonic()
        ends = _Ends(requests, self.tokenizer, 0, final)
        stopped = (lambda i, ids: ends.stopped(requests[i], ids)) if any(r.stop for r in requests) else None
        most, found = [r.max_tokens for r in requests], list[tuple[int, list[int]]]()
        try:
            with self.writing() as pad:
                found.extend(paged.write(self.model, prompts, most, final, pad, stopped))
        except (RuntimeError, MemoryError) as e:
            say_once(f"{first_line(e)}; the rest is written in batches")
        seconds = (time.monotonic() - began) / max(1, len(found))
        return [(i, written, seconds) for i, written in found]

    def _groups(
        self, queue: list[tuple[int, list[int]]], requests: Sequence[Request]
    ) -> Iterator[tuple[int, list[tuple[int, list[int]]]]]:
        """(tokens that a group has in common, the group)."""
        if not queue:
            return
        if not self.share or not keeps_all(self.model):
            yield 0, queue
            return
        passes = max(requests[place].max_tokens for place, _ in queue)
        groups = shared([ids for _, ids in queue], passes)
        if any(size for size, _ in groups) and not self._continues():
            groups = [(0, list(range(len(queue))))]
        for size, places in groups:
            yield size, [queue[i] for i in places]

    def _unfit(self, size: int, new: int) -> str:
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and size + new > limit:
            return f"the prompt has {size} tokens and {new} are to be written, the model holds {limit}"
        return "" if size else "the prompt is empty"

    def _batches(
        self, queue: list[tuple[int, list[int]]], requests: Sequence[Request]
    ) -> Iterator[list[tuple[int, list[int]]]]:
        batch: list[tuple[int, list[int]]] = []
        most, together = 0, self.way().batch
        for place, ids in sorted(queue, key=lambda item: -len(item[1])):  # what is too large for the memory comes first
            most = max(most, requests[place].max_tokens)
            full = (len(batch) + 1) * (len(batch[0][1]) + most) > self.room.tokens if batch else False
            if full or (batch and not together):
                yield batch
                batch, most = [], requests[place].max_tokens
            batch.append((place, ids))
        if batch:
            yield batch

    def _read(self, ids: list[int]) -> DynamicCache:
        """Keys and values of what a group has in common, for one row."""
        with self.writing():
            return read_prefix(self.model, ids)

    def way(self) -> Decoding:
        """Whether prompts may be written after in batches and from a cache, by a trial of the model."""
        with self.writing() as pad:
            return decoding_of(self.model, pad)

    def _continues(self) -> bool:
        with self.writing() as pad:
            return continues(self.model, pad)

    @contextmanager
    def writing(self) -> Iterator[int]:
        """Within: evaluation mode, no gradients, and none of the model's sampling defaults. Gives the padding id."""
        with evaluating(self.model), writing(self.model, self.tokenizer) as pad:
            yield pad

    def _answers(
        self,
        requests: Sequence[Request],
        past: DynamicCache | None,
        size: int,
        batch: list[tuple[int, list[int]]],
    ) -> list[tuple[list[int], float]]:
        return self._write([ids for _, ids in batch], [requests[place] for place, _ in batch], past, size)

    def _write(
        self, prompts: list[list[int]], requests: list[Request], past: DynamicCache | None = None, size: int = 0
    ) -> list[tuple[list[int], float]]:
        """Ids written after a batch, and seconds of each; of `past` all prompts have the first `size` tokens. Padding
        stands between the two."""
        began, width, way = time.monotonic(), max(map(len, prompts)), self.way()
        ends = _Ends(requests, self.tokenizer, width, ends_of(self.model, self.tokenizer))
        gumbel = Gumbel(requests)
        with self.writing() as pad:
            out = self.model.generate(  # type: ignore[operator]
                **inputs(prompts, pad, past, size, self.model.device),
                max_new_tokens=max(r.max_tokens for r in requests),
                use_cache=way.cache,
                logits_processor=LogitsProcessorList([gumbel]),
                stopping_criteria=StoppingCriteriaList([ends]),
                custom_generate=dropping(pad, [gumbel, ends]) if way == WAYS[0] else None,
            )
        seconds = (time.monotonic() - began) / len(prompts)
        return [(new, seconds) for new in out[:, width:].tolist()]


def _area(batch: list[tuple[int, list[int]]]) -> int:
    """Tokens of a batch's prompts, padded."""
    return len(batch) * max(len(ids) for _, ids in batch)


class Gumbel(LogitsProcessor):
    """Rows with a temperature get logits / T + g, whose argmax is a draw from softmax(logits / T).

    g = -log e with e exponential: drawn on the CPU, so that every device has the same stream, and in
    double precision, where no e is 0.
    """

    def __init__(self, requests: list[Request]) -> None:
        self.streams = {i: (_stream(r), r.temperature) for i, r in enumerate(requests) if r.temperature > 0}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores.float()
        for row, (stream, temperature) in self.streams.items():
            exponential = torch.empty(scores.shape[1], dtype=torch.float64).exponential_(generator=stream)
            scores[row] = scores[row] / temperature - exponential.log().to(scores)
        return scores

    def keep(self, left: Sequence[int]) -> None:
        self.streams = {i: self.streams[row] for i, row in enumerate(left) if row in self.streams}


class _Ends(StoppingCriteria):
    """Ends each row at its own `max_tokens` or stop text."""

    def __init__(self, requests: list[Request], tokenizer: Tokenizer, width: int, final: list[int]) -> None:
        self.requests, self.tokenizer, self.width, self.final = requests, tokenizer, width, final
        self.open = requests
        special = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
        self.marks = {id: token for id, token in special if is_mark(token)}

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        new = input_ids[:, self.width :].tolist()
        done = [len(ids) >= r.max_tokens or self.stopped(r, ids) for r, ids in zip(self.open, new, strict=True)]
        return torch.tensor(done, device=input_ids.device)

    def keep(self, left: Sequence[int]) -> None:
        self.open = [self.open[row] for row in left]

    def stopped(self, request: Request, ids: list[int]) -> bool:
        return bool(request.stop) and any(stop in self._decode(ids) for stop in request.stop)

    def _decode(self, ids: list[int]) -> str:
        """Without special tokens, but those that mark thoughts."""
        if not any(i in self.marks for i in ids):
            return decode(ids, self.tokenizer)
        parts = [list(part) for _, part in groupby(ids, self.marks.get)]
        return "".join(self.marks.get(p[0]) or self._decode(p) for p in parts)

    def answer(self, row: int, ids: list[int], read: int, seconds: float) -> Answer | Failure:
        request = self.requests[row]
        ids = ids[: request.max_tokens]
        size = next((i for i, token in enumerate(ids) if token in self.final), len(ids))
        begun = request_ids(request, self.tokenizer)[1] if request.begin else []
        said = self._decode([*begun, *ids[:size]])
        return answer(said, request, size == len(ids), Cost(read, size, seconds), empty=True)


def prompt_ids(text: str, tokenizer: Tokenizer) -> list[int]:
    """Ids of a prompt: a user's turn where the tokenizer has a chat template, else the bare text."""
    if not tokenizer.chat_template:
        return [*begins(tokenizer), *encode(text, tokenizer)]
    return chat_ids((("user", text),), tokenizer)


def request_ids(request: Request, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of what is asked, and of what the answer begins with, which the model goes on from."""
    if not (request.turns or request.begin):
        return prompt_ids(request.prompt, tokenizer), []
    if not tokenizer.chat_template:
        asked = request.prompt.rstrip(" ") if request.begin else request.prompt
        begin = request.prompt[len(asked) :] + request.begin
        return prompt_ids(asked, tokenizer), encode(begin, tokenizer, amid=True) if begin else []
    turns = request.turns or (("user", request.prompt),)
    try:
        return _conversation(turns, request.begin, tokenizer)
    except UserError:  # as of templates without a system turn
        return _conversation(without_system(turns), request.begin, tokenizer)


def _conversation(turns: Turns, begin: str, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    return chat_pair(turns, begin, tokenizer) if begin else (chat_ids(turns, tokenizer), [])


def _stream(request: Request) -> torch.Generator:
    """A stream of the request's own: equal seeds do not couple different prompts."""
    name = f"{request.seed}\x1f{request.prompt}".encode("utf-8", "surrogatepass")
    seed = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")
    return torch.Generator().manual_seed(seed >> 1)


def identify(model: PreTrainedModel, tokenizer: Tokenizer) -> str:
    """A hash of weights, architecture and tokenizer: where a model lies and what loaded it make no difference."""
    digest = hashlib.blake2b(digest_size=16)
    config = {k: v for k, v in model.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
    for part in (type(model).__name__, config, _vocabulary(tokenizer), tokenizer.chat_template or ""):
        digest.update(json.dumps(part, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _vocabulary(tokenizer: Tokenizer) -> Any:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return [type(tokenizer).__name__, tokenizer.get_vocab()]
    whole = json.loads(backend.to_str())
    return {k: v for k, v in whole.items() if k not in ("padding", "truncation")}  # set by the last call, not by text
