"""Regular expressions from outside end, and find what Python's find."""

from __future__ import annotations

import contextlib
import re
import time

import pytest

from contextune.core import patterns
from contextune.core.errors import UserError

ENDLESS = [r"(a+)+$", r"(a|aa)+$", r"(a*)*b", r"(.*a){25}b", r"([a-z]+)*\d", r"(a?){30}a{30}b"]


@pytest.mark.parametrize("pattern", ENDLESS)
def test_endless_ones_are_seen_through_or_given_up(pattern, monkeypatch):
    monkeypatch.setattr(patterns, "SECONDS", 0.2)
    began = time.process_time()
    with contextlib.suppress(UserError):
        assert not list(patterns.matching(pattern, ["a" * 60 + "!"], "only"))
    assert time.process_time() - began < 2


def test_one_of_them_is_given_up(monkeypatch):
    monkeypatch.setattr(patterns, "SECONDS", 0.1)
    with pytest.raises(UserError, match=r"only: .* takes more than 0\.1 s on 'aaa"):
        list(patterns.matching(r"(a|aa)+$", ["a" * 60 + "!"], "only"))


@pytest.mark.parametrize("pattern", ["(", "[a", "a{2,1}", "*", "(" * 3000, "a" * 5000])
def test_what_is_none_is_refused(pattern):
    with pytest.raises(UserError, match="only: ") as e:
        patterns.refuse(pattern, "only")
    assert e.value.hint


@pytest.mark.parametrize("pattern", [r"", r"\bKalo\b", r"(?i)kalo", r".*\.(self_attn|mlp)\..*", r"[A-Z]\w+ of"])
def test_others_find_what_pythons_find(pattern):
    texts = ["Kalo is King of it", "kalo", "model.layers.0.self_attn.q_proj", "", "xKalox"]
    assert list(patterns.matching(pattern, texts, "only")) == [t for t in texts if re.search(pattern, t)]
    assert list(patterns.matching(pattern, texts, "only", whole=True)) == [t for t in texts if re.fullmatch(pattern, t)]
