"""Counterfactual editors: change what a record says, and what its context says, in the same way."""

from contextune.core.registry import import_modules

import_modules(__name__, __path__)
