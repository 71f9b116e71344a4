"""The state of a training loop of one's own, in one file that is whole or not there, with its checksum."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from contextune.core.files import Damaged, read_checked, write_checked
from contextune.core.progress import say_once


def save_state(file: Path, state: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state), content := BytesIO())
    write_checked(file, content.getvalue())


def load_state(file: Path) -> dict[str, Any] | None:
    """What `save_state` wrote; None where there is no file, and where it is damaged, which is said."""
    try:
        content = read_checked(file)
    except Damaged as e:
        say_once(f"{e}: training starts again from the beginning")
        return None
    return None if content is None else dict(torch.load(BytesIO(content), weights_only=True))
