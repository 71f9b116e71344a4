"""Log-likelihoods of token sequences given others: what choice scoring and perplexity both need.

    given                         scored
    <s> Q: … A. … B. … Answer:    B          one row
    ─────── shared ──────────┘    └ the head runs here only

Rows that begin alike are computed once: equal inputs (one-token options of a question) are one row; where it pays,
what all rows share (few-shot examples) and what the options of one question share is kept as keys and values. Rows
are sorted by length and padded on the right without an attention mask: causal attention never sees the padding.

Whether a model allows either is no matter of its name: a few rows are scored so, and one at a time from nothing. Where
the two differ (recurrent states, convolutions, positions of its own) the model is scored the plain way.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any
from weakref import WeakKeyDictionary

import torch

from contextune.core.errors import UserError
from contextune.core.progress import say_once
from contextune.models.at_once import AtOnce, Room, halves, tokens_of
from contextune.models.lm_head import head_of, only_at
from contextune.models.reach import switch, window

TOKENS = 4096
"""Computed at once at most, where nothing else is said: on a CPU more takes memory and no less time."""
PASS = 192
"""What one more forward pass costs, in tokens; a matter of speed only."""
HEAD_ROWS = 1024
"""Positions whose logits are brought to fp32 at once."""
NEVER = math.inf
"""Tokens that sharing must save, where it is never to be done."""

_tried: WeakKeyDictionary[Any, dict[tuple[float, int], bool]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class LikelihoodRow:
    """`scored` tokens are predicted after `given` ones; neither is empty."""

    given: tuple[int, ...]
    scored: tuple[int, ...]

    @property
    def inputs(self) -> tuple[int, ...]:
        """What the model reads: the last scored token is only predicted."""
        return self.given + self.scored[:-1]


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows after the same given tokens: their distinct inputs, and the indices of the rows behind each."""

    given: tuple[int, ...]
    inputs: tuple[tuple[int, ...], ...]
    rows: tuple[tuple[int, ...], ...]

    @property
    def width(self) -> int:
        return max(map(len, self.inputs))


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Within: evaluation mode and no gradients. Every module's mode is as before afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():  # not inference mode: buffers made here may be used in training later
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def log_likelihoods(
    model: Any, rows: Seq[LikelihoodRow], tokens: AtOnce = "auto", progress: Callable[[int], None] = lambda done: None
) -> list[float]:
    """Summed log-likelihood (nats, softmax in fp32) of each row's scored tokens given those before them.

    `tokens` bounds what is read or kept at once; it is halved where memory runs out. `progress` is told how many
    rows are done.
    """
    with evaluating(model):
        most, pays = _way(model, [len(row.inputs) for row in rows], tokens_of(tokens, model, TOKENS, logits=True))
        sums = _sums(model, rows, most, pays, progress)
    if not all(map(math.isfinite, sums)):
        hint = "its weights are broken; was the learning rate too high?"
        raise UserError("the model's log-likelihoods are not finite numbers", hint)
    return sums


def _sums(
    model: Any, rows: Seq[LikelihoodRow], tokens: int, pays: float, progress: Callable[[int], None] = lambda done: None
) -> list[float]:
    """The log-likelihood of each row; what saves more than `pays` tokens is shared."""
    groups = _groups(rows, tokens)
    sums, done = [0.0] * len(rows), 0
    trunk = _trunk(model, groups, pays)
    room = Room(tokens)
    for batch in _batches(groups, room):
        for part, found in room.results(batch, lambda b: list(_score(model, rows, b, trunk, pays)), _area, _parts):
            for index, value in found:
                sums[index] = value
            done += sum(len(indices) for group in part for indices in group.rows)
            progress(done)
    return sums


def _area(batch: list[_Group]) -> int:
    return sum(len(g.inputs) for g in batch) * max(g.width for g in batch)


def _parts(batch: list[_Group]) -> list[list[_Group]]:
    """Half of the groups each, or half of a group's inputs."""
    if len(batch) > 1 or len(batch[0].inputs) < 2:
        return halves(batch)
    one = batch[0]
    middle = len(one.inputs) // 2
    return [
        [_Group(one.given, one.inputs[:middle], one.rows[:middle])],
        [_Group(one.given, one.inputs[middle:], one.rows[middle:])],
    ]


