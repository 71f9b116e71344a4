"""Any OpenAI-compatible server as an engine.

The key, where the server wants one, comes from the environment: CONTEXTUNE_API_KEY, and at api.openai.com
else OPENAI_API_KEY. It is sent to the server that the recipe names, and never kept or shown.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from contextune.core import registry
from contextune.core.errors import UserError
from contextune.models import load_tokenizer

from .budget import Budget, CostEstimate, counted
from .key import check_key, holds, scrubbed
from .protocol import Answer, Cost, Failure, Request
from .proxies import http_client, proxy_of
from .replies import answer, printable, validator
from .reply_body import Said, reply_of, words

if TYPE_CHECKING:
    from contextune.core.sequence import Tokenizer

    from .options import Writer

KEY = "CONTEXTUNE_API_KEY"
HOPELESS = ("401:", "403:", "404:")
"""Statuses that every other request would get too."""
PARAMETERS = ("max_tokens", "temperature", "seed", "stop")
_UNKNOWN = re.compile(
    r"un(?:supported|recogni[sz]ed|known|expected)|extra|not (?:\w+ )?(?:support|permitt|allow)|forbidden", re.I
)
"""A refusal of a parameter as such, not of its size."""
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
        self.url, self.name, self.api = url.rstrip("/"), name, api
        self.concurrency, self.retries, self.timeout = concurrency, retries, timeout
        self.budget, self.prices = Budget(max_requests, max_tokens_total), prices
        self.tokenizer, self.say = tokenizer, say
        self.parameters = dict(parameters or {})
        self._structured = api == "chat"

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
        the other, the rest are failures that were not asked. On an interrupt the answers under way are waited for.

        Raises UserError where nothing answers at the URL, or it refuses the key.
        """
        for schema in {r.schema for r in requests if r.schema}:
            validator(schema)
        self._reach()
        self.say(f"{self.name} at {self.url}: {self.estimate(requests)}")
        queue = list(range(len(requests)))[::-1]
        under_way: dict[Future[Answer | Failure], int] = {}
        halt, streak, interrupted = "", 0, False
        pool = ThreadPoolExecutor(self.concurrency)
        try:
            while True:
                try:
                    halt = halt or self._fill(pool, queue, requests, under_way)
                    done = wait(under_way, return_when=FIRST_COMPLETED).done
                except KeyboardInterrupt:
                    if interrupted:
                        raise
                    interrupted, halt = True, "interrupted"
                    continue
                if not done:
                    break
                for future in done:
                    place, result = under_way.pop(future), future.result()
                    self.budget.settle(self._size(requests[place]), result.cost)
                    streak = streak + 1 if isinstance(result, Failure) and result.passing else 0
                    halt = halt or self._hopeless(result, streak)
                    yield place, result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if interrupted:
            raise KeyboardInterrupt
        for place in reversed(queue):
            yield place, Failure(f"not asked: {halt}", asked=False)

    def _fill(
        self,
        pool: ThreadPoolExecutor,
        queue: list[int],
        requests: Sequence[Request],
        under_way: dict[Future[Answer | Failure], int],
    ) -> str:
        """Sends from the end of the queue what may be sent now; why nothing more may ever be, else empty."""
        while queue and len(under_way) < self.concurrency:
            size = self._size(requests[queue[-1]])
            if spent := self.budget.refuses(size):
                return "" if under_way else spent  # what is under way may use less than was reserved for it
            self.budget.reserve(size)
            place = queue.pop()
            under_way[pool.submit(self._ask, requests[place])] = place
        return ""

    def _hopeless(self, result: Answer | Failure, streak: int) -> str:
        """Why no other request should be sent after this result; empty where there is hope."""
        if not isinstance(result, Failure):
            return ""
        if result.reason.startswith(HOPELESS):
            return result.reason
        many = streak >= max(8, self.concurrency)
        return f"the server failed {streak} times in a row, at last: {result.reason}" if many else ""

    def _size(self, request: Request) -> int:
        """Tokens that a request may take at most; one with a schema may be asked a second time."""
        tokens = counted(request.prompt, self.tokenizer) + request.max_tokens
        return 2 * tokens + len(request.schema) if request.schema else tokens

    def _ask(self, request: Request) -> Answer | Failure:
        """One request, in a thread of its own; what does not fit its schema is asked once more."""
        began, turns = time.monotonic(), [{"role": "user", "content": request.prompt}]
        costs: list[Said] = []
        for retry in (False, True):
            said, trouble = self._say(request, turns)
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

    def _answer(self, said: Said, request: Request, cost: Cost) -> Answer | Failure:
        try:
            result = answer(said.text, request, said.cut, cost)
        except RecursionError:  # JSON nested too deep for its schema
            result = Failure("does not fit the schema: nested too deep", cost=cost)
        if isinstance(result, Failure):
            return replace(result, reason=self._scrubbed(result.reason))
        return result if not holds(result, self._key) else Failure("the answer repeats the server's key", cost=cost)

    def _say(self, request: Request, turns: list[dict[str, str]]) -> tuple[Said, Failure | None]:
        """What the server's model said, or why there is nothing."""
        import openai

        try:
            said = reply_of(self._send(request, turns))
        except openai.APITimeoutError:
            return Said(), self._failed(f"no answer within {self.timeout:g} s{self._tries}", True)
        except openai.APIConnectionError as e:
            return Said(), self._failed(f"connection lost{self._tries}: {e.__cause__ or e}", True)
        except openai.APIStatusError as e:
            passing = e.status_code in (408, 409, 429) or e.status_code >= 500
            text = f"{e.status_code}{self._tries if passing else ''}: {_message(e)}"
            return Said(), self._failed(text + self._remedy(text), passing)
        except Exception as e:  # whatever a reply may do to its reader
            return Said(), self._failed(f"the reply cannot be read ({type(e).__name__}: {e})", True)
        return said, self._failed(said.trouble, said.passing) if said.trouble else None

    def _send(self, request: Request, turns: list[dict[str, str]]) -> str:
        """The body of the reply, by the client's own retries; without the schema where the server knows of no such."""
        import openai

        body = self._sampling(request)
        if self.api == "completions":
            prompt = "\n\n".join(turn["content"] for turn in turns)
            complete = self._client.completions.with_raw_response.create
            return str(complete(model=self.name, prompt=prompt, extra_body=body).text)
        chat = self._client.chat.completions.with_raw_response.create
        if request.schema and self._structured:
            named = {"name": "answer", "schema": json.loads(request.schema)}
            wanted = {"response_format": {"type": "json_schema", "json_schema": named}}
            try:
                return str(chat(model=self.name, messages=turns, extra_body={**body, **wanted}).text)
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                self._structured = False
        return str(chat(model=self.name, messages=turns, extra_body=body).text)

    def _sampling(self, request: Request) -> dict[str, Any]:
        """Under the names that the server has for it."""
        most = "max_completion_tokens" if self._openai and self.api == "chat" else "max_tokens"
        values = {"temperature": request.temperature, "seed": request.seed, "max_tokens": request.max_tokens}
        if request.stop:
            values["stop"] = list(request.stop)  # type: ignore[assignment]
        theirs = {"max_tokens": most, **self.parameters}
        return {name: value for ours, value in values.items() if (name := theirs.get(ours, ours)) is not None}

    def _remedy(self, refusal: str) -> str:
        """What to do where the server refuses a parameter that it gets."""
        found = next((n for n in PARAMETERS if n in refusal and n not in self.parameters), None)
        if found is None or not _UNKNOWN.search(refusal):
            return ""
        other = "max_completion_tokens" if found == "max_tokens" else "null"
        return f" (set writer.parameters: {{{found}: {other}}})"

    def _reach(self) -> None:
        """Asks for the list of models: something must answer, and not refuse the key."""
        import_openai()
        import openai

        check_key(self._key, self._key_name)
        client = self._client.with_options(max_retries=min(self.retries, 1), timeout=min(self.timeout, 10.0))
        try:
            client.models.with_raw_response.list()
        except openai.APIConnectionError as e:
            proxy = proxy_of(self.url)
            why = printable(self._scrubbed(str(e.__cause__ or e))) + (
                f", through the proxy in {proxy}" if proxy else ""
            )
            raise UserError(
                f"writer.server {self.url}: nothing answers there ({why})", "start the server, or correct writer.server"
            ) from None
        except (openai.AuthenticationError, openai.PermissionDeniedError) as e:
            raise UserError(
                f"writer.server {self.url}: it refuses the key ({e.status_code}: {self._scrubbed(_message(e))})",
                f"set the environment variable {self._key_name} to a key of that server",
            ) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError):
            pass  # something answers; not every server lists its models

    def _failed(self, reason: str, passing: bool) -> Failure:
        return Failure(printable(self._scrubbed(reason))[:300], passing=passing)

    def _scrubbed(self, text: str) -> str:
        """Without the key, should the server repeat it."""
        return scrubbed(text, self._key)

    @property
    def _tries(self) -> str:
        return f", {self.retries + 1} attempts" if self.retries else ""

    @property
    def _openai(self) -> bool:
        return self.url.startswith("https://api.openai.com/")

    @property
    def _key_name(self) -> str:
        return "OPENAI_API_KEY" if self._openai and not os.environ.get(KEY) else KEY

    @property
    def _key(self) -> str:
        return os.environ.get(self._key_name, "")

    @cached_property
    def _client(self) -> Any:
        import openai

        key = self._key or "none"
        client = openai.OpenAI(
            base_url=self.url,
            api_key=key,
            max_retries=self.retries,
            timeout=self.timeout,
            http_client=http_client(self.url),
        )
        if not self._openai:  # the client takes these from the environment for any server
            client.organization = client.project = None
        return client


def import_openai() -> None:
    try:
        import openai  # noqa: F401
    except ImportError:
        raise UserError("writer.server needs the package 'openai'", "pip install 'contextune[openai]'") from None


def _message(error: Any) -> str:
    """The server's own words in an error, else the library's."""
    try:
        body = json.loads(error.response.text)
    except (ValueError, RecursionError):
        body = error.response.text
    return printable(words(body) or str(error.message))


def _sum(values: Iterable[int | None]) -> int | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None
