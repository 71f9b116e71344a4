"""Datasets of the Hugging Face hub, by the `datasets` library; code that comes with a dataset is never run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from contextune.core.errors import UserError, nearest

from .raw import Row

if TYPE_CHECKING:
    from contextune.data.options import Source


def rows(source: Source) -> Iterator[Row]:
    """The rows of one split; UserError where the hub cannot be reached or does not know what is asked for."""
    import datasets

    unknown = datasets.exceptions.DatasetNotFoundError
    try:
        found = datasets.load_dataset(source.hub, source.config, split=source.split)
    except unknown as e:
        hint = "check the id; a gated dataset needs hf auth login"
        raise UserError(f"hub '{source.hub}': no such dataset, or no access to it", hint) from e
    except Exception as e:  # the hub's clients raise errors of many libraries
        first = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise UserError(f"hub '{source.hub}' (split {source.split}): {first}", _remedy(e, source)) from e
    for number, values in enumerate(found, 1):
        yield Row(values, f"{source.hub}[{source.split}]:{number}", f"{source.split}:{number}")


def _remedy(error: Exception, source: Source) -> str:
    if isinstance(error, OSError):
        return "is the network there? a downloaded copy can be read by path instead"
    if isinstance(error, ValueError) and (known := re.findall(r"'([\w.-]+)'", str(error).partition("[")[2])):
        asked = source.config if source.config and "onfig" in str(error) else source.split
        return nearest(asked, known)
    return "the dataset's page tells its configurations and splits"
