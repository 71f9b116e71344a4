"""What is trained on of conversations, beside TRL's assistant_only_loss: `python scripts/masks.py [--check]`.

For each published chat template (as TRL ships it) the table in docs/masks.md between its marks is made again: which
tokens are trained on, and whether each of them follows what inference would put before it. A tokenizer of bytes and of
the template's own control tokens stands for the model's, since a mask follows from the template alone.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "masks.md"
MARKS = re.compile(r"(<!-- masks -->\n).*?(?=\n\n|\Z)", re.DOTALL)
CONTROL = re.compile(
    r"<[|｜][^<>\n{}]{1,40}[|｜]>|<(?:bos|eos|sop|BOS_TOKEN|start_of_turn|end_of_turn)>|</s>|\[gMASK\]"
)
TEMPLATES = {  # TRL's name: (begin of text, end of text)
    "qwen2_5": ("", "<|im_end|>"),
    "qwen3": ("", "<|im_end|>"),
    "qwen3_instruct_2507": ("", "<|im_end|>"),
    "qwen3_5_think": ("", "<|im_end|>"),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>"),
    "llama3_1": ("<|begin_of_text|>", "<|eot_id|>"),
    "gemma3": ("<bos>", "<eos>"),
    "deepseekv3": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "gptoss": ("<|startoftext|>", "<|return|>"),
    "glm4moe": ("", "<|endoftext|>"),
    "phi3_5": ("", "<|endoftext|>"),
    "lfm2": ("<|startoftext|>", "<|im_end|>"),
    "cohere2": ("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"),
}
THOUGHT = "<think>\nIt is asked for a colour.\n</think>\n\n"
CASES: dict[str, list[dict[str, Any]]] = {
    "two turns": [
        {"role": "user", "content": "What is it?"},
        {"role": "assistant", "content": "A heron."},
        {"role": "user", "content": "And its colour?"},
        {"role": "assistant", "content": "Grey."},
    ],
    "with thoughts": [
        {"role": "user", "content": "What is it?"},
        {"role": "assistant", "content": f"{THOUGHT}A heron."},
        {"role": "user", "content": "And its colour?"},
        {"role": "assistant", "content": f"{THOUGHT}Grey."},
    ],
}


@dataclass(frozen=True)
class Trained:
    """A stretch of tokens that is trained on, and the text before it."""

    prompt: str
    text: str


@cache
def tokenizer(name: str) -> Any:
    """Bytes, and the control tokens that the template spells."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers import decoders as decoding
    from transformers import PreTrainedTokenizerFast
    from trl import chat_template_utils

    template = getattr(chat_template_utils, f"{name}_chat_template")
    bos, eos = TEMPLATES[name]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoding.ByteLevel()
    specials = sorted({*CONTROL.findall(template), *filter(None, (bos, eos))})
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=bos or None, eos_token=eos, additional_special_tokens=specials
    )
    made.chat_template = template
    return made


def ours(name: str, messages: list[dict[str, Any]]) -> list[Trained]:
    """Each target of our rows, behind what stands before it in its row."""
    from contextune.data.chat import rows

    found = []
    for row in rows(messages, tokenizer(name), "masks"):
        before = ""
        for segment in row:
            if segment.role == "target":
                found.append(Trained(before, segment.text))
            before += segment.text
    return found


def trl(name: str, messages: list[dict[str, Any]]) -> list[Trained] | str:
    """What TRL trains on with assistant_only_loss; why not, where it refuses."""
    from trl.chat_template_utils import get_training_chat_template

    tok = tokenizer(name)
    try:
        template = get_training_chat_template(tok) or tok.chat_template
        made = tok.apply_chat_template(
            messages, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
    except Exception as e:
        return f"{type(e).__name__}: {str(e).splitlines()[0]}"
    found, ids, mask = [], made["input_ids"], made["assistant_masks"]
    at = 0
    while at < len(ids):
        end = at
        while end < len(ids) and mask[end]:
            end += 1
        if end > at:
            found.append(Trained(tok.decode(ids[:at]), tok.decode(ids[at:end])))
        at = max(end, at + 1)
    return found


def inference(name: str, messages: list[dict[str, Any]]) -> list[str]:
    """The prompt that the published template gives before each answer."""
    return [
        tokenizer(name).apply_chat_template(messages[:i], tokenize=False, add_generation_prompt=True)
        for i, m in enumerate(messages)
        if m["role"] == "assistant"
    ]


def strange(found: list[Trained], prompts: list[str]) -> list[int]:
    """Answers (from 1) behind something else than inference's prompt: more before it may be trained on, never less."""
    return [
        i
        for i, (t, prompt) in enumerate(zip(found, prompts, strict=False), 1)
        if t.prompt != prompt and not (prompt.startswith(t.prompt) and (t.prompt + t.text).startswith(prompt))
    ]


def compared(name: str, case: str) -> str:
    """TRL's mask beside ours, in words."""
    messages = CASES[case]
    mine, theirs, prompts = ours(name, messages), trl(name, messages), inference(name, messages)
    if isinstance(theirs, str):
        return "refuses it"
    if not theirs:
        return "trains on nothing"
    if mine == theirs:
        return "equal"
    said = [f"{', '.join(map(str, wrong))}: no prompt of inference" for wrong in [strange(theirs, prompts)] if wrong]
    if len(mine) != len(theirs):
        return "; ".join([*said, f"{len(theirs)} answers of {len(mine)}"])
    different = [i for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a.text.strip() != b.text.strip()]
    said += [f"{i + 1}: {shown(theirs[i].text)}, here {shown(mine[i].text)}" for i in different[:1]]
    if said:
        return "; ".join(said)
    spaces = [shown(b.text.replace(a.text.strip(), "…")) for a, b in zip(mine, theirs, strict=True) if a.text != b.text]
    return f"equal, and white space: {spaces[0]}" if spaces else "the same tokens, in one row"


def shown(text: str) -> str:
    text = text.replace("\n", "⏎").replace("|", "\\|")
    return f"`{text if len(text) < 46 else text[:16] + ' … ' + text[-26:]}`"


def table() -> str:
    """The Markdown table, with TRL's version."""
    trl_version = version("trl")
    heads = [f"| template | {' | '.join(f'TRL {trl_version}, {case}' for case in CASES)} | rows here |"]
    lines = [
        f"| {name} | {' | '.join(compared(name, case) for case in CASES)} | {', '.join(rows_of(name))} |"
        for name in TEMPLATES
    ]
    return "\n".join([*heads, "| --- " * (len(CASES) + 2) + "|", *lines])


def rows_of(name: str) -> list[str]:
    from contextune.data.chat import rows

    return [str(len(rows(messages, tokenizer(name), "masks"))) for messages in CASES.values()]


def main(arguments: list[str]) -> int:
    old = PAGE.read_text(encoding="utf-8")
    new = MARKS.sub(lambda found: found[1] + table(), old)
    if "--check" in arguments:
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
