"""What policies have in common that edit records: the database in which edited queries must run."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field

from contextune.core.errors import UserError

from .examples import Examples


class WithEditor(Examples):
    """Options of policies that edit records."""

    database: str | None = Field(
        None, description="sqlite file in which edited SQL answers must run; default: they must parse"
    )

    def located(self, folder: Path) -> Self:
        located = super().located(folder)
        if self.database is None:
            return located
        return located.model_copy(update={"database": str(folder / self.database)})

    @property
    def database_path(self) -> Path | None:
        """UserError where there is no such file."""
        if self.database is None:
            return None
        if not Path(self.database).is_file():
            raise UserError(f"context {self.name}: database {self.database}: no such file", "paths begin at the recipe")
        return Path(self.database)
