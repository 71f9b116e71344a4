"""export, serve: an arm for use elsewhere, as rows for a service, weights or a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from contextune.core.errors import UserError

from .common import AllowCommands, Json, Overrides, a_path, print_json, reporter
from .hosted import Arm, Draws, Instruction, _prepared, _rows, _said

ROWS = ("vertex", "messages", "tinker")
WEIGHTS = ("merged", "ollama", "gguf")
SeedOf = Annotated[int | None, typer.Option(min=0, help="The training, of a run.", show_default="first finished")]
Dtype = Annotated[str, typer.Option(help="Of the weights: float32, bfloat16 or float16.")]
RunFolder = Annotated[Path, typer.Argument(parser=a_path, help="A run's folder.", show_default=False)]
ArmOfRun = Annotated[str, typer.Option("--arm", help="The arm, with its finished weights.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    @app.command(epilog="contextune export runs/real --arm cft --to ollama --out cft/")
    def export(
        source: Annotated[
            Path,
            typer.Argument(
                parser=a_path,
                metavar="RUN|RECIPE",
                help="A run's folder (weights), or a recipe (rows).",
                show_default=False,
            ),
        ],
        arm: Arm,
        out: Annotated[
            Path, typer.Option(parser=a_path, help="Folder of weights, or file of rows, to write.", show_default=False)
        ],
        to: Annotated[
            str,
            typer.Option(
                "--to", help="Weights: merged, ollama, gguf. Rows: vertex, messages (OpenAI and others), tinker."
            ),
        ] = "merged",
        overrides: Overrides = None,
        seed: SeedOf = None,
        dtype: Dtype = "float32",
        push: Annotated[
            str | None, typer.Option(help="Also upload to the Hugging Face hub, private: USER/NAME.")
        ] = None,
        draws: Draws = 1,
        instruction: Instruction = "",
        allow_commands: AllowCommands = False,
        as_json: Json = False,
    ) -> None:
        """Export an arm: its weights from a finished run, or its rows in the format of a hosted service."""
        if to not in ROWS + WEIGHTS:
            known = f"of a run: {', '.join(WEIGHTS)}; of a recipe: {', '.join(ROWS)}"
            raise UserError(f"--to: unknown form {to!r:.40}", known)
        if to in WEIGHTS:
            if source.is_file():
                raise UserError(f"{source}: a file; --to {to} takes the weights of a finished run", "give runs/NAME")
            _refuse(to, "rows", {"KEY=VALUE": overrides, "--draws": draws != 1, "--instruction": instruction})
            return _weights(source, arm, to, out, seed, dtype, push, allow_commands, as_json)
        if source.is_dir():
            raise UserError(f"{source}: a folder; --to {to} takes an arm's rows from a recipe", "give RECIPE.yaml")
        given = {"--seed": seed is not None, "--dtype": dtype != "float32", "--push": push}
        _refuse(to, "weights", given)
        return _write_rows(source, overrides, arm, to, out, draws, instruction, as_json)

    @app.command(epilog="contextune serve runs/real --arm cft")
    def serve(
        run: RunFolder,
        arm: ArmOfRun,
        seed: SeedOf = None,
        port: Annotated[int, typer.Option(min=1, max=65535, help="On 127.0.0.1.")] = 8000,
        server: Annotated[str, typer.Option("--with", help="auto (vLLM where installed), transformers or vllm.")] = (
            "auto"
        ),
        dtype: Annotated[str | None, typer.Option(help="As for export.", show_default="as they are")] = None,
        out: Annotated[
            Path | None,
            typer.Option(parser=a_path, help="Folder for weights that are merged.", show_default="the cache"),
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command; start nothing.")] = False,
        allow_commands: AllowCommands = False,
    ) -> None:
        """Serve an arm as an OpenAI-compatible API on 127.0.0.1, by transformers serve or vLLM."""
        import shlex

        from contextune.core.commands import allowing
        from contextune.core.environment import quiet_libraries
        from contextune.deploy import serve as servers
        from contextune.deploy.arm import finished
        from contextune.deploy.export import served_folder
        from contextune.models.load import load_tokenizer

        quiet_libraries()
        with allowing(allow_commands):
            found = finished(run, arm, seed)
            servers.command(found.path, port, server)
            if not dry_run:
                servers.refuse_taken(port)
            folder = served_folder(found, out, dtype, reporter(True).say)
        line = servers.command(folder, port, server)
        template = bool(load_tokenizer(str(folder), found.model).chat_template)
        print(f"{shlex.join(line)}\n\nAsk it with:\n{servers.asking(folder, port, template)}")
        if not template:
            print("The tokenizer has no chat template: /v1/completions works, /v1/chat/completions does not.")
        if not dry_run:
            print("Ctrl-C stops it", flush=True)
            servers.become(line)


def _refuse(to: str, kind: str, given: Mapping[str, object]) -> None:
    if unused := next((name for name, value in given.items() if value), None):
        raise UserError(f"{unused} has no meaning with --to {to}", f"it is for {kind}")


def _weights(
    run: Path,
    arm: str,
    to: str,
    out: Path,
    seed: int | None,
    dtype: str,
    push: str | None,
    allow: bool,
    as_json: bool,
) -> None:
    from contextune.core.commands import allowing
    from contextune.core.environment import quiet_libraries
    from contextune.deploy import export as exports
    from contextune.deploy.arm import finished

    quiet_libraries()
    if push is not None:
        exports.refuse_hub_name(push)
    with allowing(allow):
        found: dict[str, Any] = exports.export(finished(run, arm, seed), to, out, dtype, reporter(as_json).say)
    if push is not None:
        found["pushed"] = exports.push(out, push)
    if as_json:
        return print_json(found)
    print(f"{out}: {arm} in {dtype}; logits within {found['difference']:.1e} of the run's, on a probe of random tokens")
    for line in (*found["notes"], *found["next"], *([found["pushed"]] if push else [])):
        print(line)
    return None


def _write_rows(
    file: Path,
    overrides: list[str] | None,
    arm: str,
    to: str,
    out: Path,
    draws: int,
    instruction: str,
    as_json: bool,
) -> None:
    from contextune.core import ownership

    prepared = _prepared(file, overrides, arm, as_json)
    ownership.may_write(out)
    text, found = _rows(prepared, arm, to, draws, instruction)
    ownership.write(out, text)
    found = {"file": str(out), "form": to, **found}
    print_json(found) if as_json else print(_said(found))
