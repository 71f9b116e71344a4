"""Contextual training data for any trainer: a dataset that draws a context for each record, anew in each epoch.

    dataset = ContextDataset(["Mitochondria make ATP."], context="prompts", tokenizer=tokenizer, max_length=512)
    dataset[0]                     {"input_ids": [context, text], "labels": [-100 …, text]}
    dataset.set_epoch(1)           another context
    dataset.collator               pads, packs or shares
    dataset.to_hf(epoch=0)         a datasets.Dataset of input_ids and labels

Record i at epoch e is what `contextune run` trains on at the same seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset
from transformers import TrainerCallback

from contextune.contexts import Policy, bind_policy, compose, parse
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.options import LARGEST_SEED, LONGEST, parse_options, whole
from contextune.core.sequence import DrawKey, Record, Rendered, Tokenizer, render
from contextune.data.documents import Maker
from contextune.data.options import Source
from contextune.data.raw import Row
from contextune.data.records import records as cut_records
from contextune.data.records import specials

from .collator import ContextCollator

if TYPE_CHECKING:
    import datasets

RecordLike = str | Mapping[str, Any] | Record


class ContextDataset(Dataset[dict[str, list[int]]]):
    """Records with a context drawn for each; item i is {"input_ids", "labels"}, both of its length.

    `records` are texts, mappings (with `text`, with `prompt` and `completion`, or with `messages`), or `Record`s. Texts
    are cut at sentence ends to what `max_length` (tokens) leaves beside the longest context. `context` is a policy, its
    name, or a mapping with its options; `folder` is where paths in them begin. Raises UserError.
    """

    def __init__(
        self,
        records: Iterable[RecordLike],
        context: str | Mapping[str, Any] | Policy = "none",
        *,
        tokenizer: Tokenizer,
        max_length: int = 512,
        seed: int = 0,
        folder: Path | str = ".",
        layout: str = "padded",
    ) -> None:
        whole(max_length, "ContextDataset: max_length", 16, LONGEST)
        whole(seed, "ContextDataset: seed", 0, LARGEST_SEED)
        self.tokenizer, self.max_length, self.seed, self.epoch = tokenizer, max_length, seed, 0
        self.policy = _policy(context).located(Path(folder))
        made = _records(list(records), self.policy, tokenizer, max_length)
        self.records = [r for r in made if self.policy.is_target(r)]
        self.context = bind_policy(self.policy, BindContext(tokenizer, tuple(made), folder=Path(folder)))
        self.collator = ContextCollator(tokenizer, layout)
        self.epoch_callback = EpochCallback(self)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return _plain(self.rendered(index, self.epoch))

    def set_epoch(self, epoch: int) -> None:
        """Draw the contexts of this epoch from now on."""
        self.epoch = epoch

    def rendered(self, index: int, epoch: int) -> Rendered:
        """Ids and labels of a record, and how many context tokens were cut."""
        drawn = compose(self.records[index], self.context, DrawKey(self.seed, epoch))
        return render(drawn, self.tokenizer, self.max_length)

    def to_hf(self, epoch: int = 0, epochs: int = 1) -> datasets.Dataset:
        """A `datasets.Dataset` of `input_ids` and `labels`; several epochs stand one after another."""
        import datasets

        rows = [_plain(self.rendered(i, e)) for e in range(epoch, epoch + epochs) for i in range(len(self))]
        return datasets.Dataset.from_list(rows)


@dataclass
class EpochCallback(TrainerCallback):
    """Tells a dataset which epoch transformers' Trainer begins. Use it with `dataloader_num_workers=0`.

    Before the first update it tries the collator's layout on the model, and raises UserError where they do not fit.
    """

    dataset: ContextDataset

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if model is not None and not getattr(args, "fsdp", None) and not getattr(args, "deepspeed", None):
            self.dataset.collator.refuse(model)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.dataset.set_epoch(int(state.epoch or 0))


def _plain(rendered: Rendered) -> dict[str, list[int]]:
    return {"input_ids": list(rendered.ids), "labels": list(rendered.labels)}


def _policy(context: str | Mapping[str, Any] | Policy) -> Policy:
    return parse_options(lambda: parse(dict(context) if isinstance(context, Mapping) else context), "context")


def _records(given: Seq[RecordLike], policy: Policy, tokenizer: Tokenizer, max_length: int) -> list[Record]:
    """In their order; every text is a document of its own."""
    if not given:
        raise UserError("ContextDataset: no records", "give texts, mappings or Records")
    room, made = None, list[Record]()
    for place, one in enumerate(given):
        if isinstance(one, Record):
            made.append(one)
            continue
        columns = {"text": one} if isinstance(one, str) else dict(one)
        source = Source(path="records", kind=_kind(columns))
        document = Maker(source)(Row(columns, f"record {place}", f"record-{place}"))
        if room is None or source.kind != "text":
            room = _room(policy, tokenizer, max_length, source.kind == "text")
        made += cut_records([document], source, tokenizer, room).records
    return made


def _kind(columns: Mapping[str, Any]) -> Any:
    return "messages" if "messages" in columns else "pairs" if "completion" in columns else "text"


def _room(policy: Policy, tokenizer: Tokenizer, max_length: int, cut: bool) -> int:
    """Tokens that a target may have."""
    room = max_length - specials(tokenizer)
    if not cut:
        return room
    longest = policy.max_context_tokens(tokenizer)
    if longest is None:
        raise UserError(
            f"context {policy.name}: how long it is at most is not known before texts are cut", "set its max_tokens"
        )
    return room - longest
