"""Imports every engine, for a look-up by a name that no entry point has; some of them import torch."""

from contextune.core.registry import import_modules

from . import __name__ as package
from . import __path__ as path

import_modules(package, path)
