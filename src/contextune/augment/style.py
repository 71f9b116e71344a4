"""Which wording a writer is asked in."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=16)
def style_of(model: str) -> str:
    """The style for a model's folder: pocket where its tokenizer is the pocket model's, else plain.

    A pocket model that was built anew or fine-tuned has the same tokenizer, and nothing else has.
    """
    from ..worlds import pocket

    ours, theirs = (folder / "tokenizer.json" for folder in (pocket.path(), Path(model)))
    if Path(model) == pocket.path():
        return "pocket"
    return "pocket" if theirs.is_file() and _vocabulary(theirs) == _vocabulary(ours) else "plain"


def _vocabulary(file: Path) -> object:
    import json

    return json.loads(file.read_text(encoding="utf-8"))["model"]
