"""Things known by name, and what is said of a name that is not."""

from __future__ import annotations

import pytest

from contextune.errors import UserError
from contextune.registry import Registry


def test_by_name_and_by_class():
    known: Registry = Registry("tool")

    @known.register
    class Saw:
        name = "saw"

    @known.named("hammer")
    def hammer() -> int:
        return 1

    assert known.names() == ["hammer", "saw"]
    assert known.find("saw") is Saw
    assert known.find("hammer")() == hammer() == 1


@pytest.mark.parametrize(("name", "hint"), [("hamer", "did you mean 'hammer'?"), ("xyz", "known: hammer")])
def test_an_unknown_name(name, hint):
    known: Registry = Registry("tool")
    known["hammer"] = 1
    with pytest.raises(UserError, match=f"unknown tool '{name}'") as found:
        known.find(name)
    assert found.value.hint == hint
