"""adapt: labelled examples stream in, no training; who gains?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from contextune.core.errors import UserError, shown
from contextune.core.files import digest, write_json, write_text
from contextune.core.reading import whole_number

from .common import MOST, Json, Seed, a_path, print_json, reporter


def add_to(app: typer.Typer) -> None:
    @app.command(epilog="contextune adapt my-model --task mtop_de=data/mtop --limit 200")
    def adapt(
        model: Annotated[str, typer.Argument(help="Model folder, 'pocket' or hub id.")],
        task: Annotated[str, typer.Option("--task", help="Built-in name, name=PATH to local data, or a task file.")],
        pool: Annotated[str, typer.Option(help="File of solved rows, read as the task's own; default: its pool.")] = "",
        k: Annotated[int, typer.Option(min=1, max=64, help="Examples in a context.")] = 4,
        similarity: Annotated[str, typer.Option(help="overlap or lexical.")] = "overlap",
        near: Annotated[
            float, typer.Option(min=0, max=1, help="From this similarity on an example is a neighbour.")
        ] = 2 / 3,
        sizes: Annotated[str, typer.Option(help="Readings, e.g. 0,16,64; default: by fours up to the pool.")] = "",
        limit: Annotated[int | None, typer.Option(min=1, max=MOST, help="The first N items.")] = None,
        feedback: Annotated[int | None, typer.Option(min=1, max=MOST, help="The first N examples of the pool.")] = None,
        seed: Seed = 0,
        out: Annotated[Path, typer.Option(parser=a_path, help="Folder for what comes of it.")] = Path("runs/adapt"),
        as_json: Json = False,
    ) -> None:
        """Accuracy on the neighbours of new examples, and on the rest, as they come in. Trains nothing."""
        asked = {"k": k, "similarity": similarity, "seed": seed, **({"pool": pool} if pool else {})}
        made = _adapt(model, task, asked, near, _sizes(sizes), limit, feedback, out, as_json)
        if as_json:
            return print_json(made)
        counts = made["items"]
        print(f"{made['task']}: {made['metric']}, {counts['neighbours']} neighbours, {counts['rest']} others")
        print(f"{'examples':>9} {'neighbours':>11} {'rest':>7}")
        for r in made["readings"]:
            shown = [f"{r[g]:.4f}" if r[g] is not None else "–" for g in ("neighbours", "rest")]
            print(f"{r['feedback']:>9} {shown[0]:>11} {shown[1]:>7}")
        return print(made["figure"])


def _sizes(text: str) -> list[int]:
    parts = [p.strip() for p in text.split(",") if p.strip()]
    sizes = [n for p in parts if (n := whole_number(p)) is not None]
    if len(sizes) < len(parts):
        raise UserError(f"sizes: {shown(text)}", "whole numbers with commas, e.g. 0,16,64")
    return sizes


def _adapt(
    model: str, task: str, graded: dict[str, Any], near: float, sizes: list[int], limit: int | None,
    feedback: int | None, out: Path, quiet: bool,
) -> dict[str, Any]:  # fmt: skip
    from dataclasses import replace

    from contextune import models
    from contextune.core.environment import quiet_libraries
    from contextune.core.ownership import claim
    from contextune.core.progress import keeping
    from contextune.evaluate import adaptation
    from contextune.evaluate.tasks.load import benches
    from contextune.experiment.scoring import open_for_scoring
    from contextune.models.options import Model

    quiet_libraries()
    claim(out, "adaptation", "--out", "give another --out")
    name, _, path = task.partition("=")
    spec = {"task": name, "graded": graded, **({"path": path} if path else {})}
    found = benches(spec, Path(), limit)
    if len(found) != 1:
        raise UserError(f"'{task}' is a group of {len(found)} tasks", f"one at a time: {found[0].task.name}, …")
    bench = replace(found[0], pool=found[0].pool[:feedback])
    readings = adaptation.sizes_of(len(bench.pool), sizes)
    streamed = adaptation.stream(bench, near)
    where = models.resolve(Model(path=model), Path())
    models.check(where)
    items = [(i.id, i.prompt, i.gold) for i in bench.task.items]
    shown = [e.text for e in bench.pool]
    key = digest([models.fingerprint(where), items, shown, graded, bench.task.max_tokens, near])
    kept = out / bench.task.name / key[:12]
    kept.mkdir(parents=True, exist_ok=True)
    tokenizer = models.load_tokenizer(where)
    ready = open_for_scoring(Model(path=model), where)
    with (
        keeping(lambda: f"kept in {kept}: the readings so far"),
        reporter(quiet).counting("adapting", len(readings)) as line,
        models.threads(0, ready.num_parameters()),
    ):
        ask = adaptation.scorer(ready, tokenizer)
        made = adaptation.run(streamed, readings, ask, kept, lambda n: line.advance("adapting", f"{n} examples"))
    picture = out / f"{bench.task.name}.svg"
    write_text(picture, adaptation.figure(made))
    made |= {"model": where, "figure": str(picture)}
    write_json(out / f"{bench.task.name}.json", made)
    return made
