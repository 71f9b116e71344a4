"""lab: studies of mechanism."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from contextune.cli.common import Arms, Json, Overrides, RecipeFile, print_json, reporter
from contextune.core import registry
from contextune.core.files import write_text

OUT = "cannot write into", "give another folder with --out"


@registry.commands("lab")
def add_to(app: typer.Typer) -> None:
    lab = typer.Typer(no_args_is_help=True, help="Studies of mechanism.")
    app.add_typer(lab, name="lab")
    add_mixture(lab)
    add_gradients(lab)
    add_support_matrix(lab)


def add_mixture(lab: typer.Typer) -> None:
    @lab.command(epilog="contextune lab mixture --out runs/mixture")
    def mixture(
        out: Annotated[Path | None, typer.Option(help="Folder for mixture.svg and mixture.json.")] = None,
        seeds: Annotated[int, typer.Option(min=1, max=1000, help="Runs of each strategy.")] = 3,
        steps: Annotated[int, typer.Option(min=1, max=10_000_000, help="Updates of each run.")] = 15_000,
        as_json: Json = False,
    ) -> None:
        """Train the two-layer model that mixes context and weights, on each way of choosing contexts."""
        import torch

        from contextune.core.ownership import claim

        from ..mechanism import mixture_figure, mixture_study

        if out:
            claim(out, "lab", *OUT)
        torch.set_num_threads(1)  # the model has four parameters
        options = mixture_study.MixtureOptions(seeds=seeds, steps=steps)
        say = reporter(quiet=as_json)
        with say.counting("mixture", steps) as line:
            result = mixture_study.study(options, lambda step: line.advance("mixture", by=step - line.done))
        made = {"rows": result.rows(), "seeds": seeds, "steps": steps, "seconds": round(result.seconds, 1)}
        if out:
            write(out, made, mixture_figure.figure(result))
        if as_json:
            return print_json(made)
        for parameters in (2, 3):
            say.say(f"{parameters} parameters, after {steps} steps, mean of {seeds} seeds; risk by context:")
            say.say(mixture_figure.table(result, parameters) + "\n")
        say.say(f"{2 * len(mixture_study.STRATEGIES) * seeds} runs in {result.seconds:.1f} s")
        if out:
            say.say(f"figure: {out / 'mixture.svg'}")


def add_gradients(lab: typer.Typer) -> None:
    @lab.command(epilog="contextune lab gradients recipe.yaml --arm cft --out runs/gradients")
    def gradients(
        file: RecipeFile,
        overrides: Overrides = None,
        arm: Arms = None,
        items: Annotated[int, typer.Option(min=2, max=1_000_000, help="Records, and items of each task at most.")] = 64,
        blocks: Annotated[
            int, typer.Option(min=2, max=10_000, help="Gradients that the records are parted into at most.")
        ] = 32,
        how: Annotated[
            Literal["auto", "exact", "sketch"],
            typer.Option(help="Whole gradients, or seeded random projections; auto: whole below 50 M parameters."),
        ] = "auto",
        adapter: Annotated[bool, typer.Option("--adapter", help="LoRA parameters only.")] = False,
        out: Annotated[Path | None, typer.Option(help="Folder for gradients.html, .svg and .json.")] = None,
        as_json: Json = False,
    ) -> None:
        """Hold the gradients of the same target tokens with and without contexts against each other."""
        from contextune.core.environment import quiet_libraries
        from contextune.core.ownership import claim
        from contextune.experiment import recipe as recipes

        recipe = recipes.load(file, overrides or [])
        if out:
            claim(out, "lab", *OUT)
        from ..mechanism import gradients as study
        from ..mechanism import gradients_page as pages
        from ..mechanism.gradients_measure import MeasureOptions

        quiet_libraries()
        say = reporter(quiet=as_json)
        options = MeasureOptions(
            how=None if how == "auto" else how, blocks=blocks, confidence=recipe.compare.confidence
        )
        made = study.study(recipe, file.parent, study.GradientsOptions(tuple(arm or ()), items, adapter), options, say)
        page = study.save(made, out) if out else None
        if as_json:
            return print_json(made)
        say.say(f"{made['records']} records, {made['target_tokens']} target tokens; {made['of']}, {made['how']}")
        print(pages.table(made))
        say.say(pages.sentence(made), "bold")
        for note in made["notes"]:
            say.say(f"note: {note}")
        say.say(f"{made['seconds']} s" + (f"; page: {page}" if page else ""))


def add_support_matrix(lab: typer.Typer) -> None:
    @lab.command(epilog="contextune lab support-matrix --only Llama --only Mamba")
    def support_matrix(
        only: Annotated[
            list[str] | None, typer.Option(help="An architecture of the table, or a model_type of transformers.")
        ] = None,
        out: Annotated[Path | None, typer.Option(help="Page whose table is replaced, or a new file.")] = None,
        as_json: Json = False,
    ) -> None:
        """Train, score, ask, save and load tiny random models of many architectures, and compare with transformers.

        A minute for all. Exits with 1 where anything is wrong.
        """
        from contextune.core.environment import quiet_libraries

        from ..bench import support

        quiet_libraries()
        support.check(only or [])
        if out:
            support.place(out)
        found = support.matrix(only or list(support.ARCHITECTURES), reporter(quiet=as_json).say)
        if out:
            support.put(out, support.table(found))
        if as_json:
            print_json({name: {k: [c.state, c.why] for k, c in row.items()} for name, row in found.items()})
        elif not out:
            print(support.table(found))
        if any(cell.state == "wrong" for row in found.values() for cell in row.values()):
            raise typer.Exit(1)


def write(out: Path, made: dict[str, object], picture: str) -> None:
    """Raises UserError where the folder cannot be written."""
    import json

    from contextune.core.errors import UserError

    try:
        write_text(out / "mixture.json", json.dumps(made, indent=1, ensure_ascii=False))
        write_text(out / "mixture.svg", picture)
    except OSError as e:
        raise UserError(f"cannot write into {out}: {e.strerror}", "give another folder with --out") from None
