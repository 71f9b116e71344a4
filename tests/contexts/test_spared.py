"""Replayed text stands as it is, whatever the policy, alone and in groups."""

from dataclasses import dataclass

from contextune.contexts.base import Drawn
from contextune.contexts.spared import spare
from contextune.sequence import Moment, Record, Segment
from contextune.train.grouping import Shareable, grouped

ROWS = [Record(f"r{i}", (Segment(f"text {i}", "target"),), origin="facts" if i % 2 else "general") for i in range(8)]
SPARED = {(r.origin, r.id) for r in ROWS if r.origin == "general"}
AT = Moment(3, 1)


@dataclass
class Naming:
    """Names those that it was asked for."""

    def before(self, record: Record, at: Moment) -> Drawn:
        return Drawn((Segment(f"<{record.id}>", "context"),))

    def longest(self) -> int:
        return 7


class NamingAll(Naming):
    def shared(self, records: list[Record], at: Moment) -> Drawn:
        assert records
        return Drawn((Segment("".join(f"<{r.id}>" for r in records), "context"),))


def test_only_the_spared_stand_as_they_are():
    context = spare(Naming(), SPARED)
    found = {r.id: "".join(s.text for s in context.before(r, AT).segments) for r in ROWS}
    assert found == {r.id: f"<{r.id}>" if r.origin == "facts" else "" for r in ROWS}
    assert context.longest() == 7
    assert not isinstance(context, Shareable)


def test_nothing_spared_is_the_policy_itself():
    policy = Naming()
    assert spare(policy, set()) is policy


def test_a_group_draws_for_its_learned_members_alone():
    context = grouped(spare(NamingAll(), SPARED), ROWS, 4)
    for r in ROWS:
        told = "".join(s.text for s in context.before(r, AT).segments)
        if r.origin == "general":
            assert told == ""
        else:
            assert f"<{r.id}>" in told
            assert not any(f"<{id}>" in told for _, id in SPARED)


class Choosy(NamingAll):
    def alone(self, record: Record, at: Moment) -> bool:
        return record.id == "r1"


def test_who_stands_alone_anyway_still_does():
    context = grouped(spare(Choosy(), SPARED), ROWS, 8)
    told = {r.id: "".join(s.text for s in context.before(r, AT).segments) for r in ROWS}
    assert told["r1"] == "<r1>"
    assert len({told[id] for id in ("r3", "r5", "r7")}) == 1
    assert "<r1>" not in told["r3"]