def _way(model: Any, lengths: Seq[int], tokens: int) -> tuple[int, float]:
    """(tokens at once, tokens that sharing must save) for rows of these lengths, as the model allows."""
    if len(lengths) < 2:
        return tokens, NEVER
    if max(lengths) > switch(model.config) or not _allows(model, NEVER, 0):
        say_once(f"{type(model).__name__}: one text at a time, as it would give other numbers in a padded batch")
        return 1, NEVER
    if sum(lengths) <= PASS:
        return tokens, NEVER
    seen = window(model.config)
    if not _allows(model, 0, int(seen) + 8 if max(lengths) > seen else 0):
        say_once(
            f"{type(model).__name__}: each text is read whole, as its cache cannot be shared by texts that begin alike"
        )
        return tokens, NEVER
    return tokens, PASS


def _allows(model: Any, pays: float, shots: int) -> bool:
    """Whether batches, that share beginnings where `pays` is 0, score as one row at a time does; tried once a model.

    The beginning that all rows share has `shots` tokens more, so that it outgrows a sliding window.
    """
    known = _tried.setdefault(model, {})
    if (pays, shots) not in known:
        ways = (NEVER, 0.0) if not shots else (pays,)  # one after another they would read each row alone twice
        known |= {
            (way, shots): same for way, same in zip(ways, _same(model, _trial_rows(model, shots), ways), strict=True)
        }
    return known[pays, shots]


@torch.no_grad()
def _same(model: Any, rows: list[LikelihoodRow], ways: Seq[float]) -> list[bool]:
    """Of each way to share whether it scores rows as they are scored one at a time."""
    length = torch.tensor([len(row.scored) for row in rows])
    plain = torch.tensor(_sums(model, rows, 1, NEVER)) / length
    near = (1e-3 if next(model.parameters()).dtype == torch.float32 else 0.1) * plain.std()

    def holds(pays: float) -> bool:
        try:
            found = torch.tensor(_sums(model, rows, 1 << 30, pays)) / length
        except Exception:  # whatever an architecture makes of a cache that it does not know
            return False
        return not bool(((found - plain).abs() > near).any())  # NaN is told where it is scored

    return [holds(pays) for pays in ways]


def _trial_rows(model: Any, shots: int) -> list[LikelihoodRow]:
    """Questions of three lengths after one beginning, with options of one to three tokens."""
    rng, high = random.Random(0), min(int(model.config.get_text_config().vocab_size), 256)
    draw = lambda n: tuple(rng.randrange(4, high) for _ in range(n))  # noqa: E731
    few = draw(16 + shots)
    asked = [few + draw(n) for n in (3, 9, 6)]
    return [LikelihoodRow(given, option) for given in asked for option in (draw(1), draw(2), draw(3), draw(3))]


