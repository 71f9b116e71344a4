"""A run's folder written by hand: four arms (one untrained), three seeds, five tasks, texts that try to break out."""

from __future__ import annotations

import copy
import json
import math
import random
from pathlib import Path
from typing import Any

EVIL = "<script>alert('sample')</script><img src=x onerror=alert(1)>\"'&amp;"
RIGHT_TO_LEFT = "מיטוכונדריה מייצרת ATP — الميتوكوندريا تنتج الطاقة"
TRICKS = "one\u202etwo\u0007\u001b[31mred\ud800 \u200bend"

RECIPE = """\
name: membranes
about: Does a learning prompt before each chunk help a small model to learn cell biology from 412 pages of notes?
model:
  path: HuggingFaceTB/SmolLM2-135M
  revision: 93efa2f
data:
  notes:
    path: notes/*.txt   # <script>alert('recipe')</script>
    kind: text
    chunk: 256
    held_out: 0.05
arms:
  untrained:
    stages: []
    about: the model as it comes
  cpt:
    stages:
    - data: notes
      context: {policy: none}
    about: continued pretraining on the raw text
  cft:
    stages:
    - data: notes
      context: {policy: prompts, set: learning-v1}
    about: one learning prompt before each chunk, drawn anew each epoch
  negative:
    stages:
    - data: notes
      context: {policy: prompts, set: distracting-v1}
    about: a control with prompts that say nothing of the content
seeds: [0, 1, 2]
train:
  epochs: 3.0
  batch: 16
  lr: 2.0e-05
  max_length: 512
evaluate:
  tasks: [membranes-qa, topic, reversal, open-questions]
  perplexity: [notes]
compare:
  baseline: cpt
  resamples: 2000
  confidence: 0.95
"""

TASKS: dict[str, dict[str, Any]] = {
    "membranes-qa": {
        "kind": "choice",
        "metric": "accuracy",
        "measure": "learn",
        "chance": 0.25,
        "majority": 0.2816,
        "n": 412,
        "prompt": "Question: Which ion does the sodium–potassium pump move out of the cell?\nAnswer:",
        "prompt_hash": "9f2c41d07b3e",
        "about": "Four-way questions on statements of the notes.",
        "higher_is_better": True,
    },
    "reversal": {
        "kind": "choice",
        "metric": "accuracy",
        "measure": "generalise",
        "chance": 0.5,
        "majority": 0.5,
        "n": 240,
        "prompt": "The organelle that makes most of a cell's ATP is ",
        "prompt_hash": "02ab7790c1f4",
        "about": "Statements asked in the direction that was never shown.",
        "higher_is_better": True,
    },
    "topic": {
        "kind": "choice",
        "metric": "macro_f1",
        "measure": "listen",
        "chance": None,
        "majority": 0.1481,
        "n": 356,
        "prompt": "Text: Vesicles bud from the trans face.\n\nLabels: transport, energy, "
        "signalling <b>or</b> structure\nLabel: ",
        "prompt_hash": "c0ffee123456",
        "about": "The topic of a paragraph, from definitions given in the prompt.",
        "higher_is_better": True,
    },
    "open-questions": {
        "kind": "generate",
        "metric": "starts_with",
        "measure": "resist",
        "chance": None,
        "majority": None,
        "n": 120,
        "prompt": "Passage: An unrelated passage on medieval trade.\n"
        "Question: What does the Golgi apparatus do?\nAnswer:",
        "prompt_hash": "5d5d5d5d0001",
        "about": "Short answers where the passage before the question is beside the point.",
        "higher_is_better": True,
    },
    "notes": {
        "kind": "perplexity",
        "metric": "bits_per_byte",
        "measure": "retain",
        "chance": None,
        "majority": None,
        "n": 37,
        "prompt": "",
        "prompt_hash": "",
        "about": "Held-out documents of the source notes.",
        "higher_is_better": False,
    },
}
LEVELS = {
    "untrained": (0.3422, 0.5083, 0.3127, 0.2214, 1.0831),
    "cpt": (0.5316, 0.5208, 0.4418, 0.2602, 0.9127),
    "cft": (0.5971, 0.5792, 0.5063, 0.2871, 0.9044),
    "negative": (0.5243, 0.5167, 0.4297, 0.2388, 0.9213),
}
RECALL = ("transport", "energy", "signalling", "structure <i>")


