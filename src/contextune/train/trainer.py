"""transformers' Trainer, with three things of our own: what a step is, where the loss is, how it is weighted.

One element of the data loader is one *update*: all its sequences, drawn and rendered, cut into micro-batches by
the layout. So accumulation is a matter of memory alone, the loss is a mean over the update's labelled tokens
(never a mean of means), and step t is a pure function of (seed, t), which makes a resume exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence as Seq
from contextlib import nullcontext
from itertools import islice
from typing import Any, TypeVar

import torch
from accelerate.utils import broadcast_object_list
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from contextune.core.errors import UserError
from contextune.core.memory import exhausted, release
from contextune.core.progress import say_once
from contextune.core.sequence import Rendered

from .ahead import Ahead
from .fast_path import FastPath
from .layouts import Batch, Layout
from .loss import labelled_logits
from .objectives import BoundObjective, OfRows, OfTokens, Penalty
from .on_policy import AnswerWriter, with_answers
from .randomness import Randomness
from .scores import log_likelihoods, weighted
from .teacher import LOGITS, Pass, answers, passes
from .updates import Updates, micro_batches

T = TypeVar("T")
Loss = Callable[[Any, Batch, float], torch.Tensor]
"""(model, micro-batch, scale) -> its loss, summed over targets, times the scale."""


class ContextTrainer(Trainer):
    """A Trainer whose inputs are updates.

    Where memory runs out within an update, it is made again in smaller pieces, from the same draws: `tokens` are halved
    down to one sequence at a time; then, where the recipe leaves it open (`may_recompute`), activations are recomputed.
    """

    def __init__(
        self, *args: Any, layout: Layout, engine: FastPath, tokens: int, pad: int, may_recompute: bool = False,
        objective: BoundObjective | None = None, penalty: Penalty | None = None, writer: AnswerWriter | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(*args, **kwargs)
        self.objective: BoundObjective | None = objective
        self.penalty, self.writer = penalty, writer
        self.noted: dict[str, Any] = {}
        """What is reported of the last update beside its loss; kept with it in losses.json."""
        self.layout, self.engine, self.tokens, self.pad = layout, engine, tokens, pad
        self.may_recompute = may_recompute
        self.reduced: dict[str, Any] = {}
        """What memory has forced so far: {"tokens"}, {"recomputes"}; kept with each update, for a resume."""
        self.loss_is_scaled_for_ga = True
        for noisy in (PrinterCallback, ProgressCallback):
            self.remove_callback(noisy)

    def get_train_dataloader(self) -> DataLoader[Any]:
        # not prepared by accelerate: each process takes its own share of every update
        assert isinstance(self.train_dataset, Updates | Ahead)
        return DataLoader(self.train_dataset, batch_size=1, collate_fn=_only, generator=torch.Generator())

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], None]:
        return list(islice(epoch_iterator, num_batches)), None

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Accumulates the update's gradients; returns its mean loss (this process's part, times processes)."""
        if self.objective is not None:
            self.objective.begin(self.accelerator.unwrap_model(model))
        begun = Randomness.now(self.args.device)
        while True:
            try:
                self.noted = {}
                rows = self._chosen(model, inputs)
                return self._update(model, rows)
            except (RuntimeError, MemoryError) as e:
                if not exhausted(e) or not self._alone():
                    raise
                failed = e.with_traceback(None)  # frames hold tensors
            if not self._reduce(model, inputs):
                raise failed
            begun.restore()

    def _update(self, model: Any, rows: Seq[Rendered]) -> torch.Tensor:
        if self.penalty is None:
            return self._learn(model, rows)
        loss = self._learn(model, self.penalty.left(rows))
        return loss + self._imitate(model, rows, self.penalty)

    def _learn(self, model: Any, rows: Seq[Rendered]) -> torch.Tensor:
        if isinstance(self.objective, OfRows):
            return self._compare(model, rows, self.objective)
        if isinstance(self.objective, OfTokens):
            return self._imitate(model, rows, self.objective)
        return self._accumulate(model, rows)

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
        if not inputs:
            return torch.zeros((), device=self.args.device)
        model.train()
        ranks = self.args.world_size
        batches, targets = micro_batches(inputs, self.args.process_index, ranks, self.layout, self.tokens, self.pad)
        return self._backward(model, batches, ranks / targets)

    def _backward(
        self, model: Any, batches: Seq[Batch], scale: float, prepare: Callable[[int], Loss] | None = None
    ) -> torch.Tensor:
        """Adds the gradients of all micro-batches; their losses, summed. Gradients are averaged over processes, the
        loss is a sum over them, so `scale` holds their number. `prepare(i)`: called before micro-batch i, for its loss.
        """
        ranks = self.args.world_size
        total = torch.zeros((), device=self.args.device)
        for i, batch in enumerate(batches):
            last = i == len(batches) - 1
            self.accelerator.gradient_state._set_sync_gradients(last)  # DeepSpeed takes its step by this
            batch = batch.to(self.args.device)
            loss_of = prepare(i) if prepare is not None else self.engine.loss
            sync = nullcontext() if last or ranks == 1 else self.accelerator.no_sync(model)
            with sync, self.engine.around(model, batch):
                with self.compute_loss_context_manager():
                    loss = loss_of(model, batch, scale)
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def scores(self, model: Any, rows: Seq[Rendered], tokens: int | None = None) -> torch.Tensor:
        """The summed log-likelihood of each row's targets (nats, fp32) as the model is now; leaves it as it was.
        `tokens`: at once; default: as many as in an update."""
        bare = self.accelerator.unwrap_model(model)
        tokens = tokens or self.tokens
        with self.compute_loss_context_manager():
            return log_likelihoods(bare, self.engine, rows, self.layout, tokens, self.pad, self.args.device)

    def validation_loss(self, rows: Seq[Rendered]) -> float:
        """The mean negative log-likelihood of the rows' targets (nats a token) as the model is now."""
        self._unsharded("a validation loss")
        bare: Any = self.accelerator.unwrap_model(self.model)
        tokens = min(self.tokens, max(1, LOGITS // bare.config.get_text_config().vocab_size))
        total = -self.scores(self.model, rows, tokens).double().sum().item()
        return self._agreed([total / sum(row.trained for row in rows)])[0]

    def _chosen(self, model: Any, rows: Seq[Rendered]) -> list[Rendered]:
        """Of a row with alternatives the one whose targets have the lowest loss, the first of equal ones."""
        offered = [alternative for row in rows for alternative in row.alternatives]
        if not offered:
            return list(rows)
        self._unsharded("choose: loss")
        lengths = torch.tensor([row.trained for row in offered], device=self.args.device)
        losses = self._agreed((-self.scores(model, offered) / lengths).tolist())
        found, taken, at = [], Counter[int](), 0
        for row in rows:
            n = len(row.alternatives)
            if n:
                best = min(range(n), key=losses[at : at + n].__getitem__)
                taken[best] += 1
            found.append(row.alternatives[best] if n else row)
            at += n
        self.noted["chosen"] = {str(place): taken[place] for place in sorted(taken)}
        return found

    def _compare(self, model: Any, inputs: Seq[Rendered], objective: OfRows) -> torch.Tensor:
        """Accumulates the gradients of an objective of rows' log-likelihoods s_i(θ) = log P_θ(row i):

            dL/dθ = Σ_i (∂L/∂s_i) ds_i/dθ

        First the scores, without gradients; then each row's likelihood, weighted by ∂L/∂s_i. So the rows of a pair need
        not be computed together, and every layout and number of tokens at once will do.
        """
        self._unsharded(f"the objective {objective.name}")
        rows = objective.rows(inputs)
        if not rows:
            return torch.zeros((), device=self.args.device)
        scores = torch.tensor(self._agreed(self.scores(model, rows).tolist()), requires_grad=True)
        with objective.reference(self.accelerator.unwrap_model(model)):
            reference = torch.tensor(self._agreed(self.scores(model, rows).tolist()))
        loss, noted = objective.loss(rows, scores, reference)
        (slopes,) = torch.autograd.grad(loss, scores)
        self.noted |= noted
        model.train()
        ranks = self.args.world_size
        batches = weighted(rows, -slopes, self.args.process_index, ranks, self.layout, self.tokens, self.pad)
        self._backward(model, batches, ranks)
        return loss.detach().to(self.args.device)

    def _imitate(self, model: Any, inputs: Seq[Rendered], objective: OfTokens) -> torch.Tensor:
        """Accumulates the gradients of a mean over the update's targets of D(reference with the context, model without
        it), a micro-batch at a time: first the reference's logits, without gradients, then the model's."""
        self._unsharded(f"the objective {objective.name}")
        rows = objective.rows(self._written(model, inputs, objective))
        if not rows:
            return torch.zeros((), device=self.args.device)
        model.train()
        bare, ranks = self.accelerator.unwrap_model(model), self.args.world_size
        tokens = min(self.tokens, max(1, LOGITS // bare.config.get_text_config().vocab_size))
        made, targets = passes(rows, self.args.process_index, ranks, self.layout, tokens, self.pad)
        agreed = 0

        def prepare(i: int) -> Loss:
            with objective.reference(bare), self.compute_loss_context_manager():
                teacher = self._answers(bare, made[i], tokens)

            def loss(model: Any, batch: Batch, scale: float) -> torch.Tensor:
                nonlocal agreed
                student = labelled_logits(model, batch).float()
                if teacher is None:  # no rows: a loss of zero, for processes that have more passes
                    return student.sum()
                agreed += int((student.argmax(-1) == teacher.argmax(-1)).sum())
                return objective.loss(student, teacher, batch.targets).sum() * scale

            return loss

        total = self._backward(model, [p.batch for p in made], objective.weight * ranks / targets, prepare)
        mine = sum(len(p.numbers) for p in made)
        noted = objective.notes(float(total) / objective.weight, agreed / max(1, mine))
        self.noted |= {name: round(value, 6) for name, value in noted.items()}
        return total

    def _answers(self, model: Any, asked: Pass, tokens: int) -> torch.Tensor | None:
        return answers(model, self.engine, asked, self.layout, tokens, self.pad, self.args.device)

    def _written(self, model: Any, rows: Seq[Rendered], objective: OfTokens) -> Seq[Rendered]:
        """The rows with answers of the model as it is, or of the reference, where the objective has them written."""
        if (writing := objective.writing) is None:
            return rows
        assert self.writer is not None
        bare = self.accelerator.unwrap_model(model)
        writes = objective.reference(bare) if writing.by == "teacher" else nullcontext()
        begun = Randomness.now(self.args.device)
        with writes, self.compute_loss_context_manager():
            answers = self._agreed(self.writer.answers(bare, rows, writing, self.state.global_step))
        begun.restore()
        lengths = [len(answer) for answer in answers if answer is not None]
        self.noted["wrote"] = round(sum(lengths) / max(1, len(lengths)), 3)
        return with_answers(rows, answers, writing.skip)

    def _agreed(self, values: list[T]) -> list[T]:
        """Of several processes the first one's, since all must train on the same rows."""
        return list(broadcast_object_list([values])[0]) if self.args.world_size > 1 else values

    def _unsharded(self, what: str) -> None:
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise UserError(
                f"{what} needs the whole model in each process, not shards of it", "train it without FSDP or DeepSpeed"
            )

    def floating_point_ops(self, inputs: Any) -> int:
        return 0


def _only(items: list[Any]) -> Any:
    return items[0]
