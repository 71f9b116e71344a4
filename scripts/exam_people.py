"""Does an exam put arms in the order that people's questions put them in? Kendall's tau, for docs/exam.md.

    python scripts/exam_people.py DATA FOLDER [--model smollm2] [--questions 240] [--epochs 2]

DATA holds articles.jsonl (id, title, text) and questions.jsonl (paragraph, question, answers), as xquad_en does. An
exam is made of the articles by rule; three models (untrained, trained on the articles, trained at ten times the rate),
each without documents and with the passage that BM25 finds, answer its closed-book items (learn, generalise) and the
people's questions, whose answers are written: SQuAD's F1 and exact match. One seed, so intervals are of other items
alone: facts and paragraphs are drawn anew. Given again, it resumes.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.stats import kendalltau

from contextune.evaluate.analysis.statistics import Estimate, bootstrap, mean
from contextune.evaluate.analysis.summary import estimates
from contextune.evaluate.metrics import metric
from contextune.evaluate.metrics.free_answers import words
from contextune.evaluate.scoring import outcomes
from contextune.exam.make import Settings, make
from contextune.experiment.run import run

RETRIEVAL = {"retrieve": "passages", "k": 1, "similarity": "lexical", "max_tokens": 400}
CLOSED = ("exam.learn_told", "exam.generalise_gap", "exam.generalise_reworded")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def questions(data: Path, n: int, out: Path) -> None:
    """The same number of each paragraph, the first ones first, until there are n."""
    rows, rank, seen = read(data / "questions.jsonl"), [], Counter[str]()
    for row in rows:
        rank.append(seen[row["paragraph"]])
        seen[row["paragraph"]] += 1
    chosen = sorted(range(len(rows)), key=rank.__getitem__)[:n]
    out.write_text("".join(json.dumps(rows[i], ensure_ascii=False) + "\n" for i in sorted(chosen)), encoding="utf-8")


def recipe(data: Path, folder: Path, model: str, epochs: int) -> dict[str, Any]:
    documents = str(data / "articles.jsonl")
    human = {
        "name": "people",
        "kind": "generate",
        "path": str(folder / "people.jsonl"),
        "prompt": "Question: {{ question }}\nAnswer:",
        "query": "{{ question }}",
        "wording": "{{ question }}",
        "answer": "{{ answers[0] }}",
        "cluster": "{{ paragraph }}",
        "metric": "token_f1",
        "max_tokens": 16,
    }
    (folder / "people.yaml").write_text(yaml.safe_dump(human), encoding="utf-8")
    group = yaml.safe_load((folder / "exam" / "tasks.yaml").read_text(encoding="utf-8"))["group"]
    closed = [
        t | {"path": str(folder / "exam" / t["path"])} for t in group if isinstance(t, dict) and t["name"] in CLOSED
    ]
    (folder / "closed.yaml").write_text(yaml.safe_dump({"group": closed}), encoding="utf-8")
    return {
        "name": "people",
        "model": model,
        "data": {"documents": {"path": documents}, "passages": {"path": documents, "chunk": 256}},
        "arms": {
            "base": None,
            "base+retrieval": {"before": RETRIEVAL},
            "cpt": {"data": "documents"},
            "cpt+retrieval": {"weights_of": "cpt", "before": RETRIEVAL},
            "fast": {"data": "documents", "train": {"lr": 1e-3}},
            "fast+retrieval": {"weights_of": "fast", "before": RETRIEVAL},
        },
        "seeds": [0],
        "output": str(folder / "run"),
        "train": {"epochs": epochs, "batch": 8, "lr": 1e-4, "max_length": 512},
        "evaluate": {
            "tasks": [str(folder / "closed.yaml"), str(folder / "people.yaml")],
            "samples": 0,
        },
        "compare": {"baseline": "cpt"},
    }


def exact(run_folder: Path, arms: list[str]) -> dict[str, Estimate]:
    """SQuAD's exact match of the people's questions: the same words, articles and punctuation apart."""
    cells, clusters = {}, []
    for arm in arms:
        columns = outcomes.read(run_folder / "outcomes" / outcomes.file_name(arm, 0, "people")).to_pydict()
        right = [float(words(o) == words(g)) for o, g in zip(columns["output"], columns["gold"], strict=True)]
        cells[arm, "exact"] = [metric.mean(right)]
        clusters = columns["cluster"]
    found = bootstrap(cells, {"exact": len(clusters)}, 1, clusters={"exact": clusters})
    return {arm: found[arm, "exact"] for arm in arms}


def tau(one: Mapping[str, Estimate], other: Mapping[str, Estimate], arms: list[str]) -> str:
    """Kendall's tau-b of the arms' order, with the 95 % interval of items drawn anew on both sides."""
    value = kendalltau([one[a].value for a in arms], [other[a].value for a in arms]).statistic
    n = min(e.draws.size for found in (one, other) for e in found.values())
    drawn = [kendalltau([one[a].draws[i] for a in arms], [other[a].draws[i] for a in arms]).statistic for i in range(n)]
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def shown(e: Estimate) -> str:
    low, high = e.interval(0.95) or (e.value, e.value)
    return f"{e.value:.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--questions", type=int, default=240)
    parser.add_argument("--epochs", type=int, default=2)
    asked = parser.parse_args()
    data, folder = asked.data.resolve(), asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    make((str(data / "articles.jsonl"),), folder / "exam", Settings(), print, folder)
    questions(data, asked.questions, folder / "people.jsonl")
    made = recipe(data, folder, asked.model, asked.epochs)
    (folder / "people-run.yaml").write_text(yaml.safe_dump(made, sort_keys=False), encoding="utf-8")
    run(folder / "people-run.yaml")
    arms = list(made["arms"])
    cells = estimates(folder / "run", arms)
    exam = {arm: mean([cells[arm, task] for task in CLOSED]) for arm in arms}
    people = {"F1": {arm: cells[arm, "people"] for arm in arms}, "exact match": exact(folder / "run", arms)}
    print("| arm | the exam, closed book | people's questions: F1 | exact match |\n| --- | --- | --- | --- |")
    for arm in arms:
        print(f"| {arm} | {shown(exam[arm])} | {shown(people['F1'][arm])} | {shown(people['exact match'][arm])} |")
    for name, found in people.items():
        print(f"Kendall's tau of the exam with {name}: {tau(exam, found, arms)}")


if __name__ == "__main__":
    main()
