from __future__ import annotations

import subprocess
import sys

import pytest

from contextune.augment.filters import Filter, parse_filter, run_filters
from contextune.core import registry
from contextune.core.errors import UserError
from tests.augment.filters.made import SOURCE, context, made
from tests.registered import in_files, own


def filters(*named: str) -> list[Filter]:
    return [parse_filter(name) for name in named]


def test_each_sees_what_the_ones_before_kept():
    said = ("Mido is less bright than Kalo.", "Mido is less bright than", "Mido is less bright than Rune.")
    texts = [made(t) for t in (*said, said[0])]
    kept, accounts = run_filters(texts, filters("malformed", "unsupported_entities", "duplicate"), context())
    assert kept == texts[:1]
    passed = [tuple(a.values())[:3] for a in accounts]
    assert passed == [
        ("malformed", 4, 3),
        ("unsupported_entities", 3, 2),
        ("duplicate", 2, 1),
    ]
    assert accounts[1]["reasons"] == {"names what its sources lack": 1}
    (sample,) = accounts[1]["samples"]
    assert sample == {"text": "Mido is less bright than Rune.", "source": SOURCE, "operation": "reversal/1",
                      "reason": "names what its sources lack: Rune"}  # fmt: skip


def test_samples_are_few_of_each_reason_and_hold_the_prompt():
    texts = [made("", prompt=f"q{i}") for i in range(9)] + [made("Mido is less")]
    kept, (account,) = run_filters(texts, filters("malformed"), context())
    assert not kept
    assert account["reasons"] == {"empty": 9, "cut mid-sentence": 1}
    assert [s["text"] for s in account["samples"]] == ["q0", "q1", "q2", "q3", "q4", "Mido is less"]


def test_nothing_to_judge_asks_nobody():
    assert run_filters([], filters("entailment", "round_trip"), context()) == (
        [],
        [{"filter": n, "in": 0, "out": 0, "reasons": {}, "samples": []} for n in ("entailment", "round_trip")],
    )


def test_names():
    assert own(registry.filters) == in_files("filters")
    assert {"exact", "malformed", "near_copy", "self_consistency"} <= set(own(registry.filters))
    with pytest.raises(UserError, match="unknown filter 'duplicates'"):
        registry.filters.find("duplicates")
    with pytest.raises(ValueError, match="Extra inputs"):
        registry.filters.find("near_copy").model_validate({"filter": "near_copy", "treshold": 0.5})


def test_importing_costs_no_torch():
    code = (
        "import sys, contextune.augment.filters, contextune.augment.mixing, contextune.augment.leak;"
        "print([m for m in ('torch', 'transformers', 'sklearn', 'datasketch', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
