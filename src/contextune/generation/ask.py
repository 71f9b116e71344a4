"""The answers to a list of requests, through the store: only what it lacks is asked of an engine."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Literal, overload

from contextune.core.errors import REASON, UserError, commonest, readable

from .protocol import Engine, Failure, Request
from .store import Store

Progress = Callable[[int, int], None]
PAUSE = 0.2
"""Seconds between two looks at what another process is asking."""


@overload
def ask(
    engine: Engine,
    requests: Sequence[Request],
    store: Store,
    progress: Progress | None = None,
    on_failure: Literal["raise"] = "raise",
) -> list[str]: ...
@overload
def ask(
    engine: Engine,
    requests: Sequence[Request],
    store: Store,
    progress: Progress | None = None,
    *,
    on_failure: Literal["return"],
) -> list[str | Failure]: ...
def ask(
    engine: Engine,
    requests: Sequence[Request],
    store: Store,
    progress: Progress | None = None,
    on_failure: Literal["raise", "return"] = "raise",
) -> list[str] | list[str | Failure]:
    """The answers in the order of `requests`; only those that the store lacks are asked of the engine.

    What another process is asking at the same time is waited for, and taken over where that process ends without
    an answer. `progress` is told (answered, in all), counting distinct requests. Where requests failed, "raise"
    raises a UserError at the end, when all else is kept; "return" gives each one's Failure in its place.
    """
    identity = engine.identity
    keys = [r.key(identity) for r in requests]
    distinct = dict(zip(reversed(keys), reversed(requests), strict=True))  # of equal ones the first
    distinct = {key: distinct[key] for key in dict.fromkeys(keys)}
    _settle(engine, distinct, store, progress or (lambda done, of: None))
    answers = store.get(keys)
    if on_failure == "raise":
        _refuse_failures(distinct, answers)
    return [answers[k] for k in keys]


def _settle(engine: Engine, distinct: dict[str, Request], store: Store, progress: Progress) -> None:
    """Until each request has an answer or has failed anew: ask what can be claimed, wait for what others ask."""
    began, kept = time.time(), store.get(distinct)
    left = [key for key in distinct if not isinstance(kept.get(key), str)]
    done = len(distinct) - len(left)
    while left:
        mine = store.claim(left, began)
        for answer in _asked(engine, [distinct[key] for key in left if key in mine], store):
            done += isinstance(answer, str)
            progress(done, len(distinct))
        left = [key for key in left if key not in mine]
        if settled := store.settled(left, began):
            done += sum(isinstance(answer, str) for answer in store.get(settled).values())
            progress(done, len(distinct))
        left = [key for key in left if key not in settled]
        if left and not store.claims.clear():
            time.sleep(PAUSE)


def _asked(engine: Engine, requests: list[Request], store: Store) -> Iterator[str | Failure]:
    """Each answer when it is kept. The claims on what has none in the end are given up, whatever went wrong."""
    unanswered = {*range(len(requests))}
    try:
        for place, answer in engine.complete(requests) if requests else ():
            store.put(requests[place], engine, answer)
            unanswered.discard(place)
            yield answer
        for place in sorted(unanswered):
            store.put(requests[place], engine, failure := Failure("the engine gave no answer"))
            yield failure
    finally:
        with suppress(sqlite3.Error):  # as on a full disk, which is reported already
            store.claims.give_up(r.key(engine.identity) for r in requests)


def _refuse_failures(requests: dict[str, Request], answers: dict[str, str | Failure]) -> None:
    failed = [(r, a.reason) for k, r in requests.items() if isinstance(a := answers[k], Failure)]
    if not failed:
        return
    lines = [f"  {r.source or repr(r.prompt)[:60]}: {readable(reason, REASON)}" for r, reason in failed[:10]]
    if len(failed) > 10:
        lines += [f"  {line}" for line in commonest((reason for _, reason in failed), 4)]
        lines.append(f"  and {len(failed) - 10} more")
    raise UserError(
        "\n".join([f"{len(failed)} of {len(requests)} requests have no answer:", *lines]),
        "run again: what was answered is kept, and only these are asked anew",
    )
