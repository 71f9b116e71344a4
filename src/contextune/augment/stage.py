"""A stage's records and what was inferred from them: split, ask, judge, mix; and an account of all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from typing import Any

from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.sequence import Record, Segment
from contextune.generation.protocol import Request
from contextune.generation.stored_writer import StoredWriter

from .base import Inferred, Operation, Passage
from .decisions import ACCEPT, REJECT, Decisions
from .demonstrations import NoDemonstrations
from .filters import exact, run_filters
from .mixing import achieved, portions
from .options import Augment, parts
from .prompted import Prompted
from .sentence_split import Split, is_text, pieces, sentences

BY_PERSON = "rejected by a person"
ATTEMPTS = 2
"""How often more is asked of records that have fewer texts than they should."""


@dataclass(frozen=True)
class AugmentJob:
    """What is augmented, and with what: the stage's records with their sources, and how long a target may be."""

    options: Augment
    records: Seq[tuple[Record, str]]
    context: BindContext
    writer: StoredWriter
    sizes: Callable[[Seq[Record]], list[int]]
    """Tokens of each record's target that are trained on."""
    room: int
    """Tokens that a target may have."""
    replay: Seq[tuple[Record, str]] = ()
    insist: bool = False
    """Whether what has failed in earlier runs too is asked anew; no share of failures is then an error."""
    decided: Decisions = field(default_factory=Decisions)
    """What a person decided of the texts."""
    oracle: Seq[Record] | None = None
    """What a perfect writer would have made, where a world knows it; None elsewhere."""


@dataclass(frozen=True)
class Augmented:
    """What a stage trains on, each with its source (made ones: source+operation), and where it came from."""

    records: list[Record]
    origins: list[str]
    rows: list[dict[str, Any]] = field(repr=False)
    """Every made text with its provenance, and why it was left out where it was."""
    account: dict[str, Any]
    warnings: list[str]
    pending: dict[str, Any]
    """Requests still to be asked, and the tokens read and written for them at most."""
    parts: dict[str, Any]
    """What decides the texts: part of a run's identity."""
    unasked: list[Request] = field(default_factory=list, repr=False)
    """The pending requests, each as often as it would be asked here."""


def augment(job: AugmentJob) -> Augmented:
    options = job.options
    chosen = [(r, name) for r, name in job.records if name in options.data or not options.data]
    originals = [(p, name) for r, name in job.records for p in pieces(r, options.split)]
    source = {r.id: (r, name) for r, name in chosen}
    made, kept, filters, short = _enough(job, [r for r, _ in chosen])
    if _stuck(job):  # the same would be too many in every run
        job = replace(job, writer=(writer := job.writer.anew()), context=replace(job.context, writer=writer))
        made, kept, filters, short = _enough(job, [r for r, _ in chosen])
    numbered = _numbered(made)
    rows, dropped = [_row(m, id, job) for m, id in numbered], {id(m) for m in made} - {id(m) for m in kept}
    records = [(_record(m, n, job), m, source[m.passage.record][1]) for m, n in numbered if id(m) not in dropped]
    fitting, fits = _fit(records, job)
    stays = {r.id for r, _ in fitting}
    for row in rows:
        row["kept"] = row["id"] in stays
    groups = {"original": originals if options.keep else [], "augmented": fitting}
    learned, mixed = _mixed(groups, job)
    account = {
        "made": len(made),
        "kept": len(fitting),
        "by_operation": _by_operation(rows, job.writer),
        "filters": [*filters, *([fits] if fits["in"] > fits["out"] else [])],
        "shortfall": short,
        **({"failures": job.writer.listed} if job.writer.listed else {}),
        "prompt_style": job.context.prompt_style,
        **({"mix": mixed} if mixed else {}),
    }
    if job.decided.said:
        account["decisions"] = _decisions(numbered, job)
    if job.oracle is not None:
        account["exact"] = exact.account(made, kept, [r for r, _ in chosen], job.oracle)
    decided = parts(options, job.context.folder, job.context.prompt_style)
    bare, origins = [r for r, _ in learned], [o for _, o in learned]
    return Augmented(
        bare, origins, rows, account, _warnings(job, short), job.writer.pending(), decided, job.writer.unasked
    )


# ------------------------------------------------------------------------------------ reading and asking


def passages(records: Iterable[Record], split: Split) -> Iterator[Passage]:
    """Each record whole, or its sentences where it is to be split and is a text."""
    for r in records:
        text = r.text
        found = sentences(text) if split != "none" and is_text(r) else [text]
        for i, said in enumerate(found):
            name = f"{r.id}/{i}" if len(found) > 1 else r.id
            yield Passage(name, said.strip(), r.id, r.document, "".join(found[:i]), r.fields)


