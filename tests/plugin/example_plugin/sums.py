"""A world: sums of two numbers, some taught and all asked."""

import random

from contextune.core import registry
from contextune.core.items import Item, Task
from contextune.core.sequence import Record, Segment
from contextune.core.world import World


@registry.worlds("sums")
def sums(seed: int = 0, most: int = 9, taught: float = 0.5) -> World:
    """Sums up to `most`; a share of them is taught."""
    rng, pairs = random.Random(seed), [(a, b) for a in range(most + 1) for b in range(most + 1)]
    rng.shuffle(pairs)
    known = pairs[: round(taught * len(pairs))]
    records = [
        Record(f"{a}+{b}", (Segment(f"{a} plus {b} is", "context"), Segment(f" {a + b}.", "target")), origin="sums")
        for a, b in known
    ]
    tasks = {
        name: Task(name, "generate", tuple(Item(f"{a}+{b}", f"{a} plus {b} is", f" {a + b}.") for a, b in asked),
                   "exact_match", measure, max_tokens=6)
        for name, asked, measure in (("taught", known, "learn"), ("fresh", pairs[len(known) :], "generalise"))
    }  # fmt: skip
    return World("sums", {"train": tuple(records)}, tasks, "sums of two numbers", {"sizes": {"most": most}})
