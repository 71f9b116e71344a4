"""Adaptation without training: labelled examples stream in, the nearest precede each item, and who gains?

    feedback seen     0    16    64   256
    neighbours      0.2   0.3   0.5   0.6    items that have a near example among all the feedback
    the rest        0.4   0.4   0.4   0.4    items that have none: they must not lose

Both groups are fixed by the whole stream, so that a curve follows the same items. Item and guard are those of graded
evaluation; the stream's order is drawn once from the seed. (The measure is ours.)
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core.errors import UserError
from contextune.core.files import Damaged, read_sealed, write_sealed
from contextune.core.items import Item, Task
from contextune.core.progress import say_once
from contextune.core.sequence import DrawKey

from .tasks.examples import Example
from .tasks.graded import PooledTask

if TYPE_CHECKING:
    from contextune.core.sequence import Tokenizer

Asker = Callable[[Task], Seq[float]]
"""Scores of a task's items, in order, in [0, 1]."""


@dataclass(frozen=True)
class Stream:
    """A bench whose pool comes in one by one. `best` and `order` are by item: how near the pool is, who is nearest."""

    bench: PooledTask
    near: float
    best: tuple[float, ...]
    order: tuple[tuple[int, ...], ...]

    def at(self, size: int) -> Task:
        """Every item after the k nearest of the first `size` examples, in an order that is drawn."""
        k, bench = self.bench.options.k, self.bench
        items = []
        for item, ranked in zip(bench.task.items, self.order, strict=True):
            chosen = [i for i in ranked if i < size][:k]
            DrawKey(bench.options.seed, size).rng("adapt", item.id).shuffle(chosen)
            items.append(self._item(item, [bench.pool[i] for i in chosen]))
        return replace(bench.task, name=f"{bench.task.name}.{size}", items=tuple(items))

    def _item(self, item: Item, context: Seq[Example]) -> Item:
        fields = {**item.fields, "asked": item.prompt, "examples": [e.id for e in context]}
        return replace(item, prompt=self.bench.prompt(item, context), fields=fields)


def stream(bench: PooledTask, near: float) -> Stream:
    """The bench's pool in the order in which it streams in, and each item's neighbours in it."""
    if not 0 < near <= 1:
        raise UserError(f"near is {near}, expected a similarity above 0 and at most 1", "two thirds is 'high'")
    order = list(range(len(bench.pool)))
    DrawKey(bench.options.seed, 0).rng("feedback", bench.task.name).shuffle(order)
    mixed = replace(bench, pool=tuple(bench.pool[i] for i in order))
    best, ranked = list[float](), list[tuple[int, ...]]()
    for around in mixed.neighbourhoods():
        nearest = around.nearest(len(mixed.pool))
        ranked.append(tuple(nearest))
        best.append(float(around.similar[nearest[0]]) if nearest else 0.0)
    return Stream(mixed, near, tuple(best), tuple(ranked))


def sizes_of(pool: int, wanted: Seq[int] = ()) -> list[int]:
    """How much feedback there is at each reading: those wanted, else 0, 16, 64, 256 … and the whole pool."""
    if wanted:
        for size in wanted:
            if not 0 <= size <= pool:
                raise UserError(f"sizes: {size}, the pool has {pool} examples", f"0 to {pool}, e.g. 0,16,{pool}")
        return sorted(set(wanted))
    return sorted({0, *(4**i for i in range(2, 12) if 4**i < pool), pool})


def run(
    found: Stream,
    sizes: Seq[int],
    ask: Asker,
    folder: Path | None = None,
    told: Callable[[int], None] = lambda size: None,
) -> dict[str, Any]:
    """Accuracy of both groups at each size.

    With a `folder` the scores of each size are kept there (SIZE.json) and not asked for again.
    """
    readings = []
    for size in sizes:
        file = folder / f"{size:07d}.json" if folder else None
        kept = _kept(file) if file else None
        scores = kept["scores"] if kept else list(ask(found.at(size)))
        if file and not kept:
            ids = [i.id for i in found.bench.task.items]
            write_sealed(file, {"items": ids, "similarity": list(found.best), "scores": scores})
        readings.append({"feedback": size, **_groups(found, scores)})
        told(size)
    near = sum(b >= found.near for b in found.best)
    return {
        "task": found.bench.task.name, "metric": found.bench.task.metric, "k": found.bench.options.k,
        "near": found.near, "items": {"neighbours": near, "rest": len(found.best) - near},
        "pool": len(found.bench.pool), "readings": readings,
    }  # fmt: skip


def _groups(found: Stream, scores: Seq[float]) -> dict[str, float | None]:
    near = [s for s, b in zip(scores, found.best, strict=True) if b >= found.near]
    rest = [s for s, b in zip(scores, found.best, strict=True) if b < found.near]
    return {"neighbours": _mean(near), "rest": _mean(rest)}


def _mean(values: Seq[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _kept(file: Path) -> dict[str, Any] | None:
    try:
        return read_sealed(file)
    except Damaged as e:
        say_once(f"{e}: asked again")
        return None


def figure(made: dict[str, Any]) -> str:
    """An SVG of both curves over the feedback seen."""
    width, height, left, right, top, bottom = 520, 260, 48, 120, 16, 40
    readings = made["readings"]
    at = [left + (width - left - right) * i / max(len(readings) - 1, 1) for i in range(len(readings))]
    y = lambda v: top + (height - top - bottom) * (1 - v)  # noqa: E731
    look = 'font-family="sans-serif" font-size="12"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {look}>']
    for mark in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line x1="{left}" x2="{width - right}" y1="{y(mark):.1f}" y2="{y(mark):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y(mark) + 4:.1f}" text-anchor="end" fill="#555">{mark:g}</text>')
    for x, reading in zip(at, readings, strict=True):
        parts.append(
            f'<text x="{x:.1f}" y="{height - 20}" text-anchor="middle" fill="#555">{reading["feedback"]}</text>'
        )
    parts.append(f'<text x="{(left + width - right) / 2}" y="{height - 4}" text-anchor="middle">examples seen</text>')
    for group, colour in (("neighbours", "#0b6aa2"), ("rest", "#b3541e")):
        points = [(x, y(r[group])) for x, r in zip(at, readings, strict=True) if r[group] is not None]
        if points:
            line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
            label = f"{group} ({made['items'][group]})"
            parts.append(
                f'<text x="{points[-1][0] + 8:.1f}" y="{points[-1][1] + 4:.1f}" fill="{colour}">{label}</text>'
            )
    return "\n".join([*parts, "</svg>\n"])


def scorer(model: Any, tokenizer: Tokenizer) -> Asker:
    """Asks a loaded model."""

    def ask(task: Task) -> list[float]:
        from .scoring.score import score

        table = score(model, tokenizer, [task], arm="model", seed=0)[task.name]
        return [float(v) for v in table.column("correct").to_pylist()]

    return ask
