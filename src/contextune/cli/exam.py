"""exam: an exam on the user's own documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from contextune.core import registry
from contextune.core.errors import UserError

from .common import Json, Seed, a_path, print_json, reporter

MOST = 100_000


def add_to(app: typer.Typer) -> None:
    @app.command(epilog="contextune exam documents/ --out exam/    then in a recipe: evaluate: {tasks: [exam/]}")
    def exam(
        documents: Annotated[list[str], typer.Argument(help="Files, folders or globs.", show_default=False)],
        out: Annotated[Path, typer.Option(parser=a_path, help="Folder of the exam.", show_default="exam")] = Path(
            "exam"
        ),
        items: Annotated[int, typer.Option(min=1, max=MOST, help="Statements, each an item in every form.")] = 200,
        seed: Seed = 0,
        column: Annotated[
            list[str] | None, typer.Option(help="Our name=your column, e.g. text=body (may be repeated).")
        ] = None,
        language: Annotated[str, typer.Option(help="Language of the documents, or a YAML file with its rules.")] = "en",
        retain: Annotated[
            list[str] | None,
            typer.Option(
                help="A task of what the model could do before, or 'none' (may be repeated). Default: the language's."
            ),
        ] = None,
        writer: Annotated[
            str | None,
            typer.Option(
                help="The model that writes more questions: a known name, a folder, a hub id, or a server's URL."
            ),
        ] = None,
        name: Annotated[str | None, typer.Option(help="With a server: the model's name there.")] = None,
        engine: Annotated[str, typer.Option(help="With a model: auto, local or vllm.")] = "auto",
        model: Annotated[
            str | None,
            typer.Option(
                help="The model to be tuned: questions that it can answer already are marked. Default: the writer."
            ),
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Make an exam on documents: does a model know them, listen to them, resist others? Applies decisions.jsonl."""
        from contextune.exam import languages
        from contextune.exam.make import Settings, make
        from contextune.exam.writing import writer_options
        from contextune.report.exam import exam_html
        from contextune.report.render import save

        kept = tuple(languages.load(language).retain if retain is None else [t for t in retain if t != "none"])
        for task in kept:
            registry.tasks.find(task)
        written = writer_options(writer, name, engine)
        if model is not None and written is None:
            raise UserError("--model has no effect without --writer", "--writer MODEL writes questions that it answers")
        if written is not None:
            from contextune.core.environment import quiet_libraries

            quiet_libraries()
        say = reporter(as_json)
        settings = Settings(items, seed, language, _columns(column or []), kept, written, model)
        made = make(tuple(documents), out, settings, say.say, Path())
        page = out / "index.html"
        if not made.unchanged or not _is_newer(page, out / "exam.json"):
            page = save(page, exam_html(out))
        if as_json:
            return print_json({"folder": str(out), "unchanged": made.unchanged, **made.counts})
        return show(made.counts, out, made.unchanged)


def _is_newer(page: Path, exam: Path) -> bool:
    """Whether a page was written after the exam; a command that was killed in between leaves an earlier one's."""
    return page.is_file() and page.stat().st_mtime_ns >= exam.stat().st_mtime_ns


def _columns(given: list[str]) -> tuple[tuple[str, str], ...]:
    pairs = [tuple(c.split("=", 1)) for c in given]
    if bad := [c for c, pair in zip(given, pairs, strict=True) if len(pair) < 2 or not all(pair)]:
        raise UserError(f"--column {bad[0]}: expected our name=your column", "--column text=body")
    return tuple((ours, theirs) for ours, theirs in pairs)


FEW = 20
"""Statements below which an exam tells hardly anything apart."""
LISTED = 6
"""Reasons that are listed; exam.json has all."""


def show(counts: dict[str, Any], out: Path, unchanged: bool) -> None:
    from contextune.exam.forms import FORMS

    said = counts["documents"]
    if unchanged:
        print(f"{out} is up to date: same documents, settings and decisions")
    read = f"{said['sentences']:,} sentences in {said['passages']:,} passages of {said['documents']:,} documents"
    print(f"{counts['statements']:,} statements of {read}, each in {len(FORMS)} forms")
    print("kinds    " + ", ".join(f"{kind} {n}" for kind, n in counts["kinds"].items()))
    for name, reasons in counts["left_out"].items():
        for reason, n in list(reasons.items())[:LISTED]:
            print(f"left out {n:,} {name}: {reason}")
    if "written" in counts:
        show_written(counts["written"], out)
    decided = counts["decisions"]
    if any(decided.values()):
        print(f"decided  {decided['accepted']} accepted, {decided['rejected']} rejected, {decided['mended']} mended")
    for id in decided["of_no_item"]:
        print(f"warning: there is a decision on {id}, but no such item in this exam")
    for path in said["passed_over"][:LISTED]:
        print(f"not read {path}")
    if (wanted := counts["settings"]["items"]) > counts["statements"]:
        print(f"warning: {wanted:,} statements are asked for, {counts['statements']:,} were found")
    if counts["statements"] < FEW:
        print(f"warning: fewer than {FEW} statements can hardly tell models apart: give more documents")
    print(f"look at {out / 'index.html'}; in a recipe: evaluate: {{tasks: [{out}/]}}")


def show_written(written: dict[str, Any], out: Path) -> None:
    """What a writer made, and why the rest was not kept."""
    for kind, n in written["kinds"].items():
        known = f", {n['known']} of them known before" if n["known"] else ""
        print(f"written  {kind.replace('_', ' ')}: {n['kept']} kept{known}, {n['refused']} refused")
    for reason, n in list(written["reasons"].items())[:LISTED]:
        print(f"refused  {n:,} written: {reason}")
    if written["reasons"]:
        print(f"all refused questions are in {out / 'refused.jsonl'}, with their reasons")
    if not any(n["kept"] for n in written["kinds"].values()):
        print("warning: none of the writer's questions was kept: try another writer; the items made by rule remain")
