"""A training step (forward and backward, no optimiser): ours, transformers' padded rows, TRL's SFTTrainer.

All compute the mean loss over the update's labelled tokens, so loss and gradients can be compared, and are.
"""

from __future__ import annotations

import copy
import logging
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Seq
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from contextune import models
from contextune.core.sequence import Rendered
from contextune.models.options import Adapter
from contextune.train.fast_path import FastPath
from contextune.train.fused_layers import fuse
from contextune.train.layouts import choose
from contextune.train.standing_in import in_place_of, module_of
from contextune.worlds import pocket

from . import race
from .workloads import GPU_WORKLOADS, WORKLOADS, floor

ROWS = 8
"""Rows that a peer's padded batch holds."""
PEERS = ("transformers", "trl", "trl_as_it_comes")
GPU_PEERS = ("transformers", "trl", "trl_packed")
"""TRL with Liger's kernels; and without padding, where flash attention is installed for it."""
SPEC = {
    "vocab_size": 32_000, "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 12,
    "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 2048,
}  # fmt: skip
"""66 M parameters, 34 M of them not embeddings."""
BILLION = {
    "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 2048, "tie_word_embeddings": True,
}  # fmt: skip
"""1.2 G parameters, the shape of Llama 3.2 1B; for GPUs."""
SEVEN = {
    "vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 28,
    "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 4096,
}  # fmt: skip
"""7.2 G parameters, the shape of Llama 3.1 8B with four layers fewer; frozen in bf16 under LoRA; for GPUs."""
SHAPES = {"medium": SPEC, "billion": BILLION, "seven": SEVEN}
LORA = frozenset({"seven"})
"""Sizes that are trained by an adapter."""
LIMIT = 45.0
"""Seconds for the rounds of one workload on a GPU: two sizes of four workloads stay under eight minutes."""


@dataclass(frozen=True)
class TimedStep:
    """Runs one step on a model of its own, and gives its loss; the gradients stay there until the next step."""

    model: Any
    forward_backward: Callable[[], float]

    def __call__(self) -> float:
        self.model.zero_grad(set_to_none=True)
        return self.forward_backward()

    def gradients(self) -> torch.Tensor:
        return torch.cat([p.grad.flatten() for p in self.model.parameters() if p.grad is not None])


def measure(
    size: str, workload: str, rounds: int, peers: Seq[str], told: race.RaceProgress, device: str = "cpu", short: int = 1
) -> dict[str, Any]:
    """One workload on one model, its rows `short` times shorter: seconds, ratios, utilisation, memory, agreement.

    On a GPU all compute in bf16 with fp32 weights; a processor computes in fp32.
    """
    gpu, model = device != "cpu", cached_model(size, device)
    made = (GPU_WORKLOADS if gpu else WORKLOADS)[workload](model.config.vocab_size)
    rows = [_shortened(row, short) for row in made]
    steps = {"ours": ours(copied(model), rows, device)}
    steps |= {name: RUNNERS[name](copied(model), rows, tokenizer_of(size)) for name in peers}
    product, gflop = race.matmul(device)
    losses: dict[str, float] = {}
    runners = {name: partial(_run, name, step, losses) for name, step in steps.items()}
    said = lambda text: told(f"{size} {workload}: {text}")  # noqa: E731
    times, peaks = race.race({**runners, "matmul": product}, rounds, said, device, LIMIT if gpu else math.inf)
    ceiling, done = gflop / times["matmul"].median, len(times["matmul"].seconds)
    needed = floor(rows, model.config, size in LORA)
    result: dict[str, Any] = {"size": size, "workload": workload, "rounds": done, "ceiling": ceiling, "floor": needed}
    result["runners"] = {name: r for name, r in race.results(times, peaks).items() if name in steps}
    reference = "transformers" if "transformers" in steps else "ours"
    expected = steps[reference].gradients()
    for name, step in steps.items():
        result["runners"][name] |= {
            "gflops": needed / times[name].median,
            "utilisation": needed / times[name].median / ceiling,
            "loss": abs(losses[name] / losses[reference] - 1),
            "gradients": float((step.gradients() - expected).norm() / expected.norm()),
        }
    return result


def _run(name: str, step: TimedStep, losses: dict[str, float]) -> None:
    losses[name] = step()


def _shortened(row: Rendered, times: int) -> Rendered:
    """Every so many-th token of a row: a common beginning stays one."""
    return replace(row, ids=row.ids[::times], labels=row.labels[::times])


def model_of(size: str, device: str = "cpu") -> Any:
    """Of a shape in SHAPES, with random weights; else a model as a recipe names it: pocket, a folder, a hub id."""
    if size not in SHAPES:
        return models.load_model(_resolved(size)).train()
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(**SHAPES[size], dtype=torch.bfloat16 if size in LORA else torch.float32)  # type: ignore[arg-type]
    with torch.device(device):
        model: Any = LlamaForCausalLM(config)
    if size not in LORA:
        return model.train()
    return models.adapt(model.to(torch.bfloat16), Adapter(rank=16)).train()


def for_inference(model: Any, device: str) -> Any:
    """In evaluation mode; on a GPU in bf16, as models are scored and asked there."""
    return model.eval() if device == "cpu" else model.to(device, torch.bfloat16).eval()


@lru_cache(maxsize=1)
def cached_model(size: str, device: str) -> Any:
    """One for all workloads: of large ones random weights take longer than a step."""
    return model_of(size, device) if size in SHAPES else model_of(size)


def copied(model: Any) -> Any:
    """A copy that trains by itself; weights that are frozen are shared."""
    return copy.deepcopy(model, {id(p): p for p in model.parameters() if not p.requires_grad})


