"""Trees: what is written is read again; what is the same counts as the same; what is broken says where."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.evaluate.metrics import trees
from contextune.evaluate.metrics.trees import Node
from tests.conftest import SHARED, needs_shared

WORDS = st.text("abcxyzäन:_.", min_size=1, max_size=4)
TREES = st.recursive(
    st.builds(Node, WORDS, st.lists(WORDS, max_size=3).map(tuple)),
    lambda inner: st.builds(Node, WORDS, st.lists(inner | WORDS, max_size=4).map(tuple)),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_round_trip(tree):
    assert trees.parse(str(tree)) == tree
    assert trees.parse(str(tree).replace(" ]", "]").replace(" [", "\n  [")) == tree


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_order_of_siblings(tree):
    turned = str(turn(tree))
    assert trees.equal(turned, str(tree), ordered=False)
    assert trees.equal(turned, str(tree)) == (turn(tree) == tree)


def turn(node):
    """Words first, the nodes after them from last to first."""
    words = [c for c in node.children if isinstance(c, str)]
    return Node(node.label, (*words, *(turn(c) for c in reversed(node.children) if isinstance(c, Node))))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no bracket"),
        ("play music", "'play' is outside of the brackets at character 1"),
        ("[IN:X", "1 bracket not closed"),
        ("[IN:X [SL:Y a", "2 brackets not closed"),
        ("[IN:X ] ]", "text after the tree, at character 9"),
        ("] [IN:X ]", "']' is outside of the brackets at character 1"),
        ("[ ]", "a bracket without a label ends at character 3"),
        ("[ [SL:Y a ] ]", "a bracket without a label holds another at character 11"),
        ("[A " * 65 + "]" * 65, "more than 64 brackets within each other at character 193"),
    ],
)
def test_broken(text, why):
    with pytest.raises(ValueError, match=why.replace("[", r"\[").replace("]", r"\]")):
        trees.parse(text)
    assert trees.read(text) is None
    assert not trees.equal(text, "[IN:X ]")
    assert trees.f1(text, "[IN:X ]") == 0


def test_equality_and_f1():
    gold = "[IN:A [SL:B one two ] [SL:C three ] ]"
    assert trees.equal("[IN:A [SL:B one two] [SL:C three]]", gold)
    turned = "[IN:A [SL:C three ] [SL:B one two ] ]"
    assert not trees.equal(turned, gold)
    assert trees.equal(turned, gold, ordered=False)
    assert not trees.equal("[IN:A [SL:B two one ] [SL:C three ] ]", gold, ordered=False), "words keep their order"
    # the root's words differ, one slot of two is right: 1 of 3 nodes on either side
    assert trees.shared("[IN:A [SL:B one two ] [SL:C four ] ]", gold) == (1, 3, 3)
    assert trees.f1("[IN:A [SL:B one two ] [SL:C four ] ]", gold) == pytest.approx(1 / 3)
    assert trees.f1(gold, gold) == 1


@needs_shared
def test_every_tree_of_mtop_is_read():
    for name in ("en_test", "parallel6_test"):
        for line in (SHARED / "mtop" / f"{name}.jsonl").read_text().splitlines():
            form = json.loads(line)["logical_form"]
            for text in form.values() if isinstance(form, dict) else [form]:
                assert str(trees.parse(text)).split() == text.replace("]", " ] ").split()
