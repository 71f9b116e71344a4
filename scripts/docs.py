"""Re-make what the pages in docs/ print: `make docs`, or `python scripts/docs.py [--check] [PAGE ...]`.

    <!-- run: COMMAND -->       the fenced block below becomes the command and what it really prints
    <!-- file: example/X -->    the fenced block below becomes that file
    <!-- keys: GROUP -->        the table below becomes the recipe's keys of a group, from the pydantic models

Commands of a page run one after the other in a folder of its own: docs/example and a small untrained model in `model`,
whose tokenizer is trained on the example's texts. What differs from run to run or from machine to machine (times,
sizes, temporary paths) is shown as `…`. With --check nothing is written; exit 1 where a page would change.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLE = DOCS / "example"
MARK = re.compile(
    r"(?P<head><!-- (?P<kind>run|file|keys): (?P<what>.+?) -->\n)"
    r"(?P<body>```[^\n]*\n.*?\n```(?=\n|\Z)|(?:\|[^\n]*(?:\n|\Z))+|)",
    re.DOTALL,
)
UNSTEADY = (  # pattern, what is shown
    (r"\d+\.\d{3} s each, [\d,]+ tokens/s", "… s each, … tokens/s"),
    (r"about (\d+ h )?(\d+ min )?(\d+ s )?in all", "about … in all"),
    (r"(training|validation|search|evaluation|samples|writing) (\d+ h )?(\d+ min )?\d+ s", r"\1 …"),
    (r"about [\d.,]+ [MG]iB at most, [\d.,]+ [MG]iB free", "about … at most, … free"),
    (r"(memory   \S+: )[^\n]*", r"\1… at the peak …"),
    (r"[\d.,]+ [MG]iB at most before, [\d.,]+ [MG]iB free", "… at most before, … free"),
    (r"Writing model shards: .*\n?", ""),
    (r"[ \t]+(?=\n|\Z)", ""),
)


@dataclass(frozen=True)
class Mark:
    """A comment and the block that it makes."""

    kind: str
    what: str
    body: str


def marks(text: str) -> Iterator[Mark]:
    for found in MARK.finditer(text):
        yield Mark(found["kind"], found["what"], found["body"])


def commands(text: str) -> Iterator[str]:
    """Every `contextune …` that a page's run-comments give, without what it is piped into."""
    for mark in marks(text):
        if mark.kind == "run":
            yield from (part.strip() for part in re.split(r"\||&&|;", mark.what) if "contextune" in part)


def pages() -> list[Path]:
    return [ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


def remake(text: str, folder: Callable[[], Path]) -> str:
    """The page with all its blocks made anew; `folder` prepares where its commands run."""

    def block(found: re.Match[str]) -> str:
        kind, what = found["kind"], found["what"]
        body = {"run": lambda: printed(what, folder()), "file": lambda: file(what), "keys": lambda: keys(what)}[kind]()
        return found["head"] + body + ("" if found["body"] or kind == "keys" else "\n")

    return MARK.sub(block, text)


def printed(command: str, folder: Path) -> str:
    """Command and output as a fenced block. Raises where the command fails, unless it ends in `|| true`."""
    environment = {
        **os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "100", "NO_COLOR": "1",
        "TERM": "dumb", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0",
    }  # fmt: skip
    bash = ["bash", "-o", "pipefail", "-c", command]
    done = subprocess.run(
        bash, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stdout}\nexit {done.returncode}")
    return f"```console\n$ {command.removesuffix(' || true')}\n{steady(done.stdout, folder)}\n```"


def steady(text: str, folder: Path) -> str:
    text = text.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "")
    for pattern, shown in UNSTEADY:
        text = re.sub(pattern, shown, text)
    return text.strip("\n")


def file(name: str) -> str:
    path = DOCS / name
    kind = {".yaml": "yaml", ".jsonl": "json", ".py": "python"}.get(path.suffix, "")
    return f"```{kind}\n{path.read_text(encoding='utf-8').rstrip()}\n```"


# The recipe's keys

