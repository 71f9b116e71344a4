"""Large sources are prepared once, in the user's cache, and mapped into memory from there.

A prepared corpus is known by the content of its files and all that decides what is made of it: the source's options,
the tokenizer, the tokens a chunk may have. One process prepares it, others that want it wait; what a killed one has
left is not used, and the next removes it. Beyond `MOST` bytes those are removed that have not been used for longest.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import unidata_version

import numpy as np

from contextune.core import cache, clock, files
from contextune.core.errors import UserError, together
from contextune.core.machine import refusals
from contextune.core.memory import gib
from contextune.core.progress import PAUSE

from . import load, read, refuse_unused
from .documents import Maker
from .hashing import digest
from .identity import Documents
from .paths import FoundFiles, find
from .records import Records, marks_of
from .records import records as cut_records
from .splits import place_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from contextune.data.options import Source

FORMAT = 3
"""Raised when something else is kept, or the same otherwise."""
LARGE = 8 << 20
"""Bytes of a source's files, uncompressed ones, from which it is kept."""
MOST = 64 << 30
"""Bytes of all that are kept together, at most."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Corpus:
    """A source, read and cut."""

    documents: Documents
    records: Records
    lengths: Any
    """Length of each record."""
    digest: str
    """Hash of the records."""
    partial: bool = False
    """Whether these are the first ones only, and have no hash."""


def is_large(source: Source, folder: Path) -> bool:
    """Whether a source's files are worth keeping what was made of them. Raises UserError."""
    if source.path is None:
        return False
    return sum(_size(file.path) for file in find(source, folder).files) >= LARGE


def open_corpus(
    source: Source,
    folder: Path,
    tokenizer: Tokenizer,
    budget: int,
    say: Say = lambda text: None,
    seed: int = 0,
    first: int | None = None,
) -> Corpus | None:
    """A prepared corpus, made where there is none; what it holds is what `load`, `records` and `lengths` give.

    With `first` so many records are enough of one that is not prepared yet (`beginning`). None where it cannot be kept
    as it is (a column of dates, say). Raises UserError.
    """
    from .building import Job, build
    from .stored import Unkept

    refuse_unused(source)
    found = find(source, folder)
    target = _place(source, found, tokenizer, budget, seed)

    def make(part: Path) -> None:
        size = sum(_size(file.path) for file in found.files)
        maker = Maker(source)
        documents = read(source, found.files, maker)
        build(part, Job(source, tokenizer, budget), documents, seed, say, size, lambda: maker.said)

    try:
        if not cache.is_whole(target):
            if first is not None and (part := beginning(source, folder, tokenizer, budget, first, seed)):
                return part
            with _alone(target, say):
                if not cache.is_whole(target):  # another process may have made it meanwhile
                    cache.make_once(target, make)
                    _prune(target, say)
        with suppress(OSError):
            os.utime(target)
        return _open(target, source, found, tokenizer)
    except Unkept as e:
        say(f"{e}: a column holds what JSON does not (a date, bytes): the source is read anew each time")
        return None


def beginning(
    source: Source, folder: Path, tokenizer: Tokenizer, budget: int, rows: int, seed: int = 0
) -> Corpus | None:
    """A source's first documents, of so many records at least, as they are of the whole; None where that is not known
    before the whole is read."""
    from .token_counts import lengths

    for limit in (64 * 8**i for i in count()):
        if source.validation or limit > 100 * rows + 10_000 or (source.limit is not None and source.limit <= limit):
            return None
        try:
            documents = load(source.model_copy(update={"limit": limit}), folder, seed)
            made = cut_records(documents.documents, source, tokenizer, budget)
        except UserError:
            return None
        if len(made.records) >= rows and (not source.held_out or _divided(documents, source.held_out, seed)):
            return Corpus(documents, made, lengths(made.records, tokenizer), "", partial=True)
        if documents.read < limit:
            return None
    return None


def _divided(documents: Documents, share: float, seed: int) -> bool:
    """Whether the first documents are on the sides where they would be if more followed."""
    out, kept = ([place_of(d.id, seed) < share for d in side] for side in (documents.held_out, documents.documents))
    return any(out) and not all(kept)


def _size(file: Path) -> int:
    with suppress(OSError):
        return file.stat().st_size
    return 0


