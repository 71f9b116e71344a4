"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from functools import cache

import typer
from typer.exceptions import TyperException

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads starve each other on shared cores
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from contextune.core import registry
from contextune.core.errors import UserError

from . import adapt, augment, inspect, models, recipes, run

app = typer.Typer(
    name="contextune",
    help="Fine-tune a language model so that what it learns generalises, and so that it still listens to its context.",
    epilog="Start with: contextune init quickstart  |  contextune run quickstart.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


def _version(wanted: bool) -> None:
    if wanted:
        from contextune import __version__

        print(f"contextune {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and stop."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    pass


@cache
def add_commands() -> None:
    """Add the commands of the package, then those that plug-ins register (`registry.commands`); once."""
    for group in (recipes, inspect, run, models, augment, adapt):
        group.add_to(app)
    for add_to in registry.commands.values():
        add_to(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits 0 if all is well, 1 on a fault of ours, 2 on what the user can fix, 130 on Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    if debug:  # accepted anywhere, not just before the command
        arguments = ["--debug", *(a for a in arguments if a != "--debug")]
    atexit.register(gc.freeze)  # an exit need not look through all that torch has made, which takes a second
    try:
        add_commands()
        status = app(arguments, standalone_mode=False)
        if status == INTERRUPTED:  # typer makes it of Ctrl-C
            raise KeyboardInterrupt
    except typer.Abort:
        status = _say("stopped", "", INTERRUPTED)
    except TyperException as e:
        shown = getattr(e, "show", None)
        shown() if shown else print(e, file=sys.stderr)
        status = 2
    except UserError as e:
        if debug:
            raise
        status = _say(f"error: {e.message}", f"hint: {e.hint}" if e.hint else "", 2)
    except KeyboardInterrupt:
        status = _say("interrupted", "give the same command again: what was kept is not done again", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception as e:
        if debug:
            raise
        status = _say(f"error: {type(e).__name__}: {e}", "hint: this is a fault in Contextune; --debug shows where", 1)
    sys.exit(status if isinstance(status, int) else 0)


def _say(first: str, second: str, status: int) -> int:
    print(first, *([second] if second else []), sep="\n", file=sys.stderr)
    return status
