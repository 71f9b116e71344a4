"""One HTML page from a run's folder. It renders what is there; numbers are computed elsewhere."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune.core import registry
from contextune.core.errors import UserError

if TYPE_CHECKING:
    from .items import Answers
    from .looks import ArmLook
    from .read import Run

__all__ = ["write", "write_many"]


@registry.reports("html")
def write(folder: Path, command: str = "") -> Path:
    """Write `folder`/report.html, which opens from the disk without a network, and return its path.

    `command` is what repeats the run; by default the one in run.json. The same folder gives the
    same bytes. Raises UserError where `folder` is no run's or a file in it is broken.
    """
    from . import items, looks, made_texts, read, render

    run = read.read(Path(folder))
    look = looks.looks(run, looks.colours([run]))
    shown = items.pages(run, look)
    texts = made_texts.write(run.folder)
    html = render.page(
        "report.html.jinja",
        **view(run, look),
        items=shown[0] if shown else None,
        command=command or repeat(run),
        made_page=texts.name if texts else "",
    )
    _further_answers(run, shown[1:])
    return render.save(run.folder / "report.html", html)


def _further_answers(run: Run, pages: list[Answers]) -> None:
    """`answers/2.html` and so on; those of an earlier report go."""
    from . import render

    folder = run.folder / "answers"
    for old in folder.glob("*.html"):
        if old.stem.isdigit() and int(old.stem) > 1 + len(pages):
            old.unlink()
    for page in pages:
        folder.mkdir(exist_ok=True)
        render.save(folder / f"{page.number}.html", render.page("answers.html.jinja", items=page, title=run.name))


def write_many(folders: list[Path], out: Path) -> Path:
    """Write one page that holds several runs side by side, an arm in the same colour in all of them."""
    from . import looks, read, render

    if not folders:
        raise UserError("no run's folder was given", "name one or more of runs/*")
    runs = [read.read(Path(folder)) for folder in folders]
    colour = looks.colours(runs)
    views = [view(run, looks.looks(run, colour)) for run in runs]
    _distinguish(views)
    links = [_link(run.folder / "report.html", Path(out)) for run in runs]
    return render.save(Path(out), render.page("reports.html.jinja", runs=views, links=links, title="Runs compared"))


def view(run: Run, look: dict[str, ArmLook]) -> dict[str, Any]:
    """Everything that the templates show of a run."""
    from . import augmented, environment, figures, probes, published, selection, tables, tasks, verdict

    results = run.results
    scores = results.get("arms") or {}
    ranked = [(look[a], scores[a].get("score"), scores[a].get("interval")) for a in scores]
    trained = [(look[a], run.training[a]) for a in look if a in run.training]
    sums = tables.totals(run.accounting, look)
    return {
        "title": run.name,
        "floors_told": tasks.told() if results.get("floors") else "",
        "run": run,
        "looks": look,
        "verdict": verdict.verdict(run),
        "answers": verdict.answers(run),
        "about": str(run.recipe.get("about") or ""),
        "facts": environment.facts(run),
        "unfinished": environment.unfinished(run),
        "missing": environment.missing(run),
        "level": environment.level(run),
        "deciding": tasks.deciding(run),
        "arms": figures.bars(ranked, tasks.references(results)) if scores else None,
        "differences": tasks.differences(scores, look),
        "measures": tasks.measures(results, look),
        "overview": tables.overview(run, look) if scores else None,
        "tasks": tasks.cards(run, look),
        "moved": tables.moved(run, look, environment.level(run)),
        "moved_text": str((results.get("first_kl") or {}).get("about", "")),
        "published": published.beside(run, look),
        "curves": figures.curves(trained),
        "training": tables.training(trained) if trained else None,
        "kept": selection.kept(run, look),
        "searches": selection.searches(run, look),
        "probes": probes.sections(run.folder, look),
        "accounting": tables.accounting(run.accounting, look) if run.accounting else None,
        "contexts": tables.contexts(run.contexts, look) if run.contexts else None,
        "shares": figures.shares(sums),
        "matched": {trained for _, trained, _ in sums},
        "augmented": augmented.augmentations(run, look),
        "samples": environment.samples(run),
        "warnings": environment.warnings(run),
        "environment": environment.table(run),
        "identity": environment.identity(run),
    }


def repeat(run: Run) -> str:
    """The command in run.json; empty where the run was started from Python."""
    given = run.info.get("command") or ""
    return shlex.join(map(str, given)) if isinstance(given, list) else str(given)


def _distinguish(views: list[dict[str, Any]]) -> None:
    """Runs of one name are told apart by their folders."""
    names = [view["title"] for view in views]
    for view in views:
        if names.count(view["title"]) > 1:
            view["title"] = f"{view['title']} ({view['run'].folder.as_posix()})"


def _link(target: Path, page: Path) -> str:
    """A relative link from a page to a file, or nothing where there is no such file or way."""
    from urllib.parse import quote

    if not target.exists():
        return ""
    try:
        return quote(Path(os.path.relpath(target, page.resolve().parent)).as_posix())
    except ValueError:  # another drive
        return ""
