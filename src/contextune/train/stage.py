"""One stage of one arm at one seed: from a model folder and records to a new model folder.

Resumable at any moment: checkpoints are whole or absent, the finished model appears by a rename. The stage's
`whole.json` holds checksums of all that is finished, and copies of what is small.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from contextune import models
from contextune.contexts import BoundPolicy
from contextune.core.environment import native_bf16
from contextune.core.errors import UserError
from contextune.core.files import (
    WHOLE,
    Damaged,
    checksums,
    faults,
    files_in,
    seal,
    sealed,
    sync,
    sync_tree,
    write_text,
)  # fmt: skip
from contextune.core.ownership import listed
from contextune.core.progress import say_once
from contextune.core.sequence import Record, Tokenizer
from contextune.data.records import ends
from contextune.models import frozen
from contextune.models.ends import add_ends
from contextune.models.options import Model
from contextune.models.resolve import base_of, known
from contextune.train.options import AT_ONCE, AT_ONCE_GPU, OPTIMIZERS, Train

from .ahead import Ahead, ahead
from .callback import SCORES
from .checkpoints import Checkpoints, Every, Watch, keep, last_good, last_whole, looks, say
from .fast_path import FastPath
from .fused_layers import fuse
from .grouping import grouped
from .launch import recipe_decides, refuse_unsharded, sharded
from .layouts import Layout, choose, fallback
from .objectives import BoundObjective
from .saving import CARD, disk_errors, try_save, write_texts
from .schedule import Plan
from .trainer import ContextTrainer, Updates
from .weight_interpolation import part_of_the_way, refuse

NOTED = "noted"
"""Of an update, what its objective and its choices tell beside the loss."""
PART = "model.part"
"""The finished model while it is written."""


@dataclass(frozen=True)
class TrainJob:
    """What one stage trains, on what, from where to where."""

    records: Seq[Record]
    context: BoundPolicy
    tokenizer: Tokenizer
    train: Train
    seed: int
    start: str
    """The model folder or hub id it starts from."""
    folder: Path
    model: Model | None = None
    card: str = ""
    every: int = 0
    """Updates between two calls of `look(step, model)`, which must leave the model and all generators as they were."""
    look: Callable[[int, Any], None] | None = None
    last: bool = False
    """No stage follows."""
    identity: str = ""
    """What tells this stage from any other; stands beside the checksums."""

    @property
    def extendable(self) -> bool:
        """Whether it may be trained longer later on: the checkpoint after its last whole update is then kept."""
        return self.last and self.train.schedule == "constant"

    @property
    def done(self) -> bool:
        return (self.folder / "model").is_dir()

    @property
    def plan(self) -> Plan:
        return Plan.of(len(self.records), self.train.batch, self.seed, self.train.epochs, self.train.steps)

    @property
    def updates(self) -> Updates:
        context = grouped(self.context, self.records, self.train.share)
        aim = self.train.objective
        return Updates(self.records, context, self.tokenizer, self.plan, self.train.max_length, aim.pairs, aim.bare)


def run(job: TrainJob, progress: Callable[[int, int, float], None] = lambda done, total, loss: None) -> Path:
    """Train, or resume training, and return the folder of the finished model."""
    target = job.folder / "model"
    if job.done:
        return target
    job.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = last_good(job.folder)
    last = _last(checkpoint)
    with ahead(job.updates, int(last.get("step", 0))) as updates:  # begun while the model is loaded
        return _run(job, updates, checkpoint, last, progress)


def _run(
    job: TrainJob,
    updates: Ahead,
    checkpoint: Path | None,
    last: dict[str, Any],
    progress: Callable[[int, int, float], None],
) -> Path:
    target = job.folder / "model"
    torch.manual_seed(job.seed)  # a fresh adapter's weights
    model = open_model(job)
    add_ends(model, ends(job.records, job.tokenizer))
    with models.threads(job.train.threads, model.num_parameters()):
        trainer = build(job, model, progress, updates)
        _take_up(trainer, last)
        if checkpoint is not None and trainer.objective is not None:
            trainer.objective.load(checkpoint)
        before, began = float(last.get("seconds", 0.0)), time.monotonic()
        waited = float(last.get("waited", 0.0))

        def kept() -> dict[str, Any]:
            seconds = {"seconds": before + time.monotonic() - began, "waited": waited + updates.waited}
            return {k: round(v, 3) for k, v in seconds.items()} | trainer.reduced

        trainer.add_callback(_Clock(kept, trainer))
        if job.look is not None:
            trainer.add_callback(Every(job.every, _in_fp32(job.look)))
        try:
            with disk_errors():
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
                _finish(job, trainer, kept())
        except OSError:  # what was half-written would only take room
            shutil.rmtree(job.folder / PART, ignore_errors=True)
            last_whole(job.folder)
            raise
    return target


def repair(folder: Path, identity: str = "") -> None:
    """Look whether a finished stage is what was written: small files are written anew from their copies; where others
    are damaged the model is removed, so that it is trained again. Both are said.
    """
    if not (folder / "model").is_dir():
        return
    try:
        made = sealed(folder)
    except Damaged:
        made = None
    if made is None:
        say(f"{folder}: {WHOLE} is damaged or gone, so the finished model is taken as it is, unchecked")
        _seal(folder, folder / "model", identity)
        return
    wrong = faults(folder, made["sums"])
    again = [name for name in wrong if name in made["copies"]]
    for name in again:
        write_text(folder / name, made["copies"][name])
    if again:
        say(f"{folder}: damaged or gone, written anew from a copy: {', '.join(again)}")
    if lost := [name for name in wrong if name not in again]:
        known = {CARD, *(name.removeprefix("model/") for name in made["sums"])}
        if strange := [name for name in files_in(folder / "model") if name not in known]:
            raise UserError(
                f"{folder}: damaged or gone: {', '.join(lost)}; training the stage again would remove what no run has "
                f"written: {listed(strange)}",
                f"move that out of {folder / 'model'} first",
            )
        say(f"{folder}: damaged or gone: {', '.join(lost)}; the stage is trained again")
        shutil.rmtree(folder / "model", ignore_errors=True)


def open_model(job: TrainJob) -> Any:
    """The model to train: an adapter is made where the recipe asks for one, and taken up where one is there."""
    adapter = job.train.adapter
    quantized = adapter is not None and adapter.kind == "qlora"
    if models.is_adapter(job.start):
        refuse(job.train)
        models.check_start(job.start, adapter)
        low = not quantized and _stored_low(base_of(Path(job.start)), job.train)
        model = models.load_adapted(job.start, trainable=True, quantized=quantized, model=job.model, bf16=low)
    else:
        decomposed = adapter is not None and adapter.kind == "osf"
        low = not quantized and adapter is not None and not decomposed and _stored_low(known(job.start), job.train)
        model = models.load_model(job.start, job.model, bf16=low, quantized=quantized)
        model = models.adapt(model, adapter) if adapter else model
        models.freeze(model, job.train.freeze)
    if halves(job.train, model.num_parameters()) and hasattr(model, "peft_config") and not quantized:
        frozen.widen(model)
        frozen.halve(model)
    elif low:
        model.float()
    return model


def _stored_low(path: str, train: Train) -> bool:
    """Whether weights may be read as they are: bf16 in their files, and not to be computed in fp32."""
    return train.precision != "fp32" and not sharded() and models.stored_in_bf16(Path(path))


def halves(train: Train, size: int) -> bool:
    """Whether frozen weights are kept in bf16: where products are in bf16. Sharding needs all of one kind."""
    return wants_bf16(train.precision, size) and not sharded()


def build(
    job: TrainJob, model: Any, progress: Callable[[int, int, float], None], updates: Ahead | None = None
) -> ContextTrainer:
    """The trainer of a job, on `updates` where they are drawn ahead.

    Raises UserError where the finished model could not be saved, or the launch disagrees.
    """
    bf16 = wants_bf16(job.train.precision, model.num_parameters())
    with recipe_decides(job.train, bf16):
        trainer = _trainer(job, model, bf16, progress, updates)
    refuse_unsharded(trainer)
    if trainer.is_world_process_zero():
        try_save(model, job.tokenizer, job.card, job.folder)
    return trainer


def _trainer(
    job: TrainJob, model: Any, bf16: bool, progress: Callable[[int, int, float], None], updates: Ahead | None
) -> ContextTrainer:
    options, plan = job.train, job.plan
    cuda = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(job.folder),
        max_steps=plan.updates,
        per_device_train_batch_size=1,
        learning_rate=options.lr,
        lr_scheduler_type=options.schedule,
        warmup_steps=round(options.warmup * plan.updates),
        weight_decay=options.weight_decay,
        adam_beta1=options.betas[0],
        adam_beta2=options.betas[1],
        max_grad_norm=options.clip,
        bf16=bf16,
        activation_checkpointing=options.recomputes,
        optim=OPTIMIZERS[options.optimizer] or TrainingArguments.default_optim,
        seed=job.seed,
        use_cpu=not cuda,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",  # Checkpoints decides
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        log_level="error",
    )
    if options.batch < arguments.world_size:
        raise UserError(
            f"train.batch is {options.batch}, fewer than the {arguments.world_size} processes", "raise train.batch"
        )
    model.config.use_cache = False
    layers = {} if sharded() else fuse(model, arguments.device)
    tried = FastPath.of(model, options.max_length, bf16, options.layout)
    engine: FastPath = broadcast_object_list([replace(tried, layers=layers)])[0]  # one way for all processes
    objective = options.objective.bind(model)
    return ContextTrainer(
        model=model,
        args=arguments,
        train_dataset=updates or job.updates,
        callbacks=[
            *([] if objective is None else [Keep(objective)]),  # before the checkpoint is sealed
            Checkpoints(
                options.save,
                distributed=arguments.world_size > 1,
                also=plan.draws // plan.batch * job.extendable,
                identity=job.identity,
            ),
            Watch(progress),
        ],
        layout=_layout(options.layout, model, arguments.device.type, engine),
        engine=engine,
        tokens=_at_once(options, arguments.world_size),
        pad=job.tokenizer.pad_token_id or 0,
        may_recompute=options.checkpointing == "auto",
        objective=objective,
    )


def _layout(name: str, model: Any, device: str, engine: FastPath) -> Layout:
    """The layout of a stage; where `auto` does not take what it would, the reason is said once a process."""
    attention = model.config._attn_implementation
    if name == "auto" and (reason := fallback(attention, device, engine.refused)):
        say_once(reason)
    return choose(name, attention, device, engine.spans, engine.refused)


def _at_once(options: Train, processes: int) -> int:
    """Tokens at once: of several processes the first one's, since all must make the same passes."""
    tokens = at_once() if options.tokens == "auto" else options.tokens
    return int(broadcast_object_list([tokens])[0]) if processes > 1 else tokens


