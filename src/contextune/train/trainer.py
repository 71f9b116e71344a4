"""transformers' Trainer, with three things of our own: what a step is, where the loss is, how it is weighted.

One element of the data loader is one *update*: all its sequences, drawn and rendered, cut into micro-batches by
the layout. So accumulation is a matter of memory alone, the loss is a mean over the update's labelled tokens
(never a mean of means), and step t is a pure function of (seed, t), which makes a resume exact.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence as Seq
from contextlib import nullcontext
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from contextune.contexts import BoundPolicy, compose
from contextune.core.sequence import DrawKey, Record, Rendered, Tokenizer, render

from contextune.core.memory import exhausted
from contextune.core.progress import say_once

from .fast_path import FastPath
from .layouts import Batch, Layout
from .randomness import Randomness
from .schedule import Plan


class Updates(Dataset[list[Rendered]]):
    """Update t: its rendered sequences. Access has no state and draws from no global generator."""

    def __init__(
        self, records: Seq[Record], context: BoundPolicy, tokenizer: Tokenizer, plan: Plan, max_length: int
    ) -> None:
        self.records, self.context, self.tokenizer = records, context, tokenizer
        self.plan, self.max_length = plan, max_length

    def __len__(self) -> int:
        return self.plan.updates

    def __getitem__(self, step: int) -> list[Rendered]:
        return [self.sequence(epoch, row) for epoch, row in self.plan.update(step)]

    def sequence(self, epoch: int, row: int) -> Rendered:
        drawn = compose(self.records[row], self.context, DrawKey(self.plan.seed, epoch))
        return render(drawn, self.tokenizer, self.max_length)


def micro_batches(
    rows: Seq[Rendered], rank: int, ranks: int, layout: Layout, tokens: int, pad: int
) -> tuple[list[Batch], int]:
    """This process's micro-batches and the labelled tokens of the whole update.

    All processes get the same number of micro-batches, since sharded backends need equal passes.
    """
    shares = [layout(share, tokens, pad) for share in layout.deal(rows, ranks)]
    passes = max(map(len, shares))
    mine = shares[rank]
    if len(mine) < passes:
        empty = torch.empty(0, dtype=torch.long)
        mine = mine + [Batch(mine[0].input_ids[:1, :1], None, empty, empty)] * (passes - len(mine))
    return mine, sum(row.trained for row in rows)


class ContextTrainer(Trainer):
    """A Trainer whose inputs are updates.

    Where memory runs out within an update, it is made again in smaller pieces, from the same draws: `tokens` are halved
    down to one sequence at a time; then, where the recipe leaves it open (`may_recompute`), activations are recomputed.
    """

    def __init__(
        self, *args: Any, layout: Layout, engine: FastPath, tokens: int, pad: int, may_recompute: bool = False,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(*args, **kwargs)
        self.layout, self.engine, self.tokens, self.pad = layout, engine, tokens, pad
        self.may_recompute = may_recompute
        self.reduced: dict[str, Any] = {}
        """What memory has forced so far: {"tokens"}, {"recomputes"}; kept with each update, for a resume."""
        self.loss_is_scaled_for_ga = True
        for noisy in (PrinterCallback, ProgressCallback):
            self.remove_callback(noisy)

    def get_train_dataloader(self) -> DataLoader[Any]:
        # not prepared by accelerate: each process takes its own share of every update
        assert isinstance(self.train_dataset, Updates)
        return DataLoader(self.train_dataset, batch_size=1, collate_fn=_only, generator=torch.Generator())

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], None]:
        return list(islice(epoch_iterator, num_batches)), None

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Accumulates the update's gradients; returns its mean loss (this process's part, times processes)."""
        begun = Randomness.now(self.args.device)
        while True:
            try:
                return self._accumulate(model, inputs)
            except (RuntimeError, MemoryError) as e:
                if not exhausted(e) or not self._alone():
                    raise
                failed = e.with_traceback(None)  # frames hold tensors
            if not self._reduce(model, inputs):
                raise failed
            begun.restore()

    def _alone(self) -> bool:
        """Several processes would have to agree."""
        return self.args.world_size == 1 and not self.is_deepspeed_enabled and not self.is_fsdp_enabled

    def _reduce(self, model: Any, rows: Seq[Rendered]) -> bool:
        """Take less memory from now on, with no gradients kept; False where it cannot be less."""
        model.zero_grad(set_to_none=True)
        release()
        largest = self._largest(rows, self.tokens)
        fewer = largest // 2
        while fewer >= 16 and self._largest(rows, fewer) >= largest:
            fewer //= 2
        if fewer >= 16:
            self.tokens = self.reduced["tokens"] = fewer
            how = f"{fewer:,} tokens at once"
        elif self.may_recompute:
            self.recompute()
            how = "activations recomputed"
        else:
            return False
        step = self.state.global_step + 1
        say_once(
            f"update {step}: memory ran out with {largest:,} tokens at once; made again with {how}, as all after it"
        )
        return True

    def recompute(self) -> None:
        """Recompute activations from now on."""
        self.accelerator.unwrap_model(self.model).gradient_checkpointing_enable({"use_reentrant": False})
        self.may_recompute, self.reduced["recomputes"] = False, True

    def _largest(self, rows: Seq[Rendered], tokens: int) -> int:
        return max(batch.input_ids.numel() for batch in self.layout(rows, tokens, self.pad))

    def _accumulate(self, model: Any, inputs: Any) -> torch.Tensor:
        model.train()
        ranks = self.args.world_size
        batches, targets = micro_batches(inputs, self.args.process_index, ranks, self.layout, self.tokens, self.pad)
        total = torch.zeros((), device=self.args.device)
        for i, batch in enumerate(batches):
            last = i == len(batches) - 1
            self.accelerator.gradient_state._set_sync_gradients(last)  # DeepSpeed takes its step by this
            batch = batch.to(self.args.device)
            sync = nullcontext() if last or ranks == 1 else self.accelerator.no_sync(model)
            with sync, self.engine.around(model, batch):
                with self.compute_loss_context_manager():
                    # gradients are averaged over processes, the loss is a sum over them
                    loss = self.engine.loss(model, batch, ranks / targets)
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def floating_point_ops(self, inputs: Any) -> int:
        return 0


def release() -> None:
    """Give back what nobody holds."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _only(items: list[Any]) -> Any:
    return items[0]