MEANING = {  # of keys whose model says nothing more than their name
    "Adapter.alpha": "scale: the adapter's output is multiplied by alpha / rank",
    "Adapter.dropout": "on the adapter's input, while training",
    "Adapter.kind": "lora; dora: magnitude and direction apart; qlora: lora on 4-bit weights; osf: the smaller "
    "singular directions",
    "Adapter.rank": "of the two matrices that stand for a change of weights",
    "Compare.confidence": "of all intervals",
    "Compare.resamples": "of the bootstrap",
    "Model.revision": "hub only: a branch, tag or commit",
    "Recipe.about": "one line for the report",
    "Recipe.arms": "name: arm; an arm of one stage may be written as that stage, an untrained one as nothing",
    "Recipe.compare": "see compare below",
    "Recipe.data": "name: source; see below",
    "Recipe.evaluate": "see evaluate below",
    "Recipe.model": "a path, or a mapping; see model below",
    "Recipe.name": "names the run's folder",
    "Recipe.seeds": "every arm is trained once a seed",
    "Recipe.train": "see train below",
    "Recipe.writer": "see writer below",
    "Arm.stages": "one or more rounds of training, in order; none: the untrained model",
    "Train.adapter": "train an adapter in place of all weights; see train.adapter below",
    "Train.betas": "of AdamW, in 8 bits too",
    "Train.epochs": "passes over the stage's records; fractions are allowed",
    "Train.lr": "the highest learning rate",
    "Train.precision": "bf16 keeps trained weights in fp32 and multiplies in bfloat16; under an adapter frozen weights "
    "are kept in it too; auto: where the machine gains from it",
    "Train.schedule": "of the learning rate after the warm-up; linear and cosine end at 0",
    "Train.weight_decay": "of AdamW, not on biases and norms",
}


@cache
def groups() -> dict[str, Any]:
    """Group in recipe.md: pydantic model."""
    from contextune.contexts.examples import Examples
    from contextune.data.options import Source
    from contextune.evaluate.options import Compare, Evaluate
    from contextune.evaluate.tasks.retrieved import Retrieve
    from contextune.experiment.halving import Search
    from contextune.experiment.recipe import Arm, Recipe, Stage
    from contextune.generation.options import Writer
    from contextune.models.options import Adapter, Model
    from contextune.train.objectives.kl import KL
    from contextune.train.options import Train
    from contextune.train.track_options import MLflow, Track, Trackio, Wandb

    return {
        "top": Recipe, "model": Model, "data.NAME": Source, "arms.NAME": Arm, "arms.NAME.stages": Stage,
        "arms.NAME.before": Retrieve, "examples": Examples, "train": Train, "train.adapter": Adapter, "train.kl": KL,
        "search": Search, "evaluate": Evaluate, "compare": Compare, "writer": Writer,
        "track": Track, "track.trackio": Trackio, "track.wandb": Wandb, "track.mlflow": MLflow,
    }  # fmt: skip


@cache
def registered() -> dict[str, dict[str, Any]]:
    """Group in recipe.md: pydantic models by the name that a recipe calls them by."""
    from contextune.core import registry

    return {
        "policies": dict(sorted(registry.policies.items())),
        "operations": dict(sorted(registry.operations.items())),
        "filters": dict(sorted(registry.filters.items())),
        "similarities": dict(sorted(registry.similarities.items())),
        "callbacks": dict(sorted(registry.callbacks.items())),
        "objectives": dict(sorted(registry.objectives.items())),
    }


def keys(group: str) -> str:
    """A Markdown table of a group's keys; of what is registered, a row for each of its own keys."""
    if group in registered():
        head = ["| name | key | values | default | meaning |", "| --- | --- | --- | --- | --- |"]
        rows = [row for name, model in registered()[group].items() for row in _own_rows(name, model)]
        return "\n".join([*head, *rows]) + "\n"
    rows = ["| key | values | default | meaning |", "| --- | --- | --- | --- |"]
    for key, info in groups()[group].model_fields.items():
        rows.append(f"| `{key}` | {_values(info)} | {_default(info)} | {meaning(groups()[group], key)} |")
    return "\n".join(rows) + "\n"


