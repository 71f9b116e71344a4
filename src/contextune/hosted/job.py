"""A tuning job that is submitted once, whatever happens in between.

    1  the record (job.json) says what is to be asked, under an id made of all that decides it
    2  the file is uploaded under that id; where it is there already, nothing is
    3  the service is asked for a job with the label of that id: one that is there is taken
    4  the record says that a job is being asked for, since when; then it is asked for
    5  the record has the job's name

Killed between 4 and 5, or where the answer is lost, the next attempt looks for the label first, for as long as a list
may lag behind (SETTLE), and only then asks again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contextune.core import ownership
from contextune.core.errors import UserError
from contextune.core.files import Damaged, digest, read_sealed, write_sealed

from .vertex import BUCKET, LABEL, Lost, Vertex, documented

FILE = "job.json"
ROWS = "rows.jsonl"
KIND = "hosted-job"
SETTLE = 30.0
"""Seconds within which a job that was asked for must be in the service's list."""
DONE = "JOB_STATE_SUCCEEDED"
ENDED = (DONE, "JOB_STATE_PARTIALLY_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED")
POLL = 60.0
"""Seconds between two looks at a job."""


@dataclass(frozen=True)
class Order:
    """What is asked of the service."""

    project: str
    location: str
    bucket: str
    model: str
    name: str
    """The tuned model's display name."""
    epochs: int = 3
    rate: float = 1.0
    """Multiplier of the service's own learning rate."""
    adapter: int = 4

    def __post_init__(self) -> None:
        """Raises UserError where no bucket can have that name."""
        if not BUCKET.fullmatch(self.bucket):
            fix = "the name of a Cloud Storage bucket alone, without gs:// and without a folder"
            raise UserError(f"--bucket {self.bucket!r:.60}: not the name of a bucket", fix)

    def id(self, content: bytes) -> str:
        """A label: lower-case letters and digits, of all that decides the job."""
        return digest([content.decode("utf-8"), sorted(vars(self).items())])[:32]

    def body(self, id: str, uri: str) -> dict[str, Any]:
        sizes = {1: "ONE", 2: "TWO", 4: "FOUR", 8: "EIGHT", 16: "SIXTEEN"}
        return {
            "baseModel": self.model,
            "tunedModelDisplayName": self.name,
            "labels": {LABEL: id},
            "supervisedTuningSpec": {
                "trainingDatasetUri": uri,
                "hyperParameters": {
                    "epochCount": str(self.epochs),
                    "learningRateMultiplier": self.rate,
                    "adapterSize": f"ADAPTER_SIZE_{sizes[self.adapter]}",
                },
            },
        }


def price(tokens: int, epochs: int, per_million: float) -> float:
    """What training costs: tokens in the file, times epochs, at a price for a million."""
    return tokens * epochs * per_million / 1e6


def submit(
    service: Vertex,
    order: Order,
    folder: Path,
    content: bytes,
    *,
    told: Mapping[str, Any] | None = None,
    now: Callable[[], float] = time.time,
    settle: float = SETTLE,
) -> dict[str, Any]:
    """The record of the job, which is made unless it is there. `told` is kept beside it (tokens, price).

    Raises UserError where the folder has another job, or the service does not take this one.
    """
    id = order.id(content)
    ownership.claim(folder, KIND, what="hosted job", fix="give another --out")
    record = read(folder)
    if record and record["id"] != id:
        raise UserError(
            f"{folder}: it holds another job ({record['id']}): other rows, another model or other options",
            "give another --out, or the options of that job",
        )
    record = record or {"id": id, "order": vars(order), "told": dict(told or {}), "state": "begun"}
    if record.get("job"):
        return record
    write_sealed(folder / FILE, record)
    uri = service.upload(order.bucket, f"contextune/{id}.jsonl", content)
    name = _created(service, order.body(id, uri), id, folder, record, now, settle)
    record |= {"job": name, "state": "submitted"}
    write_sealed(folder / FILE, record)
    return record


def _created(
    service: Vertex, body: Mapping[str, Any], id: str, folder: Path, record: dict[str, Any],
    now: Callable[[], float], settle: float,
) -> str:  # fmt: skip
    """The name of the job with that label, which is asked for where there is none."""
    last: Lost | None = None
    for attempt in range(service.tries):
        if (there := service.find(id)) is not None:
            return str(there["name"])
        listed = min(record.get("sent", -settle), now()) + settle  # by then; a clock may have been set back
        while now() < listed:  # it may have been asked for, and not be listed yet
            service.sleep(min(2.0, settle))
            if (there := service.find(id)) is not None:
                return str(there["name"])
        record |= {"state": "sending", "sent": now()}
        write_sealed(folder / FILE, record)
        try:
            return str(service.create(body)["name"])
        except (Lost, KeyError) as e:
            last = e if isinstance(e, Lost) else Lost("an answer without a job's name")
            service.sleep(service.pause(attempt, last))
    raise UserError(f"no job after {service.tries} attempts; at last: {last}", "give the same command again later")


def read(folder: Path) -> dict[str, Any] | None:
    """The record in a folder; None where there is none. Raises UserError where it is damaged."""
    try:
        return read_sealed(folder / FILE)
    except Damaged as e:
        raise UserError(
            str(e), "move it away: hosted submit finds the job again by its rows and options, and submits no second one"
        ) from None


def known(folder: Path) -> dict[str, Any]:
    """The record of a job that was submitted."""
    if folder.is_file():
        raise UserError(f"{folder}: a file, expected the folder of a job", "give the --out of contextune hosted submit")
    record = read(folder)
    if record is None or not record.get("job"):
        raise UserError(
            f"{folder}: no job was submitted from here", "contextune hosted submit RECIPE --arm A --out DIR"
        )
    return record


def status(
    service: Vertex,
    folder: Path,
    *,
    wait: bool = False,
    poll: float = POLL,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """The record with what the service says of the job; with `wait` asked until the job has ended."""
    record = known(folder)
    while True:
        job = service.job(record["job"])
        state = str(job.get("state", "JOB_STATE_UNSPECIFIED"))
        record |= {"state": state, "model": job.get("tunedModel") or {}, "error": job.get("error") or {}}
        with documented(record["job"]):
            stats = job.get("tuningDataStats", {}).get("supervisedTuningDataStats", {})
            if "totalBillableTokenCount" in stats:
                record["billed"] = int(stats["totalBillableTokenCount"])
        write_sealed(folder / FILE, record)
        if not wait or state in ENDED:
            return record
        say(f"{record['job']}: {state}")
        service.sleep(poll)
