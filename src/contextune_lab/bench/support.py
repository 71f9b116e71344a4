"""Which architectures are trained, scored, asked and saved rightly: each is tried end to end on a tiny random model.

Every cell compares Contextune with transformers' own model, one text at a time, no cache, no mask:

    padded, packed, shared   loss and gradients of an update in that layout
    score                    log-likelihoods of options
    generate                 greedy answers of prompts of several lengths, against `model.generate`
    LoRA                     loss and gradients in layout auto; one update, saved and loaded by peft
    save and load            one update by the stage that trains, saved, and loaded by transformers
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from contextune import BindContext, models
from contextune.contexts import bind_policy, parse
from contextune.core.errors import UserError, first_line, nearest
from contextune.core.items import Item
from contextune.core.sequence import IGNORED, Record, Rendered, Segment, Tokenizer
from contextune.evaluate.scoring.choice import score_choices
from contextune.generation.local import LocalEngine
from contextune.generation.protocol import Failure, Request
from contextune.models.options import Adapter
from contextune.train import stage
from contextune.train.fast_path import FastPath
from contextune.train.layouts import choose
from contextune.train.options import Train

from .tiny_models import HEAD, VOCABULARY, tiny

ARCHITECTURES = {
    "Llama": "llama", "Mistral": "mistral", "Qwen2": "qwen2", "Qwen3": "qwen3", "Gemma 2": "gemma2",
    "Gemma 3": "gemma3_text", "Phi-3": "phi3", "OLMo 2": "olmo2", "SmolLM3": "smollm3", "GPT-2": "gpt2",
    "GPT-NeoX": "gpt_neox", "OPT": "opt", "Bloom": "bloom", "MPT": "mpt", "Falcon": "falcon", "Mixtral": "mixtral",
    "Qwen3-MoE": "qwen3_moe", "gpt-oss": "gpt_oss", "DeepSeek-V3": "deepseek_v3", "Mamba": "mamba", "Mamba 2": "mamba2",
    "RWKV": "rwkv", "Jamba": "jamba", "Bamba": "bamba", "LFM2": "lfm2", "Qwen3-Next": "qwen3_next",
    "Gemma 3, beyond its window": "gemma3_text", "Llama 4, beyond its chunk": "llama4_text",
    "Phi-3 with longrope, beyond its first length": "phi3",
}  # fmt: skip
"""Name -> `model_type` of transformers."""
OPTIONS: dict[str, dict[str, Any]] = {
    "Gemma 3, beyond its window": {"sliding_window": 16},
    "Llama 4, beyond its chunk": {"attention_chunk_size": 16},
    "Phi-3 with longrope, beyond its first length": {
        "original_max_position_embeddings": 16,
        "rope_parameters": {
            "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 16,
            "short_factor": [1.0] * (HEAD // 2), "long_factor": [4.0] * (HEAD // 2),
        },
    },
}  # fmt: skip
"""Of the configuration, where not the tiny default."""
NEAR = 1e-4
"""Relative difference from transformers that rounding may make, in fp32."""
LENGTH = 64
BEGIN, END = "<!-- contextune lab support-matrix -->", "<!-- end of the table -->"


@dataclass(frozen=True)
class Cell:
    """`state` is right, refused (a sentence of Contextune's own) or wrong (other numbers, or any other error)."""

    state: str
    why: str = ""


def matrix(names: Seq[str], said: Callable[[str], None] = lambda text: None) -> dict[str, dict[str, Cell]]:
    """Cells by architecture and column."""
    found = {}
    for name in names:
        said(name)
        with tempfile.TemporaryDirectory() as folder, models.threads(1, 0):
            found[name] = dict(_row(name, Path(folder)))
    return found


def check(names: Seq[str]) -> None:
    """Raises UserError for what is neither an architecture of the table nor a causal one of transformers."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KNOWN

    for name in names:
        if name not in ARCHITECTURES and name not in KNOWN:
            raise UserError(f"support-matrix: no architecture '{name}'", nearest(name, [*ARCHITECTURES, *KNOWN]))


def _row(name: str, folder: Path) -> Iterator[tuple[str, Cell]]:
    start, words = folder / "start", tokenizer()
    tiny(ARCHITECTURES.get(name, name), **OPTIONS.get(name, {})).save_pretrained(start)
    words.save_pretrained(start)
    for column, check in COLUMNS.items():
        yield column, _cell(check, start, words, folder / column.replace(" ", "-"))


def _cell(check: Callable[[Path, Tokenizer, Path], str], start: Path, words: Tokenizer, folder: Path) -> Cell:
    try:
        why = check(start, words, folder)
    except UserError as e:
        return Cell("refused", str(e.message).replace(f"{start.parent}/", ""))
    except Exception as e:
        return Cell("wrong", f"{type(e).__name__}: {first_line(e)}")
    return Cell("wrong", why) if why else Cell("right")


def layout(name: str) -> Callable[[Path, Tokenizer, Path], str]:
    return lambda start, words, folder: _update(models.load_model(str(start)).train(), name)


def score(start: Path, words: Tokenizer, folder: Path) -> str:
    """Options of unequal length, of prompts that begin alike and of one that does not."""
    model = models.load_model(str(start)).eval()
    prompts, options = ("w1 w2 w3 w4 w5 w6 w7 w8 w9 w10", "w1 w2 w3 w4 w5 w6 w9 w7", "w20 w3"), (" w11", " w12 w13 w14")
    items = [Item(str(i), prompt, " w11", options) for i, prompt in enumerate(prompts)]
    off = 0.0
    for item, scores in zip(items, score_choices(model, words, items), strict=True):
        for option, given in zip(options, scores.sums, strict=True):
            ids = torch.tensor([words(item.prompt + option)["input_ids"]])
            with torch.no_grad():
                logs = model(input_ids=ids, use_cache=False).logits[0, :-1].log_softmax(-1)
            plain = logs.gather(1, ids[0, 1:, None])[-len(option.split()) :].sum().item()
            off = max(off, abs(given - plain) / abs(plain))
    return f"log-likelihoods by {off:.2%}" if off > NEAR else ""


def generate(start: Path, words: Tokenizer, folder: Path) -> str:
    model = models.load_model(str(start)).eval()
    begin = " ".join(f"w{i}" for i in range(20))
    prompts = [f"{begin} w3 w4", f"{begin} w9", "w30 w31", "w7 w8 w9 w1 w60"]
    asked = [Request(p, max_tokens=8, cut=True) for p in prompts]
    answers = dict(LocalEngine(model, words).complete(asked))
    for place, prompt in enumerate(prompts):
        if isinstance(answer := answers[place], Failure):
            raise UserError(str(answer.reason), "")
        ids = words(prompt, return_tensors="pt")["input_ids"]
        ends = {"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
        plain = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, **ends)
        expected = str(words.decode(plain[0, ids.shape[1] :], skip_special_tokens=True))
        if answer.strip() != expected.strip():
            return f"'{answer}' for '{expected}'"
    return ""


def lora(start: Path, words: Tokenizer, folder: Path) -> str:
    from peft import AutoPeftModelForCausalLM

    adapter = Adapter(rank=4)
    if why := _update(models.adapt(models.load_model(str(start)), adapter).train(), "auto"):
        return why
    return _saved(start, words, folder, adapter, AutoPeftModelForCausalLM.from_pretrained)


def save_and_load(start: Path, words: Tokenizer, folder: Path) -> str:
    from transformers import AutoModelForCausalLM

    return _saved(start, words, folder, None, AutoModelForCausalLM.from_pretrained)


COLUMNS: dict[str, Callable[[Path, Tokenizer, Path], str]] = {
    "train, padded": layout("padded"),
    "packed": layout("packed"),
    "shared": layout("shared"),
    "score": score,
    "generate": generate,
    "LoRA": lora,
    "save and load": save_and_load,
}


def _update(model: Any, name: str) -> str:
    """How far loss and gradients of an update are from those of the plain way; empty where they are not."""
    engine = FastPath.of(model, LENGTH)
    layout = choose(name, model.config._attn_implementation, "cpu", engine.spans, engine.refused)
    plain = _gradients(model, lambda: [_plain(model, row) for row in _rows()])
    found = _gradients(model, lambda: [_fast(model, engine, batch) for batch in layout(_rows(), 1000, 0)])
    loss = abs(found[0] - plain[0]) / plain[0]
    slope = float((found[1] - plain[1]).norm() / plain[1].norm())
    return "" if loss < NEAR and slope < NEAR else f"loss by {loss:.2%}, gradients by {slope:.2%}"


def _gradients(model: Any, losses: Callable[[], list[float]]) -> tuple[float, torch.Tensor]:
    model.zero_grad(set_to_none=True)
    total = sum(losses())
    return total, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def _plain(model: Any, row: Rendered) -> float:
    logits = model(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0, :-1].float()
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(row.labels[1:]), reduction="sum")
    loss.backward()
    return loss.item()


def _fast(model: Any, engine: FastPath, batch: Any) -> float:
    with engine.around(model, batch):
        loss = engine.loss(model, batch)
        loss.backward()
    return loss.item()


def _rows() -> list[Rendered]:
    """Rows of many lengths up to 40 tokens; two begin alike."""
    rng = random.Random(0)
    ids = lambda n: tuple(rng.randrange(8, VOCABULARY) for _ in range(n))  # noqa: E731
    begin = (1, *ids(14))
    pairs = [(begin, ids(9)), (begin, ids(12)), *(((1,), ids(n)) for n in (33, 7, 2, 39))]
    return [Rendered(a + b, (IGNORED,) * len(a) + b) for a, b in pairs]


def _saved(start: Path, words: Tokenizer, folder: Path, adapter: Adapter | None, load: Callable[[str], Any]) -> str:
    """One update by the stage that trains, then the model in the finished folder against the one in memory."""
    ids, seen = torch.tensor([_rows()[0].ids]), list[torch.Tensor]()

    def logits(model: Any) -> torch.Tensor:
        training = model.training
        with torch.no_grad():
            out: torch.Tensor = model.eval()(input_ids=ids, use_cache=False).logits
        model.train(training)
        return out

    texts = [" ".join(f"w{i}" for i in range(n)) for n in (3, 9, 20, 14)]
    records = [Record(f"r{i}", (Segment(text, "target"),), f"d{i}") for i, text in enumerate(texts)]
    context = bind_policy(parse("none"), BindContext(words, tuple(records)))
    train = Train(steps=1, batch=4, lr=1e-2, warmup=0.0, max_length=LENGTH, precision="fp32", adapter=adapter)
    look = lambda step, model: seen.append(logits(model))  # noqa: E731
    job = stage.TrainJob(records, context, words, train, 0, str(start), folder, every=1, look=look)
    loaded = load(str(stage.run(job)))
    off = float((logits(loaded) - seen[-1]).abs().max() / seen[-1].abs().max())
    return f"logits of what was saved by {off:.2%}" if off > NEAR else ""


def tokenizer() -> Tokenizer:
    """Whole words w0, w1 …; a text begins with <s>."""
    from tokenizers import Tokenizer as Core
    from tokenizers import models as kinds
    from tokenizers import pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = ["<pad>", "<s>", "</s>", "<unk>"]
    known = [*specials, *(f"w{i}" for i in range(VOCABULARY - len(specials)))]
    core = Core(kinds.WordLevel({word: i for i, word in enumerate(known)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.add_special_tokens(specials)
    core.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def table(found: dict[str, dict[str, Cell]]) -> str:
    """Markdown: a row an architecture, reasons as numbered notes below."""
    notes = list(dict.fromkeys((c.state, c.why) for row in found.values() for c in row.values() if c.why))
    shown = lambda c: "right" if c.state == "right" else f"{_bold(c.state)} ({notes.index((c.state, c.why)) + 1})"  # noqa: E731
    lines = [f"| architecture | {' | '.join(COLUMNS)} |", "| --- |" + " --- |" * len(COLUMNS)]
    lines += [f"| {name} | {' | '.join(shown(c) for c in row.values())} |" for name, row in found.items()]
    return "\n".join([*lines, "", *(f"{i}. {state}: {why}" for i, (state, why) in enumerate(notes, 1))])


def _bold(state: str) -> str:
    return f"**{state}**" if state == "wrong" else state


def place(page: Path) -> str:
    """The page as it is, which has a place for the table; UserError where it has none."""
    old = page.read_text(encoding="utf-8") if page.exists() else f"{BEGIN}\n{END}\n"
    if BEGIN not in old or END not in old:
        raise UserError(f"{page}: no place for the table", f"add the lines {BEGIN} and {END}, or give a new file")
    return old


def put(page: Path, text: str) -> None:
    """The table into its place in a page, or a page of its own."""
    old = place(page)
    before, after = old.split(BEGIN)[0], old.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
