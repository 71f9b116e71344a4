"""Where and how a run was made: its facts in one line, its warnings, its versions, its identity."""

from __future__ import annotations

from typing import Any

from .numbers import duration, finite, num, percent
from .read import Run

APART = ("schema", "command", "warnings", "identity", "name", "status", "sums")
"""Keys of run.json that have a place of their own on the page, or none."""


def level(run: Run) -> str:
    """The head of a column of intervals: "95 % interval"."""
    compare = run.recipe.get("compare")
    given = (run.results.get("verdict") or {}).get("confidence")
    given = given if given is not None else compare.get("confidence") if isinstance(compare, dict) else None
    return f"{percent(given)} interval" if finite(given) is not None else "Interval"


def facts(run: Run) -> list[tuple[str, str]]:
    """Model, arms, seeds, tasks, items, trained tokens, time: those that are known."""
    model, arms, tasks = run.recipe.get("model"), run.results.get("arms") or {}, run.results.get("tasks") or {}
    path = model.get("path") if isinstance(model, dict) else model
    revision = model.get("revision") if isinstance(model, dict) else None
    seeds = run.recipe.get("seeds") or sorted({s for a in arms.values() for s in a.get("seeds") or ()})
    items = [n for task in tasks.values() if (n := finite(task.get("n"))) is not None]
    times = [t.seconds for seeds_ in run.training.values() for t in seeds_.values()]
    tokens = {sum(_learned(r) for r in run.accounting if r.get("arm") == a) for a in _trained(run)}
    said = {
        "Model": f"{path or run.info.get('model') or ''}{f' @ {revision}' if revision else ''}",
        "Parameters": _short(run.info.get("parameters")),
        "Arms": num(len(arms)) if arms else "",
        "Seeds": num(len(seeds)) if isinstance(seeds, list) and seeds else "",
        "Tasks": num(len(tasks)) if tasks else "",
        "Items": num(int(sum(items))) if items else "",
        "Target tokens": "–".join(num(int(t)) for t in sorted({min(tokens), max(tokens)})) if tokens else "",
        "Training time": duration(sum(t or 0.0 for t in times)) if times and None not in times else "",
    }
    return [(name, value) for name, value in said.items() if value]


def unfinished(run: Run) -> str:
    """The run's status where it is anything but done."""
    status = str(run.info.get("status") or "done")
    return "" if status in ("done", "complete") else status


def missing(run: Run) -> list[str]:
    """Arms of the recipe that have no results, where others have."""
    arms, found = run.recipe.get("arms"), run.results.get("arms") or {}
    return [str(a) for a in arms if str(a) not in found] if isinstance(arms, dict) and found else []


def _short(parameters: Any) -> str:
    """4.2 M, 1.24 B."""
    value = finite(parameters)
    if value is None:
        return ""
    size, unit = next(((s, u) for s, u in ((1e9, " B"), (1e6, " M"), (1e3, " k")) if value >= s), (1.0, ""))
    return f"{value / size:.3g}{unit}"


def _learned(row: dict[str, Any]) -> float:
    """Target tokens over all updates; of runs that did not count them, of one pass."""
    return finite(row.get("learned", row.get("trained"))) or 0.0


def _trained(run: Run) -> set[str]:
    return {str(row.get("arm")) for row in run.accounting if finite(row.get("trained"))}


def warnings(run: Run) -> list[str]:
    """All that run.json and results.json warn of, each once."""
    found = [*_listed(run.info.get("warnings")), *_listed(run.results.get("warnings"))]
    return list(dict.fromkeys(" ".join(map(str, w.values())) if isinstance(w, dict) else str(w) for w in found))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def table(run: Run) -> list[tuple[str, str]]:
    """All else that run.json says; what is said of the environment needs no prefix."""
    found = flat({k: v for k, v in run.info.items() if k not in APART})
    return [(key.removeprefix("environment."), value) for key, value in found]


def identity(run: Run) -> list[tuple[str, str]]:
    found = run.info.get("identity")
    return flat(found if isinstance(found, dict) else {"run": found} if found else {})


def flat(value: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    """A nested mapping as (dotted key, text)."""
    found: list[tuple[str, str]] = []
    for key, inner in value.items():
        name = f"{above}.{key}" if above else str(key)
        if isinstance(inner, dict) and inner:
            found += flat(inner, name)
        elif inner not in (None, "", [], {}):
            found.append((name, ", ".join(map(str, inner)) if isinstance(inner, list) else str(inner)))
    return found


def samples(run: Run) -> list[dict[str, Any]]:
    """Prompt, expected text, and texts before and after, whatever of them is there."""
    found = []
    for row in run.samples:
        after = row.get("after")
        said = {str(arm): str(text) for arm, text in after.items()} if isinstance(after, dict) else {}
        found.append(
            {"prompt": str(row.get("prompt", "")), "gold": row.get("gold"), "before": row.get("before"), "after": said}
        )
    return found
