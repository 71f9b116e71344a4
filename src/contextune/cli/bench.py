"""bench: how fast this is, beside what a user would take instead."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .common import Json, print_json


def add_to(app: typer.Typer) -> None:
    @app.command(epilog="contextune bench training --quick")
    def bench(
        part: Annotated[
            str | None, typer.Argument(help="training, scoring, generation or retrieval; all where left out.")
        ] = None,
        quick: Annotated[bool, typer.Option("--quick", help="The pocket model alone: under a minute.")] = False,
        size: Annotated[
            str | None, typer.Option(help="medium (66 M parameters) or pocket; both where left out.")
        ] = None,
        rounds: Annotated[int, typer.Option(min=1, help="Rounds of which the median is taken.")] = 3,
        threads: Annotated[int, typer.Option(min=1, help="Threads of every runner.")] = 1,
        as_json: Json = False,
    ) -> None:
        """Measure ours against transformers, TRL and lm-eval: same threads and precision, in turn, in one run."""
        from ..environment import quiet_libraries
        from ..errors import UserError, nearest

        parts, sizes = ("training", "scoring", "generation", "retrieval"), ("pocket", "medium")
        if part is not None and part not in parts:
            raise UserError(f"bench: no part '{part}'", nearest(part, parts))
        if size is not None and size not in sizes:
            raise UserError(f"bench: no size '{size}'", nearest(size, sizes))
        quiet_libraries()
        from ..bench.run import bench as run
        from ..bench.run import lines

        chosen = (size,) if size else sizes[:1] if quick else sizes
        found = run(
            (part,) if part else parts, quick, rounds, chosen, threads, lambda text: print(text, file=sys.stderr)
        )
        if as_json:
            return print_json(found)
        print("\n".join(lines(found)))
