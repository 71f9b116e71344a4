"""bench: how fast this is, beside what a user would take instead."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from contextune.cli.common import Json, print_json
from contextune.core import registry


@registry.commands("bench")
def add_to(app: typer.Typer) -> None:
    @app.command(epilog="contextune bench training --quick")
    def bench(
        part: Annotated[
            str | None, typer.Argument(help="training, scoring, generation or retrieval; all where left out.")
        ] = None,
        quick: Annotated[bool, typer.Option("--quick", help="The pocket model alone: under a minute.")] = False,
        size: Annotated[
            str | None,
            typer.Option(
                help="pocket, medium (66 M), billion (1.2 G), seven (7 G, LoRA), or a model's folder; default: the "
                "first two, on a GPU the last two."
            ),
        ] = None,
        rounds: Annotated[int, typer.Option(min=1, max=1000, help="Rounds of which the median is taken.")] = 3,
        threads: Annotated[int, typer.Option(min=1, max=os.cpu_count(), help="Threads of every runner.")] = 1,
        device: Annotated[
            str, typer.Option(help="cpu, or cuda: training, scoring and generation in bf16 on a GPU.")
        ] = "cpu",
        as_json: Json = False,
    ) -> None:
        """Measure ours against transformers, TRL and lm-eval: same threads and precision, in turn, in one run."""
        from contextune.core.environment import quiet_libraries
        from contextune.core.errors import UserError, nearest

        from ..bench.run import GPU_PARTS, PARTS, SIZES, lines
        from ..bench.run import bench as run

        if part is not None and part not in PARTS:
            raise UserError(f"bench: no part '{part}'", nearest(part, PARTS))
        if size is not None and size not in SIZES and not Path(size).exists():
            raise UserError(f"bench: no size '{size}' and no such folder", nearest(size, SIZES))
        if device not in ("cpu", "cuda"):
            raise UserError(f"bench: no device '{device}'", nearest(device, ("cpu", "cuda")))
        quiet_libraries()
        parts: tuple[str, ...]
        usual: tuple[str, ...]
        parts, usual = (PARTS, SIZES[:2]) if device == "cpu" else (GPU_PARTS, SIZES[2:])
        if quick:
            usual = SIZES[:1]
        chosen, wanted = (size,) if size else usual, (part,) if part else parts
        found = run(wanted, quick, rounds, chosen, threads, lambda text: print(text, file=sys.stderr), device)
        if as_json:
            return print_json(found)
        print("\n".join(lines(found)))
