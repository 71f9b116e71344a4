"""A command: how many words a file has."""

from pathlib import Path

import typer

from contextune.core import registry
from contextune.core.errors import UserError


@registry.commands("count")
def add_to(app: typer.Typer) -> None:
    @app.command()
    def count(file: Path) -> None:
        """Count the words of a file."""
        if not file.is_file():
            raise UserError(f"{file}: no such file")
        print(len(file.read_text(encoding="utf-8").split()))
