"""The machine and the libraries, and how much the latter may say."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from contextune import __version__


def rank() -> int:
    """This process's number in a distributed run (torchrun, accelerate launch), else 0."""
    return int(os.environ.get("RANK", 0))


def quiet_libraries() -> None:
    import warnings

    import huggingface_hub
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if "datasets" in sys.modules:
        sys.modules["datasets"].disable_progress_bars()
    else:  # to import it takes a second, and few commands need it
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    huggingface_hub.utils.logging.set_verbosity_error()
    if not sys.flags.dev_mode:
        warnings.filterwarnings("ignore", module="(torch|transformers|accelerate|peft|datasets)")
        warnings.filterwarnings("ignore", category=FutureWarning, module="contextune")  # of a library, about our call


def environment() -> dict[str, str]:
    from importlib.metadata import version

    import torch

    packages = ("torch", "transformers", "accelerate", "peft", "datasets", "tokenizers", "scikit-learn", "scipy")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU ({os.cpu_count()} cores)"
    return {
        "contextune": __version__, "python": platform.python_version(), **{p: version(p) for p in packages},
        "platform": platform.platform(), "processor": _processor(), "device": device,
    }  # fmt: skip


def native_bf16() -> list[str]:
    """The processor's flags for products of bf16; none where the system does not say (not Linux)."""
    return [flag for flag in ("avx512_bf16", "amx_bf16") if f" {flag}" in _cpuinfo()]


def _processor() -> str:
    names = [x.split(":", 1)[1].strip() for x in _cpuinfo().splitlines() if x.startswith("model name")]
    return names[0] if names else platform.processor()


def _cpuinfo() -> str:
    info = Path("/proc/cpuinfo")
    return info.read_text() if info.exists() else ""
