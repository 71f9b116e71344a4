"""What a finished model's folder is written by, and tried by before the first update."""

from __future__ import annotations

import errno
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from contextune import models
from contextune.core.errors import UserError, first_line
from contextune.core.sequence import Tokenizer

CARD = "README.md"
PROBE = "The quick brown fox: 3 × 14 = 42.\n\tЖ 你好 🙂"
"""A text that a tokenizer must encode alike once it is saved."""


def save_weights(trainer: Any, folder: Path) -> None:
    """The weights and configurations of a model in training, by all processes together; no pickles."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    cached, model.config.use_cache = model.config.use_cache, True
    trainer.save_model(str(folder))
    model.config.use_cache = cached
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle


def write_texts(folder: Path, tokenizer: Tokenizer, card: str) -> None:
    """What stands beside the weights and their configurations: the tokenizer with its template, and the card."""
    tokenizer.save_pretrained(folder)
    (folder / CARD).write_text(card, encoding="utf-8")


def try_save(model: Any, tokenizer: Tokenizer, card: str, folder: Path) -> None:
    """Write into `folder` all that a save writes, read it back, and remove it; configurations are fixed on the way.

    Of a full model's weights two rows and columns of each are written. Raises UserError where something cannot be
    saved, or comes back as something else, and OSError where the disk refuses it.
    """
    models.fix_configs(model, tokenizer)
    trial = folder / "save.part"
    shutil.rmtree(trial, ignore_errors=True)  # of a kill
    with disk_errors():
        try:
            trial.mkdir()
            _write_weights(model, trial)
            _read_back(model, trial)
            (trial / CARD).write_text(card, encoding="utf-8")
            if (trial / CARD).read_text(encoding="utf-8") != card:
                raise UserError(
                    "the finished model could not be saved: its model card would not be read back as it is",
                    "use plain characters in the recipe's name and texts",
                )
            _try_tokenizer(tokenizer, tokenizer.chat_template, len(tokenizer))
        except (UserError, OSError, SafetensorError):
            raise
        except Exception as e:
            raise UserError(
                f"the finished model could not be saved: {first_line(e)}",
                "tried before the first update; look at config.json, generation_config.json and the tokenizer's files",
            ) from e
        finally:
            shutil.rmtree(trial, ignore_errors=True)


def _write_weights(model: Any, folder: Path) -> None:
    if hasattr(model, "peft_config"):
        model.save_pretrained(folder)
        return
    try:
        model.save_pretrained(folder, state_dict=_small(model.state_dict()))
    except (OSError, SafetensorError):
        raise
    except Exception:  # a part of a weight may be less than its conversion to the saved format needs
        shutil.rmtree(folder)
        folder.mkdir()
        model.save_pretrained(folder)


def _small(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """At most two rows and columns of each; what shares its memory still does."""
    made: dict[Any, torch.Tensor] = {}
    for weight in weights.values():
        part = weight.detach()[tuple(slice(0, 2) for _ in weight.shape)]
        made.setdefault(_place(weight), part.clone())
    return {name: made[_place(weight)] for name, weight in weights.items()}


def _place(weight: torch.Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return weight.data_ptr(), tuple(weight.shape), weight.stride()


def _read_back(model: Any, folder: Path) -> None:
    from transformers import GenerationConfig

    if hasattr(model, "peft_config"):
        models.check_saved(str(folder))
    else:
        again = type(model.config).from_pretrained(folder)  # by its own class: what it names is not run
        same(model.config.to_dict(), again.to_dict(), ("eos_token_id", "pad_token_id", "bos_token_id", "vocab_size"))
        if model.can_generate():
            saved = GenerationConfig.from_pretrained(folder)
            same(model.generation_config.to_dict(), saved.to_dict(), ("eos_token_id", "pad_token_id", "do_sample"))


@lru_cache(maxsize=4)
def _try_tokenizer(tokenizer: Tokenizer, template: object, tokens: int) -> None:
    """Once for a tokenizer as it is: a large one takes seconds."""
    with tempfile.TemporaryDirectory(prefix="save-") as folder:
        tokenizer.save_pretrained(folder)
        read = models.load_tokenizer(folder)
    for what, before, after in (
        ("its tokenizer's tokens", tokenizer.get_vocab(), read.get_vocab()),
        ("its tokenizer's ids of a text", tokenizer(PROBE)["input_ids"], read(PROBE)["input_ids"]),
        ("its chat template", template, read.chat_template),
    ):
        if before != after:
            raise UserError(
                f"the finished model could not be saved: {what} would not be read back as it is now",
                "tried before the first update; save the tokenizer anew with tokenizer.save_pretrained",
            )


def same(before: dict[str, Any], after: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if before.get(key) != after.get(key):
            raise UserError(
                f"the finished model could not be saved: {key} {before.get(key)} would come back as {after.get(key)}",
                "tried before the first update; look at config.json and generation_config.json",
            )


@contextmanager
def disk_errors() -> Iterator[None]:
    """Within: what safetensors and torch say of a disk that is full or read-only becomes an OSError."""
    try:
        yield
    except (SafetensorError, RuntimeError) as e:
        text = str(e)
        for words, number in (
            ("No space left", errno.ENOSPC), ("Disk quota", errno.EDQUOT), ("Read-only", errno.EROFS),
            ("Permission denied", errno.EACCES), ("File too large", errno.EFBIG),
            ("PytorchStreamWriter", _unnamed()), ("unexpected pos", _unnamed()),
        ):  # fmt: skip
            if words in text:
                raise OSError(number, text.splitlines()[0]) from e
        raise


def _unnamed() -> int:
    """Why torch could not write, which does not say: a limit of this process (ulimit -f), else a full disk."""
    limited = resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY
    return errno.EFBIG if limited else errno.ENOSPC
