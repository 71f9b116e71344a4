"""Causal language models: found, checked, loaded, adapted."""

from .adapters import adapt, check_adapter, load_adapted
from .load import SMALL, load_model, load_tokenizer, threads
from .options import Adapter, Model
from .resolve import check, fingerprint, is_adapter, parameters, resolve
from .size import count

__all__ = [
    "SMALL",
    "Adapter",
    "Model",
    "adapt",
    "check",
    "check_adapter",
    "count",
    "fingerprint",
    "is_adapter",
    "load_adapted",
    "load_model",
    "load_tokenizer",
    "parameters",
    "resolve",
    "threads",
]
