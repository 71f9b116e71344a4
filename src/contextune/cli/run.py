"""run, train, evaluate, report: the work, whole or in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contextune.core.commands import allowing
from contextune.core.errors import UserError

from .common import MOST, AllowCommands, Arms, Json, Overrides, RecipeFile, a_path, command_line, print_json, reporter

WorkersOption = Annotated[
    int, typer.Option("--workers", min=0, max=512, help="Trainings side by side; 0: one a core for small models.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Throw away what an earlier run left in the folder.")]


def add_to(app: typer.Typer) -> None:
    @app.command(epilog="contextune run recipe.yaml train.lr=1e-4 --arm cpt --arm cft")
    def run(
        file: RecipeFile,
        overrides: Overrides = None,
        arm: Arms = None,
        fresh: Fresh = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Check only; train nothing.")] = False,
        workers: WorkersOption = 0,
        allow_commands: AllowCommands = False,
        as_json: Json = False,
    ) -> None:
        """Check, train all arms at all seeds, evaluate, report. Give the same command again to resume."""
        with allowing(allow_commands):
            _run(file, overrides, arm, fresh, dry_run, as_json, workers, evaluate=True)

    @app.command(epilog="torchrun --nproc-per-node 2 -m contextune train recipe.yaml --arm cft")
    def train(
        file: RecipeFile,
        overrides: Overrides = None,
        arm: Arms = None,
        fresh: Fresh = False,
        workers: WorkersOption = 0,
        allow_commands: AllowCommands = False,
        as_json: Json = False,
    ) -> None:
        """Train only; contextune run later evaluates what is there."""
        with allowing(allow_commands):
            _run(file, overrides, arm, fresh, False, as_json, workers, evaluate=False)

    @app.command(epilog="contextune evaluate runs/my/arms/cft/seed-0/stage-0/model --task mmlu_medical=data/mmlu")
    def evaluate(
        model: Annotated[str, typer.Argument(help="Model folder, 'pocket' or hub id.")],
        task: Annotated[
            list[str], typer.Option("--task", help="Built-in name, name=PATH to local data, or a task file.")
        ],
        limit: Annotated[int | None, typer.Option(min=1, max=MOST, help="The first N items of each task.")] = None,
        out: Annotated[Path, typer.Option(parser=a_path, help="Folder for the outcomes.")] = Path("runs/evaluate"),
        chat: Annotated[bool, typer.Option("--chat", help="Ask through the model's chat template.")] = False,
        system: Annotated[str, typer.Option(help="With --chat: a system turn before the prompt.")] = "",
        allow_commands: AllowCommands = False,
        as_json: Json = False,
    ) -> None:
        """Score any model on tasks."""
        from contextune.experiment.scoring import evaluate_model

        with allowing(allow_commands):
            results = evaluate_model(model, task, out, limit, reporter(as_json), chat, system)
        if as_json:
            return print_json(results)
        for name, found in results["tasks"].items():
            interval = "–" if found["interval"] is None else "[{:.4f}, {:.4f}]".format(*found["interval"])
            floors = "".join(f"  {key} {v:.4f}" for key, v in results["floors"][name].items() if v is not None)
            print(f"{name:32} {found['metric']} {found['value']:.4f}  {interval}  N {found['n']}{floors}")
        return None

    @app.command(epilog="contextune report runs/quickstart")
    def report(
        folders: Annotated[list[Path], typer.Argument(parser=a_path, help="Run folders.")],
        out: Annotated[
            Path | None, typer.Option(parser=a_path, help="With several folders: the page to write.")
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Rebuild the results and the page from the stored outcomes alone."""
        from contextune.experiment.rebuild import rebuild
        from contextune.report import write, write_many

        results = [rebuild(folder) for folder in folders]
        pages = [write(folder) for folder in folders]
        page = pages[0] if len(folders) == 1 else write_many(folders, out or Path("comparison.html"))
        verdicts = [r["verdict"]["sentence"] for r in results]
        if as_json:
            return print_json({"page": str(page), "verdicts": verdicts, "results": results})
        return print(*verdicts, page, sep="\n")


def _run(
    file: Path,
    overrides: list[str] | None,
    arm: list[str] | None,
    fresh: bool,
    dry: bool,
    as_json: bool,
    workers: int,
    evaluate: bool,
) -> None:
    if dry:
        from contextune.experiment.preflight import check, show

        from .inspect import _prepare

        found = check(_prepare(file, overrides, arm, quiet=as_json))
        return print_json(found) if as_json else show(found)
    from contextune.experiment import recipe as recipes

    made = recipes.load(file, overrides or [])  # before torch is imported: a mistyped recipe is answered at once
    from contextune.experiment.run import run

    results = run(
        made,
        base=file.parent,
        only=arm or (),
        fresh=fresh,
        evaluate=evaluate,
        reporter=reporter(as_json),
        command=command_line(),
        workers=workers,
    )
    if as_json:
        print_json(results)
    elif evaluate and not results.get("verdict"):
        raise UserError("the recipe names no task, so there is no verdict", "add evaluate.tasks or evaluate.perplexity")
    return None
