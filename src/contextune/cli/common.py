"""What the commands share."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from contextune.core.progress import Reporter


def a_path(text: str) -> Path:
    """A path that is given; an empty one would be the working directory."""
    if not str(text).strip():
        raise typer.BadParameter("empty, expected a path")
    return Path(text)


RecipeFile = Annotated[Path, typer.Argument(parser=a_path, help="Recipe file (YAML).", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Keys of the recipe, e.g. train.lr=1e-4", metavar="[KEY=VALUE]...")
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1)]
MOST = 1_000_000_000
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
AllowCommands = Annotated[
    bool,
    typer.Option("--allow-commands", help="Run programs that tasks name, and code that models bring."),
]
Arms = Annotated[list[str] | None, typer.Option("--arm", help="This arm only (may be repeated).")]


def command_line() -> str:
    """What the user typed, for the report."""
    import shlex

    typed = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return os.fsencode(typed).decode("utf-8", "backslashreplace")


def reporter(quiet: bool = False) -> Reporter:
    """Messages go to standard error where standard output carries JSON."""
    from contextune.core.progress import Reporter, plain_console

    return Reporter(plain_console(stderr=quiet), quiet)


def print_json(value: Any) -> None:
    """One JSON object; its characters are escaped where the output's encoding may lack them."""
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(value, indent=1, ensure_ascii=plain, default=str))
