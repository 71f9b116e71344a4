"""Contextual gradients: does a context before a text turn its gradient into a better direction?

The same target tokens, once with nothing before them and once after each context: how much easier they become, how
long the gradient is and where it points, layer by layer; and how near it lies to the gradient of what the recipe's
tasks ask for, which is the direction that a better way of learning would have to take.
(Choi et al. 2025, arXiv 2503.09032, put ∇f(x) beside ∇f(x after a prompt); this measures both.)
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextune import models
from contextune.contexts import NoContext, Policy, compose, parse
from contextune.core.asking import pair
from contextune.core.binding import BindContext
from contextune.core.errors import UserError, nearest
from contextune.core.files import write_text
from contextune.core.ownership import claim
from contextune.core.sequence import IGNORED, DrawKey, Record, Rendered, Tokenizer, render
from contextune.experiment.prepare import Prepared, PreparedStage, prepare
from contextune.experiment.recipe import Arm, Recipe, Stage
from contextune.experiment.run_dir import folder_of
from contextune.experiment.run_files import look
from contextune.models.options import Adapter

if TYPE_CHECKING:
    from contextune.core.items import Item, Task
    from contextune.core.progress import Reporter

    from .gradients_measure import MeasureOptions

DEFAULTS: dict[str, dict[str, Any]] = {
    "learning": {"policy": "prompts", "set": "learning"},
    "negative": {"policy": "prompts", "set": "negative"},
    "neutral": {"policy": "prompts", "set": "neutral"},
    "random_tokens": {"policy": "random_tokens", "set": "learning"},
    "retrieved": {"policy": "similar", "k": 2},
}
"""What is looked at beside the arms' own contexts, unless arms are named."""
WRITTEN = "generated"
"""A policy whose texts have to be written first: only where its arm is named."""
MARK = "gradients-"


@dataclass(frozen=True)
class GradientsOptions:
    """`items` records, and as many items of each task at most; `adapter` looks at LoRA parameters alone."""

    arms: tuple[str, ...] = ()
    items: int = 64
    adapter: bool = False


def study(
    recipe: Recipe, base: Path, wanted: GradientsOptions, options: MeasureOptions, reporter: Reporter
) -> dict[str, Any]:
    """The measurement of one recipe as plain JSON (see `docs/gradients.md`). `base` is the recipe's folder."""
    from . import gradients_measure as measuring

    began = time.monotonic()
    contexts, notes = policies(recipe, wanted.arms)
    stage = _stage(recipe, wanted.arms)
    notes += ["texts that the stage infers (augment) are left out"] if stage.augment is not None else []
    look(folder_of(recipe))
    prepared = prepare(_with(recipe, stage, contexts), base, folder_of(recipe), map(_marked, contexts), reporter.say)
    seed = recipe.seeds[0]
    rows = rendered(prepared, contexts, wanted.items, seed, notes)
    asked = downstream(prepared, wanted.items, seed)
    if not asked:
        notes.append("the recipe has no tasks with gold answers: nothing to hold the gradients against")
    model, about = _opened(prepared, stage, wanted.adapter)
    total = sum(map(len, rows.values())) + sum(map(len, asked.values()))
    with models.threads(recipe.train.threads, model.num_parameters()), reporter.counting("gradients", total) as line:
        made = measuring.measure(
            model,
            rows,
            asked,
            deciding(prepared, asked),
            replace(options, seed=seed),
            prepared.tokenizer.pad_token_id or 0,
            lambda what, by: line.advance(what, by=by),
        )
    for name, policy in contexts.items():
        if name in made["contexts"]:
            made["contexts"][name]["policy"] = policy.plain()
    head = {"schema": 1, "recipe": recipe.name, "model": prepared.model, "of": about, "seed": seed}
    return {**head, **made, "notes": notes, "seconds": round(time.monotonic() - began, 1)}


