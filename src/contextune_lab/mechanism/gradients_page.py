"""Contextual gradients as a table for the terminal, a picture, and a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contextune.report import render
from contextune.report.numbers import between, num, signed

from .. import pictures
from ..papers.claims import Figure
from ..papers.page import drawing as checked

Measured = Mapping[str, Any]
TOGETHER = "deciding"


def table(made: Measured) -> str:
    """Plain text, one line a context."""
    task = main_task(made)
    heads = ("context", "tokens", "loss shift", "norm ratio", "cosine", *(["toward tasks", "gain"] if task else []))
    lines = [" ".join(f"{h:>{w}}" for h, w in zip(heads, _widths(task), strict=True))]
    rows = [(name, _cells(found, task)) for name, found in made["contexts"].items()]
    if task:
        own = _cell(made["reference"]["downstream"][task]["cosine"])
        rows.insert(0, ("nothing", ["0", "–", "1", "1", own, "–"]))
    for name, cells in rows:
        lines.append(" ".join(f"{c:>{w}}" for c, w in zip((name, *cells), _widths(task), strict=True)))
    return "\n".join(lines)


def _widths(task: str | None) -> tuple[int, ...]:
    return (16, 6, 23, 22, 22, *((23, 23) if task else ()))


def _columns(found: Measured, task: str | None) -> list[tuple[Measured, bool]]:
    """What a table says of a context, and whether it is written with its sign."""
    columns = [(found["shift"], True), (found["ratio"], False), (found["cosine"], False)]
    if task:
        of = found["downstream"][task]
        columns += [(of["cosine"], False), (of["difference"], True)]
    return columns


def _cells(found: Measured, task: str | None) -> list[str]:
    return [f"{found['context_tokens']:.0f}", *(_cell(of, sign) for of, sign in _columns(found, task))]


def _cell(found: Measured, sign: bool = False) -> str:
    write = signed if sign else num
    return f"{write(found['value'])} {between(found['interval'], sign)}".strip()


def main_task(made: Measured) -> str | None:
    """What the table's last columns are of: all deciding tasks together, else the first one."""
    return next(iter(made["downstream"]), None)


def sentence(made: Measured) -> str:
    """The answer to the question, in words."""
    task = main_task(made)
    if task is None:
        return "No task says which direction would be better."
    of = {name: found["downstream"][task]["difference"] for name, found in made["contexts"].items()}
    clear = {n: d["value"] for n, d in of.items() if d["interval"] and d["interval"][0] * d["interval"][1] > 0}
    better = [n for n, v in clear.items() if v > 0]
    worse = [n for n, v in clear.items() if v < 0]
    if not clear:
        return "No context turns the gradient clearly nearer to what the tasks ask for, or further from it."
    said = [f"Nearer to what the tasks ask for than without a context: {', '.join(better) or 'none'}"]
    said += [f"further from it: {', '.join(worse)}"] if worse else []
    said += [f"not clearly either: {', '.join(n for n in of if n not in clear)}"] if len(clear) < len(of) else []
    return "; ".join(said) + "."


def figure(made: Measured) -> str:
    """Loss shift by place; ratio and cosine by layer; direction against each downstream loss."""
    names = list(made["contexts"])
    colours = pictures.palette(names)
    made_figure, axes = pictures.panels(2, 2, height=3.1)
    _places(axes[0][0], made, colours)
    _layers(axes[0][1], made, colours, "cosine", "cosine with the gradient without context, by layer")
    _layers(axes[1][0], made, colours, "ratio", "gradient norm, with over without, by layer")
    _directions(axes[1][1], made, colours)
    pictures.legend(made_figure, axes[0][:1], min(6, len(names)))
    return pictures.svg(made_figure)