def _place(source: Source, found: FoundFiles, tokenizer: Tokenizer, budget: int, seed: int) -> Path:
    """The folder of a prepared corpus, named by all that decides what is in it."""
    sums = files.checksums(Path(), [str(f.path.absolute()) for f in found.files])
    unread = [f.shown for f in found.files if not sums[str(f.path.absolute())]]
    if unread:
        raise together([UserError(f"{name}: cannot be read", "check its permissions") for name in unread])
    decided = [
        FORMAT, version("contextune"), version("tokenizers"), version("transformers"), unidata_version,
        source.model_dump(mode="json", exclude={"path"}), seed, budget, hash_of(tokenizer),
        [(f.name, f.shown, f.format, sums[str(f.path.absolute())]) for f in found.files],
        [str(clock.now())] if _dated(source, tokenizer) else [],
    ]  # fmt: skip
    return cache.folder() / "corpora" / digest(*decided)


def _dated(source: Source, tokenizer: Tokenizer) -> bool:
    """Whether a template writes the date of the run."""
    written = source.template if source.kind == "pairs" else str(tokenizer.chat_template or "")
    return source.kind != "text" and "now" in written


@lru_cache(maxsize=8)
def hash_of(tokenizer: Tokenizer) -> str:
    """Hash of all that a tokenizer does."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    inner = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    options = {k: str(v) for k, v in getattr(tokenizer, "init_kwargs", {}).items() if "name_or_path" not in k}
    return digest(type(tokenizer).__name__, inner, tokenizer.special_tokens_map, str(tokenizer.chat_template), options)


def _open(target: Path, source: Source, found: FoundFiles, tokenizer: Tokenizer) -> Corpus:
    from .stored import StoredDocuments, StoredLengths, StoredRecords, chosen

    told = files.read_sealed(target / "corpus.json") or {}
    documents = StoredDocuments(target / "documents.arrow")
    records = StoredRecords(target / "records.arrow", documents, marks_of(source, "", tokenizer))
    with np.load(target / "places.npz", allow_pickle=False) as places:
        held, validation, kept = places["held"], places["validation"], places["kept"]
    taught = np.setdiff1d(np.arange(len(documents)), np.concatenate((held, validation)), assume_unique=True)
    return Corpus(
        Documents(
            chosen(documents, taught), chosen(documents, held) if len(held) else (), told["read"],
            tuple(told["repeated"]), told["characters"], len(found.files), found.ignored, told["fingerprint"],
            chosen(documents, validation) if len(validation) else (), told["read_as"],
        ),
        Records(chosen(records, kept), tuple(told["overlong"]), tuple(told["notes"])),
        chosen(StoredLengths(records), kept), told["digest"],
    )  # fmt: skip


@contextmanager
def _alone(target: Path, say: Say) -> Iterator[None]:
    """Within: no other process prepares the same corpus. The lock goes with the process. Raises UserError."""
    lock = target.with_name(f"{target.name}.lock")
    began = said = time.monotonic()
    with refusals(target, cache.ELSEWHERE):
        lock.parent.mkdir(parents=True, exist_ok=True)
        with open(lock, "a", encoding="utf-8", opener=files.no_link) as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if said == began or time.monotonic() - said > PAUSE:
                        said = time.monotonic()
                        say(f"another process reads and cuts the same corpus; waiting for it ({said - began:.0f} s)")
                    time.sleep(0.2)
                except OSError as e:  # make_once keeps several apart, but each does the work
                    say(f"{lock.parent}: locks do not work on this disk ({e.strerror}): others are not waited for")
                    break
            yield


def _prune(target: Path, say: Say) -> None:
    """Say where a new corpus is, and keep all of them together within bounds."""
    sizes = {
        folder: sum(_size(file) for file in folder.iterdir())
        for folder in target.parent.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    }
    say(f"kept in {target} ({gib(sizes.get(target, 0))}; {gib(sum(sizes.values()))} of corpora in all)")
    for folder in sorted(sizes.keys() - {target}, key=lambda f: f.stat().st_mtime):
        if sum(sizes.values()) <= MOST:
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)
        say(f"removed {folder} ({gib(sizes.pop(folder))}), not used for longest")
