"""hosted: an arm's rows for a hosted service (export.py), and a job there."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contextune.core.errors import UserError, nearest

from .common import MOST, Json, Overrides, RecipeFile, a_path, print_json, reporter

if TYPE_CHECKING:
    from contextune.experiment.prepare import Prepared

Arm = Annotated[str, typer.Option("--arm", help="The arm whose rows are taken.", show_default=False)]
Draws = Annotated[int, typer.Option(min=1, max=1000, help="Draws of each row's context, one after another.")]
Instruction = Annotated[str, typer.Option(help="The user's turn of rows that have no context.")]
Folder = Annotated[Path, typer.Option(parser=a_path, help="The job's folder.", show_default=False)]
SIZES = (1, 2, 4, 8, 16)


def add_to(app: typer.Typer) -> None:
    hosted = typer.Typer(help="Tune a Gemini model on Vertex AI: submit a job once, follow it, score its model.")
    app.add_typer(hosted, name="hosted")

    @hosted.command(epilog="contextune hosted submit cft.yaml --arm cft --project p --bucket b --price 5 --out job/")
    def submit(
        file: RecipeFile,
        arm: Arm,
        project: Annotated[str, typer.Option(help="The Google Cloud project.", show_default=False)],
        bucket: Annotated[str, typer.Option(help="The Cloud Storage bucket for the rows.", show_default=False)],
        price: Annotated[float, typer.Option(min=0, help="Dollars for a million training tokens.", show_default=False)],
        out: Folder,
        overrides: Overrides = None,
        model: Annotated[str, typer.Option(help="The model that is tuned.")] = "gemini-2.5-flash",
        location: Annotated[str, typer.Option(help="Where the job runs.")] = "us-central1",
        budget: Annotated[float | None, typer.Option(min=0, help="Dollars at most; else nothing is submitted.")] = None,
        epochs: Annotated[int, typer.Option(min=1, max=100, help="The service's passes over the rows.")] = 3,
        rate: Annotated[
            float, typer.Option(min=1e-3, max=1e3, help="Multiplier of the service's learning rate.")
        ] = 1.0,
        adapter: Annotated[int, typer.Option(help="Adapter size: 1, 2, 4, 8 or 16.")] = 4,
        draws: Draws = 1,
        instruction: Instruction = "",
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the price; send nothing.")] = False,
        as_json: Json = False,
    ) -> None:
        """Submit an arm as a tuning job, once; after any failure give the same command again."""
        from contextune.hosted import job

        if not math.isfinite(price):
            raise UserError(f"--price {price}", "dollars for a million tokens, e.g. 5")
        if adapter not in SIZES:
            raise UserError(f"--adapter {adapter}: an adapter has another size", f"one of {', '.join(map(str, SIZES))}")
        prepared = _prepared(file, overrides, arm, as_json)
        text, found = _rows(prepared, arm, "vertex", draws, instruction)
        cost = job.price(found["trained"] + found["read"], epochs, price)
        found |= {"price": cost}
        line = (
            f"{_said(found)}\nabout {cost:.2f} dollars: {found['trained'] + found['read']:,} tokens (counted by the "
            f"recipe's tokenizer, not the service's) x {epochs} epochs x {price:g} a million"
        )
        if not as_json:
            print(line)
        if dry_run:
            return print_json({"submitted": False, **found}) if as_json else None
        if budget is None:
            raise UserError(
                "--budget: a job costs money",
                f"--budget {max(1, round(cost * 1.5))} allows it; --dry-run only prints the price",
            )
        if cost > budget:
            raise UserError(
                f"--budget {budget:g}: it would cost about {cost:.2f} dollars", "raise it, or take fewer rows or epochs"
            )
        order = job.Order(
            project, location, bucket, model, f"{prepared.recipe.name}-{arm}"[:128], epochs, rate, adapter
        )
        follow = f"contextune hosted status {shlex.quote(str(out))} --wait"
        with _opened(project, location) as service, _locked(out):
            record = job.submit(service, order, out, text.encode(), told=found)
        return print_json(record) if as_json else print(f"{record['job']}\n{follow}")

    @hosted.command(epilog="contextune hosted status job/ --wait")
    def status(
        folder: Annotated[Path, typer.Argument(parser=a_path, help="The job's folder.")],
        wait: Annotated[bool, typer.Option("--wait", help="Ask until the job has ended.")] = False,
        poll: Annotated[float, typer.Option(min=0.01, max=86_400, help="Seconds between two looks.")] = 60.0,
        as_json: Json = False,
    ) -> None:
        """Print a job's state, and the tokens that were billed."""
        from contextune.hosted import job

        order = job.known(folder)["order"]
        say = reporter(as_json)
        with _opened(order["project"], order["location"]) as service, _locked(folder):
            record = job.status(service, folder, wait=wait, poll=poll, say=say.say)
        if as_json:
            print_json(record)
        else:
            billed = f", {record['billed']:,} tokens billed" if "billed" in record else ""
            error = f": {record['error'].get('message', '')}" if record["error"] else ""
            print(f"{record['job']}: {record['state']}{billed}{error}")
        if record["state"] in job.ENDED and record["state"] != job.DONE:
            raise typer.Exit(1)

    @hosted.command(epilog="contextune hosted score cft.yaml --job job/ --untuned")
    def score(
        file: RecipeFile,
        folder: Annotated[Path, typer.Option("--job", parser=a_path, help="The job's folder.", show_default=False)],
        overrides: Overrides = None,
        untuned: Annotated[bool, typer.Option("--untuned", help="Score the base model as well.")] = False,
        task: Annotated[list[str] | None, typer.Option("--task", help="This task only (may be repeated).")] = None,
        limit: Annotated[int | None, typer.Option(min=1, max=MOST, help="The first N items of each task.")] = None,
        as_json: Json = False,
    ) -> None:
        """Score a tuned model on the recipe's tasks. Answers are kept: given again, it asks the others."""
        from contextune.hosted import job
        from contextune.hosted.score import HostedModel, refuse_others
        from contextune.hosted.score import score as score_tasks

        record = job.known(folder)
        endpoint = record.get("model", {}).get("endpoint") if record["state"] == job.DONE else None
        if not endpoint:
            raise UserError(
                f"{folder}: the job is {record['state']}, not {job.DONE}", f"contextune hosted status {folder} --wait"
            )
        prepared = _prepared(file, [*(overrides or []), *([f"evaluate.limit={limit}"] if limit else [])], "", as_json)
        names = [t.name for t in prepared.tasks]
        if unknown := next((name for name in task or () if name not in names), None):
            raise UserError(f"--task {unknown}: no task of that name in the recipe", nearest(unknown, names))
        tasks = [t for t in prepared.tasks if not task or t.name in task]
        refuse_others(tasks)
        order, name = record["order"], record["order"]["name"]
        with _opened(order["project"], order["location"]) as service, _locked(folder):
            results = score_tasks(HostedModel(service, endpoint), tasks, folder, name, prepared.tokenizer)
            if untuned:
                results = score_tasks(
                    HostedModel(service, order["model"]), tasks, folder, "untuned", prepared.tokenizer
                )
        if as_json:
            return print_json(results)
        for arm, scores in results["arms"].items():
            for one, found in scores["tasks"].items():
                low, high = found["interval"] or (float("nan"), float("nan"))
                print(
                    f"{arm:24} {one:24} {found['metric']} {found['value']:.4f}  [{low:.4f}, {high:.4f}]  N {found['n']}"
                )
        return None


