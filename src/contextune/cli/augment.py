"""augment: texts that follow from yours, for a recipe's arms or as a file for any trainer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contextune.core.errors import UserError, commonest

from .common import Arms, Json, a_path, print_json, reporter

if TYPE_CHECKING:
    from contextune.experiment.prepare import Prepared
    from contextune.experiment.recipe import Recipe

Several = list[str] | None
_DEFAULTS = {"split": "none", "prompt_style": "auto", "kind": "text"}


def add_to(app: typer.Typer) -> None:
    @app.command(epilog="contextune augment notes.jsonl --operation reversal --operation rephrase --out made.jsonl")
    def augment(
        sources: Annotated[
            Several, typer.Argument(help="Files, folders or globs; or one recipe and keys of it (KEY=VALUE).")
        ] = None,
        operation: Annotated[
            Several, typer.Option("--operation", help="A name, or '{operation: NAME, key: value}'; may be repeated.")
        ] = None,
        model: Annotated[
            str | None,
            typer.Option(
                help="Who writes: a model folder, a hub id or 'pocket', the default for texts in its language."
            ),
        ] = None,
        server: Annotated[str | None, typer.Option(help="An OpenAI-compatible server that writes instead.")] = None,
        name: Annotated[str | None, typer.Option(help="With --server: the model's name there.")] = None,
        split: Annotated[str, typer.Option(help="none, independent, cumulative: sentences one by one.")] = "none",
        prompt_style: Annotated[
            str, typer.Option(help="auto, plain, pocket: the prompts that the writer gets.")
        ] = "auto",
        filters: Annotated[
            Several, typer.Option("--filter", help="A filter, or 'none'; may be repeated. Default: a safe set.")
        ] = None,
        retries: Annotated[
            int | None,
            typer.Option(min=0, max=10, help="How often a cut or useless answer is asked again. Default: 2."),
        ] = None,
        failures: Annotated[
            float | None,
            typer.Option(min=0, max=1, help="Share of requests that may fail; more is exit 1. Default: 1."),
        ] = None,
        kind: Annotated[str, typer.Option(help="text or pairs: what a row of the files is.")] = "text",
        column: Annotated[Several, typer.Option("--column", help="Our name=your column, e.g. text=body.")] = None,
        out: Annotated[Path, typer.Option(parser=a_path, help="File to write; failures are listed beside it.")] = Path(
            "made.jsonl"
        ),
        store: Annotated[
            Path | None,
            typer.Option(parser=a_path, help="Folder of what was asked already. Default: beside the first source."),
        ] = None,
        form: Annotated[str, typer.Option("--format", help="jsonl, alpaca, sharegpt, messages.")] = "jsonl",
        instruction: Annotated[str, typer.Option(help="Stands before texts without a prompt, in conversations.")] = "",
        originals: Annotated[bool, typer.Option("--originals", help="Your own texts are written as well.")] = False,
        push: Annotated[str | None, typer.Option(help="Also to the Hugging Face hub: USER/NAME (private).")] = None,
        arm: Arms = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask nothing; say what would be asked.")] = False,
        status: Annotated[bool, typer.Option("--status", help="What is asked, answered, failed, missing.")] = False,
        trace: Annotated[str | None, typer.Option(help="Show where an inferred text came from, by its id.")] = None,
        list_: Annotated[bool, typer.Option("--list", help="Name the operations and stop.")] = False,
        as_json: Json = False,
    ) -> None:
        """Infer texts from texts: rephrase, reverse, conclude, link, ask. Give the same command again to resume."""
        if list_:
            return show_operations(as_json)
        options: dict[str, Any] = {
            "operations": operation,
            "split": split,
            "prompt_style": prompt_style,
            "filters": filters,
        }
        options |= {"retries": retries, "failures": failures}
        given = {
            "model": model,
            "kind": kind,
            "server": server,
            "name": name,
            "column": column,
            "store": store,
            **options,
        }
        recipe, base = _recipe(sources or [], out, given)
        from contextune.augment import export
        from contextune.core.environment import quiet_libraries
        from contextune.experiment import augment as standalone

        if form not in export.FORMATS:
            export.rows((), form)
        quiet_libraries()
        looking = bool(dry_run or status or trace)
        say = reporter(as_json or looking)
        implied = not (model or server) and not _is_recipe(sources or []) and not (status or trace)
        file = None if status or trace else out
        prepared = standalone.run(recipe, base, arm or (), say.say, looking, implied, file)
        if trace:
            return show_trace(standalone.trace(prepared, trace), as_json)
        if status:
            return show_status(standalone.status(prepared), as_json)
        if dry_run:
            return show_plan(prepared, as_json)
        lost = standalone.failed(prepared)
        listed = export.write_failures(lost, out)
        made = standalone.made(prepared, originals)
        if all(row["operation"] == "original" for row in made):
            show_made(prepared, 0, None, listed, "", as_json)
            raise typer.Exit(_refused(f"nothing was made, {out} is not written: {_why(lost)}"))
        rows = export.rows(made, form, instruction)
        export.write(rows, out)
        where = export.push(rows, push) if push else ""
        show_made(prepared, len(rows), out, listed, where, as_json)
        if excess := standalone.too_many(prepared):
            raise typer.Exit(_refused(excess))


def _recipe(sources: list[str], out: Path, given: dict[str, Any]) -> tuple[Recipe, Path]:
    """The recipe that is named, or one made of files and options; with the folder that its paths are relative to."""
    from contextune.core.yaml_files import parse_yaml
    from contextune.experiment import recipe as recipes

    if not sources:
        raise UserError("nothing to augment", "contextune augment FILE … --operation reversal, or a recipe")
    if _is_recipe(sources):
        if used := [k for k, v in given.items() if v is not None and v != _DEFAULTS.get(k)]:
            option = "operation" if used[0] == "operations" else used[0]
            raise UserError(f"--{option} has no effect on a recipe", "write it in the recipe, or as KEY=VALUE")
        return recipes.load(sources[0], sources[1:]), Path(sources[0]).parent
    from contextune.experiment import augment as standalone

    if not given["operations"]:
        raise UserError("no operation is named", "--operation reversal; contextune augment --list shows all")
    columns = dict(c.split("=", 1) if "=" in c else (c, "") for c in given["column"] or ())
    if bad := [c for c, theirs in columns.items() if not theirs]:
        raise UserError(f"--column {bad[0]}: expected our name=your column", "--column text=body")
    served = {k: v for k, v in (("server", given["server"]), ("name", given["name"])) if v}
    options = {
        "operations": [parse_yaml(o, "--operation")[1] for o in given["operations"]],
        "split": given["split"],
        "prompt_style": given["prompt_style"],
        "filters": given["filters"] and [parse_yaml(v, "--filter")[1] for v in given["filters"] if v != "none"],
        "retries": given["retries"],
        "failures": 1.0 if given["failures"] is None else given["failures"],
    }
    values = {"model": given["model"] or "pocket", "kind": given["kind"], "columns": columns, "augment": options}
    return standalone.recipe_of(sources, out, {**values, "writer": served, "store": given["store"]}), Path()


def _is_recipe(sources: list[str]) -> bool:
    return bool(sources) and sources[0].endswith((".yaml", ".yml"))


def _refused(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def _why(lost: list[dict[str, Any]]) -> str:
    """The commonest reasons of what failed, else that filters left nothing."""
    return "; ".join(commonest(row["reason"] for row in lost)) or "the filters left out every text, see above"


def show_operations(as_json: bool) -> None:
    from contextune.core import registry

    known = {name: registry.operations.find(name) for name in registry.operations.names()}
    about = {name: (cls.__doc__ or "").strip().splitlines()[0] for name, cls in known.items()}
    if as_json:
        return print_json({n: {"about": a, "reads": known[n].reads} for n, a in about.items()})
    for name, text in about.items():
        print(f"{name:18} reads a {known[name].reads}: {text}")
    return None


def show_made(
    prepared: Prepared, rows: int, out: Path | None, failures: Path | None, where: str, as_json: bool
) -> None:
    from contextune.experiment.augment import stages
    from contextune.experiment.augment_files import account
    from contextune.report import made_texts

    page = made_texts.write(prepared.out)
    found = {arm: account(prepared, stage) for arm, _, stage in stages(prepared)}
    listed = str(failures) if failures else None
    if as_json:
        file = str(out) if out else None
        return print_json(
            {
                "rows": rows,
                "file": file,
                "failures": listed,
                "hub": where or None,
                "page": str(page) if page else None,
                "arms": found,
            }
        )
    for arm, said in found.items():
        for name, n in said["by_operation"].items():
            failed = f", {n['failed']} of {n['requests']} requests failed" if n["failed"] else ""
            useless = f", {n['unusable']} of {n['requests']} answers gave none" if n.get("unusable") else ""
            print(f"{arm}: {name}: {n['made']} made, {n['kept']} kept{failed}{useless}")
        for filter in said["filters"]:
            why = ", ".join(f"{reason} {n}" for reason, n in filter["reasons"].items())
            print(
                f"{arm}: filter {filter['filter']}: {filter['in']} in, {filter['out']} out{f' ({why})' if why else ''}"
            )
    for warning in prepared.warnings:
        print(f"warning: {warning}")
    if failures is not None:
        print(f"what failed is listed in {failures}; the same command asks it anew")
    if out is not None:
        print(f"{rows} rows in {out}{f', {where}' if where else ''}; the store is {prepared.out}")
    if page is not None:
        print(f"look at them, accept and reject: {page}")
    return None


def show_plan(prepared: Prepared, as_json: bool) -> None:
    from contextune.experiment.preflight import augment_line, pending

    rows = pending(prepared)
    if as_json:
        return print_json(rows)
    for row in rows:
        print(augment_line(row))
    return None


def show_status(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(found)
    for row in found["operations"]:
        print(
            f"{row['arm']}: {row['operation']}: {row['requests']} requests, {row['answered']} answered, "
            f"{row['failed']} failed, {row['missing']} missing; {row['made']} texts made, {row['kept']} kept"
        )
    if found["store"] is None:
        return print(f"{found['folder']}: nothing is stored yet")
    store = found["store"]
    print(f"{found['folder']}: {store['answered']} answers and {store['failed']} failures stored")
    for failure in store["failures"][:20]:
        print(f"  {failure['source']} {failure['operation']}: {failure['reason']} ({failure['attempts']} attempts)")
    return None


def show_trace(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(found)
    asked = found["asked"]
    lines = {
        "text": found["prompt"] + found["text"],
        "made by": f"{found['operation']}/{found['version']}" + ("" if found["kept"] else " (left out)"),
        "source": f"{found['source']}: {found['source_text']}",
        "passage": found["passage"],
        "seen": ", ".join(found["seen"]),
    }
    if asked:
        lines |= {
            "prompt": asked["prompt"],
            "answer": asked["text"],
            "model": f"{asked['name']} {asked['engine']}".strip(),
            "sampling": ", ".join(f"{k} {v}" for k, v in asked["sampling"].items()),
            "request": found["request"],
        }
    for name, text in lines.items():
        if text:
            print(f"{name:9} " + str(text).replace("\n", "\n" + " " * 10))
    return None
