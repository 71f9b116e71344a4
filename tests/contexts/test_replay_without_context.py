"""Replayed text stands as it is, whatever the policy, alone and in groups."""

from __future__ import annotations

import pytest

from contextune.contexts import BoundPolicy, ContextDraw
from contextune.contexts.policy import Promised
from contextune.contexts.replay_without_context import replay_without_context
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Record, Segment
from contextune.train.grouping import grouped

ROWS = [Record(f"r{i}", (Segment(f"text {i}", "target"),), origin="facts" if i % 2 else "general") for i in range(8)]
REPLAYED = {(r.origin, r.id) for r in ROWS if r.origin == "general"}
AT = DrawKey(3, 1)


class Naming(BoundPolicy):
    """Names those that it was asked for."""

    def draw(self, record: Record, key: DrawKey) -> ContextDraw:
        return ContextDraw((Segment(f"<{record.id}>", "context"),))


class NamingAll(Naming):
    def share(self, records: list[Record], key: DrawKey) -> ContextDraw:
        assert records
        return ContextDraw((Segment("".join(f"<{r.id}>" for r in records), "context"),))


def test_only_the_replayed_stand_as_they_are():
    context = replay_without_context(Promised(Naming(), 7), REPLAYED)
    found = {r.id: "".join(s.text for s in context.draw(r, AT).segments) for r in ROWS}
    assert found == {r.id: f"<{r.id}>" if r.origin == "facts" else "" for r in ROWS}
    assert {r.origin: context.draw(r, AT).limit for r in ROWS} == {"facts": 7, "general": None}
    with pytest.raises(UserError, match="draws for one record at a time"):
        context.share(ROWS, AT)


def test_nothing_replayed_is_the_policy_itself():
    policy = Naming()
    assert replay_without_context(policy, set()) is policy


def test_a_group_draws_for_its_learned_members_alone():
    context = grouped(replay_without_context(NamingAll(), REPLAYED), ROWS, 4)
    for r in ROWS:
        told = "".join(s.text for s in context.draw(r, AT).segments)
        if r.origin == "general":
            assert told == ""
        else:
            assert f"<{r.id}>" in told
            assert not any(f"<{id}>" in told for _, id in REPLAYED)


class Choosy(NamingAll):
    def draws_alone(self, record: Record, key: DrawKey) -> bool:
        return record.id == "r1"


def test_who_stands_alone_anyway_still_does():
    context = grouped(replay_without_context(Choosy(), REPLAYED), ROWS, 8)
    told = {r.id: "".join(s.text for s in context.draw(r, AT).segments) for r in ROWS}
    assert told["r1"] == "<r1>"
    assert len({told[id] for id in ("r3", "r5", "r7")}) == 1
    assert "<r1>" not in told["r3"]
