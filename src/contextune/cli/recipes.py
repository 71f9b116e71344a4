"""init, recipes, schema, prompts: ready recipes, schema and prompts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from contextune.core.errors import UserError, nearest
from contextune.core.files import write_text

from .common import Json, a_path, print_json


def folder() -> Path:
    """The ready recipes: in the package where it was installed, beside it in a checkout."""
    here = Path(__file__).resolve().parent.parent
    return next(f for f in (here / "recipes", here.parents[1] / "recipes") if f.is_dir())


def about(path: Path) -> str:
    """A recipe's first comment line."""
    return path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


def steps(recipe: Path, target: Path) -> list[str]:
    """The commands at the head of a recipe, for a copy of it under another name."""
    head = recipe.read_text(encoding="utf-8").split("\nname:")[0]
    found = re.findall(r"^# ( +contextune .*)$", head, re.MULTILINE)
    return [line.replace(recipe.name, str(target)) for line in found] or [f"  contextune check {target}"]


def add_to(app: typer.Typer) -> None:
    @app.command(epilog="contextune init cft_medical  writes cft_medical.yaml here, every key explained")
    def init(
        name: Annotated[str, typer.Argument(help="A recipe's name; contextune recipes lists them.")],
        target: Annotated[Path | None, typer.Argument(parser=a_path, help="File to write; default NAME.yaml.")] = None,
        force: Annotated[bool, typer.Option(help="Overwrite the file.")] = False,
    ) -> None:
        """Copy a ready recipe to start from."""
        ready = {p.stem: p for p in folder().glob("*.yaml")}
        if name not in ready:
            raise UserError(f"no recipe '{name}'", nearest(name, ready))
        target = target or Path(f"{name}.yaml")
        if target.exists() and not force:
            raise UserError(f"{target} exists already", "give another name, or --force to overwrite it")
        try:
            write_text(target, ready[name].read_text(encoding="utf-8"))
        except OSError as e:
            raise UserError(f"{target}: cannot be written ({e.strerror})", "name another file") from None
        print(f"{target} is written; see to its model and data, then")
        print("\n".join(steps(ready[name], target)))

    @app.command("recipes")
    def list_recipes(as_json: Json = False) -> None:
        """List the ready recipes."""
        ready = {p.stem: about(p) for p in sorted(folder().glob("*.yaml"))}
        if as_json:
            return print_json(ready)
        width = max(map(len, ready))
        for name, text in ready.items():
            print(f"{name:{width}}  {text}")

    @app.command()
    def schema() -> None:
        """Print the grammar of recipes as JSON Schema."""
        from contextune.experiment.schema import recipe_schema

        print_json(recipe_schema())

    @app.command()
    def prompts(
        name: Annotated[str | None, typer.Argument(help="A set to show in full: a name or a file.")] = None,
        as_json: Json = False,
    ) -> None:
        """List the prompt sets, or show one."""
        from contextune import prompts as sets

        if name is None:
            found = {n: sets.load(n) for n in sets.names()}
            if as_json:
                return print_json({n: {"version": s.version, "prompts": len(s.prompts)} for n, s in found.items()})
            for n, s in found.items():
                print(f"{n:12} {len(s.prompts):3} prompts  version {s.version}  {s.source}")
            return None
        chosen = sets.load(name)
        if as_json:
            return print_json(chosen.model_dump())
        print(
            f"{chosen.name}, version {chosen.version}, {chosen.licence}; {chosen.source}\ntemplate: {chosen.template}"
        )
        for prompt in chosen.prompts:
            print(f"\n{prompt.id}  ({prompt.category})\n    {prompt.text}")
        return None