def policies(recipe: Recipe, arms: Seq[str]) -> tuple[dict[str, Policy], list[str]]:
    """The contexts to look at by name, and what was left out.

    Those of the named arms; where none is named, those of all arms and the defaults that are not among them. Raises
    UserError for an unknown arm, and where the named arms have no context.
    """
    for arm in arms:
        if arm not in recipe.arms:
            raise UserError(f"no arm '{arm}' in the recipe", nearest(arm, recipe.arms))
    found: dict[str, Policy] = {}
    notes = []
    for name in arms or recipe.arms:
        policy = next((s.context for s in recipe.arms[name].stages if not _empty(s.context)), None)
        if policy is None or policy in found.values():
            continue
        if policy.name == WRITTEN and not arms:
            notes.append(
                f"arm {name} is left out, since its prompts would have to be written: name it with --arm {name}"
            )
            continue
        found[name] = policy
    if arms and not found:
        raise UserError(f"--arm {', '.join(arms)}: its texts have no context", "name arms that have a context")
    for name, plain in ({} if arms else DEFAULTS).items():
        policy = parse(plain)
        if policy not in found.values() and name not in found:
            found[name] = policy
    return found, notes


def _empty(policy: Policy) -> bool:
    return isinstance(policy, NoContext)


def _stage(recipe: Recipe, arms: Seq[str]) -> Stage:
    """Whose records are looked at: the first stage with a context of the arms, else the first stage there is."""
    stages = [stage for arm in arms or recipe.arms for stage in recipe.arms[arm].stages]
    if not stages:
        raise UserError("no arm trains on anything, so there is no text to look at", "give an arm a stage with data")
    return next((s for s in stages if not _empty(s.context)), stages[0])


def _marked(name: str) -> str:
    return MARK + name


def _with(recipe: Recipe, stage: Stage, contexts: Mapping[str, Policy]) -> Recipe:
    """The recipe with an arm for each context. The others stay: texts are cut by the longest context of them all."""
    made = {
        _marked(name): Arm(stages=(stage.model_copy(update={"context": policy, "augment": None}),))
        for name, policy in contexts.items()
    }
    evaluate = recipe.evaluate.model_copy(update={"callbacks": {}})
    return recipe.model_copy(update={"arms": {**recipe.arms, **made}, "evaluate": evaluate})


def rendered(
    prepared: Prepared, contexts: Mapping[str, Policy], items: int, seed: int, notes: list[str]
) -> dict[str, list[Rendered]]:
    """The same records with nothing and with each context before them, rendered as training renders them."""
    readies = {name: prepared.arms[_marked(name)][0] for name in contexts}
    longest = next(iter(readies.values())).train.max_length
    return beside(readies, prepared.tokenizer, longest, items, seed, notes)


def beside(
    readies: Mapping[str, PreparedStage], tokenizer: Tokenizer, longest: int, items: int, seed: int, notes: list[str]
) -> dict[str, list[Rendered]]:
    """Records that stages of different contexts share, rendered with each of them and, under BASE, with none.

    A context that changes what is learned (an edited target, examples that are trained on) is left out, with a note.
    Raises UserError where no context is left.
    """
    from .gradients_measure import BASE, targets

    first = next(iter(readies.values()))
    shared = [r for r in first.records if all(ready.stage.context.is_target(r) for ready in readies.values())]
    chosen = _sample(shared, items, seed)
    key, bare = DrawKey(seed, 0), NoContext().bind(BindContext(tokenizer))
    rows = {BASE: [render(compose(r, bare, key), tokenizer, longest) for r in chosen]}
    for name, ready in readies.items():
        made = [render(compose(r, ready.context, key), tokenizer, longest) for r in chosen]
        if list(map(targets, made)) == list(map(targets, rows[BASE])):
            rows[name] = made
        else:
            notes.append(f"{name} is left out: it changes which tokens are trained on")
    if len(rows) == 1:
        raise UserError("every context changes which tokens are trained on", "set loss: target, or name other arms")
    return rows