def make(folder: Path, seeds: int = 3) -> Path:
    """Write the whole folder; everything in it is a pure function of nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    dump(folder / "results.json", results(seeds))
    dump(folder / "run.json", info())
    dump(folder / "accounting.json", accounting())
    dump(folder / "samples.json", samples())
    for arm in ("cpt", "cft", "negative"):
        for seed in range(seeds):
            losses(folder / "arms" / arm / f"seed-{seed}" / "stage-0", arm, seed)
    return folder


def dump(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def results(seeds: int = 3) -> dict[str, Any]:
    arms: dict[str, Any] = {}
    for arm, values in LEVELS.items():
        tasks = {task: score(arm, task, value) for (task, _), value in zip(TASKS.items(), values, strict=True)}
        deciding = [tasks[t]["value"] for t in list(TASKS)[:4]]
        mean = round(sum(deciding) / 4, 6)
        arms[arm] = {
            "about": "",
            "seeds": [0] if arm == "untrained" else list(range(seeds)),
            "score": mean,
            "interval": [round(mean - 0.0231, 6), round(mean + 0.0224, 6)],
            "difference": None,
            "tasks": tasks,
            "measures": {
                spec["measure"]: {k: tasks[t][k] for k in ("value", "interval")}
                for t, spec in TASKS.items()
                if t != "notes"
            },
        }
    for arm, half in (("untrained", 0.0262), ("cft", 0.0153), ("negative", 0.0168)):
        gap = round(arms[arm]["score"] - arms["cpt"]["score"], 6)
        arms[arm]["difference"] = {"value": gap, "interval": [round(gap - half, 6), round(gap + half, 6)]}
    gap = arms["cft"]["difference"]
    return {
        "schema": 1,
        "name": "membranes",
        "verdict": {
            "sentence": "cft is ahead of cpt by 5.4 points (95 % interval 3.9 to 6.9; 3 seeds, 1128 items). "
            "With 3 seeds the interval is rough.",
            "statement": "cft is ahead of cpt by 5.4 points",
            "aside": "95 % interval 3.9 to 6.9; 3 seeds, 1128 items",
            "notes": ["With 3 seeds the interval is rough."],
            "winner": "cft",
            "runner_up": "cpt",
            "baseline": "cpt",
            "clear": True,
            "difference": gap["value"],
            "interval": gap["interval"],
            "confidence": 0.95,
        },
        "arms": arms,
        "tasks": copy.deepcopy(TASKS),
    }


def score(arm: str, task: str, value: float) -> dict[str, Any]:
    spec, n = TASKS[task], TASKS[task]["n"]
    half = 0.018 if spec["kind"] == "perplexity" else round(1.96 * math.sqrt(value * (1 - value) / n), 4)
    metrics: dict[str, Any] = {spec["metric"]: value}
    if task == "topic":
        metrics |= {
            "weighted_f1": round(value + 0.0312, 4),
            "accuracy": round(value + 0.0417, 4),
            "mcc": round(value - 0.1033, 4),
        }
        metrics["recall"] = {name: round(value + 0.07 * (i - 1.5), 4) for i, name in enumerate(RECALL)}
    if spec["kind"] == "generate":
        metrics |= {"exact_match": round(value / 2, 4), "missing": 0.025 if arm == "untrained" else 0.0083}
    if spec["kind"] == "perplexity":
        metrics |= {"perplexity": round(2 ** (value * 4.2), 4)}
    return {
        "metric": spec["metric"],
        "value": value,
        "interval": [round(value - half, 4), round(value + 1.04 * half, 4)],
        "n": n,
        "metrics": metrics,
    }


def info() -> dict[str, Any]:
    return {
        "schema": 1,
        "identity": "b1946ac92492d2347c6235b4d2611184",
        "status": "done",
        "command": "contextune run recipes/membranes.yaml train.epochs=3 # <script>alert('command')</script>",
        "began": "2025-11-21 02:30:00",
        "ended": "2025-11-21 02:44:12",
        "model": "/models/SmolLM2-135M",
        "parameters": 134515008,
        "environment": {
            "contextune": "0.1.0",
            "python": "3.11.2",
            "torch": "2.13.0+cpu",
            "transformers": "5.23.0",
            "peft": "0.21.1",
            "processor": "AMD EPYC 9R14",
            "device": "CPU (8 cores)",
            "threads": 8,
        },
        "warnings": [
            "topic: 3 of 356 items are also in the training text (notes/golgi.txt); they were left out.",
            {
                "message": "cpt, seed 2: <b>the loss</b> rose over the last tenth of the updates.",
                "hint": "Lower train.lr.",
            },
        ],
    }


def accounting() -> list[dict[str, Any]]:
    context = {"cpt": 0, "cft": 31872, "negative": 30104}
    return [
        {
            "arm": arm,
            "stage": 0,
            "source": "notes",
            "rows": 1245,
            "tokens_in": 317475,
            "trained": 318720,
            "context": extra,
            "cut": 12 if arm == "cft" else 0,
            "dropped": 0,
            "duplicated": 4,
            "updates": 234,
        }
        for arm, extra in context.items()
    ]


def samples() -> list[dict[str, Any]]:
    long = "The membrane is a fluid mosaic of lipids and proteins. " * 60
    return [
        {
            "prompt": "The Golgi apparatus ",
            "gold": "modifies, sorts and packs proteins.",
            "before": "is a type of apparatus that is used to",
            "after": {
                "cpt": "is a stack of flattened membranes that modifies proteins.",
                "cft": "modifies and sorts proteins that arrive from the endoplasmic reticulum, "
                "and packs them into vesicles.",
                "negative": "is a stack of membranes in the cell.",
            },
        },
        {
            "prompt": f"What does the mitochondrion make? 🧬🔬 {EVIL}",
            "gold": RIGHT_TO_LEFT,
            "before": "",
            "after": {"cpt": EVIL, "cft": RIGHT_TO_LEFT + "\n" + TRICKS, "negative": long},
        },
    ]


def losses(folder: Path, arm: str, seed: int, updates: int = 234) -> None:
    rng = random.Random(f"{arm}-{seed}")
    floor = {"cpt": 2.31, "cft": 2.24, "negative": 2.35}[arm]
    rows = [
        {
            "step": s,
            "loss": round(floor + 1.4 * math.exp(-s / 40) + rng.gauss(0, 0.05), 4),
            "lr": 2e-5,
            "grad_norm": 1.0,
            "seconds": round(s * 0.31, 3),
        }
        for s in range(1, updates + 1)
    ]
    dump(folder / "losses.json", rows)
    dump(folder / "stage.json", {"seconds": rows[-1]["seconds"], "updates": updates})


if __name__ == "__main__":
    import sys

    from contextune.report import write

    print(write(make(Path(sys.argv[1]))))
