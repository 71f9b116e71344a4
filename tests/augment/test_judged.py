"""What SmolLM2 wrote of real sentences, read and judged by hand: docs/augmented.md says what the verdicts say.

A verdict is [sentence, hash of the text, 1 where it is true to its sentence, 1 where it also does what was asked, 1
where the default filters keep it, 1 where unsupported_entities and unsupported_words do too].
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent
JUDGED = json.loads((HERE / "judged" / "smollm2.json").read_text())["operations"]
DOCS = (HERE.parents[1] / "docs" / "augmented.md").read_text()


@pytest.mark.parametrize("operation", JUDGED)
def test_the_docs_say_what_was_judged(operation):
    rows = JUDGED[operation]
    assert all(of_use <= true for _, _, true, of_use, _, _ in rows)
    assert all(strict <= default for *_, default, strict in rows)
    cells = [str(len(rows))]
    for kept in (rows, [r for r in rows if r[4]], [r for r in rows if r[5]]):
        cells += [f"{sum(r[place] for r in kept)} of {len(kept)}" for place in (2, 3)]
    assert f"| `{operation}` | {' | '.join(cells[1:])} |" in DOCS
