"""reproduce: a paper's claims beside what is measured here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contextune.cli.common import Json, print_json, reporter
from contextune.core import registry
from contextune.core.errors import UserError

WIDE = 120
"""Columns of a terminal from which the claims themselves have room beside the values; the page has them anyway."""


@registry.commands("reproduce")
def add_to(app: typer.Typer) -> None:
    @app.command(epilog="contextune reproduce augmented  |  contextune reproduce all --json")
    def reproduce(
        name: Annotated[str | None, typer.Argument(help="A study, or 'all'; default: list them.")] = None,
        model: Annotated[str, typer.Option(help="'pocket', 'smollm2', a model folder, or a hub id.")] = "pocket",
        scale: Annotated[str, typer.Option(help="tiny, small or paper.")] = "tiny",
        seeds: Annotated[int, typer.Option(min=1, max=1000, help="How many; at least 5 for a claim.")] = 5,
        out: Annotated[Path | None, typer.Option(help="Folder; default: runs/reproduce/NAME.")] = None,
        option: Annotated[
            list[str] | None, typer.Option("--set", help="A study's own option, KEY=VALUE; for all: STUDY.KEY=VALUE.")
        ] = None,
        fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what an earlier run left.")] = False,
        as_json: Json = False,
    ) -> None:
        """Run a study with its controls and say of each claim whether it holds. Given again, it resumes."""
        from ..papers import claims, study

        if name is None:
            return print("\n".join(["all", *claims.names()]))
        if scale not in ("tiny", "small", "paper"):
            raise UserError(f"--scale {scale}: unknown", "tiny, small or paper")
        folder = out or Path("runs/reproduce") / ("" if name == "all" else name)
        if fresh:
            _clear(folder)
        wanted = claims.StudyOptions(folder, model, scale, tuple(range(seeds)), _options(option or []))
        told = reporter(as_json)
        whole = name == "all"
        made = study.everything(folder, wanted, told) if whole else [study.reproduce(name, wanted, told)]
        if as_json:
            shown = [s.to_json() for s in made]
            claimed = [c for s in shown for c in s["claims"]]
            return print_json({"claims": claimed, "studies": shown} if whole else shown[0])
        for s in made:
            _show(s)
        return print(folder / ("index.html" if whole else "study.html"))


def _options(given: list[str]) -> dict[str, object]:
    import yaml

    pairs = [o.partition("=") for o in given]
    for key, equals, _ in pairs:
        if not equals:
            raise UserError(f"--set {key}: no value", "write --set KEY=VALUE")
    return {key: yaml.safe_load(value) for key, _, value in pairs}


def _clear(folder: Path) -> None:
    import shutil

    from contextune.core.ownership import claimed, listed

    from ..papers import study

    if not folder.exists():
        return
    if not (claimed(folder, "study") or study.of_earlier_version(folder)):
        raise UserError(f"{folder} holds no study", "give the folder of one with --out, or leave out --fresh")
    if strange := study.foreign(folder):
        raise UserError(
            f"{folder}: --fresh would remove what no study has written: {listed(strange)}", "move that away"
        )
    shutil.rmtree(folder, ignore_errors=True)


def _show(study: object) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..papers.claims import Study, printed, tally

    assert isinstance(study, Study)
    console = Console(soft_wrap=False, markup=False, emoji=False)
    table = Table(title=study.title, title_justify="left", box=None, pad_edge=False)
    shown = ("claim", "measured", "verdict", "the source says")[: 4 if console.width >= WIDE else 3]
    for column in shown:
        table.add_column(column, no_wrap=column != "the source says")
    for row in printed(study.claims):
        table.add_row(*row[: len(shown)])
    console.print(table)
    for whose, title in (("paper", "the source's claims"), ("ours", "our own and our controls")):
        if told := tally(study.claims, whose):
            console.print(f"{title}: {told}", highlight=False)
    for note in study.notes:
        console.print(f"- {note}", style="dim", highlight=False)
