"""Score what a run has trained: every arm at every seed, each task once; what is scored already is not scored again."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

from contextune import models
from contextune.augment.room import window_of
from contextune.core.asking import window
from contextune.core.commands import refuse_commands
from contextune.core.environment import quiet_libraries
from contextune.core.errors import UserError
from contextune.core.files import Damaged, checksum, digest, read_sealed, write_json, write_sealed
from contextune.core.items import Task
from contextune.core.machine import refusals
from contextune.core.ownership import claim
from contextune.core.progress import Reporter, keeping, read_or_say, say_once
from contextune.evaluate import metrics
from contextune.evaluate.options import Compare, Evaluate
from contextune.evaluate.scoring import outcomes
from contextune.models.options import Model

from . import weights
from .alike import Wanted, copied, first_alike
from .prepare import Prepared
from .run_dir import fingerprint_of, locked, model_of, stage_folder
from .workers import Workers, advance

EvaluationResult = dict[str, Any]
SAMPLE = 40
"""Tokens that a sample of the report has at most; half of what a model reads, where that is less."""


def refuse_gone(prepared: Prepared) -> None:
    """UserError where a model that was let go of is still to be asked."""
    index = _index(prepared.out / "outcomes")
    for arm, seed in models_of(prepared):
        if not weights.let_go(prepared, last_stage(prepared, arm, seed)):
            continue
        for task in prepared.scored(arm):
            name = name_of(arm, seed, task)
            if index.get(name) != _key(prepared, arm, seed, task) or outcomes.fault(prepared.out / "outcomes" / name):
                trains = prepared.recipe.models_of(arm)
                raise UserError(
                    f"{prepared.out}: task {task.name} is to be asked of arm {trains} at seed {seed}, whose weights "
                    f"were not kept (keep: {prepared.recipe.keep})",
                    weights.again(trains),
                )


def evaluate_all(prepared: Prepared, reporter: Reporter, workers: Workers | None = None) -> None:
    """Outcomes of every arm and seed under `outcomes/`, keyed by the model and the items that gave them."""
    folder = prepared.out / "outcomes"
    folder.mkdir(exist_ok=True)
    index = _index(folder)
    wanted = wanted_of(prepared)
    for stale in set(index) - set(wanted):
        if _arm_of(folder / stale) in prepared.arms:  # an arm left out by --arm keeps its outcomes
            (folder / stale).unlink(missing_ok=True)
            index.pop(stale)
    for name in wanted:
        if index.get(name) == wanted[name].key and (why := outcomes.fault(folder / name)):
            say_once(f"{folder / name}: {why}: scored again")
            (folder / name).unlink(missing_ok=True)
    first = first_alike(wanted)
    done = {n for n, w in wanted.items() if index.get(n) == w.key and (folder / n).exists()}
    # what is copied takes no time, and is not counted
    with reporter.counting("evaluating", len({*first.values()}), len({first[n] for n in done})) as line:

        def note(name: str, key: str) -> None:
            index[name] = key
            write_sealed(folder / "index.json", index)
            done.add(name)

        def hear(message: dict[str, Any]) -> None:
            if "file" in message:
                note(message["file"], message["key"])
            advance(line, message)

        def copy() -> None:
            for name in copied(folder, wanted, first, set(done)):
                note(name, wanted[name].key)

        copy()
        pairs = list(dict.fromkeys(w[:2] for n, w in wanted.items() if n not in done and first[n] == n))
        if workers is not None:
            workers.do([{"do": "score", "arm": arm, "seed": seed} for arm, seed in pairs], hear)
        else:
            for arm, seed in pairs:
                score_one(prepared, arm, seed, hear)
        copy()


def wanted_of(prepared: Prepared, pairs: Iterable[tuple[str, int]] | None = None) -> dict[str, Wanted]:
    """The files of outcomes that a run has when it is done, in the order of arms, seeds and tasks; or those of some
    arms and seeds."""
    return {
        name_of(arm, seed, task): Wanted(arm, seed, task, _key(prepared, arm, seed, task))
        for arm, seed in (models_of(prepared) if pairs is None else pairs)
        for task in prepared.scored(arm)
    }


def _told(name: str, one: Wanted) -> dict[str, Any]:
    return {"file": name, "key": one.key, "label": f"{one.arm} seed {one.seed}", "note": one.task.name, "by": 1}


def score_one(prepared: Prepared, arm: str, seed: int, tell: Callable[[dict[str, Any]], None]) -> None:
    """The tasks of an arm at one seed that have no outcomes yet, and that no arm before it is asked alike.

    `tell` is given each file that is written.
    """
    folder = prepared.out / "outcomes"
    index, model_key = _index(folder), folder_key(prepared, arm, seed)
    wanted = wanted_of(prepared, [p for p in models_of(prepared) if folder_key(prepared, *p) == model_key])
    todo = {
        name: wanted[name]
        for name, first in first_alike(wanted).items()
        if name == first and wanted[name][:2] == (arm, seed)
        if index.get(name) != wanted[name].key or not (folder / name).exists()
    }
    if prepared.general in [one.task for one in todo.values()] and not prepared.recipe.is_untrained(arm):
        first_model(prepared)  # while no other model takes memory
    model = open_for_scoring(prepared.recipe.model, model_of(prepared, arm, seed)) if todo else None
    for name, one in todo.items():
        score = _distance if one.task is prepared.general else _score
        outcomes.write(folder / name, score(prepared, model, one.task, arm, seed))
        tell(_told(name, one))
    del model
    gc.collect()


def models_of(prepared: Prepared) -> Iterator[tuple[str, int]]:
    """(arm, seed) of every model there is; the untrained one stands once, under seed 0."""
    for arm in prepared.arms:
        yield from ((arm, seed) for seed in prepared.recipe.seeds_of(arm))


def _arm_of(file: Path) -> str:
    """The arm of a file of outcomes; "" where it is not there or cannot be read."""
    try:
        return outcomes.arm_of(file)
    except UserError:
        return ""


def name_of(arm: str, seed: int, task: Task) -> str:
    return outcomes.file_name(arm, seed, task.name)


def open_for_scoring(model: Model, path: str) -> Any:
    """In evaluation mode, on the GPU where there is one."""
    import torch

    cuda = torch.cuda.is_available()
    loaded = (
        models.load_adapted(path, False, model=model)
        if models.is_adapter(path)
        else models.load_model(path, model, bf16=cuda)
    )
    return loaded.to("cuda" if cuda else "cpu").eval()


def samples(prepared: Prepared) -> None:
    """What the models write after the beginning of some texts, before and after training."""
    prompts = list(_beginnings(prepared))[: prepared.recipe.evaluate.samples]
    seed = prepared.recipe.seeds[0]
    file, mark = prepared.out / "samples.json", prepared.out / "outcomes" / "samples.key"
    if not prompts:
        return
    keys = {BEFORE: prepared.model_hash}
    keys |= {arm: folder_key(prepared, arm, seed) for arm, stages in prepared.arms.items() if stages}
    texts, of = _written(file, mark, digest(prompts))
    for name, key in keys.items():
        if of.get(name) == key and name in texts:
            continue
        if name != BEFORE and weights.let_go(prepared, last_stage(prepared, name, seed)):
            say_once(f"{file}: nothing of {name}, whose weights were not kept: {weights.again(name)}")
            texts.pop(name, None)
            continue
        path = model_of(prepared, name, seed) if name != BEFORE else prepared.model
        texts[name] = _write(prepared, path, [p for p, _ in prompts])
    arms = [a for a in prepared.recipe.arms if a in texts and (a in keys or a not in prepared.arms)]
    write_json(file, [
        {"prompt": p, "gold": gold, "before": texts[BEFORE][i], "after": {arm: texts[arm][i] for arm in arms}}
        for i, (p, gold) in enumerate(prompts)
    ])  # fmt: skip
    mark.parent.mkdir(exist_ok=True)
    known = {name: {**of, **keys}[name] for name in (BEFORE, *arms)}
    write_sealed(mark, {"prompts": digest(prompts), "models": known, "sum": checksum(file)})


BEFORE = ""
"""The name of the untrained model among those that write samples; no arm has it."""


def _written(file: Path, mark: Path, prompts: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """What models have written after these prompts already, and the key of each; nothing where the file is damaged."""
    try:
        made = read_sealed(mark) or {}
    except Damaged:
        made = {}
    if made.get("prompts") != prompts:
        return {}, {}
    if made.get("sum") != checksum(file):
        say_once(f"{file} is damaged or gone: written again by the models")
        return {}, {}
    rows = json.loads(file.read_text(encoding="utf-8"))
    texts = {BEFORE: [row["before"] for row in rows]}
    return texts | {arm: [row["after"][arm] for row in rows] for arm in made["models"] if arm != BEFORE}, made["models"]


def last_stage(prepared: Prepared, arm: str, seed: int) -> Path:
    """The folder of the stage that gave an arm's model; of an untrained arm none that is there."""
    arm = prepared.recipe.models_of(arm)
    return stage_folder(prepared.out, arm, seed, len(prepared.arms[arm]) - 1)


