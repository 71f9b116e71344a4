"""The way to one server: what is sent, what comes back, and its failures in words that may be kept and shown."""

from __future__ import annotations

import json
import re
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, Literal, Self, TypeVar

from contextune.core.errors import UserError

from .key import OPENAI, URL, check_key, holds, key_for, origin, remedy, scrubbed
from .protocol import Failure, Request, without_system
from .proxies import http_client, proxy_of, proxy_secrets
from .replies import printable
from .reply_body import Said, reply_of, words

PARAMETERS = ("max_tokens", "temperature", "seed", "stop")
CHARACTERS_PER_TOKEN = 256
"""More than any text has: an answer that is longer was not held to max_tokens."""
_LEAST = 2**16
"""Characters that any answer may have."""
_UNKNOWN = re.compile(
    r"un(?:supported|recogni[sz]ed|known|expected)|extra|not (?:\w+ )?(?:support|permitt|allow)|forbidden", re.I
)
"""A refusal of a parameter as such, not of its size."""
_MOST = 4000
"""Characters of a server's words that are looked at; of these, 300 are kept."""
T = TypeVar("T")


class Connection:
    """To the model `name` at `url`. Open within `with`; what is under way at its end is given up.

    Raises UserError where the URL or the environment's key or proxy cannot be used.
    """

    def __init__(
        self,
        url: str,
        name: str,
        api: Literal["chat", "completions"],
        retries: int,
        timeout: float,
        parameters: Mapping[Any, str | None],
    ) -> None:
        if not URL.fullmatch(url):
            raise UserError(
                "writer.server: the URL has a user, a password, a query, or a form that is not known",
                "give a URL such as http://localhost:8000/v1",
            )
        self.url, self.name, self.api = url.rstrip("/"), name, api
        self.retries, self.timeout, self.parameters = retries, timeout, parameters
        self.key = ""
        self._structured = api == "chat"
        self._system = True

    def __enter__(self) -> Self:
        import_openai()
        from .transport import Background

        self.key, variable = key_for(self.url)
        check_key(self.key, variable)
        self._client = self._opened()
        self._background = Background().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._background.__exit__(*error)

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return self._background.start(work)

    def reach(self) -> None:
        """Asks for the list of models: something must answer, and not refuse the key. UserError otherwise."""
        import openai

        client = self._client.with_options(max_retries=min(self.retries, 1), timeout=min(self.timeout, 10.0))
        try:
            self.start(client.models.with_raw_response.list()).result()
        except openai.APIConnectionError as e:
            proxy = proxy_of(self.url)
            why = self.shown(_cause(e)) + (f", through the proxy in {proxy}" if proxy else "")
            raise UserError(
                f"writer.server {self.url}: nothing answers there ({why})", "start the server, or correct writer.server"
            ) from None
        except (openai.AuthenticationError, openai.PermissionDeniedError) as e:
            raise UserError(
                f"writer.server {self.url}: it refuses the key ({e.status_code}: {self.shown(_message(e))})",
                f"{remedy(self.url)}, a key of that server",
            ) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError):
            pass  # something answers; not every server lists its models

    async def say(self, request: Request, turns: list[dict[str, str]]) -> tuple[Said, Failure | None]:
        """What the server's model said, or why there is nothing."""
        import openai

        try:
            said = await self._reply(request, turns)
        except openai.APITimeoutError as e:
            return Said(), self.failed(f"no answer within {self.timeout:g} s{_tries(e)}", True)
        except openai.APIConnectionError as e:
            return Said(), self.failed(f"connection lost{_tries(e)}: {_cause(e)}", True)
        except openai.APIStatusError as e:
            return Said(), self._refused(e)
        except Exception as e:  # whatever a reply may do to its reader
            return Said(), self.failed(f"the reply cannot be read ({type(e).__name__}: {e})", True)
        if len(said.text) > max(_LEAST, CHARACTERS_PER_TOKEN * request.max_tokens):
            long = f"the answer has {len(said.text):,} characters, {request.max_tokens:,} tokens were asked for"
            return Said(read=said.read, wrote=said.wrote), self.failed(long)
        return said, self.failed(said.trouble, said.passing) if said.trouble else None

    async def _reply(self, request: Request, turns: list[dict[str, str]]) -> Said:
        response = (await self._send(request, turns)).http_response
        if trouble := response.extensions["trouble"]:
            return Said(trouble=f"the reply cannot be read ({trouble})", passing=True)
        return reply_of(response.content.decode("utf-8", "surrogateescape"))  # which no answer may hold

    async def _send(self, request: Request, turns: list[dict[str, str]]) -> Any:
        """By the client's own retries; without the schema where the server knows of no such."""
        import openai

        body = self._sampling(request)
        if self.api == "completions":
            prompt = "\n\n".join(turn["content"] for turn in turns)
            complete = self._client.completions.with_raw_response.create
            return await complete(model=self.name, prompt=prompt, extra_body=body)
        if request.schema and self._structured:
            named = {"name": "answer", "schema": json.loads(request.schema)}
            wanted = {"response_format": {"type": "json_schema", "json_schema": named}}
            try:
                return await self._chat(turns, {**body, **wanted})
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                self._structured = False
        return await self._chat(turns, body)

    async def _chat(self, turns: list[dict[str, str]], body: dict[str, Any]) -> Any:
        """Without a system turn from the first time on that the server says it knows none."""
        import openai

        chat = self._client.chat.completions.with_raw_response.create
        if self._system:
            try:
                return await chat(model=self.name, messages=turns, extra_body=body)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as e:
                if turns[0]["role"] != "system" or "system" not in str(e).lower():
                    raise
                self._system = False
        found = without_system(tuple((turn["role"], turn["content"]) for turn in turns))
        folded = [{"role": role, "content": text} for role, text in found]
        return await chat(model=self.name, messages=folded, extra_body=body)

    def _sampling(self, request: Request) -> dict[str, Any]:
        """Under the names that the server has for it."""
        most = "max_completion_tokens" if self._openai and self.api == "chat" else "max_tokens"
        values = {"temperature": request.temperature, "seed": request.seed, "max_tokens": request.max_tokens}
        if request.stop:
            values["stop"] = list(request.stop)  # type: ignore[assignment]
        theirs = {"max_tokens": most, **self.parameters}
        return {name: value for ours, value in values.items() if (name := theirs.get(ours, ours)) is not None}

    def _refused(self, error: Any) -> Failure:
        """A status that is none of success."""
        status = error.status_code
        if 300 <= status < 400:
            where = error.response.headers.get("location", "nothing")
            return self.failed(f"{status}: it redirects to {where}; redirects are not followed, set writer.server anew")
        passing = status in (408, 409, 429) or status >= 500
        text = f"{status}{_tries(error) if passing else ''}: {_message(error)}"
        return self.failed(text + self._remedy(text), passing)

    def _remedy(self, refusal: str) -> str:
        """What to do where the server refuses a parameter that it gets."""
        found = next((n for n in PARAMETERS if n in refusal and n not in self.parameters), None)
        if found is None or not _UNKNOWN.search(refusal):
            return ""
        other = "max_completion_tokens" if found == "max_tokens" else "null"
        return f" (set writer.parameters: {{{found}: {other}}})"

    def failed(self, reason: str, passing: bool = False) -> Failure:
        return Failure(self.shown(reason), passing=passing)

    def shown(self, text: str) -> str:
        """A server's words as they may be kept and printed: short, on one line, without a secret."""
        text = text[:_MOST]
        for secret in (self.key, *proxy_secrets(self.url)):
            text = scrubbed(text, secret)
        return printable(text)[:300]

    def repeats_key(self, text: str) -> bool:
        return holds(text, self.key)

    @property
    def _openai(self) -> bool:
        return origin(self.url) == OPENAI

    def _opened(self) -> Any:
        import openai

        client = openai.AsyncOpenAI(
            base_url=self.url,
            api_key=self.key or "none",
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


def _cause(error: BaseException) -> str:
    """In words, else by its kind."""
    cause = error.__cause__ or error
    return str(cause) or type(cause).__name__


def _tries(error: Any) -> str:
    """How often it was sent, where that was more than once."""
    count = error.request.headers.get("x-stainless-retry-count", "0")
    return f", {int(count) + 1} attempts" if count != "0" else ""


def _message(error: Any) -> str:
    """The server's own words in an error, else the library's."""
    text = error.response.content.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = text
    return words(body)[:_MOST] or str(error.message)
