"""What is trained on of conversations, in the published chat templates that TRL ships; docs/masks.md shows it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")
ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("masks", ROOT / "scripts" / "masks.py")
masks = importlib.util.module_from_spec(spec)
sys.modules["masks"] = masks
spec.loader.exec_module(masks)

BOTH = [(name, case) for name in masks.TEMPLATES for case in masks.CASES]


@pytest.mark.parametrize(("name", "case"), BOTH)
def test_each_answer_stands_behind_what_inference_puts_before_it(name, case):
    """Whatever a template does to earlier turns once a later one is there."""
    messages = masks.CASES[case]
    found = masks.ours(name, messages)
    assert [t.prompt for t in found] == masks.inference(name, messages)
    for answer, said in zip(found, ("A heron.", "Grey."), strict=True):
        assert answer.text.partition(said)[1] == said
        end = answer.text.partition(said)[2]
        assert masks.CONTROL.search(end), f"{end!r} ends no turn"
        assert end == end.strip()


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("qwen2_5", "<|im_end|>"),
        ("gemma3", "<end_of_turn>"),
        ("gptoss", "<|return|>"),
        ("phi3_5", "<|end|>"),  # an end of text stands behind the last turn alone
        ("cohere2", "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"),  # both, in every turn
        ("glm4moe", "<|endoftext|>"),  # the template ends no turn
    ],
)
def test_what_ends_a_turn_is_learned(name, ends):
    for answer, said in zip(masks.ours(name, masks.CASES["two turns"]), ("A heron.", "Grey."), strict=True):
        assert answer.text.partition(said)[2] == ends


def test_the_page_says_what_is_so():
    page = masks.PAGE.read_text(encoding="utf-8")
    if f"TRL {masks.version('trl')}," not in page:
        pytest.skip("the page is of another version of TRL")
    assert masks.main(["--check"]) == 0