def tokenizer_of(size: str) -> Any:
    """That of the model; the pocket model's where weights are random."""
    return models.load_tokenizer(str(pocket.path()) if size in SHAPES else _resolved(size))


def _resolved(size: str) -> str:
    return str(pocket.path()) if size == "pocket" else models.resolve(models.Model(path=size), Path())


def ours(model: Any, rows: Seq[Rendered], device: str = "cpu") -> TimedStep:
    """As the trainer does it, with `layout: auto`; the model moves to the device after its trial."""
    layers = fuse(model, torch.device(device))
    engine = replace(FastPath.of(model, max(map(len, rows))), layers=layers)
    model.to(device)
    layout = choose("auto", model.config._attn_implementation, model.device.type, engine.spans, engine.refused)
    targets = sum(row.trained for row in rows)

    def step() -> float:
        total = 0.0
        for batch in layout(rows, 8192, 0):
            batch = batch.to(model.device)
            with engine.around(model, batch):
                with _precision(model):
                    loss = engine.loss(model, batch, 1 / targets)
                loss.backward()
            total += loss.item()
        return total

    return TimedStep(model, step)


def transformers(model: Any, rows: Seq[Rendered], tokenizer: Any = None) -> TimedStep:
    """Padded rows with an attention mask, labels -100 where there is no loss: what its documentation shows."""
    targets = sum(row.trained for row in rows)
    batches = [_padded(rows[at : at + ROWS]) for at in range(0, len(rows), ROWS)]

    def step() -> float:
        total = 0.0
        for batch in batches:
            given = {name: tensor.to(model.device) for name, tensor in batch.items()}
            with _precision(model):
                loss = model(**given, use_cache=False, num_items_in_batch=targets).loss
            loss.backward()
            total += loss.item()
        return total

    return TimedStep(model, step)


def standing(step: TimedStep, names: Mapping[str, Any]) -> TimedStep:
    """What a peer changed in transformers' own module stands there while it runs, and no longer."""

    def run() -> float:
        with in_place_of(step.model, names):
            return step.forward_backward()

    return TimedStep(step.model, run)


def trl(model: Any, rows: Seq[Rendered], tokenizer: Any, **options: Any) -> TimedStep:
    """SFTTrainer's own collator and training step, without checkpointing where no `options` are given.

    On a GPU with Liger's kernels, where they are installed.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

    gpu = model.device.type != "cpu"
    options = options or {"bf16": gpu, "gradient_checkpointing": False}
    if gpu and find_spec("liger_kernel"):
        options |= {"use_liger_kernel": True}
    module = module_of(model)
    before = dict(vars(module))
    data = Dataset.from_list(
        [{"input_ids": list(r.ids), "completion_mask": [int(x >= 0) for x in r.labels]} for r in rows]
    )
    with tempfile.TemporaryDirectory() as folder, _silent():
        arguments = SFTConfig(
            output_dir=folder, per_device_train_batch_size=ROWS, use_cpu=not gpu, report_to="none", disable_tqdm=True,
            dataloader_pin_memory=False, max_length=None, completion_only_loss=True,
            **{k: v for k, v in options.items() if v is not None},
        )  # fmt: skip
        trainer = SFTTrainer(model, arguments, train_dataset=data, processing_class=tokenizer)
    if arguments.gradient_checkpointing:  # Trainer.train does this before its first step
        model.gradient_checkpointing_enable(arguments.gradient_checkpointing_kwargs)
    trained: Any = trainer.train_dataset
    made = list(trained)
    batches = [trainer.data_collator(made[at : at + ROWS]) for at in range(0, len(made), ROWS)]
    targets = torch.tensor(sum(row.trained for row in rows))
    wrapped = trainer.accelerator.prepare_model(model)
    trainer.current_gradient_accumulation_steps = len(batches)

    def step() -> float:
        return sum(float(trainer.training_step(wrapped, dict(batch), targets)) for batch in batches)

    changed = {name: value for name, value in vars(module).items() if before.get(name) is not value}
    for name in changed:
        setattr(module, name, before[name])
    return standing(TimedStep(model, step), changed)


def _as_it_comes(model: Any, rows: Seq[Rendered], tokenizer: Any) -> TimedStep:
    return trl(model, rows, tokenizer, bf16=None)


def _packed(model: Any, rows: Seq[Rendered], tokenizer: Any) -> TimedStep:
    """Padding-free, as TRL documents it: rows one behind the other, kept apart by flash attention."""
    model.set_attn_implementation("flash_attention_2")
    return trl(model, rows, tokenizer, bf16=True, gradient_checkpointing=False, padding_free=True)


RUNNERS: Mapping[str, Callable[[Any, Seq[Rendered], Any], TimedStep]] = {
    "transformers": transformers,
    "trl": trl,
    "trl_as_it_comes": _as_it_comes,
    "trl_packed": _packed,
}


def _precision(model: Any) -> AbstractContextManager[Any]:
    return nullcontext() if model.device.type == "cpu" else torch.autocast(model.device.type, torch.bfloat16)


def _padded(rows: Seq[Rendered]) -> dict[str, torch.Tensor]:
    width = max(map(len, rows))
    fill = lambda values, value: [*values, *[value] * (width - len(values))]  # noqa: E731
    return {
        "input_ids": torch.tensor([fill(r.ids, 0) for r in rows]),
        "labels": torch.tensor([fill(r.labels, -100) for r in rows]),
        "attention_mask": torch.tensor([fill([1] * len(r), 0) for r in rows]),
    }


@contextmanager
def _silent() -> Iterator[None]:
    """Without the progress bars and warnings of a trainer that is set up."""
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
