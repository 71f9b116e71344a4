"""How long the writer will take for what an augmentation still lacks: from a few of the requests, really asked.

    seconds = read tokens * r  +  sum over a batch's steps of s(rows that are still written)
    s(n)    = s(1) + b (n - 1)     up to the rows that were tried, then r more a row

r, s(1), s and b are taken from the passes of the trial itself, and so is how long answers are and how many are of no
use, which are asked again.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

from contextune import models
from contextune.augment.options import with_defaults
from contextune.generation.protocol import Failure, Request

from .prepare import Prepared
from .prepare.contexts import writer_path
from .probe import Probe, shortened, wait

SERVER = 2.0
"""Seconds a request of a server is taken to last."""
TRIED = 6
"""Requests that are asked on trial."""
WRITTEN = 16
"""Tokens of an answer on trial at most; 3 of a model that is tried in part, whose words mean nothing."""


@dataclass(frozen=True)
class Pass:
    """Of one forward pass: rows, tokens of each, seconds."""

    rows: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Speed:
    """Seconds of a token read, of a step for one row, of one row more up to `tried` rows."""

    read: float
    step: float
    row: float
    tried: int

    def of(self, rows: int) -> float:
        """Seconds of a step that writes a token for each of so many rows."""
        few = min(rows, self.tried)
        return self.step + self.row * (few - 1) + self.read * (rows - few)


def pending(prepared: Prepared) -> list[Request]:
    """What is still to be asked, each once, although several arms ask it."""
    stages = (r.augmented for ready in prepared.arms.values() for r in ready if r.augmented is not None)
    return list({request.key(""): request for stage in stages for request in stage.unasked}.values())


def seconds(prepared: Prepared, probe: Probe | None) -> float:
    """Seconds to ask what is pending, as far as it can be known before the first answer."""
    requests, writer = pending(prepared), prepared.recipe.writer
    if writer.kind == "server":
        return len(requests) * SERVER / writer.concurrency
    if not requests or probe is None:
        return 0.0
    from contextune.generation.local import LocalEngine
    from contextune.models.column_major import STEPS, by_columns

    engine, scale = LocalEngine(probe.model, prepared.tokenizer, writer.tokens), probe.scale
    path = writer_path(prepared)
    if path is not None and path != prepared.model:  # a model of its own, taken to be as quick for its size
        scale *= models.count(path, models.check(path)) / prepared.parameters
    spread = sorted(requests, key=lambda r: (r.operation, len(r.prompt)))
    some = spread[len(spread) // (2 * TRIED) :: max(1, len(spread) // TRIED)][:TRIED]
    most = WRITTEN if probe.share == 1 else 3
    short = [replace(r, max_tokens=min(r.max_tokens, most), cut=True) for r in some]
    with shortened(probe):  # what is tried once a model: its first layers show it
        list(engine.complete([Request(f"The {word}", max_tokens=2, cut=True) for word in ("sea", "sun")]))
        engine._continues()
    with by_columns(probe.model, STEPS), _watched(probe.model) as passes:
        answers = dict(engine.complete(short))
    wrote = [getattr(getattr(answers[i], "cost", None), "wrote", 0) or 0 for i in range(len(short))]
    ended = [n < r.max_tokens for n, r in zip(wrote, short, strict=True)]
    lengths = _lengths(wrote, ended, [r.max_tokens for r in some]) if most == WRITTEN else [r.max_tokens for r in some]
    found = _asked(engine, requests, lengths, speed(passes)) * scale
    useless = statistics.mean(
        done and (isinstance(said, Failure) or bool(r.judge and r.judge(said)))
        for done, said, r in zip(ended, (answers[i] for i in range(len(some))), some, strict=True)
    )
    again = useless if most == WRITTEN else 0.0
    return found * sum(again**turn for turn in range(1 + _retries(prepared)))


def speed(passes: Seq[Pass]) -> Speed:
    """What passes over prompts and over one token a row say."""
    steps = [p for p in passes if p.tokens == 1]
    reads = [p for p in passes if p.tokens > 1] or list(passes)
    read = sum(p.seconds for p in reads) / sum(p.rows * p.tokens for p in reads)
    if not steps:
        return Speed(read, read, read, 1)
    by_rows = {n: statistics.median(p.seconds for p in steps if p.rows == n) for n in {p.rows for p in steps}}
    few, many = min(by_rows), max(by_rows)
    row = max(0.0, (by_rows[many] - by_rows[few]) / (many - few)) if many > few else read
    return Speed(read, max(0.0, by_rows[few] - row * (few - 1)) or by_rows[few], row, many)


def steps(lengths: Seq[int], rate: Speed) -> float:
    """Seconds to write a batch of answers of these lengths, each row dropped at its end; the first token is read."""
    return sum(rate.of(alive) for t in range(1, max(lengths)) if (alive := sum(n > t for n in lengths)))


def _lengths(wrote: Seq[int], ended: Seq[bool], most: Seq[int]) -> list[int]:
    """Tokens of the answers that ended on trial as they were; of the others the mean of all, or what they may have.

    Mean: tokens written for each answer that ended (the estimate for an end that is equally likely at each token).
    """
    mean = sum(wrote) // sum(ended) if any(ended) else max(most)
    return [n if over else max(n, min(m, n + mean)) for n, over, m in zip(wrote, ended, most, strict=True)]


def _asked(engine: Any, requests: Seq[Request], lengths: Seq[int], rate: Speed) -> float:
    """In the groups and batches in which the engine would ask."""
    from contextune.generation.local import request_ids

    queue = [(i, [t for part in request_ids(r, engine.tokenizer) for t in part]) for i, r in enumerate(requests)]
    found = 0.0
    for size, group in engine._groups(queue, requests):
        found += size * rate.read
        for batch in engine._batches(group, requests):
            width = max(len(ids) for _, ids in batch) - size
            long = [min(n, requests[i].max_tokens) for n, (i, _) in zip(cycle(lengths), batch, strict=False)]
            found += len(batch) * width * rate.read + steps(long, rate)
    return found


def _retries(prepared: Prepared) -> int:
    """Times a request is asked more, as `augment` settles it."""
    asked = [(r.stage.augment, r.augmented) for ready in prepared.arms.values() for r in ready]
    settled = (
        with_defaults(o, made.account["prompt_style"]) for o, made in asked if o is not None and made is not None
    )
    return max((options.retries or 0 for options in settled), default=0)


@contextmanager
def _watched(model: Any) -> Iterator[list[Pass]]:
    """Within: every forward pass of the model is timed."""
    found, began = list[Pass](), [0.0]

    def before(module: Any, args: Any, kwargs: Any) -> None:
        began[0] = time.perf_counter()

    def after(module: Any, args: Any, kwargs: Any, out: Any) -> None:
        wait()
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is not None:
            rows, tokens = ids.shape
            found.append(Pass(rows, tokens, time.perf_counter() - began[0]))

    hooks = (
        model.register_forward_pre_hook(before, with_kwargs=True),
        model.register_forward_hook(after, with_kwargs=True),
    )
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
