"""A writer behind the store: nothing is asked twice, and requests and failures are counted."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core.encoding import encode
from contextune.core.errors import UserError
from contextune.core.sequence import Tokenizer

from .ask import ask
from .protocol import Failure, Request
from .replies import OVER_LONG, blames_answer, lasting
from .store import Store

if TYPE_CHECKING:
    from .protocol import Engine

UNASKED = "not asked yet"
SHARE = 0.05
"""Of all requests, that may fail for a passing reason."""
MOST = 4
"""How many times its first tokens a request that was cut may get."""
STEP = 1_000_003
"""Between the seeds of a request's variants: no operation's samples are that many."""


@dataclass(frozen=True, slots=True)
class Unusable(Failure):
    """There is an answer, and nothing in it is of use."""


Asked = tuple[Request, str | Failure]
"""A request, or a variant of one, and its answer."""


def _judged(request: Request, answer: str | Failure) -> str | Failure:
    """The answer; Unusable where nothing in it is of use."""
    if isinstance(answer, Failure) or not (reason := _reason(request, answer)):
        return answer
    return Unusable(reason)


def _reason(request: Request, answer: str | Failure) -> str:
    """Why an answer is none, or of no use; "" where all is well."""
    if isinstance(answer, Failure):
        return answer.reason
    return request.judge(answer) if request.judge is not None else ""


@dataclass
class Count:
    """Requests of one operation. To the `unusable` ones the answer is of no use (Request.judge); of the `failed` ones,
    `lasting` would fail again. `read` and `write` are tokens of those that are still to be asked, at most."""

    requests: int = 0
    answered: int = 0
    failed: int = 0
    lasting: int = 0
    unusable: int = 0
    missing: int = 0
    read: int = 0
    write: int = 0


@dataclass
class StoredWriter:
    """Asks `engine` for what the `store` lacks; with `plan` nothing is asked, only counted.

    What a model said wrong is asked `retries` times more, with more tokens where it was cut (up to `window`, prompt
    included) and sampled anew; a later run goes on with the variants that were not asked yet.
    """

    engine: Callable[[], Engine]
    store: Path | None
    tokenizer: Tokenizer
    plan: bool = False
    progress: Callable[[int, int], None] | None = None
    retries: int = 0
    window: int | None = None
    insist: bool = False
    """Whether what has failed `retries` times more in an earlier run is asked again, in new variants."""
    fresh: int = 0
    """Requests that were asked in this run."""
    counts: dict[str, Count] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Source of a request: why it has no answer."""
    listed: list[dict[str, str]] = field(default_factory=list)
    """{source, operation, reason} of each request that has no answer, or one of no use."""
    unasked: list[Request] = field(default_factory=list)
    """Requests that are still to be asked, as far as they are known."""
    answered_as: dict[str, str] = field(default_factory=dict)
    """Key of a request: that of the variant which was answered, where it was not the request itself."""

    @cached_property
    def opened(self) -> Engine:
        return self.engine()

    @property
    def identity(self) -> str:
        return self.opened.identity

    def __call__(self, requests: Seq[Request]) -> list[str | Failure]:
        known = self.store is not None and self.store.exists()
        if self.plan and not known:  # no engine is loaded to learn that
            answers: list[str | Failure] = [Failure(UNASKED) for _ in requests]
        else:
            answers = self._answers(requests)
        for request, answer in zip(requests, answers, strict=True):
            self._count(request, answer)
        return answers

    def require(self, requests: Seq[Request]) -> list[str]:
        """The answers; UserError, at the end, that lists the requests without one."""
        with Store(self.store) as store:
            return ask(self.opened, requests, store, self.progress)

    def separate(self) -> StoredWriter:
        """The same writer with its own count of requests and failures."""
        return replace(self, counts={}, failures={}, listed=[], unasked=[])

    def anew(self) -> StoredWriter:
        """The same writer, which insists, with counts that begin again."""
        return replace(self.separate(), insist=True)

    def key(self, request: Request) -> str:
        """The store's key of what a request was answered by."""
        key = request.key(self.identity)
        return self.answered_as.get(key, key)

    def _answers(self, requests: Seq[Request]) -> list[str | Failure]:
        """Of each request the answer to the last of its variants that was asked: the first of use, if one is."""
        with Store(self.store) as store:
            if not self.retries:
                trails = [[(r, a)] for r, a in zip(requests, self._ask(requests, store), strict=True)]
            else:
                trails = [self._trail(r, store) for r in requests]
                for turn in range(0 if self.plan else 1 + self.retries):
                    self._go_on(requests, trails, store, first=turn == 0)
        for trail in trails:
            if len(trail) > 1:
                self.answered_as[trail[0][0].key(self.identity)] = trail[-1][0].key(self.identity)
        return [
            Failure(UNASKED) if not trail else _judged(request, trail[-1][1])
            for request, trail in zip(requests, trails, strict=True)
        ]

    def _go_on(self, requests: Seq[Request], trails: list[list[Asked]], store: Store, first: bool) -> None:
        """Asks what has no answer of use, once each: the next variant where the model's words were to blame."""
        asking: dict[int, Request] = {}
        for i, (request, trail) in enumerate(zip(requests, trails, strict=True)):
            if not trail:
                asking[i] = request
            elif not _reason(request, trail[-1][1]):
                continue
            elif not self._improvable(request, trail[-1][1]):
                if first:  # a lost connection, a spent budget: in this run it has failed once more
                    asking[i] = trail.pop()[0]
            elif len(trail) <= self.retries or self.insist:
                asking[i] = self._variant(request, trail)
        self.fresh += len(asking)
        for i, answer in zip(asking, self._ask([*asking.values()], store), strict=True):
            trails[i].append((asking[i], answer))

    def _ask(self, requests: Seq[Request], store: Store) -> list[str | Failure]:
        if not self.plan:
            return ask(self.opened, requests, store, self.progress, on_failure="return") if requests else []
        keys = [r.key(self.identity) for r in requests]
        kept = store.get(keys)
        return [kept.get(k, Failure(UNASKED)) for k in keys]

    def _trail(self, request: Request, store: Store) -> list[Asked]:
        """What was asked before: a request and its variants, up to the first that was answered well or never asked."""
        found: list[Asked] = []
        while not found or self._improvable(request, found[-1][1]):
            variant = self._variant(request, found) if found else request
            key = variant.key(self.identity)
            answer = store.get([key]).get(key)
            if answer is None:
                break
            found.append((variant, answer))
        return found

    @staticmethod
    def _improvable(request: Request, answer: str | Failure) -> bool:
        reason = _reason(request, answer)
        return bool(reason) and (not isinstance(answer, Failure) or blames_answer(reason))

    def _variant(self, request: Request, trail: Seq[Asked]) -> Request:
        """The next to ask: where the first was cut the same with more tokens, then sampled anew."""
        last, answer = trail[-1]
        most = request.max_tokens * MOST
        if self.window is not None:
            most = min(most, self.window - len(encode(request.prompt, self.tokenizer)))
        tokens = last.max_tokens
        if _reason(request, answer).startswith(OVER_LONG):
            tokens = max(tokens, min(most, 2 * tokens))
        if len(trail) == 1 and tokens > last.max_tokens:
            return replace(request, max_tokens=tokens)
        seed = request.seed + STEP * len(trail)
        return replace(request, max_tokens=tokens, seed=seed, temperature=request.temperature or 0.7)

    def _count(self, request: Request, answer: str | Failure) -> None:
        count = self.counts.setdefault(request.operation, Count())
        count.requests += 1
        if not isinstance(answer, Failure):
            count.answered += 1
            return
        if answer.reason == UNASKED:
            count.missing += 1
        else:
            self.listed.append({"source": request.source, "operation": request.operation, "reason": answer.reason})
        if isinstance(answer, Unusable):
            count.unusable += 1
            return
        if answer.reason != UNASKED:
            count.failed += 1
            count.lasting += lasting(answer.reason)
            self.failures[f"{request.source} {request.operation}"] = answer.reason
        if self.plan:  # what failed is asked again
            count.read += len(encode(request.prompt, self.tokenizer))
            count.write += request.max_tokens
            self.unasked.append(request)

    def failed(self) -> tuple[int, int]:
        """(requests without an answer, all requests)."""
        return sum(c.failed for c in self.counts.values()), sum(c.requests for c in self.counts.values())

    def refuse(self, share: float | None, where: str) -> str:
        """What failed, in words; "" where nothing did. UserError where it is more than a share of all requests; None:
        more than `SHARE` of what another run may settle (a lost connection, a spent budget), or all of them."""
        failed, total = self.failed()
        if not failed:
            return ""
        lasting = 0 if share is not None else sum(c.lasting for c in self.counts.values())
        shown = "; ".join(f"{source}: {reason}" for source, reason in list(self.failures.items())[:5])
        more = f" and {len(self.failures) - 5} more" if len(self.failures) > 5 else ""
        message = f"{where}: {failed} of {total} requests have no answer ({shown}{more})"
        if failed - lasting > (SHARE if share is None else share) * total and not self.plan:
            raise UserError(
                message, "run again: what was answered is kept, only these are asked anew; or raise augment.failures"
            )
        if share is None and failed == total and not self.plan:
            raise UserError(message, "raise max_tokens of the operations, or take another prompt or writer")
        return message

    def pending(self) -> dict[str, Any]:
        """Requests that are still to be asked, and tokens read and written for them at most."""
        open_ = [c for c in self.counts.values() if c.missing or (self.plan and c.failed)]
        return {
            "requests": sum(c.missing + c.failed for c in open_),
            "read": sum(c.read for c in open_),
            "write": sum(c.write for c in open_),
        }
