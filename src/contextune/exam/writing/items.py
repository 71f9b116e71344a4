"""Written questions as items of the five measures."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq

from contextune.core.files import digest

from ..forms import Row
from .prompts import Prompts
from .writer import Draft

CLOSED = {
    "open": "learn_open",
    "choice": "learn_choice",
    "reversed": "generalise_reversed",
    "paraphrased": "generalise_paraphrased",
    "two_passages": "generalise_two_passages",
}


def rows(kept: Seq[Draft], prompts: Prompts) -> Iterator[tuple[str, Row]]:
    """(form, item) of every kept question."""
    answered = [d for d in kept if d.kind == "choice"]
    free = [d for d in kept if d.kind == "unanswerable"]
    for d in kept:
        if d.kind in CLOSED:
            prompt = prompts.asked.format(question=d.question)
            yield _row(
                CLOSED[d.kind], d, prompt, [d.answer, *d.wrong] if d.kind == "choice" else [d.answer], 0, "", prompt
            )
        if d.kind == "open":
            beside = [o for o in kept if o.kind == "open" and o.read != d.read and o.answer != d.answer]
            texts = [d.text, *(o.text for o in beside[:1])]
            texts = texts if int(digest([d.question])[:2], 16) % 2 else texts[::-1]
            alone = prompts.asked.format(question=d.question)
            prompt = prompts.asked_behind.format(passage="\n\n".join(texts), question=d.question)
            yield _row("listen_open", d, prompt, [d.answer], 0, alone, alone)
    for with_answer, without in zip(answered, free, strict=False):
        for d, right in ((with_answer, 0), (without, 3)):
            prompt = prompts.says_or_not.format(passage=d.text, question=d.question)
            wrong = [with_answer.answer, *with_answer.wrong[:2], prompts.says_not]
            yield _row("resist_no_answer", d, prompt, wrong, right, "", prompts.asked.format(question=d.question))


def _row(
    form: str, draft: Draft, prompt: str, answers: Seq[str], right: int, alone: str, held_out: str
) -> tuple[str, Row]:
    id = identity(draft)
    order = sorted(range(len(answers)), key=lambda i: digest([id, form, answers[i]]))
    space = " " if len(answers) > 1 else ""
    return form, {
        "id": id,
        "statement": id,
        "cluster": digest([p.id for p in draft.read] + [draft.base or draft.question])[:12],
        "prompt": prompt,
        "options": [f"{space}{answers[i]}" for i in order],
        "answer": order.index(right),
        "alone": alone,
        "held_out": held_out,
        "kind": draft.kind,
        "made_by": "writer",
        "known": draft.known,
        **({"passage": draft.text} if form in CLOSED.values() else {}),
    }


def identity(draft: Draft) -> str:
    return digest([draft.kind, draft.question, draft.answer])[:12]
