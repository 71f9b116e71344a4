"""preview, check: look before you train."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contextune.core.commands import allowing

from .common import MOST, AllowCommands, Arms, Json, Overrides, RecipeFile, print_json

if TYPE_CHECKING:
    from contextune.experiment.prepare import Prepared


def add_to(app: typer.Typer) -> None:
    @app.command(epilog="contextune preview recipe.yaml --arm cft --row 3 --html")
    def preview(
        file: RecipeFile,
        overrides: Overrides = None,
        arm: Arms = None,
        row: Annotated[int, typer.Option(min=0, max=MOST, help="First record shown.")] = 0,
        rows: Annotated[int, typer.Option(min=1, max=10_000, help="How many records.")] = 1,
        epochs: Annotated[int, typer.Option(min=1, max=100, help="How many epochs, side by side.")] = 2,
        ids: Annotated[bool, typer.Option("--ids", help="Also a table of ids, labels and positions.")] = False,
        html: Annotated[bool, typer.Option("--html", help="Write preview.html into the run's folder.")] = False,
        tasks: Annotated[
            bool, typer.Option("--tasks", help="Instead: the first item of each task, as the model reads it.")
        ] = False,
        allow_commands: AllowCommands = False,
        as_json: Json = False,
    ) -> None:
        """Show the exact tokens trained on: context dim, target bright, special tokens marked."""
        from contextune.evaluate.options import Compare, Evaluate
        from contextune.experiment import preview as previewing
        from contextune.experiment.context_shares import context_line, context_shares
        from contextune.experiment.preflight import augment_line, pending

        if tasks:
            with allowing(allow_commands):
                asked = list(previewing.asked(_prepare(file, overrides, arm, quiet=True)))
            return print_json(asked) if as_json else print(*map(previewing.asked_lines, asked), sep="\n\n")
        with allowing(allow_commands):
            prepared = _prepare(
                file, overrides, arm, quiet=True, first=row + rows, evaluate=Evaluate(), compare=Compare()
            )
        for stage in pending(prepared):
            if stage["requests"]:
                print(f"augment  {augment_line(stage)}", file=sys.stderr)
        for row_ in context_shares(prepared):
            print(f"contexts {context_line(row_)}", file=sys.stderr)
        shown = list(previewing.preview(prepared, row, rows, epochs))
        if as_json:
            return print_json(shown)
        from contextune.report import preview as pages

        if html:
            from contextune.experiment.run_files import claim
            from contextune.report.render import save

            claim(prepared.out)
            return print(save(prepared.out / "preview.html", pages.preview_html(shown)))
        from rich.console import Console

        return pages.preview_text(shown, Console(), ids=ids)

    @app.command(epilog="contextune check recipe.yaml")
    def check(
        file: RecipeFile,
        overrides: Overrides = None,
        arm: Arms = None,
        quick: Annotated[
            bool, typer.Option("--quick", help="Without the small probe that the estimate takes.")
        ] = False,
        memory: Annotated[
            str | None, typer.Option(help="Whether it fits a GPU that is not here, of this size: 80GB, 24GiB.")
        ] = None,
        allow_commands: AllowCommands = False,
        as_json: Json = False,
    ) -> None:
        """Account for every token, look for test items in the data, estimate time and memory. Trains nothing."""
        from contextune.core.memory import size_of
        from contextune.experiment.preflight import check as examine
        from contextune.experiment.preflight import show

        stated = size_of(memory) if memory is not None else None
        with allowing(allow_commands):
            prepared = _prepare(file, overrides, arm, quiet=as_json)
            found = examine(prepared, measure=not quick, stated=stated)
        if as_json:
            return print_json(found)
        return show(found)


def _prepare(
    file: Path,
    overrides: list[str] | None,
    arm: list[str] | None,
    quiet: bool,
    first: int | None = None,
    **replaced: Any,
) -> Prepared:
    from contextune.experiment import recipe as recipes

    made = recipes.load(file, overrides or []).model_copy(update=replaced)
    from contextune.core.environment import quiet_libraries
    from contextune.experiment.prepare import prepare
    from contextune.experiment.run_dir import folder_of
    from contextune.experiment.run_files import look

    from .common import reporter

    quiet_libraries()
    look(folder_of(made))
    say = reporter(quiet)
    return prepare(made, file.parent, folder_of(made), arm or (), say.say, plan=True, first=first)
