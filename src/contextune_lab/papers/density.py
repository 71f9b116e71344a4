"""Where does CFT help? Dense and diluted texts in short and long chunks: CFT beside CPT and its controls.

With the pocket model, the texts of the world `study` as they are, and the same sentences with N times as many words of
chatter about nobody between them. All texts are one stream, cut at a number of tokens; updates have as many tokens at
every length. With the files of a preset, dense and low-density documents, judged by loss on held-out ones. In each
cell (texts, length) all arms are trained on the same chunks, token for token, for as many epochs.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from contextune.core import ownership
from contextune.core.errors import UserError
from contextune.core.files import write_text
from contextune.core.options import Options, whole
from contextune.core.progress import Reporter
from contextune.core.sequence import DrawKey
from contextune.core.world import world_of
from contextune.data import load
from contextune.data.options import Source
from contextune.evaluate.analysis.statistics import Estimate
from contextune.worlds.grammar import FILLER

from . import figures as drawing
from . import presets
from .cft_claims import ON, TEST
from .cft_recipe import ABOUT, CONTEXTS, JUDGED, LEARNING, SMALL
from .cft_search import CONSTANT
from .claims import Claim, Figure, Study, StudyOptions, register
from .comparison import Comparison, compare
from .curves import point
from .judging import above, claim

ROOM = 256
"""Tokens beside a chunk: the longest prompt has fewer."""
HELD = "held_out"


class Files(Options):
    """Documents of the folder of `--set data=FOLDER`."""

    what: str
    texts: dict[str, dict[str, Any]]
    """Sources by name, the dense ones first; paths are within the folder."""
    documents: int
    """Of each source: so many to train on."""
    held: int
    """And as many after them to be judged on."""
    characters: int
    """Of each document, from its beginning."""


class Setup(Options):
    """What differs by model: here, that of the pocket model."""

    files: Files | None = None
    chatter: tuple[int, ...] = (0, 3)
    """Words of chatter for a word of text, by kind of text."""
    lengths: tuple[int, ...] = (64, 256)
    """Tokens of a chunk."""
    tokens: int = 256
    """Of an update, about: chunks of all lengths are gathered into as many."""
    epochs: int = 20
    arms: tuple[str, ...] = ("cpt", "cft", "neutral", "random_tokens")
    lr: float = 3e-3
    train: dict[str, Any] = Field({})


@dataclass(frozen=True, slots=True)
class Texts:
    """A kind of text: its file, what it is judged by, and whether more of that is better."""

    path: Path
    tasks: tuple[dict[str, Any], ...]
    test: str
    more: bool = True

    def reached(self, c: Comparison, arm: str, test: str) -> Estimate:
        """What an arm reaches, of which more is better."""
        e = c.of(arm, test)
        return e if self.more else Estimate(0.0, np.zeros_like(e.draws)) - e


@register("density")
def density(wanted: StudyOptions, reporter: Reporter) -> Study:
    """Options (`--set`): lengths (tokens of a chunk, A,B,…), epochs, draw (of the world), data (a folder), preset."""
    wanted.only("density", "lengths", "epochs", "draw", "data", "preset")
    made = setup(wanted)
    texts = write(wanted, made)
    found = {
        (kind, length): compare(recipe(wanted, made, kind, of, length), wanted.out / f"{kind}-{length}", reporter)
        for (kind, of), length in product(texts.items(), made.lengths)
    }
    return Study(
        "density",
        "Where does CFT help?",
        "Contextune: dense and low-density texts, short and long chunks",
        tuple(claims(found, texts, made, len(wanted.seeds))),
        (figure(found, texts),),
        notes(wanted, made),
        tuple(c.folder.name for c in found.values()),
    )


def setup(wanted: StudyOptions) -> Setup:
    """What the model's preset says, with what the command line says in its place."""
    made = presets.of("density", wanted, Setup())
    own: dict[str, Any] = {"epochs": wanted.whole("epochs", made.epochs)}
    if "lengths" in wanted.options:
        own["lengths"] = tuple(_numbers(str(wanted.options["lengths"])))
    return made.model_copy(update=own)


def _numbers(given: str) -> Iterator[int]:
    for part in given.split(","):
        if not part.strip().isdigit():
            raise UserError(f"--set lengths={given}: '{part}' is no number", "write --set lengths=64,256")
        yield whole(int(part), "--set lengths", 16, 1 << 16)


# ---------------------------------------------------------------------------------- texts


def write(wanted: StudyOptions, made: Setup) -> dict[str, Texts]:
    """The texts of each kind as files in the study's folder; the same at every call."""
    folder = wanted.out / "texts"
    ownership.claim(folder, "study", "--out", "give another folder with --out")
    return _of_files(wanted, made.files, folder) if made.files else _of_world(wanted, made, folder)


def _of_world(wanted: StudyOptions, made: Setup, folder: Path) -> dict[str, Texts]:
    options = {**SMALL, "seed": wanted.whole("draw", JUDGED, 0)}
    records, kinds = world_of("study", **options).records["train"], dict[str, Texts]()
    asked = {"world": "study", "options": options, "tasks": [TEST]}
    for times in made.chatter:
        name = f"chatter{times}" if times else "dense"
        said = (diluted(r.text, times, DrawKey(0, 0).rng("chatter", r.id)) for r in records)
        path = _file(folder / f"{name}.jsonl", [("stream", " ".join(said))])
        kinds[name] = Texts(path, (asked, {**asked, "before": LEARNING, "suffix": ON}), TEST)
    return kinds


def diluted(text: str, times: int, rng: random.Random) -> str:
    """The sentences in their order, after each of them about `times` as many words of chatter."""
    said, owed = list[str](), 0
    for sentence in re.findall(r"[^.]+\.", text):
        said.append(sentence.strip())
        owed += times * len(sentence.split())
        while owed > 0:
            said.append(f"{rng.choice(FILLER)}.")
            owed -= len(said[-1].split())
    return " ".join(said)


