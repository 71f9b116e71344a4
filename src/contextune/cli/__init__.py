"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from functools import cache

import typer
from typer.exceptions import TyperException

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads starve each other on shared cores
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.machine import refusal

from . import adapt, augment, chat, data, exam, export, hosted, inspect, models, recipes, run, signals, streams

app = typer.Typer(
    name="contextune",
    help="Fine-tune a language model so that what it learns generalises, and so that it still listens to its context.",
    epilog="Start with: contextune init quickstart  |  contextune run quickstart.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


FAULT = "hint: this is a fault in Contextune; --debug shows where"
INTERRUPTED = 130
"""The status that typer makes of an interrupt."""


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
    for group in (recipes, inspect, run, models, augment, data, exam, chat, adapt, export, hosted):
        group.add_to(app)
    for add_to in registry.commands.values():
        add_to(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Exits 0 if all is well, 1 on a fault of ours (and where more of `augment` failed than `--failures` allows), 2 on
    what the user can fix, 128 + N on signal N (130: Ctrl-C). As the process's own command line (no `arguments`) it
    also sees to signals and to streams that are closed, full or gone.
    """
    own = arguments is None
    if own:
        streams.lasting()
        signals.listen()
        atexit.register(gc.freeze)  # an exit need not look through all that torch has made, which takes a second
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    if debug:  # accepted anywhere, not just before the command
        arguments = ["--debug", *(a for a in arguments if a != "--debug")]
    status = _run(arguments, debug)
    if own:
        signals.ignore()
        if status == 0 and (error := streams.lost()):
            what = f"error: standard output: {error.strerror}; what was printed is not whole"
            status = _say(what, "hint: the work itself is done; make room, or print elsewhere", 2)
    sys.exit(status)


def _run(arguments: list[str], debug: bool) -> int:
    """The exit status; with `debug` errors are raised."""
    try:
        add_commands()
        status = app(arguments, standalone_mode=False)
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        return status if isinstance(status, int) else 0
    except (KeyboardInterrupt, typer.Abort) as e:
        if isinstance(e.__cause__, EOFError):  # of a file that ends too early, not of a person who stops
            return _say(f"error: EOFError: {e.__cause__}", FAULT, 1)
        number = signals.caught()
        what = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        return _say(what, "give the same command again: what was kept is not done again", 128 + number)
    except TyperException as e:
        shown = getattr(e, "show", None)
        shown() if shown else print(e, file=sys.stderr)
        return 2
    except Exception as e:
        if debug:
            raise
        known = e if isinstance(e, UserError) else refusal(e)
        if known is None:
            what = f"error: {type(e).__name__}: {e}"
            return _say(what, FAULT, 1)
        return _say(f"error: {known.message}", f"hint: {known.hint}" if known.hint else "", 2)


def _say(first: str, second: str, status: int) -> int:
    print(first, *([second] if second else []), sep="\n", file=sys.stderr)
    return status
