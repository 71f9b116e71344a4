"""Things known by name, and what is said of a name that is not."""

from __future__ import annotations

import pytest

from contextune.core.errors import UserError
from contextune.core.registry import Registry


def test_by_name_and_by_class():
    known = Registry("tools", "tool")

    @known("saw")
    class Saw:
        name = ""

    @known("hammer")
    def hammer() -> int:
        return 1

    assert known.names() == ["hammer", "saw"]
    assert known.find("saw") is Saw
    assert Saw.name == "saw"
    assert known.find("hammer")() == hammer() == 1


@pytest.mark.parametrize(("name", "hint"), [("hamer", "did you mean 'hammer'?"), ("xyz", "known: hammer")])
def test_an_unknown_name(name, hint):
    known = Registry("tools", "tool")
    known("hammer")(test_by_name_and_by_class)
    with pytest.raises(UserError, match=f"unknown tool '{name}'") as found:
        known.find(name)
    assert found.value.hint == hint


def test_a_name_of_before():
    known = Registry("tools", "tool", {"mallet": "hammer"})
    known("hammer")(test_by_name_and_by_class)
    with pytest.raises(UserError, match="the tool 'mallet' is now called 'hammer'"):
        known.find("mallet")


def test_a_name_that_is_taken():
    known = Registry("tools", "tool")
    known("hammer")(test_by_name_and_by_class)
    with pytest.raises(UserError, match="the tool 'hammer' is registered twice"):
        known("hammer")(test_an_unknown_name)