def _own_rows(name: str, model: Any) -> list[str]:
    """The keys that the model does not share with all that show examples; its first line where it has none."""
    shared = groups()["examples"].model_fields if issubclass(model, groups()["examples"]) else {}
    own = {k: i for k, i in model.model_fields.items() if k not in shared or str(i) != str(shared[k])}
    about = (model.__doc__ or "").strip().splitlines()[0]
    rows = [f"| `{name}` | | | | {about} |"]
    return rows + [f"| | `{k}` | {_values(i)} | {_default(i)} | {meaning(model, k)} |" for k, i in own.items()]


def meaning(model: type, key: str) -> str:
    own = model.model_fields[key].description  # type: ignore[attr-defined]
    text = own or MEANING.get(f"{model.__name__}.{key}", "")
    return str(text).replace("|", "\\|")


def _values(info: Any) -> str:
    """The type in plain words, with its bounds."""
    text = str(info.annotation)
    choices = re.findall(r"Literal\[([^]]*)\]", text)
    if choices:
        before = text.split("Literal")[0]
        words = ["whole number"] if "int" in before else ["true, false"] if "bool" in before else []
        return " \\| ".join(words + [f"`{c.strip(chr(32) + chr(39))}`" for c in choices[0].split(",")])
    found = next((said for part, said in KINDS if part in text), "mapping")
    if found == "policy" and not info.is_required():
        key = getattr(info.get_default(call_default_factory=True), "key", found)
        found = key if key == "objective" else found
    return found + (_bounds(info) if "number" in found else "")


KINDS = (  # in an annotation, in words; the first that fits
    ("bool", "true, false"), ("tuple[str | dict", "list"), ("dict", "mapping"), ("tuple[float, float]", "two numbers"),
    ("str | tuple", "text or list"), ("typing.Union[", "text or list"), ("tuple", "list"), ("int", "whole number"),
    ("float", "number"), ("Any", "policy"), ("str", "text"),
)  # fmt: skip


def _bounds(info: Any) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    bounds = [(sign, getattr(m, k)) for m in info.metadata for k, sign in signs.items() if hasattr(m, k)]
    found = [f"{sign} {n:,}" if isinstance(n, int) else f"{sign} {n:g}" for sign, n in bounds]
    return f" {' and '.join(found)}" if found else ""


def _default(info: Any) -> str:
    from pydantic import BaseModel

    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return f"`{value.name}`" if hasattr(value, "plain") else "as below"
    if value is None or value == "" or value == () or value == {}:
        return "none"
    if isinstance(value, str):
        return f"`{value!r}`" if set(value) & set(" {\n") else f"`{value}`"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


# Where commands run


def prepare(home: Path) -> Path:
    """A folder with the example and a model; made once, copied for each page."""
    project = home / "project"
    shutil.copytree(EXAMPLE, project)
    prompts = "contextune prompts learning | grep '^    ' > prompts.txt"
    sizes = "--vocabulary 1500 --width 64 --layers 2"
    scratch = f"contextune scratch model --text articles.jsonl --text prompts.txt {sizes}"
    printed(f"{prompts} && {scratch} && rm prompts.txt", project)
    return project


def main(arguments: list[str]) -> int:
    checking = "--check" in arguments
    wanted = [Path(a).resolve() for a in arguments if not a.startswith("-")] or pages()
    stale = []
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        made: list[Path] = []

        def folder_of(page: Path) -> Callable[[], Path]:
            @cache
            def folder() -> Path:
                if not made:
                    made.append(prepare(home))
                return Path(shutil.copytree(made[0], home / page.stem))

            return folder

        for page in wanted:
            old = page.read_text(encoding="utf-8")
            new = remake(old, folder_of(page))
            if new != old:
                stale.append(page.name)
                if not checking:
                    page.write_text(new, encoding="utf-8")
    print(f"{'stale' if checking else 'changed'}: {', '.join(stale) or 'nothing'}")
    return int(checking and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
