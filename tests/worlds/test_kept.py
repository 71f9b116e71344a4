"""A world that several parts of a recipe ask for is made once."""

from __future__ import annotations

from contextune.core import world
from contextune.core.world import build_world, world_of


def test_the_last_worlds_are_kept(monkeypatch):
    made = []
    monkeypatch.setattr(world, "_made", {})
    monkeypatch.setattr(world, "build_world", lambda name, **o: made.append(o["seed"]) or build_world(name, **o))
    small = {"size": "small"}
    first = world_of("inventions", seed=1, **small)
    assert world_of("inventions", **small, seed=1) is first
    assert world_of("inventions", seed=2, **small) != first
    assert world_of("inventions", seed=1, **small) == build_world("inventions", seed=1, **small)
    assert made == [1, 2]
    world_of("inventions", seed=3, **small)
    assert world_of("inventions", seed=1, **small) == first
    assert made == [1, 2, 3, 1]