def folder_key(prepared: Prepared, arm: str, seed: int) -> str:
    """What decides an arm's model."""
    arm = prepared.recipe.models_of(arm)
    stages = prepared.arms[arm]
    if not stages:
        return prepared.model_hash
    return digest(fingerprint_of(prepared, stages[-1], arm, len(stages) - 1, seed))


def _beginnings(prepared: Prepared) -> Iterator[tuple[str, str]]:
    """Prompts and how they go on: held-out texts first, else training texts, one source after the other."""
    for name, documents in prepared.documents.items():
        for document in (*documents.held_out, *documents.documents)[:2]:
            if document.text:
                words = document.text[:600].split(" ")
                yield " ".join(words[:24]), " ".join(words[24:64])
            elif document.completion:
                yield document.prompt, prepared.recipe.data[name].separator + document.completion
            for record in document.records[:1]:
                text = record.text.split(" ")
                half = max(1, len(text) // 2)
                yield " ".join(text[:half]), " " + " ".join(text[half:])


def _write(prepared: Prepared, path: str, prompts: Seq[str]) -> list[str]:
    from contextune.evaluate.scoring.generate import generate

    model = open_for_scoring(prepared.recipe.model, path)
    with models.threads(prepared.recipe.train.threads, model.num_parameters()):
        most = max(1, min(SAMPLE, window(model, prepared.tokenizer) // 2))
        return generate(model, prepared.tokenizer, prompts, max_tokens=most, stop=())


def _score(prepared: Prepared, model: Any, task: Task, arm: str, seed: int) -> Any:
    from contextune.evaluate.scoring.score import score

    with models.threads(prepared.recipe.train.threads, model.num_parameters()):
        tokens = prepared.recipe.evaluate.tokens
        alone = prepared.recipe.evaluate.without_context
        return score(model, prepared.tokenizer, [task], arm=arm, seed=seed, tokens=tokens, without_context=alone)[
            task.name
        ]


_first: dict[str, list[Any]] = {}
"""Of the first model the log-probabilities at every token of the general text, by what decides them; the last ones."""


def first_model(prepared: Prepared, model: Any = None) -> list[Any]:
    """Log-probabilities (tokens, vocabulary) of each general text by the untrained model, which is opened for it."""
    from contextune.evaluate.scoring.first_model import log_probabilities

    assert prepared.general is not None
    key = digest([prepared.model_hash, [(i.id, i.prompt, i.answer) for i in prepared.general.items]])
    if key not in _first:
        _first.clear()
        model = open_for_scoring(prepared.recipe.model, prepared.model) if model is None else model
        with models.threads(prepared.recipe.train.threads, model.num_parameters()):
            _first[key] = list(log_probabilities(model, prepared.tokenizer, prepared.general.items))
    return _first[key]


def _distance(prepared: Prepared, model: Any, task: Task, arm: str, seed: int) -> Any:
    """How far a model has moved from the first one; an untrained arm's model is that itself."""
    from contextune.evaluate.scoring.first_model import table

    untrained = prepared.recipe.is_untrained(arm)
    first = first_model(prepared, model if untrained else None)
    with models.threads(prepared.recipe.train.threads, model.num_parameters()):
        return table(first, None if untrained else model, prepared.tokenizer, task, arm, seed)


def _key(prepared: Prepared, arm: str, seed: int, task: Task) -> str:
    items = [(i.id, i.prompt, i.options, i.answer) for i in task.items]
    how: list[Any] = [task.kind, task.metric, task.measure, task.chance, task.max_tokens, task.stop, task.about]
    how += [[i.turns for i in task.items]] if task.chat else []
    how += [task.fields["command"]] if "command" in task.fields else []
    deaf = prepared.recipe.evaluate.without_context or metrics.find(task.metric).of_deaf
    if deaf and any(i.alone is not None for i in task.items):
        how += [[i.alone for i in task.items]]
    how += [[i.resampled_with for i in task.items]]
    how += [[i.before for i in task.items]] if any(i.before for i in task.items) else []
    return digest([folder_key(prepared, arm, seed), items, how])


def _index(folder: Path) -> dict[str, str]:
    return read_or_say(folder / "index.json", "what it lists is scored again", older=True) or {}


def evaluate_model(
    model: str, tasks: Seq[str], out: Path, limit: int | None, reporter: Reporter, chat: bool = False, system: str = ""
) -> EvaluationResult:
    """Any model on any tasks, without a recipe. `tasks` are built-in names, NAME=PATH, or files; with `chat` they are
    asked through the model's chat template, behind a system turn where one is given.
    """
    quiet_libraries()
    claim(out, "evaluation", "--out", "give another --out")
    with refusals(out), locked(out):
        return _evaluate_model(model, tasks, out, limit, reporter, chat, system)


def _evaluate_model(
    model: str, tasks: Seq[str], out: Path, limit: int | None, reporter: Reporter, chat: bool, system: str
) -> EvaluationResult:
    from contextune.evaluate.analysis.summary import summarise
    from contextune.evaluate.scoring.score import score
    from contextune.evaluate.tasks.chat import asking, refuse_unused_system
    from contextune.evaluate.tasks.load import load_task

    path = models.resolve(Model(path=model), Path())
    reads = window_of(models.check(path))
    tokenizer = models.load_tokenizer(path)
    pairs = [t.partition("=") for t in tasks]
    how = Evaluate(chat="on" if chat else "off", system=system)
    specs = [{"task": name, **({"path": path} if eq else {})} for name, eq, path in pairs]
    asked = asking(how, tokenizer, ())
    loaded = [t for spec in specs for t in load_task(spec, Path(), limit, tokenizer, window=reads, how=asked)]
    refuse_unused_system(how, loaded)
    if not loaded:
        raise UserError("no task was given", "--task mmlu_medical, --task medqa=test.jsonl, --task my_task.yaml")
    refuse_commands(loaded)
    (out / "outcomes").mkdir(exist_ok=True)
    for old in (out / "outcomes").glob("model.seed-0.*.parquet"):
        old.unlink()
    ready = open_for_scoring(Model(path=model), path)
    with (
        keeping(lambda: f"nothing is kept in {out}: a model is scored in one go"),
        reporter.counting("evaluating", len(loaded)) as line,
        models.threads(0, ready.num_parameters()),
    ):
        for task in loaded:
            table = score(ready, tokenizer, [task], arm="model", seed=0)[task.name]
            outcomes.write(out / "outcomes" / name_of("model", 0, task), table)
            line.advance("evaluating", task.name)
    results = summarise(out, Compare(), {"model": model}, Path(path).name)
    write_json(out / "results.json", results)
    floors = results["floors"]["tasks"]
    return {"model": path, "tasks": results["arms"]["model"]["tasks"], "floors": floors, "folder": str(out)}
