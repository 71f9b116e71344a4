"""Filters that judge inferred texts: one file each, found by themselves; `run_filters` passes texts through them."""

from contextune.core.registry import import_modules

from .base import Filter, FilterOption, Judge, parse_filter
from .run_filters import run_filters

import_modules(__name__, __path__)

__all__ = ["Filter", "FilterOption", "Judge", "parse_filter", "run_filters"]
