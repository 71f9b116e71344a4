"""Causal language models: found, checked, loaded, adapted."""

from .adapters import adapt, check_adapter, check_saved, check_start, load_adapted, load_model
from .configs import fix_configs
from .fit import check_positions, check_vocabulary
from .freezing import freeze, frozen_parts
from .load import SMALL, load_tokenizer, threads
from .options import Adapter, Model
from .resolve import check, fingerprint, has_weights, is_adapter, parameters, resolve
from .size import count, stored
from .weights import skeleton, stored_in_bf16

__all__ = [
    "SMALL",
    "Adapter",
    "Model",
    "adapt",
    "check",
    "check_adapter",
    "check_positions",
    "check_saved",
    "check_start",
    "check_vocabulary",
    "count",
    "fingerprint",
    "fix_configs",
    "freeze",
    "frozen_parts",
    "has_weights",
    "is_adapter",
    "load_adapted",
    "load_model",
    "load_tokenizer",
    "parameters",
    "resolve",
    "skeleton",
    "stored",
    "stored_in_bf16",
    "threads",
]
