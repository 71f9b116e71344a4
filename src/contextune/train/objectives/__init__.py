"""What training minimises: one file each, known by name."""

from contextune.core.registry import import_modules

from .base import BoundObjective, Likelihood, Objective, OfRows, OfTokens, Penalty, Writing

import_modules(__name__, __path__)

__all__ = ["BoundObjective", "Likelihood", "Objective", "OfRows", "OfTokens", "Penalty", "Writing"]
