"""The operations that come with the package: one file each, found by themselves."""

from contextune.core.registry import import_modules

import_modules(__name__, __path__)