def _places(axis: Any, made: Measured, colours: Mapping[str, str]) -> None:
    for name, found in made["contexts"].items():
        points = [(p["from"], p["value"], p["interval"]) for p in found["by_place"] if p["value"] is not None]
        _line(axis, [x for x, *_ in points], [p[1:] for p in points], colours[name], name)
    axis.axhline(0, color=pictures.INK, linewidth=0.8, linestyle=pictures.DOTS)
    axis.set_xscale("log", base=2)
    starts = [p["from"] for p in next(iter(made["contexts"].values()))["by_place"]]
    axis.set_xticks(starts, [str(s) for s in starts])
    axis.minorticks_off()
    axis.set(title="loss of a target token, with less without (nats)", xlabel="place in the target")


def _layers(axis: Any, made: Measured, colours: Mapping[str, str], key: str, title: str) -> None:
    for name, found in made["contexts"].items():
        points = [(i, of[key]) for i, of in enumerate(found["layers"]) if of[key]["value"] is not None]
        values = [(of["value"], of["interval"]) for _, of in points]
        _line(axis, [i for i, _ in points], values, colours[name], name)
    axis.axhline(1, color=pictures.INK, linewidth=0.8, linestyle=pictures.DOTS)
    shown = made["layers"] if len(made["layers"]) <= 12 else []
    axis.set_xticks(range(len(shown)), [s.replace("block ", "") for s in shown], fontsize=8)
    axis.set(title=title, xlabel="layer")
    if key == "ratio":
        axis.set_ylim(0, None)


def _directions(axis: Any, made: Measured, colours: Mapping[str, str]) -> None:
    tasks = list(made["downstream"])
    names = list(made["contexts"])
    for t, task in enumerate(tasks):
        for i, name in enumerate(names):
            of = made["contexts"][name]["downstream"][task]["difference"]
            if of["value"] is None:
                continue
            y = t + 0.7 * ((i + 0.5) / len(names) - 0.5)
            if of["interval"]:
                axis.plot(of["interval"], [y, y], color=colours[name], linewidth=1.4)
            axis.plot([of["value"]], [y], marker="o", markersize=3, color=colours[name])
    axis.axvline(0, color=pictures.INK, linewidth=0.8, linestyle=pictures.DOTS)
    axis.set_yticks(range(len(tasks)), ["all deciding" if t == TOGETHER else t for t in tasks], fontsize=8)
    axis.set_ylim(len(tasks) - 0.45, -0.55)
    title = "cosine with a task's gradient, with less without" if tasks else "no downstream tasks in the recipe"
    axis.set(title=title)
    axis.tick_params(axis="y", length=0)


def _line(axis: Any, xs: list[float], values: list[tuple[float, list[float] | None]], colour: str, name: str) -> None:
    axis.plot(xs, [v for v, _ in values], color=colour, linewidth=1.6, marker="o", markersize=3, label=name)
    banded = [(x, of) for x, (_, of) in zip(xs, values, strict=True) if of]
    if banded:
        axis.fill_between(
            [x for x, _ in banded], [of[0] for _, of in banded], [of[1] for _, of in banded], color=colour, alpha=0.13,
            linewidth=0,
        )  # fmt: skip


def write(path: Path, made: Measured, picture: str) -> Path:
    """One self-contained page."""
    task = main_task(made)
    rows = [
        {
            "name": name,
            "policy": found.get("policy", {}),
            "tokens": f"{found['context_tokens']:.0f}",
            "cells": [_pair(of, sign) for of, sign in _columns(found, task)],
        }
        for name, found in made["contexts"].items()
    ]
    tasks = [
        {"name": "all deciding tasks" if name == TOGETHER else name, "count": of["items"],
         "cells": [_pair(made["reference"]["downstream"][name]["cosine"])]
         + [_pair(found["downstream"][name]["difference"], True) for found in made["contexts"].values()]}
        for name, of in made["downstream"].items()
    ]  # fmt: skip
    html = render.page(
        "gradients.html.jinja", made=made, rows=rows, tasks=tasks, task=task, sentence=sentence(made),
        svg=checked(Figure("gradients", "", picture)), title=f"Contextual gradients, {made['recipe']}",
    )  # fmt: skip
    return render.save(path, html)


def _pair(found: Measured, sign: bool = False) -> tuple[str, str]:
    return (signed if sign else num)(found["value"]), between(found["interval"], sign)