def infer(operations: Iterable[Operation], records: Seq[Record], split: Split, context: BindContext) -> list[Inferred]:
    read = {"document": list(passages(records, "none")), "sentence": list(passages(records, split))}
    return [m for o in operations for m in o.infer(read[o.reads], context) if m.text.strip()]


def _stuck(job: AugmentJob) -> bool:
    """Whether there are too many failures, all of them from earlier runs."""
    failed, total = job.writer.failed()
    writer, limit = job.writer, 0.0 if job.insist else job.options.failures
    if limit is None:
        return False
    lacking = len(writer.listed) if job.insist else failed
    return bool(writer.retries) and not (writer.plan or writer.fresh or writer.insist) and lacking > limit * total


def _enough(
    job: AugmentJob, records: Seq[Record]
) -> tuple[list[Inferred], list[Inferred], list[dict[str, Any]], dict[str, Any]]:
    """(made, kept, accounts of the filters, shortfall); where records have too few texts, sampled again."""
    options = job.options
    made = infer(options.operations, records, options.split, job.context)
    kept, filters = _filtered(made, job)
    asking = [o for o in options.operations if isinstance(o, Prompted)]
    for attempt in range(1, ATTEMPTS + 1):
        lacking = _lacking(kept, records, options.atleast)
        short = [r for r in records if r.id in lacking]
        if not short or not asking or job.writer.plan:
            break
        made += infer([o.again(attempt) for o in asking], short, options.split, job.context)
        kept, filters = _filtered(made, job)
    lacking = _lacking(kept, records, options.atleast)
    return made, kept, filters, {"atleast": options.atleast, "records": lacking} if options.atleast else {}


def _filtered(made: Seq[Inferred], job: AugmentJob) -> tuple[list[Inferred], list[dict[str, Any]]]:
    """(kept, accounts): demonstrations of the prompts are never kept."""
    first = (NoDemonstrations(),) if any(m.shown for m in made) else ()
    decided = {id(m): job.decided.of(name, m) for m, name in _numbered(made)} if job.decided.said else {}
    left = [m for m in made if decided.get(id(m)) != REJECT]
    kept, accounts = run_filters(left, (*first, *(job.options.filters or ())), job.context)
    accounts = [a for a in accounts if a["filter"] != NoDemonstrations.name or a["in"] > a["out"]]
    if any(decided.values()):
        stays = {id(m) for m in kept} | {i for i, said in decided.items() if said == ACCEPT}
        kept = [m for m in left if id(m) in stays]
        accounts.insert(0, _decided_account(made, left))
    return kept, accounts


def _decided_account(made: Seq[Inferred], left: Seq[Inferred]) -> dict[str, Any]:
    """What a person decided, in the form of a filter's account."""
    stays = {id(m) for m in left}
    samples = [
        {"text": m.prompt + m.text, "source": m.passage.text, "operation": m.operation, "reason": BY_PERSON}
        for m in made
        if id(m) not in stays
    ]
    reasons = {BY_PERSON: len(samples)} if samples else {}
    return {"filter": "decisions", "in": len(made), "out": len(left), "reasons": reasons, "samples": samples[:5]}


def _lacking(kept: Iterable[Inferred], records: Iterable[Record], least: int) -> dict[str, int]:
    """Records with fewer texts than they should have: how many they have."""
    have = Counter(m.passage.record for m in kept)
    return {r.id: have[r.id] for r in records if have[r.id] < least}


def round_trip(context: BindContext) -> Callable[[Seq[Inferred], str], list[str | None]]:
    """Applies an operation, by name, to texts that were made: what it makes of each first."""

    def ask(made: Seq[Inferred], name: str) -> list[str | None]:
        whole = [
            replace(m.passage, id=f"{m.passage.id}~{i}", text=(m.prompt + m.text).strip()) for i, m in enumerate(made)
        ]
        first: dict[str, str] = {}
        for found in registry.operations.find(name)().infer(whole, context):
            first.setdefault(found.passage.id, (found.prompt + found.text).strip())
        return [first.get(p.id) for p in whole]

    return ask


# ---------------------------------------------------------------------------------------------- records


def _numbered(made: Seq[Inferred]) -> list[tuple[Inferred, str]]:
    """Ids in the order in which they were made: "fact-3/0+reversal/1#0"."""
    counts, found = Counter[str](), list[tuple[Inferred, str]]()
    for m in made:
        name = f"{m.passage.id}+{m.operation}"
        found.append((m, f"{name}#{counts[name]}"))
        counts[name] += 1
    return found


def _provenance(made: Inferred, job: AugmentJob) -> dict[str, Any]:
    name, _, version = made.operation.rpartition("/")
    return {
        "source": made.passage.record,
        "passage": made.passage.id,
        "operation": name,
        "version": int(version),
        "request": made.request,
        "seen": list(made.seen),
        "writer": job.writer.identity if made.request else "",
    }


