"""lab: studies of mechanism that need no data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import Json, print_json, reporter


def add_to(app: typer.Typer) -> None:
    lab = typer.Typer(no_args_is_help=True, help="Studies of mechanism.")
    app.add_typer(lab, name="lab")
    add_mixture(lab)


def add_mixture(lab: typer.Typer) -> None:
    @lab.command(epilog="contextune lab mixture --out runs/mixture")
    def mixture(
        out: Annotated[Path | None, typer.Option(help="Folder for mixture.svg and mixture.json.")] = None,
        seeds: Annotated[int, typer.Option(min=1, help="Runs of each strategy.")] = 3,
        steps: Annotated[int, typer.Option(min=1, help="Updates of each run.")] = 15_000,
        as_json: Json = False,
    ) -> None:
        """Train the two-layer model that mixes context and weights, on each way of choosing contexts."""
        import torch

        from ..lab import mixture_figure, mixture_study

        torch.set_num_threads(1)  # the model has four parameters
        options = mixture_study.Options(seeds=seeds, steps=steps)
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


def write(out: Path, made: dict[str, object], picture: str) -> None:
    """Raises UserError where the folder cannot be written."""
    import json

    from ..errors import UserError

    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "mixture.json").write_text(json.dumps(made, indent=1, ensure_ascii=False), encoding="utf-8")
        (out / "mixture.svg").write_text(picture, encoding="utf-8")
    except OSError as e:
        raise UserError(f"cannot write into {out}: {e.strerror}", "give another folder with --out") from None