def _groups(rows: Seq[LikelihoodRow], tokens: int) -> list[_Group]:
    """Rows by what they are given, longest first; a group wider than the budget is cut."""
    found: dict[tuple[int, ...], dict[tuple[int, ...], list[int]]] = {}
    for i, row in enumerate(rows):
        found.setdefault(row.given, {}).setdefault(row.inputs, []).append(i)
    groups = []
    for given, inputs in found.items():
        pieces = list(inputs.items())
        step = max(1, tokens // max(map(len, inputs)))
        for at in range(0, len(pieces), step):
            part = pieces[at : at + step]
            groups.append(_Group(given, tuple(p[0] for p in part), tuple(tuple(p[1]) for p in part)))
    return sorted(groups, key=lambda g: (-g.width, g.given))


def _batches(groups: list[_Group], room: Room) -> Iterator[list[_Group]]:
    batch: list[_Group] = []
    for group in groups:
        count = sum(len(g.inputs) for g in batch) + len(group.inputs)
        if batch and count * batch[0].width > room.tokens:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class _Trunk:
    """Keys and values of the first `length` tokens, which all rows share (None: nothing is shared)."""

    length: int
    cache: Any

    def grown(self, rows: int) -> Any:
        """A cache of its own for `rows` rows."""
        if self.cache is None:
            return None
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(rows)
        return cache


def _trunk(model: Any, groups: list[_Group], pays: float) -> _Trunk:
    """Computed once where it saves more than the pass it costs."""
    length = _shared(groups, pays)
    return _Trunk(length, _read(model, [groups[0].given[:length]], None) if length else None)


def _shared(groups: list[_Group], pays: float) -> int:
    """Tokens at the beginning of all rows, where to share them saves more than `pays`; else 0."""
    if not groups:
        return 0
    first, last = min(g.given for g in groups), max(g.given for g in groups)
    shared = len(list(takewhile(lambda ab: ab[0] == ab[1], zip(first, last, strict=False))))
    length = min(shared, min(len(g.given) for g in groups) - 1)  # the last given token predicts the first scored one
    inputs = sum(len(g.inputs) for g in groups)
    return length if length * (inputs - 1) > pays else 0


def _common(batch: list[_Group], start: int, pays: float) -> int:
    """Tokens at the beginning of each group's rows, where to share them saves more than `pays`; else `start`."""
    common, inputs = min(len(g.given) for g in batch) - 1, sum(len(g.inputs) for g in batch)
    return common if (common - start) * (inputs - len(batch)) > pays else start


def work(rows: Seq[LikelihoodRow], tokens: int = TOKENS) -> float:
    """Tokens that scoring computes, padding included, and PASS for each of its passes; nothing is computed here."""
    groups = _groups(rows, tokens)
    shared = _shared(groups, PASS)
    found = float(shared + PASS) if shared else 0.0
    for batch in _batches(groups, Room(tokens)):
        start = _common(batch, shared, PASS)
        found += (start - shared) * len(batch) + PASS if start > shared else 0
        texts = [len(text) - start for g in batch for text in g.inputs]
        found += max(texts) * len(texts) + PASS
    return found


def _score(
    model: Any, rows: Seq[LikelihoodRow], batch: list[_Group], trunk: _Trunk, pays: float
) -> Iterator[tuple[int, float]]:
    """Index and log-likelihood of every row of a batch."""
    start, cache = trunk.length, trunk.grown(len(batch))
    common = _common(batch, start, pays)
    if common > start:
        cache = _read(model, [g.given[start:common] for g in batch], cache)
        start = common
    if cache is not None:
        _spread(cache, [len(g.inputs) for g in batch], model.device)

    texts = [text[start:] for g in batch for text in g.inputs]
    width = max(map(len, texts))
    keep: list[int] = []
    at: list[int] = []  # of each scored token: its place in `keep`; then its id, and its row
    targets: list[int] = []
    owners: list[int] = []
    for line, (group, indices) in enumerate((g, indices) for g in batch for indices in g.rows):
        begin = len(keep)
        keep += range(line * width + len(group.given) - 1 - start, line * width + len(texts[line]))
        for index in indices:
            scored = rows[index].scored
            at += range(begin, begin + len(scored))
            targets += scored
            owners += [index] * len(scored)
    found = _token_scores(model, texts, cache, keep, at, targets)
    sums: dict[int, float] = {}
    for index, value in zip(owners, found, strict=True):
        sums[index] = sums.get(index, 0.0) + value
    yield from sums.items()


def _spread(cache: Any, times: list[int], device: torch.device) -> None:
    """Row i of a cache `times[i]` times over."""
    if len(set(times)) > 1:
        cache.batch_select_indices(torch.tensor([i for i, n in enumerate(times) for _ in range(n)], device=device))
    elif times[0] > 1:
        cache.batch_repeat_interleave(times[0])  # rows are copied whole: three times faster than to select them


def _token_scores(
    model: Any, texts: list[tuple[int, ...]], cache: Any, keep: list[int], at: list[int], targets: list[int]
) -> list[float]:
    device = model.device
    with only_at(head_of(model), torch.tensor(keep, device=device)):
        cached = {} if cache is None else {"past_key_values": cache}
        out = model(input_ids=_padded(texts, device), use_cache=cache is not None, **cached)
    logits = out.logits[0]
    norm = torch.cat([part.float().logsumexp(-1) for part in logits.split(HEAD_ROWS)])
    index = torch.tensor(at, device=device)
    chosen = logits[index, torch.tensor(targets, device=device)].float()
    result: list[float] = (chosen - norm[index]).tolist()
    return result


def _read(model: Any, texts: list[tuple[int, ...]], cache: Any) -> Any:
    """Keys and values after texts of equal length; no logits are made."""
    none = torch.empty(0, dtype=torch.long, device=model.device)
    with only_at(head_of(model), none):
        cached = {} if cache is None else {"past_key_values": cache}
        return model(input_ids=_padded(texts, model.device), use_cache=True, **cached).past_key_values


def _padded(texts: list[tuple[int, ...]], device: torch.device) -> torch.Tensor:
    """(rows, width) ids; a row is filled up with its own last token, which nothing real ever sees."""
    width = max(map(len, texts))
    return torch.tensor([t + t[-1:] * (width - len(t)) for t in texts], device=device)
