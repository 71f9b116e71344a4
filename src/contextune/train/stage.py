"""One stage of one arm at one seed: from a model folder and records to a new model folder.

Resumable at any moment: checkpoints are whole or absent, the finished model appears by a rename (finished.py).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from contextune import models
from contextune.core.errors import UserError
from contextune.core.progress import say_once
from contextune.data.records import ends
from contextune.models import frozen
from contextune.models.ends import add_ends
from contextune.models.resolve import base_of, known
from contextune.train.options import OPTIMIZERS, Train, most_at_once

from . import best
from .ahead import Ahead, ahead
from .checkpoint_callbacks import Checkpoints, Every, Watch
from .checkpoints import last_good, last_whole
from .fast_path import FastPath
from .finished import NOTED, PART, finish
from .fused_layers import fuse
from .job import TrainJob as TrainJob
from .launch import recipe_decides, refuse_unsharded, sharded
from .layouts import Layout, choose, fallback
from .objectives import BoundObjective
from .on_policy import AnswerWriter
from .precision import wants_bf16
from .saving import disk_errors, try_save
from .trainer import ContextTrainer
from .validation import Validation
from .weight_interpolation import refuse


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
        clock = _Clock(trainer, updates, last)
        trainer.add_callback(clock)
        if job.look is not None:
            trainer.add_callback(Every(job.every, _in_fp32(job.look)))
        if job.track is not None:
            trainer.add_callback(job.track)
        try:
            with disk_errors():
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
                finish(job, trainer, clock.times)
        except OSError:  # what was half-written would only take room
            for part in (PART, best.PART):
                shutil.rmtree(job.folder / part, ignore_errors=True)
            last_whole(job.folder)
            raise
        finally:
            if job.track is not None:
                job.track.close()
    return target


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
    penalty = options.kl.bind(model) if options.kl is not None else None
    validation = Validation(job) if job.validation else None
    if validation is not None and sharded():
        raise UserError(
            "a validation loss needs the whole model in each process, not shards of it",
            "train it without FSDP or DeepSpeed, or without data.NAME.validation and train.validate_on",
        )
    trainer = ContextTrainer(
        model=model,
        args=arguments,
        train_dataset=updates or job.updates,
        callbacks=[
            *([] if objective is None else [Keep(objective)]),  # before the checkpoint is sealed
            *([] if validation is None else [validation]),
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
        penalty=penalty,
        writer=AnswerWriter(job.tokenizer, job.seed, options.max_length),
    )
    if validation is not None:
        validation.trainer = trainer
    return trainer


def _layout(name: str, model: Any, device: str, engine: FastPath) -> Layout:
    """The layout of a stage; where `auto` does not take what it would, the reason is said once a process."""
    attention = model.config._attn_implementation
    if name == "auto" and (reason := fallback(attention, device, engine.refused)):
        say_once(reason)
    return choose(name, attention, device, engine.spans, engine.refused)


def _at_once(options: Train, processes: int) -> int:
    """Tokens at once: of several processes the first one's, since all must make the same passes."""
    tokens = most_at_once() if options.tokens == "auto" else options.tokens
    return int(broadcast_object_list([tokens])[0]) if processes > 1 else tokens


class Keep(TrainerCallback):
    """Writes into each checkpoint what the objective needs to be resumed."""

    def __init__(self, objective: BoundObjective) -> None:
        self.objective = objective

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self.objective.save(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")


class _Clock(TrainerCallback):
    """Keeps, in the trainer's state, how long a stage has trained over all its resumes, how long it has waited for its
    updates, and what memory has forced.
    """

    def __init__(self, trainer: ContextTrainer, updates: Ahead, last: dict[str, Any]) -> None:
        self.trainer, self.updates, self.last, self.began = trainer, updates, last, time.monotonic()

    @property
    def times(self) -> dict[str, float]:
        """{"seconds", "waited"} up to now."""
        now = {"seconds": time.monotonic() - self.began, "waited": self.updates.waited}
        return {name: round(float(self.last.get(name, 0.0)) + value, 3) for name, value in now.items()}

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        state.log_history[-1] |= self.times | self.trainer.reduced
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
