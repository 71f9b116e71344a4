"""An arm's rows in the forms that hosted services take.

    vertex     {"contents": [{"role": "user", "parts": [{"text": context}]}, {"role": "model", "parts": [{"text": …}]}]}
    messages   {"messages": [{"role": "user", "content": context}, {"role": "assistant", "content": target}]}
    tinker     {"tokens": [ids without the last], "target_tokens": [ids without the first], "weights": [0 or 1 each]}

Services train on the model's turns (Vertex AI on all of them, OpenAI on the assistant's), so contexts become the user's
turn and targets the model's; white space at the seam is left out, as templates mark it. Tinker takes tokens with a
weight each (`tinker.Datum`: model_input, loss_fn_inputs), so there it is the recipe's own rendering, id for id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from typing import Any, Literal, get_args

from contextune.contexts import compose
from contextune.core.errors import UserError, nearest
from contextune.core.sequence import IGNORED, DrawKey, Record, Segment, render
from contextune.experiment.prepare import Prepared, PreparedStage

Form = Literal["vertex", "messages", "tinker"]
FORMS: tuple[str, ...] = get_args(Form)
Turn = tuple[str, str]
"""(user or model or system, text)."""


def rows(prepared: Prepared, arm: str, form: str, epochs: int = 1, instruction: str = "") -> list[dict[str, Any]]:
    """The rows of an arm's only stage in a form, with the contexts of the first `epochs` one after another.

    `instruction` is the user's turn of rows without a context. Raises UserError where the form is unknown, where the
    arm has not one stage, where its objective or its choice of contexts needs a trainer of ours, or where a row has no
    user's turn.
    """
    if form not in FORMS:
        raise UserError(f"unknown form '{form}'", nearest(form, FORMS))
    stage = _stage(prepared, arm)
    made = []
    for epoch in range(epochs):
        for record in stage.records:
            key = DrawKey(prepared.recipe.seeds[0], epoch, epoch / epochs)
            if form == "tinker":
                made.append(_tokens(prepared, stage, record, key))
                continue
            turns = _turns(prepared, stage, record, key, instruction)
            made.append(_vertex(turns) if form == "vertex" else _messages(turns))
    return made


def _stage(prepared: Prepared, arm: str) -> PreparedStage:
    stages = prepared.arms[arm]
    if len(stages) != 1:
        raise UserError(
            f"arm {arm} has {len(stages)} stages; a hosted service trains one", "name an arm of one stage with --arm"
        )
    stage = stages[0]
    if stage.train.objective.pairs:
        raise UserError(
            f"arm {arm}: the objective {stage.train.objective.name} compares two answers, and a form holds one",
            "export an arm that learns one answer",
        )
    if stage.train.objective.bare:
        raise UserError(
            f"arm {arm}: the objective {stage.train.objective.name} needs the model's own distributions, and a form "
            "holds texts",
            "export an arm whose objective is the likelihood",
        )
    if stage.train.kl is not None:
        raise UserError(
            f"arm {arm}: the penalty train.kl needs the model's own distributions, and a form holds texts",
            "export an arm without it",
        )
    return stage


def _tokens(prepared: Prepared, stage: PreparedStage, record: Record, key: DrawKey) -> dict[str, Any]:
    made = render(_drawn(stage, record, key), prepared.tokenizer, stage.train.max_length)
    weights = [int(label != IGNORED) for label in made.labels[1:]]
    return {"tokens": list(made.ids[:-1]), "target_tokens": list(made.ids[1:]), "weights": weights}


def _drawn(stage: PreparedStage, record: Record, key: DrawKey) -> Any:
    drawn = compose(record, stage.context, key)
    if drawn.alternatives:
        raise UserError(
            "context: choose: loss asks the model before each update, which a hosted service does not do",
            "choose: random",
        )
    return drawn


def _turns(prepared: Prepared, stage: PreparedStage, record: Record, key: DrawKey, instruction: str) -> list[Turn]:
    """User's and model's turns by turns."""
    drawn = _drawn(stage, record, key)
    said = _conversation(prepared, record)
    if said:
        before = "".join(s.text for s in drawn.segments[: drawn.drawn]).strip()
        turns = [("model" if m["role"] == "assistant" else m["role"], str(m["content"])) for m in said]
        if before:
            turns = [(turns[0][0], f"{before}\n\n{turns[0][1]}"), *turns[1:]]
        return _alternating(record, turns)
    turns = _merged(drawn.segments)
    if not turns or turns[0][0] != "user":
        if not instruction.strip():
            raise UserError(
                f"record {record.id}: nothing precedes its text, and a hosted service needs a user's turn",
                "give --instruction, e.g. 'Continue.', or export an arm with a context",
            )
        turns = [("user", instruction.strip()), *turns]
    return turns


def _conversation(prepared: Prepared, record: Record) -> Seq[Mapping[str, Any]]:
    """The messages of a record that is a conversation: a chat template of ours is none of the service's."""
    if not any(s.markup is True for s in record.segments):
        return ()
    found = [
        d for docs in prepared.documents.values() for d in docs.documents if d.id == record.document and d.messages
    ]
    if not found or "#turn" in record.id:
        raise UserError(
            f"record {record.id}: its conversation is written as several rows by the chat template",
            "export to tinker, which takes tokens",
        )
    if any(m.get("weight", 1) == 0 for m in found[0].messages):
        raise UserError(f"record {record.id}: a message has weight 0, which no service knows", "export to tinker")
    return found[0].messages