def _of_files(wanted: StudyOptions, files: Files, folder: Path) -> dict[str, Texts]:
    data, kinds = wanted.folder("data"), dict[str, Texts]()
    if data is None:
        raise UserError(f"this preset reads {files.what}, and no folder is given", "--set data=FOLDER")
    for name, source in files.texts.items():
        whole_texts = load(Source(**{**source, "limit": files.documents + files.held}), data).documents
        rows = [(d.id, "\n".join(d.parts)[: files.characters]) for d in whole_texts]
        if len(rows) <= files.documents:
            raise UserError(f"{data}: {name} has {len(rows)} documents, expected more than {files.documents}",
                            "the others are judged")  # fmt: skip
        held = _file(folder / f"{name}.{HELD}.jsonl", rows[files.documents :])
        asked = {"name": HELD, "kind": "perplexity", "path": str(held), "answer": "{{ text }}",
                 "metric": "bits_per_byte"}  # fmt: skip
        train = _file(folder / f"{name}.jsonl", rows[: files.documents])
        kinds[name] = Texts(train, (asked, {**asked, "before": LEARNING, "suffix": ON}), HELD, more=False)
    return kinds


def _file(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    write_text(path, "".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in rows))
    return path.resolve()


# ---------------------------------------------------------------------------------- the comparison


def recipe(wanted: StudyOptions, made: Setup, kind: str, texts: Texts, length: int) -> dict[str, Any]:
    """One cell: every arm on the same chunks of one kind of text."""
    arms: dict[str, Any] = {"none": {"about": ABOUT["none"]}}
    for arm in made.arms:
        context = {"context": CONTEXTS[arm]} if arm in CONTEXTS else {}
        arms[arm] = {"about": ABOUT[arm], "data": "texts", **context}
    return {
        "name": f"density-{kind}-{length}",
        "model": wanted.model,
        "data": {"texts": {"path": str(texts.path), "columns": {"text": "text", "id": "id"}, "chunk": length}},
        "arms": arms,
        "seeds": list(wanted.seeds),
        "train": {"epochs": made.epochs, "batch": max(1, made.tokens // length), "lr": made.lr, "weight_decay": 0.0,
                  "max_length": length + ROOM, **CONSTANT, **made.train},
        "evaluate": {"tasks": list(texts.tasks), "samples": 0, "without_context": False},
        "compare": {"baseline": made.arms[0]},
    }  # fmt: skip


# ---------------------------------------------------------------------------------- what is shown

Cells = Mapping[tuple[str, int], Comparison]


def claims(found: Cells, texts: Mapping[str, Texts], made: Setup, seeds: int) -> list[Claim]:
    """CFT over each other arm by cell, asked alone and after a prompt; then whether low density widens that."""
    tested, shown = list[Claim](), list[Claim]()
    for ((kind, length), c), other in product(found.items(), [a for a in made.arms if a != "cft"]):
        of = texts[kind]
        for test, when in {of.test: "", f"{of.test}.{ON}": ", asked after a prompt"}.items():
            one, two = of.reached(c, "cft", test), of.reached(c, other, test)
            id, told = f"{kind}.{length}.cft_over_{other}", f"{kind}, chunks of {length}{when}: CFT over {ABOUT[other]}"
            tested.append(claim(f"{id}.{ON}" if when else id, told, one - two, seeds, above(one, two), "ours"))
    first, *others = texts
    for kind, length in product(others, made.lengths if texts[first].more else ()):
        at = [(found[k, length], texts[k].test) for k in (first, kind)]
        dense, thin = (c.of("cft", test) - c.of("cpt", test) for c, test in at)
        told = f"chunks of {length}: CFT gains more over CPT on {kind} than on {first}"
        id = f"{kind}.{length}.more_than_{first}"
        tested.append(claim(id, told, thin - dense, seeds, above(thin, dense), "ours"))
    for ((kind, length), c), arm in product(found.items(), ("none", *made.arms)):
        told = f"{kind}, chunks of {length}: {ABOUT[arm]}"
        shown.append(claim(f"{kind}.{length}.{arm}", told, c.of(arm, texts[kind].test), seeds, whose="ours"))
    return [*tested, *shown]


def figure(found: Cells, texts: Mapping[str, Texts]) -> Figure:
    arms = list(next(iter(found.values())).results["arms"])
    panels = [
        (kind, {a: [point(n, c.of(a, of.test)) for (k, n), c in found.items() if k == kind] for a in arms})
        for kind, of in texts.items()
    ]
    shares = next(iter(texts.values())).more
    what = "share of key points right" if shares else "bits a byte of held-out text"
    return Figure(
        "Density and length",
        f"{what.capitalize()} by length of a chunk, a plate a kind of text; bands at 95 %."
        + (" chatterN: among N words of chatter for each word of text." if shares else ""),
        drawing.lines(panels, drawing.palette(arms, ("none",)), "tokens a chunk", what),
    )


def notes(wanted: StudyOptions, made: Setup) -> tuple[str, ...]:
    what = made.files.what if made.files else f"the world `study`, chatter {', '.join(map(str, made.chatter))} times"
    return (
        f"{what}. Every arm: {made.epochs} epochs over the same chunks, updates of about {made.tokens} tokens at "
        f"{made.lr:g}, constant; {len(wanted.seeds)} seeds, model {wanted.model}. One rate for all; none was searched.",
        "Epochs, not tokens, are equal between kinds of text: every fact is read as often, among more chatter. At "
        "longer chunks fewer prompts are drawn an epoch.",
    )
