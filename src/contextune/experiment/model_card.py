"""The model card of a trained arm: what it is, made from what, and how it scored."""

from __future__ import annotations

from typing import Any

import yaml

from contextune import __version__
from contextune.core.files import digest, signed

from .accounting import accounting
from .prepare import Prepared


def card(prepared: Prepared, arm: str, seed: int, results: dict[str, Any] | None = None) -> str:
    """Markdown with the hub's metadata in front. Scores stand in it once there are `results`; it is `signed`."""
    recipe, stages = prepared.recipe, prepared.arms[arm]
    base = recipe.model.path
    front = {"library_name": "transformers", "tags": ["contextune", "fine-tuned"], "pipeline_tag": "text-generation"}
    if "/" in base and not base.startswith((".", "/", "~")):
        front["base_model"] = base
    lines = [
        "---", yaml.safe_dump(front, sort_keys=True).strip(), "---", "",
        f"# {recipe.name}: {arm}, seed {seed}", "",
        recipe.arms[arm].about or "Fine-tuned with Contextune.", "",
        "## How it was made", "",
        f"- Base model: `{base}`",
        f"- Contextune {__version__}, recipe `{digest(recipe.model_dump(mode='json'))}`",
    ]  # fmt: skip
    for i, stage in enumerate(stages):
        train, plan = stage.at(seed).train, stage.plan(seed)
        context = stage.stage.context.model_dump(mode="json")
        tokens = sum(r["trained"] for r in accounting(prepared) if r["arm"] == arm and r["stage"] == i)
        sources = ", ".join(f"{n} (`{prepared.documents[n].fingerprint[:12]}`)" for n in stage.stage.sources)
        lines += [
            f"- Stage {i + 1}: {sources}; before each text: `{context}`; {len(stage.records)} records, "
            f"{tokens} target tokens an epoch, {plan.updates} updates of {train.batch}, AdamW {train.lr:g}, "
            f"{train.schedule}, "
            + (train.adapter.said if train.adapter else "all parameters")
            + (f" but {', '.join(train.freeze)}, which stay as they were" if train.freeze else "")
        ]
    lines += ["", "## How it scored", "", *_scores(arm, results)]
    lines += [
        "", "## Limits", "",
        "Trained and tested on the data named above and on nothing else; what it says beyond them was not checked.",
        "Benchmarks that are public may have been in the base model's own training data.", "",
    ]  # fmt: skip
    return signed("\n".join(lines), "<!-- {} -->")


def _scores(arm: str, results: dict[str, Any] | None) -> list[str]:
    if not results:
        return ["Not evaluated yet."]
    rows = ["| task | metric | value | interval | N | majority |", "| --- | --- | ---: | --- | ---: | ---: |"]
    for name, task in results["arms"].get(arm, {}).get("tasks", {}).items():
        interval = "–" if task["interval"] is None else "{:.4f} to {:.4f}".format(*task["interval"])
        majority = results["tasks"][name].get("majority")
        rows.append(
            f"| {name} | {task['metric']} | {task['value']:.4f} | {interval} | {task['n']} | "
            f"{'' if majority is None else f'{majority:.4f}'} |"
        )
    seeds = len(results["arms"].get(arm, {}).get("seeds", []))
    return [
        *rows,
        "",
        f"Means over {seeds} seed{'s' if seeds != 1 else ''} of this arm; see `results.json` of the run.",
    ]