def _sample(records: Seq[Record], items: int, seed: int) -> list[Record]:
    if len(records) < 2:
        raise UserError(f"{len(records)} record to look at; at least 2 are needed", "look at the data's limit")
    places = DrawKey(seed, 0).rng("gradients").sample(range(len(records)), min(items, len(records)))
    return [records[i] for i in places]


def downstream(prepared: Prepared, items: int, seed: int) -> dict[str, list[Rendered]]:
    """Gold answers after their prompts, by task; perplexity (held-out texts) where there is nothing else."""
    tasks = [t for t in prepared.tasks if t.kind != "perplexity"] or list(prepared.tasks)
    found = {}
    for task in tasks:
        places = DrawKey(seed, 0).rng("items", task.name).sample(range(len(task.items)), min(items, len(task.items)))
        rows = [row for i in places if (row := _answered(prepared, task.items[i])) is not None]
        if rows:
            found[task.name] = rows
    return found


def _answered(prepared: Prepared, item: Item) -> Rendered | None:
    """Loss on the gold answer alone; a long prompt loses its beginning, a long text its end."""
    prompt, gold = item.prompt, item.gold
    if prompt and not prompt[-1].isspace() and not gold[:1].isspace():
        gold = " " + gold
    given, scored = pair(prompt, gold, prepared.tokenizer)
    longest = window(prepared)
    scored = scored[: longest - 1]
    given = given[-(longest - len(scored)) :]
    if not given or not scored:
        return None
    return Rendered((*given, *scored), (*([IGNORED] * len(given)), *scored))


def window(prepared: Prepared) -> int:
    sizes = (prepared.config.get(k) for k in ("n_positions", "max_position_embeddings"))
    known = [n for n in sizes if isinstance(n, int)]
    return min([*known, max(prepared.recipe.train.max_length, 1024)])


def deciding(prepared: Prepared, asked: Mapping[str, object]) -> list[str]:
    """As the recipe's verdict: the tasks it names, else all but those of retention."""
    from contextune.evaluate.tasks.load import members

    named = [m for name in prepared.recipe.compare.tasks for m in members(name)]
    return [n for n in named or _unretained(prepared.tasks) if n in asked]


def _unretained(tasks: Seq[Task]) -> list[str]:
    return [t.name for t in tasks if t.measure != "retain"]


def _opened(prepared: Prepared, stage: Stage, adapter: bool) -> tuple[Any, str]:
    """The untrained model, on the accelerator if there is one, and which of its parameters are looked at."""
    import torch

    from contextune.train.precision import wants_bf16

    from .gradients_measure import SMALL

    wanted = prepared.recipe.training(stage).adapter or (Adapter() if adapter else None)
    if models.is_adapter(prepared.model):
        model, about = models.load_adapted(prepared.model, trainable=True), "the adapter's parameters"
    else:
        half = prepared.parameters >= SMALL and wants_bf16(prepared.recipe.train.precision, prepared.parameters)
        model = models.load_model(prepared.model, prepared.recipe.model, bf16=half)
        about = "all parameters"
        if wanted is not None:
            torch.manual_seed(prepared.recipe.seeds[0])  # a fresh adapter's weights
            model, about = models.adapt(model, wanted), f"{wanted.kind} parameters"
            about += f" of rank {wanted.rank}" if wanted.kind != "osf" else ""
    if torch.cuda.is_available():
        model.to("cuda")
    return model, about


def save(made: Mapping[str, Any], out: Path) -> Path:
    """gradients.json, gradients.svg and gradients.html in a folder; returns the page."""
    from . import gradients_page as pages

    claim(out, "lab", "cannot write into", "give another folder")
    try:
        write_text(out / "gradients.json", json.dumps(made, indent=1, ensure_ascii=False))
        picture = pages.figure(made)
        write_text(out / "gradients.svg", picture)
        return pages.write(out / "gradients.html", made, picture)
    except OSError as e:
        raise UserError(f"cannot write into {out}: {e.strerror}", "give another folder with --out") from None
