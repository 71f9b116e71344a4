"""chat: ask the arms of a run, or any models, side by side."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contextune.core.errors import UserError

from .common import a_path

if TYPE_CHECKING:
    from contextune.chat.conversation import Conversation

MOST = 32_768
LONGEST = 2**24
"""Bytes of a context."""
HELP = "/context FILE  /context off  /retrieve QUESTION  /new  /quit"


def add_to(app: typer.Typer) -> None:
    @app.command(epilog="contextune chat runs/quickstart --page")
    def chat(
        models: Annotated[
            list[str], typer.Argument(help="A run's folder, or models: folder, known name, hub id.", show_default=False)
        ],
        arm: Annotated[list[str] | None, typer.Option(help="Of a run, this arm only (may be repeated).")] = None,
        seed: Annotated[int | None, typer.Option(min=0, help="Of a run, the training.", show_default="first")] = None,
        context: Annotated[
            Path | None, typer.Option(parser=a_path, help="A text file that precedes each question.")
        ] = None,
        documents: Annotated[
            list[str] | None, typer.Option(help="Files, folders or globs to retrieve passages from (may be repeated).")
        ] = None,
        k: Annotated[int, typer.Option("-k", min=1, max=50, help="Passages to retrieve for a question.")] = 4,
        system: Annotated[str, typer.Option(help="A system turn, for models with a chat template.")] = "",
        max_tokens: Annotated[int, typer.Option(min=1, max=MOST, help="Tokens of an answer.")] = 200,
        temperature: Annotated[float, typer.Option(min=0, max=10, help="0: always the likeliest token.")] = 0.0,
        draw: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of what is drawn at a temperature.")] = 0,
        page: Annotated[bool, typer.Option("--page", help="Serve a page on this machine instead.")] = False,
        port: Annotated[int, typer.Option(min=0, max=65535, help="With --page; 0: a free one.")] = 0,
    ) -> None:
        """Ask the arms of a run, or any models, side by side, with and without a context."""
        from contextune.chat.contexts import Library
        from contextune.chat.conversation import Conversation, Settings
        from contextune.chat.speakers import speakers
        from contextune.core.environment import quiet_libraries

        quiet_libraries()
        found = speakers(models, tuple(arm or ()), seed)
        read = _text(context) if context else ""
        library = Library(documents, k) if documents else None
        talk = Conversation(found, Settings(system, max_tokens, temperature, draw), library, read)
        print(f"loading {', '.join(s.name for s in found)}", file=sys.stderr)
        for speaker in found:
            talk.engine(speaker)
        return _serve(talk, port) if page else _talk(talk)


def _text(path: Path) -> str:
    from contextune.core.reading import read_text

    if not path.is_file():
        raise UserError(f"context {path}: no such file", "give a text file")
    return read_text(path, "a context", LONGEST)


def _serve(talk: Conversation, port: int) -> None:
    from contextune.chat.server import Page

    server = Page(talk, port)
    print(f"{server.address}\nCtrl-C stops it", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _talk(talk: Conversation) -> None:
    asks = sys.stdin.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # bytes that are no text of the terminal's encoding
    if asks:
        print(f"Ask, or: {HELP}")
    while True:
        try:
            line = input("> ") if asks else sys.stdin.readline()
        except (EOFError, KeyboardInterrupt):
            return print()
        if not asks and not line:
            return None
        question = line.strip()
        try:
            if question == "/quit":
                return None
            if question.startswith("/"):
                _command(talk, question)
            elif question:
                _answers(talk, question)
        except UserError as e:
            print(f"{e.message}\n  {e.hint}" if e.hint else e.message)
        except KeyboardInterrupt:
            print("\nstopped")


def _answers(talk: Conversation, question: str) -> None:
    width = max(len(s.name) for s in talk.speakers)
    for part in talk.ask(question):
        if part.kind == "context":
            about = f" (with {len(part.text.split()):,} words of context)" if part.text else ""
            print(f"{part.speaker:>{width}}{about}: ", end="", flush=True)
        elif part.kind == "end":
            print(flush=True)
        else:
            print(part.text, end="" if part.kind == "text" else "\n", flush=True)


def _command(talk: Conversation, line: str) -> None:
    name, _, rest = line[1:].partition(" ")
    if name == "context" and rest.strip() == "off":
        talk.context = ""
    elif name == "context" and rest.strip():
        talk.context = _text(Path(rest.strip()))
    elif name == "retrieve" and rest.strip():
        print(talk.seen(rest.strip()) or "no passage found")
    elif name == "new":
        talk.forget()
    else:
        print(HELP)