def _alternating(record: Record, turns: list[Turn]) -> list[Turn]:
    roles = [role for role, _ in turns if role != "system"]
    if any(role not in ("user", "model") for role in roles) or roles[::2] != ["user"] * len(roles[::2]) or not roles:
        raise UserError(
            f"record {record.id}: its turns are {', '.join(roles)}", "services take user and assistant by turns"
        )
    return turns[: 1 + max(i for i, (role, _) in enumerate(turns) if role == "model")]


def _merged(segments: Seq[Segment]) -> list[Turn]:
    """Neighbours of one role as one turn."""
    turns: list[Turn] = []
    for segment in segments:
        role = "model" if segment.role == "target" else "user"
        if turns and turns[-1][0] == role:
            turns[-1] = role, turns[-1][1] + segment.text
        else:
            turns.append((role, segment.text))
    return [(role, text.strip()) for role, text in turns if text.strip()]


def _vertex(turns: list[Turn]) -> dict[str, Any]:
    contents = [{"role": role, "parts": [{"text": text}]} for role, text in turns if role != "system"]
    system = [text for role, text in turns if role == "system"]
    lead = {"systemInstruction": {"role": "system", "parts": [{"text": system[0]}]}} if system else {}
    return {**lead, "contents": contents}


def _messages(turns: list[Turn]) -> dict[str, Any]:
    return {"messages": [{"role": role.replace("model", "assistant"), "content": text} for role, text in turns]}


def learned(row: Mapping[str, Any]) -> list[str] | int:
    """What a service trains on in a row: the texts of the model's turns; of tokens their number."""
    if "weights" in row:
        return int(sum(row["weights"]))
    if "contents" in row:
        return ["".join(p["text"] for p in c["parts"]) for c in row["contents"] if c["role"] == "model"]
    return [m["content"] for m in row["messages"] if m["role"] == "assistant"]


def check(prepared: Prepared, arm: str, lines: Iterator[str] | Seq[str], epochs: int = 1) -> dict[str, int]:
    """{rows, trained, read}: tokens (of the recipe's tokenizer) that a written file trains on, and that it only reads.

    The file is read again and each row's learned text compared with what the arm learns. Raises UserError where one
    differs.
    """
    from contextune.core.encoding import count

    stage, found = _stage(prepared, arm), {"rows": 0, "trained": 0, "read": 0}
    wanted = ((epoch, record) for epoch in range(epochs) for record in stage.records)
    for line, (epoch, record) in zip(lines, wanted, strict=True):
        row = json.loads(line)
        drawn = compose(record, stage.context, DrawKey(prepared.recipe.seeds[0], epoch, epoch / epochs))
        said = learned(row)
        if isinstance(said, int):
            trained, whole = render(drawn, prepared.tokenizer, stage.train.max_length).trained, len(row["tokens"]) + 1
            same = said == trained
        else:
            own = [text for role, text in _merged(drawn.segments) if role == "model"]
            conversation = _conversation(prepared, record)
            same = len(said) == len(own) if conversation else said == own
            trained = sum(count(text, prepared.tokenizer) for text in said)
            whole = trained + sum(count(t, prepared.tokenizer) for t in _texts(row))
        if not same:
            raise UserError(f"record {record.id}: the file trains on something else than the arm", "write it again")
        found["rows"] += 1
        found["trained"] += trained
        found["read"] += whole - trained
    return found


def _texts(row: Mapping[str, Any]) -> list[str]:
    """The texts that are only read."""
    if "contents" in row:
        lead = [row["systemInstruction"]] if "systemInstruction" in row else []
        return [p["text"] for c in (*lead, *row["contents"]) if c["role"] != "model" for p in c["parts"]]
    return [m["content"] for m in row["messages"] if m["role"] != "assistant"]
