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
from .store import Store

if TYPE_CHECKING:
    from .protocol import Engine

UNASKED = "not asked yet"


@dataclass
class Count:
    """Requests of one operation; `read` and `write` are tokens of those that are still to be asked, at most."""

    requests: int = 0
    answered: int = 0
    failed: int = 0
    missing: int = 0
    read: int = 0
    write: int = 0


@dataclass
class StoredWriter:
    """Asks `engine` for what the `store` lacks; with `plan` nothing is asked, only counted."""

    engine: Callable[[], Engine]
    store: Path | None
    tokenizer: Tokenizer
    plan: bool = False
    progress: Callable[[int, int], None] | None = None
    counts: dict[str, Count] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Source of a request: why it has no answer."""

    @cached_property
    def opened(self) -> Engine:
        return self.engine()

    @property
    def identity(self) -> str:
        return self.opened.identity

    def __call__(self, requests: Seq[Request]) -> list[str | Failure]:
        answers = self._kept(requests) if self.plan else self._asked(requests)
        for request, answer in zip(requests, answers, strict=True):
            self._count(request, answer)
        return answers

    def require(self, requests: Seq[Request]) -> list[str]:
        """The answers; UserError, at the end, that lists the requests without one."""
        with Store(self.store) as store:
            return ask(self.opened, requests, store, self.progress)

    def separate(self) -> StoredWriter:
        """The same writer with its own count of requests and failures."""
        return replace(self, counts={}, failures={})

    def key(self, request: Request) -> str:
        return request.key(self.identity)

    def _asked(self, requests: Seq[Request]) -> list[str | Failure]:
        with Store(self.store) as store:
            return ask(self.opened, requests, store, self.progress, on_failure="return")

    def _kept(self, requests: Seq[Request]) -> list[str | Failure]:
        if self.store is None or not self.store.exists():
            return [Failure(UNASKED) for _ in requests]  # no engine is loaded to learn that
        keys = [self.key(r) for r in requests]
        with Store(self.store) as store:
            kept = store.get(keys)
        return [kept.get(k, Failure(UNASKED)) for k in keys]

    def _count(self, request: Request, answer: str | Failure) -> None:
        count = self.counts.setdefault(request.operation, Count())
        count.requests += 1
        if not isinstance(answer, Failure):
            count.answered += 1
            return
        if answer.reason == UNASKED:
            count.missing += 1
        else:
            count.failed += 1
            self.failures[f"{request.source} {request.operation}"] = answer.reason
        if self.plan:  # what failed is asked again
            count.read += len(encode(request.prompt, self.tokenizer))
            count.write += request.max_tokens

    def refuse(self, share: float, where: str) -> str:
        """What failed, in words; "" where nothing did. UserError where it is more than a share of all requests."""
        failed = sum(c.failed for c in self.counts.values())
        total = sum(c.requests for c in self.counts.values())
        if not failed:
            return ""
        shown = "; ".join(f"{source}: {reason}" for source, reason in list(self.failures.items())[:5])
        more = f" and {len(self.failures) - 5} more" if len(self.failures) > 5 else ""
        message = f"{where}: {failed} of {total} requests have no answer ({shown}{more})"
        if failed > share * total and not self.plan:
            raise UserError(
                message, "run again: what was answered is kept, only these are asked anew; or raise augment.failures"
            )
        return message

    def pending(self) -> dict[str, Any]:
        """Requests that are still to be asked, and tokens read and written for them at most."""
        open_ = [c for c in self.counts.values() if c.missing or (self.plan and c.failed)]
        return {
            "requests": sum(c.missing + c.failed for c in open_),
            "read": sum(c.read for c in open_),
            "write": sum(c.write for c in open_),
        }
