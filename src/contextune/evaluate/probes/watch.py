"""Probes asked of a model in training, raw answers on disk; training does not notice.

stage-K/probes/TASK.STEP.jsonl   one row a prompt (probes.rows), whole or absent
stage-K/probes/scores.json       [{task, step, n, scores}], computed from these files
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from contextune.core.files import digest, write_json, write_lines
from contextune.core.sequence import Tokenizer
from contextune.models.at_once import AtOnce
from contextune.train.callback import begin

from ..scoring.generate import generate
from . import questions as probes
from .questions import Probes


class ProbeWatcher:
    """`watcher(step, model)` asks all probes, unless that was done at this step before."""

    def __init__(self, wanted: Seq[Probes], tokenizer: Tokenizer, folder: Path, tokens: AtOnce = "auto") -> None:
        self.wanted, self.tokenizer, self.folder, self.tokens = wanted, tokenizer, folder / "probes", tokens

    def __call__(self, step: int, model: Any) -> None:
        model = getattr(model, "module", model)  # DistributedDataParallel's
        self._begin()
        with undisturbed():
            for one in self.wanted:
                file = self.folder / f"{one.task.name}.{step:06d}.jsonl"
                if not file.exists():
                    write_lines(file, probes.rows(one, self._answers(one, model)))
        write_json(self.folder / "scores.json", collected(self.folder))

    def _answers(self, one: Probes, model: Any) -> list[str]:
        task = one.task
        return generate(
            model, self.tokenizer, one.prompts, max_tokens=task.max_tokens, stop=task.stop, tokens=self.tokens
        )

    def _begin(self) -> None:
        """Answers to other questions are thrown away."""
        key = digest(
            [
                (
                    p.task.name,
                    p.task.metric,
                    a.probe,
                    a.item.prompt,
                    a.item.gold,
                    a.fresh,
                    *a.item.turns,
                    *("chat",) * p.task.chat,
                )
                for p in self.wanted
                for a in p.asks
            ]
        )
        begin(self.folder, key)


def collected(folder: Path) -> list[dict[str, Any]]:
    """Scores of every file of rows in a folder, by task and step."""
    made = []
    for file in sorted(folder.glob("*.jsonl")):
        task, step = file.stem.rsplit(".", 1)
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        n = {name: sum(r["probe"] == name for r in rows) for name in probes.ALL}
        made.append({"task": task, "step": int(step), "n": n, "scores": probes.scores(rows)})
    return sorted(made, key=lambda m: (m["task"], m["step"]))


@contextmanager
def undisturbed() -> Iterator[None]:
    """Within: whatever draws random numbers; afterwards all generators are as before."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
