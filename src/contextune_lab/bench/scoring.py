"""Five-shot questions of four options, by us and by lm-evaluation-harness: the same numbers, and how long."""

from __future__ import annotations

import random
from typing import Any

from contextune.core.items import Item
from contextune.evaluate.scoring.choice import score_choices

from . import race
from .training import for_inference, model_of, tokenizer_of


def items(tokenizer: Any, questions: int, seed: int = 0) -> list[Item]:
    """Questions of about 40 tokens after five solved ones; options of one to six tokens."""
    rng = random.Random(seed)
    special = set(tokenizer.all_special_ids)
    words = [
        t for t in (tokenizer.decode([i]).strip() for i in range(len(tokenizer)) if i not in special) if t.isalpha()
    ]

    def text(low: int, high: int) -> str:
        return " ".join(rng.choices(words, k=rng.randint(low, high)))

    shots = "".join(f"Question: {text(20, 30)}\nAnswer: {text(1, 4)}\n\n" for _ in range(5))
    made = []
    for i in range(questions):
        options = tuple(f" {text(1, 4)}" for _ in range(4))
        made.append(Item(f"q{i}", f"{shots}Question: {text(20, 30)}\nAnswer:", 0, options))
    return made


def measure(size: str, rounds: int, questions: int, told: race.RaceProgress, device: str = "cpu") -> dict[str, Any]:
    """Seconds of both, the ratio, and the largest difference of a log-likelihood (nats)."""
    model, tokenizer = for_inference(model_of(size), device), tokenizer_of(size)
    asked = items(tokenizer, questions)
    found: dict[str, list[float]] = {}

    def ours() -> None:
        found["ours"] = [s for scored in score_choices(model, tokenizer, asked) for s in scored.sums]

    harness = _harness(model, tokenizer)

    def theirs() -> None:
        found["harness"] = harness(asked)

    runners = {"ours": ours, "harness": theirs}
    times, peaks = race.race(runners, rounds, lambda text: told(f"{size} scoring: {text}"), device)
    pairs = zip(found["ours"], found["harness"], strict=True)
    return {
        "size": size, "questions": questions, "rounds": rounds, "difference": max(abs(a - b) for a, b in pairs),
        "runners": race.results(times, peaks),
    }  # fmt: skip


def _harness(model: Any, tokenizer: Any, batch: int = 8) -> Any:
    """lm-evaluation-harness on the same loaded model, its progress bar off."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    peer = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch)

    def score(asked: list[Item]) -> list[float]:
        pairs = [(item.prompt, option) for item in asked for option in item.options]
        requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
        return [value for value, _ in peer.loglikelihood(requests, disable_tqdm=True)]

    return score