def _row(made: Inferred, id: str, job: AugmentJob) -> dict[str, Any]:
    return {
        "id": id, "prompt": made.prompt, "text": made.text, "from": made.passage.text[:500], **_provenance(made, job)
    }  # fmt: skip


def _record(made: Inferred, id: str, job: AugmentJob) -> Record:
    before = (Segment(made.prompt, "context"),) if made.prompt else ()
    segments = (*before, Segment(made.text, "target"))
    origin = f"{made.operation} of {made.passage.record}"
    return Record(id, segments, made.passage.document, True, origin, _provenance(made, job))


def _fit(
    records: Seq[tuple[Record, Inferred, str]], job: AugmentJob
) -> tuple[list[tuple[Record, str]], dict[str, Any]]:
    """Those whose target fits, with their origin, and an account in the form of a filter's."""
    sizes = job.sizes([r for r, _, _ in records])
    kept = [(r, f"{name}+{m.operation.rpartition('/')[0]}", n) for (r, m, name), n in zip(records, sizes, strict=True)]
    long = [r for r, _, n in kept if n > job.room]
    samples = [
        {"text": r.target[:500], "source": r.fields["source"], "operation": r.fields["operation"], "reason": "too long"}
        for r in long[:5]
    ]
    account = {"filter": "fits", "in": len(kept), "out": len(kept) - len(long), "samples": samples}
    account["reasons"] = {"too long": len(long)} if long else {}
    return [(r, origin) for r, origin, n in kept if n <= job.room], account


def _mixed(
    groups: dict[str, list[tuple[Record, str]]], job: AugmentJob
) -> tuple[list[tuple[Record, str]], dict[str, Any] | None]:
    mix = job.options.mix
    if mix is None:
        return [row for rows in groups.values() for row in rows], None
    if mix.replay is not None:
        groups = {**groups, "replay": list(job.replay)}
    origins = {r.id: origin for rows in groups.values() for r, origin in rows}
    absent = {"original"} if job.options.operations and not job.writer.plan else {"original", "augmented"}
    bare = {name: [r for r, _ in rows] for name, rows in groups.items() if rows or name not in absent}
    if job.writer.plan:
        mix = mix.among(bare)
    known = {id(r): n for rows in bare.values() for r, n in zip(rows, job.sizes(rows), strict=True)}
    size = lambda r: known[id(r)] if id(r) in known else job.sizes([r])[0]  # noqa: E731  # repeats are new objects
    used = portions(bare, size, mix)
    flat = [(r, origins.get(r.id) or origins[r.id.rpartition("+")[0]]) for rows in used.values() for r in rows]
    return flat, achieved(used, size, bare)


def _by_operation(rows: list[dict[str, Any]], writer: StoredWriter) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        counts = found.setdefault(row["operation"], {"made": 0, "kept": 0, "requests": 0, "answered": 0, "failed": 0})
        counts["made"] += 1
        counts["kept"] += row["kept"]
    for label, count in writer.counts.items():
        name = label.rpartition("/")[0]
        counts = found.setdefault(name, {"made": 0, "kept": 0, "requests": 0, "answered": 0, "failed": 0})
        counts |= {"requests": count.requests, "answered": count.answered, "failed": count.failed}
        if count.missing:
            counts["missing"] = count.missing
        if count.unusable:
            counts["unusable"] = count.unusable
        if count.lasting:
            counts["lasting"] = count.lasting
    return found


def _decisions(numbered: Seq[tuple[Inferred, str]], job: AugmentJob) -> dict[str, Any]:
    """How many texts a person accepted and rejected, and ids of decisions on texts that are made no longer."""
    said = Counter(job.decided.of(name, m) for m, name in numbered)
    unused = [] if job.writer.plan else job.decided.unused(numbered)
    return {"accepted": said[ACCEPT], "rejected": said[REJECT], "of_no_text": unused}


def _warnings(job: AugmentJob, short: dict[str, Any]) -> list[str]:
    found = [job.writer.refuse(1.0 if job.insist else job.options.failures, "augment")]
    if useless := sum(c.unusable for c in job.writer.counts.values()):
        found.append(f"augment: the answers to {useless} of {job.writer.failed()[1]} requests gave no text of use")
    if short.get("records") and not job.writer.plan:
        few = list(short["records"].items())
        shown = ", ".join(f"{id}: {n}" for id, n in few[:5]) + (f" and {len(few) - 5} more" if len(few) > 5 else "")
        found.append(f"augment: {len(few)} records have fewer than {short['atleast']} texts ({shown})")
    return [w for w in found if w]
