"""What is trained on, token by token: context dim, target lit, special tokens marked. For a page and for a terminal.

A row: {"arm", "stage", "row", "record", "epochs": [{"epoch", "tokens", "provenance", "counts"}]}; a token:
{"id", "text", "label", "position", "special", "role"}. A token is lit if, and only if, its label is not -100.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .numbers import num
from .text import pieces, shown

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

IGNORED = -100
SIDE_BY_SIDE = 110
"""Columns a terminal needs for two epochs beside each other."""

Token = Mapping[str, Any]
Epoch = Mapping[str, Any]
PreviewRow = Mapping[str, Any]


def lit(token: Token) -> bool:
    """Whether the token bears a label."""
    return bool(token["label"] != IGNORED)


def said(epoch: Epoch) -> list[tuple[str, str]]:
    """The provenance as (key, text)."""
    return [(str(k), _plain(v)) for k, v in dict(epoch.get("provenance") or {}).items()]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def counts(epoch: Epoch) -> str:
    return " · ".join(f"{num(v)} {k}" for k, v in dict(epoch.get("counts") or {}).items())


def note(epoch: Epoch) -> str:
    """The one label that is not trained on: nothing precedes a row's first token to predict it from."""
    first = next(iter(epoch["tokens"]), None)
    return "The first token has a label, but nothing before it: it is not trained on." if first and lit(first) else ""


def heading(row: PreviewRow) -> str:
    record = f" · record {row['record']}" if row.get("record") not in (None, "") else ""
    return f"stage {row['stage']} · row {row['row']}{record}"


def preview_html(rows: Sequence[PreviewRow]) -> str:
    """A self-contained page of `rows`, epochs side by side."""
    from . import looks, render, tables

    names = list(dict.fromkeys(str(row["arm"]) for row in rows))
    look = {name: looks.ArmLook(name, f"a{i % looks.COLOURS}") for i, name in enumerate(names)}
    views = [
        {
            "look": look[str(row["arm"])],
            "heading": heading(row),
            "epochs": [
                {
                    "epoch": epoch["epoch"],
                    "tokens": [{**token, "lit": lit(token)} for token in epoch["tokens"]],
                    "provenance": said(epoch),
                    "counts": counts(epoch),
                    "note": note(epoch),
                    "table": _table(epoch["tokens"], tables),
                }
                for epoch in row["epochs"]
            ],
        }
        for row in rows
    ]
    return render.page("preview.html.jinja", rows=views, title="Preview")


def _table(tokens: Sequence[Token], tables: Any) -> Any:
    heads = (
        tables.Column("Position"),
        tables.Column("Id"),
        tables.Column("Label"),
        tables.Column("Token", numeric=False),
    )
    rows = [
        (*(tables.Cell(_sign(t[k]), t[k]) for k in ("position", "id", "label")), tables.Cell(_marked(t["text"])))
        for t in tokens
    ]
    return tables.Table(heads, tuple(rows))


def _sign(number: int) -> str:
    return str(number).replace("-", "−")


def _marked(text: str) -> str:
    return shown(text).replace(" ", "·").replace("\n", "⏎")


def preview_text(rows: Sequence[PreviewRow], console: Console, ids: bool = False) -> None:
    """Print `rows` with rich: context dim, target bold green, specials reversed; `ids` adds a table of all tokens.

    Where the console has no colours, ⟦ ⟧ stand around what is lit.
    """
    from rich.rule import Rule
    from rich.text import Text

    plain = console.color_system is None
    for row in rows:
        console.print(
            Rule(
                Text.assemble((str(shown(row["arm"])), "bold"), f" · {shown(heading(row))}"), align="left", style="dim"
            )
        )
        epochs = row["epochs"]
        beside = len(epochs) > 1 and console.width >= SIDE_BY_SIDE
        width = (console.width - 3 * (len(epochs) - 1)) // len(epochs) if beside else console.width
        blocks = [_block(epoch, width, plain, ids) for epoch in epochs]
        if beside:
            console.print(_columns(blocks))
        else:
            for block in blocks:
                console.print(block)
    console.print(legend(plain))


def legend(plain: bool) -> Text:
    from rich.text import Text

    marks = ("⟦", "⟧") if plain else ("", "")
    return Text.assemble(
        (f"{marks[0]}target, is trained on{marks[1]}", "bold green"), "   ", ("context, read only (label -100)", "dim"),
        "   ", ("special", "reverse"), "   ", ("· space  ⏎ line end  ⇥ tab", "dim"),
    )  # fmt: skip


def _columns(blocks: list[RenderableType]) -> RenderableType:
    from rich.table import Table

    grid = Table.grid(expand=True, padding=(0, 3, 0, 0))
    for _ in blocks:
        grid.add_column(ratio=1, vertical="top")
    grid.add_row(*blocks)
    return grid


def _block(epoch: Epoch, width: int, plain: bool, ids: bool) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(f"epoch {epoch['epoch']}   {counts(epoch)}", style="italic"), Text()]
    parts += [wrap(tokens_text(epoch["tokens"], plain), width), Text()]
    parts += [Text(note(epoch), style="yellow")] if note(epoch) else []
    parts += [Text(f"{key}: {_marked_line(value)}", style="dim") for key, value in said(epoch)]
    return Group(*parts, *([_ids(epoch["tokens"])] if ids else []), Text())


def _marked_line(text: str) -> str:
    return shown(text).replace("\n", "⏎")


def tokens_text(tokens: Sequence[Token], plain: bool = False) -> Text:
    """Tokens as one styled text; with `plain`, brackets around each lit stretch."""
    from rich.text import Text

    text, was = Text(), False
    for token in tokens:
        now = lit(token)
        if plain and now != was:
            text.append("⟦" if now else "⟧")
        style = ("bold green" if now else "dim") + (" reverse" if token["special"] else "")
        for kind, piece in pieces(token["text"]):
            text.append("⏎\n" if kind == "line" else piece, style)
        was = now
    if plain and was:
        text.append("⟧")
    return text


def wrap(text: Text, width: int) -> Text:
    """Lines of at most `width` cells, broken before a visible space where there is one."""
    from rich.cells import cell_len
    from rich.text import Text

    breaks: list[int] = []
    start = used = 0
    space = -1
    for i, char in enumerate(text.plain):
        if char == "\n":
            start, used, space = i + 1, 0, -1
            continue
        while used + cell_len(char) > width and i > start:  # once more where the rest of a word is still too long
            start = space if space > start else i
            breaks.append(start)
            used, space = cell_len(text.plain[start:i]), -1
        space = i if char == "·" else space
        used += cell_len(char)
    return Text("\n").join(text.divide(breaks))


def _ids(tokens: Sequence[Token]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table("position", "id", "label", "token", box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in table.columns[:3]:
        column.justify = "right"
    for t in tokens:
        style = ("bold green" if lit(t) else "dim") + (" reverse" if t["special"] else "")
        table.add_row(str(t["position"]), str(t["id"]), str(t["label"]), Text(_marked(t["text"]), style))
    return table
