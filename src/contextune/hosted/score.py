"""A hosted model on the tasks of a recipe: the same prompts, metrics and outcomes as a model of ours.

Its answers stand in a store: what was answered is never asked, or paid for, twice. The service gives no
log-likelihoods, so tasks of the kind `generate` alone can be asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contextune.core.errors import UserError
from contextune.core.items import Task, Turns
from contextune.core.sequence import Tokenizer
from contextune.evaluate.analysis.summary import summarise
from contextune.evaluate.options import Compare
from contextune.evaluate.scoring import outcomes
from contextune.evaluate.scoring.floors import floors
from contextune.evaluate.scoring.grading import grade
from contextune.generation.protocol import Answer, Cost, Failure, Request
from contextune.generation.stored_writer import StoredWriter

from .vertex import Vertex

STORE = "answers.sqlite"
OUTCOMES = "outcomes"
AT_ONCE = 8
"""Requests under way."""


@dataclass(frozen=True)
class HostedModel:
    """An engine (`generation.protocol.Engine`): the model of that name, or a tuned model's endpoint."""

    service: Vertex
    model: str
    at_once: int = AT_ONCE

    @property
    def name(self) -> str:
        return self.model

    @property
    def identity(self) -> str:
        return hashlib.blake2b(f"vertex {self.model}".encode(), digest_size=16).hexdigest()

    def complete(self, requests: Seq[Request]) -> Iterator[tuple[int, str | Failure]]:
        """Raises UserError where the service takes no request at all: a token that has expired, a wrong name.

        What was sent before that is waited for and yielded first: its answers are paid, and nothing is asked after the
        error.
        """
        pool = ThreadPoolExecutor(self.at_once)
        fault: UserError | None = None
        try:
            asked = {pool.submit(self._ask, request): place for place, request in enumerate(requests)}
            for future in as_completed(asked):
                try:
                    answer = future.result()
                except CancelledError:
                    continue
                except UserError as e:
                    fault = fault or e
                    for other in asked:
                        other.cancel()
                else:
                    yield asked[future], answer
            if fault is not None:
                raise fault
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, request: Request) -> str | Failure:
        turns = request.turns or (("user", request.prompt),)
        system = [text for role, text in turns if role == "system"]
        body: dict[str, Any] = {
            "contents": [
                {"role": "model" if role == "assistant" else role, "parts": [{"text": text}]}
                for role, text in turns
                if role != "system"
            ],
            "generationConfig": {"temperature": request.temperature, "maxOutputTokens": request.max_tokens},
        }
        if request.stop:
            body["generationConfig"]["stopSequences"] = list(request.stop)[:5]
        if system:
            body["systemInstruction"] = {"parts": [{"text": system[0]}]}
        said = self.service.generate(self.model, body)
        try:
            return _answer(said, request)
        except (TypeError, AttributeError, LookupError) as e:
            return Failure(f"the answer has another form than the service documents ({e})")


def _answer(said: dict[str, Any], request: Request) -> str | Failure:
    used = said.get("usageMetadata", {})
    cost = Cost(used.get("promptTokenCount"), used.get("candidatesTokenCount"))
    candidates = said.get("candidates") or [{}]
    parts = candidates[0].get("content", {}).get("parts", [])
    why = str(candidates[0].get("finishReason") or said.get("promptFeedback", {}).get("blockReason") or "")
    if why not in ("STOP", "MAX_TOKENS"):
        return Failure(f"the service gives no answer ({why or 'no reason'})", cost=cost)
    text = "".join(str(p.get("text", "")) for p in parts if not p.get("thought"))
    return Answer(text[: min((at for s in request.stop if (at := text.find(s)) >= 0), default=len(text))], cost)


def refuse_others(tasks: Seq[Task]) -> None:
    """UserError where a task needs log-likelihoods."""
    if not tasks:
        raise UserError("the recipe names no task", "add evaluate.tasks to it")
    if others := [t.name for t in tasks if t.kind != "generate"]:
        raise UserError(
            f"evaluate.tasks: {', '.join(others)}: a hosted service gives no log-likelihoods, which kinds other than "
            "generate need",
            "name tasks of the kind generate with --task, or write such ones",
        )


def score(
    engine: HostedModel, tasks: Seq[Task], folder: Path, arm: str, tokenizer: Tokenizer, resamples: int = 2000
) -> dict[str, Any]:
    """Results of an arm, as library.score has them; outcomes are written below `folder`.

    Raises UserError where an item has no answer; what was answered is kept.
    """
    refuse_others(tasks)
    writer = StoredWriter(lambda: engine, folder / STORE, tokenizer)
    for task in tasks:
        requests = [_request(task, task.asked(item), item.id) for item in task.items]
        answers = writer(requests)
        lost = [(item.id, a.reason) for item, a in zip(task.items, answers, strict=True) if isinstance(a, Failure)]
        if lost:
            raise UserError(
                f"task {task.name}: {len(lost)} of {len(answers)} items have no answer ({lost[0][0]}: {lost[0][1]})",
                "give the same command again: what was answered is kept, only these are asked",
            )
        texts = [str(a) for a in answers]
        rows = [
            {
                "output": text, "options": item.options, "cut": 0, "gold": item.gold, "predicted": g.predicted,
                "correct": g.correct, "notes": g.notes,
            }
            for item, text, g in zip(task.items, texts, grade(task, task.items, texts), strict=True)
        ]  # fmt: skip
        table = outcomes.table(task, rows, arm, 0, floors(task))
        (folder / OUTCOMES).mkdir(exist_ok=True)
        outcomes.write(folder / OUTCOMES / outcomes.file_name(arm, 0, task.name), table)
    arms = {outcomes.arm_of(p): "" for p in (folder / OUTCOMES).glob("*.parquet")}
    return summarise(folder / OUTCOMES, Compare(resamples=resamples), arms, sorted(arms)[0])


def _request(task: Task, asked: str | Turns, source: str) -> Request:
    """Greedy; cut where the task's limit cuts a model of ours."""
    turns = () if isinstance(asked, str) else tuple(asked)
    prompt = asked if isinstance(asked, str) else "\n".join(text for _, text in asked)
    return Request(
        prompt, task.max_tokens, stop=tuple(task.stop), operation="answer/1", source=source, cut=True, turns=turns
    )
