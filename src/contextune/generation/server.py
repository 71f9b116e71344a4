"""Any OpenAI-compatible server as an engine.

The key, where the server wants one, comes from the environment (key.py). It is sent to the server that it is bound to,
and never kept or shown.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from contextune.core import registry
from contextune.models import load_tokenizer

from .budget import Budget, CostEstimate, counted
from .connection import Connection
from .interrupt import Interrupt
from .protocol import Answer, Cost, Failure, Request
from .replies import answer, validator
from .reply_body import Said

if TYPE_CHECKING:
    from contextune.core.sequence import Tokenizer

    from .options import Writer

_HOPELESS = re.compile("3[0-9][0-9]:|401:|403:|404:")
"""Statuses that every other request would get too."""
_GRACE = 0.7
"""Seconds after an interrupt in which answers under way may still arrive."""
_LOOK = 0.2
"""Seconds between two looks for an interrupt."""
_AGAIN = "That did not work: {reason}. Answer once more, with JSON alone that fits this JSON Schema: {schema}"


@registry.engines("server")
class Server:
    """The model `name` at `url`. Requests that fail for a passing reason are tried `retries` times more.

    `parameters` says what the server calls max_tokens, seed, temperature and stop; None: it gets none of that name.
    `prices` are those of a million tokens read and written; they and the budget go by the server's own counts
    where it gives them, else by the tokenizer's, else by three bytes a token. The budget is that of this object.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        api: Literal["chat", "completions"] = "chat",
        concurrency: int = 8,
        retries: int = 6,
        timeout: float = 120.0,
        max_requests: int | None = None,
        max_tokens_total: int | None = None,
        prices: tuple[float, float] | None = None,
        tokenizer: Tokenizer | None = None,
        parameters: Mapping[Any, str | None] | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._connection = Connection(url, name, api, retries, timeout, dict(parameters or {}))
        self.url, self.name, self.api = self._connection.url, name, api
        self.concurrency, self.retries, self.timeout = concurrency, retries, timeout
        self.budget, self.prices = Budget(max_requests, max_tokens_total), prices
        self.tokenizer, self.say = tokenizer, say
        self.parameters = dict(parameters or {})

    @classmethod
    def open(cls, writer: Writer, path: str, say: Callable[[str], None]) -> Server:
        """As the recipe's `writer` has it. `path` is the model whose tokenizer counts, where the writer names one."""
        assert writer.server is not None  # the options see to it
        assert writer.name is not None
        return cls(
            writer.server, writer.name, api=writer.api, concurrency=writer.concurrency, retries=writer.retries,
            timeout=writer.timeout,
            max_requests=writer.budget.get("requests"), max_tokens_total=writer.budget.get("tokens"),
            prices=(writer.prices["input"], writer.prices["output"]) if writer.prices else None,
            tokenizer=load_tokenizer(path) if writer.model is not None else None,
            parameters=dict(writer.parameters), say=say,
        )  # fmt: skip

    @property
    def identity(self) -> str:
        """Of the server and its model's name: what the server serves under that name cannot be seen from here."""
        left_out = sorted(name for name, theirs in self.parameters.items() if theirs is None)
        text = json.dumps(["server", self.url, self.name, self.api, *([left_out] if left_out else [])])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def estimate(self, requests: Sequence[Request]) -> CostEstimate:
        return CostEstimate.of(requests, self.tokenizer, self.prices)

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[int, str | Failure]]:
        """At most `concurrency` at once. Where the budget is spent, or the server refuses or fails one request after
        the other, the rest are failures that were not asked. On an interrupt, the answers that arrive within a
        moment are still given.

        Raises UserError where nothing answers at the URL, or it refuses the key.
        """
        for schema in {r.schema for r in requests if r.schema}:
            validator(schema)
        queue = list(range(len(requests)))[::-1]
        under_way: dict[Future[Answer | Failure], int] = {}
        halt, streak = "", 0
        with self._connection as connection:
            connection.reach()
            self.say(f"{self.name} at {self.url}: {self.estimate(requests)}")
            with Interrupt() as interrupt:
                while True:
                    try:
                        halt = halt or interrupt.reason or self._fill(queue, requests, under_way)
                        done = wait(under_way, timeout=_LOOK, return_when=FIRST_COMPLETED).done
                    except KeyboardInterrupt:
                        interrupt.press()
                        continue
                    if not under_way or (interrupt.since() > _GRACE and not done):
                        break
                    for future in done:
                        place, result = under_way.pop(future), future.result()
                        self.budget.settle(self._size(requests[place]), result.cost)
                        streak = streak + 1 if isinstance(result, Failure) and result.passing else 0
                        halt = halt or self._hopeless(result, streak)
                        yield place, result
                interrupt.end()
        for place in reversed(queue):
            yield place, Failure(f"not asked: {halt}", asked=False)

    def _fill(
        self, queue: list[int], requests: Sequence[Request], under_way: dict[Future[Answer | Failure], int]
    ) -> str:
        """Sends from the end of the queue what may be sent now; why nothing more may ever be, else empty."""
        while queue and len(under_way) < self.concurrency:
            size = self._size(requests[queue[-1]])
            if spent := self.budget.refuses(size):
                return "" if under_way else spent  # what is under way may use less than was reserved for it
            self.budget.reserve(size)
            place = queue.pop()
            under_way[self._connection.start(self._ask(requests[place]))] = place
        return ""

    def _hopeless(self, result: Answer | Failure, streak: int) -> str:
        """Why no other request should be sent after this result; empty where there is hope."""
        if not isinstance(result, Failure):
            return ""
        if _HOPELESS.match(result.reason):
            return result.reason
        many = streak >= max(8, self.concurrency)
        return f"the server failed {streak} times in a row, at last: {result.reason}" if many else ""

    def _size(self, request: Request) -> int:
        """Tokens that a request may take at most; one with a schema may be asked a second time."""
        tokens = counted(request.prompt, self.tokenizer) + request.max_tokens
        return 2 * tokens + len(request.schema) if request.schema else tokens

    async def _ask(self, request: Request) -> Answer | Failure:
        """One request; what does not fit its schema is asked once more."""
        began, turns = time.monotonic(), self._turns(request)
        costs: list[Said] = []
        for retry in (False, True):
            said, trouble = await self._connection.say(request, turns)
            costs.append(said)
            cost = Cost(_sum(c.read for c in costs), _sum(c.wrote for c in costs), time.monotonic() - began)
            if trouble is not None:
                return replace(trouble, cost=cost)
            result = self._answer(said, request, cost)
            if isinstance(result, Answer) or retry or not request.schema or said.cut or not said.text.strip():
                break
            complaint = _AGAIN.format(reason=result.reason, schema=request.schema)
            turns += [{"role": "assistant", "content": said.text}, {"role": "user", "content": complaint}]
        return result

    def _turns(self, request: Request) -> list[dict[str, str]]:
        """Messages; where texts are completed, the prompt with what the answer begins with."""
        if self.api == "completions":
            return [{"role": "user", "content": request.prompt + request.begin}]
        return [{"role": role, "content": text} for role, text in request.turns or (("user", request.prompt),)]

    def _answer(self, said: Said, request: Request, cost: Cost) -> Answer | Failure:
        begun = request.begin if self.api == "completions" else ""
        try:
            result = answer(begun + said.text, request, said.cut, cost)
        except RecursionError:  # JSON nested too deep for its schema
            result = Failure("does not fit the schema: nested too deep", cost=cost)
        if isinstance(result, Failure):
            return replace(result, reason=self._connection.shown(result.reason))
        if self._connection.repeats_key(result):
            return Failure("the answer repeats the server's key", cost=cost)
        return result


def _sum(values: Iterable[int | None]) -> int | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None
