"""data: what is read from documents, to look at, and as JSON Lines to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from contextune.core.errors import UserError

from .common import Json, a_path, print_json, reporter

LISTED = 6


def add_to(app: typer.Typer) -> None:
    @app.command(
        epilog="contextune data reports/ --out texts.jsonl    then in a recipe: data: {reports: {path: texts.jsonl}}"
    )
    def data(
        documents: Annotated[list[str], typer.Argument(help="Files, folders or globs.", show_default=False)],
        out: Annotated[
            Path | None, typer.Option(parser=a_path, help="Write the texts as JSON Lines, a row a document.")
        ] = None,
        page: Annotated[
            Path, typer.Option(parser=a_path, help="The page that shows what was read.", show_default="documents.html")
        ] = Path("documents.html"),
        drop_duplicates: Annotated[
            bool, typer.Option("--drop-duplicates", help="Leave paragraphs that repeat an earlier one out of --out.")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Show what is read from documents, page by page: the text, what was removed, and what is repeated."""
        from contextune.core import ownership
        from contextune.data.paths import refuse_within
        from contextune.data.read_documents import documents_source, read_documents
        from contextune.report.documents import documents_html
        from contextune.report.render import save

        if drop_duplicates and out is None:
            raise UserError("--drop-duplicates: nothing is written", "give --out FILE as well")
        if out is not None:
            ownership.may_write(out, inputs=[Path(d) for d in documents])
        source = documents_source(documents)
        for file, option in ((out, "--out"), (page, "--page")):
            if file is not None:
                fix = f"give another {option}, outside of them: it would be read with them the next time"
                refuse_within(source, Path(), file, f"{option} {file}: the file", fix)
        found = read_documents(source, Path(), reporter(as_json).say)
        saved = save(page, documents_html(found))
        rows = 0
        if out is not None:
            rows = _write(out, found.documents, found.repeats if drop_duplicates else {})
        counts = found.counts()
        if as_json:
            return print_json({"page": str(saved), "out": str(out) if out else None, **counts})
        for one in found.documents:
            print(f"{one.shown}: {_said(one)}")
        for path, reason in found.failed:
            print(f"warning: not read: {path}: {reason}")
        for path in found.passed_over[:LISTED]:
            print(f"passed over {path}")
        print(f"{counts['paragraphs']:,} paragraphs, {counts['repeated']:,} of them repeats; look at {saved}")
        if out is not None:
            print(f"{rows:,} rows in {out}; in a recipe: data: {{mine: {{path: {out}}}}}")
        return None


def _said(one: Any) -> str:
    parts = [f"{one.words:,} words"]
    if one.pages is not None:
        parts.append(f"{len(one.pages)} {'page' if len(one.pages) == 1 else 'pages'}")
    if one.removed:
        parts.append(f"{sum(one.removed.values())} lines of boilerplate removed")
    return ", ".join(parts)


def _write(out: Path, documents: Any, repeats: dict[tuple[int, int], Any]) -> int:
    import json

    from contextune.core import ownership

    rows = []
    for d, one in enumerate(documents):
        kept = [p for i, p in enumerate(one.paragraphs) if (d, i) not in repeats]
        if any(not p.startswith("#") for p in kept):
            title = {"title": one.title} if one.title else {}
            rows.append({"id": one.name, **title, "text": "\n\n".join(kept) if repeats else one.text})
    ownership.write(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return len(rows)
