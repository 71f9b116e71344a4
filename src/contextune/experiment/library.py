"""The calls of the library that need no command line: check a recipe, score a model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

from contextune import models
from contextune.core.asking import window
from contextune.core.errors import UserError
from contextune.core.memory import size_of
from contextune.core.options import parse_options, whole
from contextune.core.sequence import Tokenizer
from contextune.evaluate.analysis.summary import summarise
from contextune.evaluate.options import Compare
from contextune.evaluate.scoring import outcomes
from contextune.evaluate.tasks.load import load_task
from contextune.models.at_once import AtOnce

from . import preflight
from .prepare import Prepared, prepare
from .recipe import RecipeLike, as_recipe, folder_of
from .run_files import look


def check(
    recipe: RecipeLike | Prepared,
    *,
    base: Path | str | None = None,
    overrides: Iterable[str] | str = (),
    measure: bool = True,
    memory: int | str | None = None,
) -> dict[str, Any]:
    """Everything that can be known before training, as `contextune check --json` prints it.

    `recipe` is a file, its values, a Recipe or what `prepare` made of one. With `measure` a small probe gives time
    and memory. `memory` ("80GB", or bytes) is that of a GPU that is not here: whether the recipe fits it. Raises
    UserError for whatever would stop the run.
    """
    stated = size_of(memory) if isinstance(memory, str) else memory
    if isinstance(recipe, Prepared):
        return preflight.check(recipe, measure, stated)
    made, folder = as_recipe(recipe, base, overrides)
    look(folder_of(made))
    return preflight.check(prepare(made, folder, folder_of(made), plan=True), measure, stated)


def score(
    model: Any,
    tokenizer: Tokenizer,
    tasks: Seq[str | Mapping[str, Any]] | str | Mapping[str, Any],
    *,
    limit: int | None = None,
    base: Path | str = ".",
    tokens: AtOnce = "auto",
    resamples: int = 2000,
) -> dict[str, Any]:
    """A loaded model on tasks: {"tasks": {name: {metric, value, interval, n, metrics}}, "outcomes": {name: table}}.

    `tasks` are names, files or mappings, as in a recipe's `evaluate.tasks`; `base` is where their paths begin. An
    outcome is one row an item, from which every value is computed. Raises UserError.
    """
    from contextune.evaluate.scoring.score import score as score_tasks  # imports torch

    given = {**({} if tokens == "auto" else {"tokens": tokens}), **({} if limit is None else {"limit": limit})}
    for name, value in given.items():
        whole(value, f"score: {name}", 1)
    compare = parse_options(lambda: Compare(resamples=resamples), "score")
    specs = [tasks] if isinstance(tasks, str | Mapping) else tasks
    found = [
        t for spec in specs for t in load_task(spec, Path(base), limit, tokenizer, window=window(model, tokenizer))
    ]
    if not found:
        raise UserError("score: no task was given", 'tasks=["mmlu_medical"], or a task file')
    with models.threads(0, model.num_parameters()):
        tables = score_tasks(model.eval(), tokenizer, found, arm="model", seed=0, tokens=tokens)
    with tempfile.TemporaryDirectory() as folder:
        for name, table in tables.items():
            outcomes.write(Path(folder) / outcomes.file_name("model", 0, name), table)
        results = summarise(Path(folder), compare, {"model": ""}, "model")
    return {"tasks": results["arms"]["model"]["tasks"], "outcomes": tables}