def at_once() -> int:
    """Tokens at once where nothing is known of memory."""
    return AT_ONCE_GPU if torch.cuda.is_available() else AT_ONCE


def wants_bf16(precision: str, size: int, gpu: bool = False) -> bool:
    """Where `auto`: on GPUs that have it, and on CPUs with native bf16 products for models that are not tiny.

    `gpu`: a GPU that is not here, and has it.
    """
    if precision != "auto":
        return precision == "bf16"
    if gpu:
        return True
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return size >= models.SMALL and bool(native_bf16())


class Keep(TrainerCallback):
    """Writes into each checkpoint what the objective needs to be resumed."""

    def __init__(self, objective: BoundObjective) -> None:
        self.objective = objective

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self.objective.save(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")


class _Clock(Watch):
    """Keeps, in the trainer's state, how long a stage has trained over all its resumes, how long it has waited for its
    updates, and what memory has forced.
    """

    def __init__(self, kept: Callable[[], dict[str, Any]], trainer: ContextTrainer) -> None:
        self.kept, self.trainer = kept, trainer

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        state.log_history[-1] |= self.kept()
        if self.trainer.noted:
            state.log_history[-1][NOTED] = self.trainer.noted


def _in_fp32(look: Callable[[int, Any], None]) -> Callable[[int, Any], None]:
    """A look at a model whose frozen weights are in bf16, outside autocast."""

    def looked(step: int, model: Any) -> None:
        with frozen.upcast(model):
            look(step, model)

    return looked


def _last(checkpoint: Path | None) -> dict[str, Any]:
    """What was kept of the last update before a checkpoint."""
    if checkpoint is None:
        return {}
    history = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    return dict(history[-1]) if history else {}


def _take_up(trainer: ContextTrainer, last: dict[str, Any]) -> None:
    """What memory forced before the checkpoint still counts."""
    if "tokens" in last:
        trainer.tokens = trainer.reduced["tokens"] = int(last["tokens"])
    if last.get("recomputes"):
        trainer.args.activation_checkpointing = True
        trainer.may_recompute, trainer.reduced["recomputes"] = False, True


def _finish(job: TrainJob, trainer: ContextTrainer, kept: dict[str, Any]) -> None:
    """Write the model beside its place, then move it there; then the checkpoints go."""
    fresh = job.folder / PART
    model: Any = trainer.model
    model.config.use_cache = True
    trainer.save_model(str(fresh))
    if not trainer.is_world_process_zero():
        trainer.accelerator.wait_for_everyone()
        return
    if job.train.weight_interpolation < 1:
        began = None if job.train.adapter else models.load_model(job.start, job.model).state_dict()
        part_of_the_way(fresh, began, job.train.weight_interpolation)
    write_texts(fresh, job.tokenizer, job.card)
    (fresh / "training_args.bin").unlink(missing_ok=True)  # a pickle
    keys = {"step": "step", "loss": "loss", "lr": "learning_rate", "grad_norm": "grad_norm", "seconds": "seconds"}
    history = [row for row in trainer.state.log_history if "loss" in row]
    losses: list[dict[str, Any]] = [
        {**{k: row[v] for k, v in keys.items() if v in row}, **row.get(NOTED, {})}  # type: ignore[dict-item]
        for row in history
    ]
    assert all(math.isfinite(row["loss"]) for row in losses)
    write_text(job.folder / "losses.json", json.dumps(losses))
    times = {k: kept[k] for k in ("seconds", "waited")}
    stage = {**times, "updates": job.plan.updates, "files": sorted(os.listdir(fresh))}
    write_text(job.folder / "stage.json", json.dumps(stage))
    sync_tree(fresh)
    _seal(job.folder, fresh, job.identity)
    os.replace(fresh, job.folder / "model")
    sync(job.folder)
    keep(job.folder, 1 if job.extendable else 0)
    trainer.accelerator.wait_for_everyone()


def _seal(folder: Path, model: Path, identity: str) -> None:
    """Checksums of a finished stage, but for its model card, which is written again with the results."""
    names = files_in(model)
    sums = {f"model/{name}": value for name, value in checksums(model, names).items() if name != CARD}
    small = ["losses.json", "stage.json", *(str(f.relative_to(folder)) for f in sorted(folder.glob(f"*/{SCORES}")))]
    copies = {name: (folder / name).read_text(encoding="utf-8") for name in small if (folder / name).exists()}
    seal(folder, sums | checksums(folder, [*copies, *looks(folder)]), identity=identity, copies=copies)