def _prepared(file: Path, overrides: list[str] | None, arm: str, quiet: bool) -> Prepared:
    from contextune.core.environment import quiet_libraries
    from contextune.experiment import recipe as recipes
    from contextune.experiment.prepare import prepare

    made = recipes.load(file, overrides or [])
    quiet_libraries()
    return prepare(made, file.parent, only=(arm,) if arm else (), say=reporter(quiet).say)


def _rows(prepared: Prepared, arm: str, form: str, draws: int, instruction: str) -> tuple[str, dict[str, Any]]:
    """The rows as JSON Lines, and what of them is trained on; they are read again before anything is sent."""
    from contextune.hosted import forms

    made = forms.rows(prepared, arm, form, draws, instruction)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
    return text, forms.check(prepared, arm, text.rstrip("\n").split("\n"), draws)


def _said(found: dict[str, Any]) -> str:
    where = f"{found['file']}: " if "file" in found else ""
    return (
        f"{where}{found['rows']} rows; {found['trained']:,} tokens are trained on (the model's turns), "
        f"{found['read']:,} only read"
    )


def _opened(project: str, location: str) -> Any:
    from contextune.hosted.vertex import Vertex

    return Vertex(project, location)


def _locked(folder: Path) -> Any:
    from contextune.core import ownership
    from contextune.experiment.run_dir import locked
    from contextune.hosted.job import KIND

    ownership.claim(folder, KIND, what="hosted job", fix="give another --out")
    return locked(folder)
