"""The pocket model's pretraining: batches of answers, a plain loop, a checkpoint to go on from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy

from contextune.core.errors import UserError
from contextune.core.files import Damaged, read_checked, write_checked
from contextune.core.progress import say_once
from contextune.core.sequence import IGNORED, DrawKey

from . import corpus, heads
from .corpus import PocketDocument

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

STEPS, DOCUMENTS, CHUNK = 7000, 24, 8
"""Updates; documents an update; updates whose documents are drawn, sorted by length and cut together."""

RATE, WARMUP, DECAY = 3e-3, 50, 0.4
"""Peak learning rate; steps of warm-up; share of the steps over which the rate falls to zero."""

FINISH, FINISH_RATE = 1 / 7, 1e-3
"""Share of all updates that come last, with a mixture, an optimizer and a learning rate of their own; its peak."""

CHECKPOINT = 200
"""Updates between two checkpoints."""

SHORT = 0.12
"""Share of the steps before the finish with 1 to 3 facts a document; after it 1 to 8."""

LATE = 0.48
"""Share of those steps before the late mixture, which has yes/no questions by themselves."""

PretrainRow = tuple[list[int], list[int]]


def fresh(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """The untrained model: 4 layers of 128 dimensions and 4 heads, with tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=1024,
        rope_parameters={"rope_theta": heads.THETA, "rope_type": "default"},
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    heads.init_induction_heads(model, seed)
    return model


def rows(documents: Iterable[PocketDocument], tokenizer: PreTrainedTokenizerFast) -> list[PretrainRow]:
    """Ids and labels of documents. Only answers are trained on, and with each the end of text after it:
    where a text goes on behind an answer, the label there is </s> all the same."""
    documents = list(documents)
    texts = [text for d in documents for text, _ in d.spans]
    pieces = iter(tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False))
    end, made = tokenizer.eos_token_id, []
    for document in documents:
        ids, labels, over = [tokenizer.bos_token_id], [IGNORED], False
        for _, kind in document.spans:
            piece = list(next(pieces).ids)
            labels += piece if kind == "answer" else [end if over else IGNORED] + [IGNORED] * (len(piece) - 1)
            ids, over = ids + piece, kind == "answer"
        made.append(([*ids, end], [*labels, end if over else IGNORED]))
    return made


def pad(batch: list[PretrainRow]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels, both (rows, longest), padded on the right (so that causal attention needs no mask)."""
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([r + [0] * (longest - len(r)) for r, _ in batch])
    return ids, torch.tensor([r + [IGNORED] * (longest - len(r)) for _, r in batch])


def batches(
    seed: int, chunk: int, most: int, phase: int, tokenizer: PreTrainedTokenizerFast
) -> list[list[PretrainRow]]:
    """The batches of CHUNK consecutive updates, about equal in tokens: a pure function of all arguments."""
    n = DOCUMENTS * CHUNK
    drawn = rows((corpus.document(seed, chunk * n + i, most, phase) for i in range(n)), tokenizer)
    drawn.sort(key=lambda row: len(row[0]))
    total, seen = sum(len(ids) for ids, _ in drawn), 0
    cut: list[list[PretrainRow]] = [[]]
    for i, row in enumerate(drawn):
        full, last_chance = seen * CHUNK >= total * len(cut), len(drawn) - i <= CHUNK - len(cut)
        if cut[-1] and len(cut) < CHUNK and (full or last_chance):
            cut.append([])
        cut[-1].append(row)
        seen += len(row[0])
    DrawKey(seed, 0).rng("order", chunk).shuffle(cut)
    return cut


def finish(steps: int) -> int:
    """The update at which the finish begins; a chunk begins there too."""
    return round(steps * (1 - FINISH)) // CHUNK * CHUNK


def rate(step: int, steps: int) -> float:
    """Learning rate: linear warm-up, flat, linear to zero; in the finish once more, without the flat part."""
    last = finish(steps)
    if step < last:
        return RATE * min(1.0, (step + 1) / WARMUP, (last - step) / (DECAY * last))
    return FINISH_RATE * min(1.0, (step - last + 1) / WARMUP, (steps - step) / (steps - last))


def mixture(first: int, steps: int) -> tuple[int, int]:
    """The most facts a document and the phase of the chunk that begins at update `first`."""
    last = finish(steps)
    return 3 if first < SHORT * last else 8, 2 if first >= last else int(first >= LATE * last)


def loss_of(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy (nats) over labelled tokens; the head runs on those positions alone."""
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    bears = wanted != IGNORED
    return cross_entropy(model.lm_head(hidden[bears]).float(), wanted[bears])


def optimizer_of(model: LlamaForCausalLM) -> torch.optim.AdamW:
    """AdamW without decay on embeddings and norms."""
    decay = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))


def pretrain(
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    folder: Path,
    steps: int = STEPS,
    say: Callable[[int, float], Any] = lambda step, loss: None,
) -> tuple[LlamaForCausalLM, list[dict[str, float]]]:
    """The trained model and its losses. A killed run resumes from `folder`/building.pt.

    `say` is called after every update with the step and its loss (nats). Raises UserError where the
    checkpoint was made with another seed or number of steps.
    """
    model = fresh(tokenizer, seed)
    optimizer, checkpoint = optimizer_of(model), folder / "building.pt"
    start, seconds, log = 0, 0.0, list[dict[str, float]]()
    try:
        kept = read_checked(checkpoint)
    except Damaged as e:
        say_once(f"{e}: training begins anew")
        kept = None
    if kept is not None:
        state = torch.load(BytesIO(kept), weights_only=True)
        if (state["seed"], state["steps"]) != (seed, steps):
            raise UserError(
                f"{checkpoint} was begun with seed {state['seed']} and {state['steps']} steps, not {seed} and {steps}",
                "give another folder, or remove the checkpoint",
            )
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start, seconds, log = state["step"], state["seconds"], json.loads(state["log"])
    began, chunk = time.process_time() - seconds, list[list[PretrainRow]]()
    model.train()
    for step in range(start, steps):
        if not chunk:
            first = step - step % CHUNK  # what a chunk holds is decided where it begins, after a resume too
            chunk = batches(seed, step // CHUNK, *mixture(first, steps), tokenizer)[step % CHUNK :]
        if step == finish(steps):
            optimizer = optimizer_of(model)
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps)
        loss = loss_of(model, *pad(chunk.pop(0)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds = time.process_time() - began
        log.append({"step": step + 1, "loss": loss.item(), "seconds": seconds})
        say(step + 1, loss.item())
        if (step + 1) % CHECKPOINT == 0 and step + 1 < steps:
            made = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "log": json.dumps(log)}
            where = {"seed": seed, "steps": steps, "step": step + 1, "seconds": seconds}
            torch.save({**made, **where}, content := BytesIO())
            write_checked(checkpoint, content.getvalue())
    return model.eval(), log
