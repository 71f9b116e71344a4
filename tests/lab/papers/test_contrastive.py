"""The contrastive study: its recipes, the pairs it adds, and verdicts that follow the values both ways."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from contextune import worlds
from contextune.evaluate.analysis.statistics import Estimate
from contextune.experiment import recipe as recipes
from contextune_lab.papers import contrastive, contrastive_claims
from contextune_lab.papers.claims import StudyOptions
from contextune_lab.papers.contrastive_claims import CONTROLS, MAIN, MeasuredArms
from contextune_lab.papers.contrastive_data import irregular, write
from contextune_lab.papers.probe_scores import Probed

SMALL = {"size": "small"}


def estimate(key: str, value: float) -> Estimate:
    return Estimate(value, value + 0.01 * np.random.default_rng(crc32(key.encode())).standard_normal(400))


@dataclass
class FakeComparison:
    """A comparison of invented values: (arm, task) to a share, `usual` for what is not named."""

    values: dict[tuple[str, str], float]
    usual: float = 0.5
    results: dict = field(default_factory=dict)

    def of(self, arm: str, task: str) -> Estimate:
        return estimate(f"{arm} {task}", self.values.get((arm, task), self.usual))


def found(
    low_high: dict[str, tuple[float, float, float]], probed: dict[str, tuple[float, float, float]]
) -> MeasuredArms:
    """Of each arm: low, high, fresh; in-context score first and last, copy score last."""
    tasks = ("low", "high", "listen_fresh")
    values = {(a, t): v for a, of in low_high.items() for t, v in zip(tasks, of, strict=True)}
    probes = {}
    for arm in (*MAIN, *CONTROLS):
        first, last, copy = probed.get(arm, (0.8, 0.5, 0.0))
        seen = {(0, "in_context"): first, (9, "in_context"): last, (9, "copy"): copy, (9, "drawn"): copy}
        seen |= {(9, "in_weights"): values.get((arm, "low"), 0.5)}
        probes[arm] = Probed({key: estimate(f"{arm} {key}", v) for key, v in seen.items()})
    settings, changed = (FakeComparison({}, 0.9, {"arms": of}) for of in (contrastive.EPS_P, contrastive.ABLATIONS))
    return MeasuredArms(FakeComparison(values), FakeComparison({}), None, settings, changed, probes, 5, 2)


GOOD = found(
    {
        "base": (0.0, 0.8, 0.8), "zero": (0.7, 0.3, 0.1), "random": (0.8, 0.2, 0.1), "similar": (0.1, 0.9, 0.6),
        "contrastive": (0.8, 0.91, 0.61), "batch_mix": (0.2, 0.3, 0.3),
    },
    {"random": (0.8, 0.1, 0.0), "similar": (0.8, 0.6, 0.3), "contrastive": (0.8, 0.81, 0.0)},
)  # fmt: skip
BAD = found(
    {
        "base": (0.0, 0.2, 0.2), "zero": (0.9, 0.3, 0.9), "random": (0.9, 0.4, 0.1), "similar": (0.95, 0.8, 0.6),
        "contrastive": (0.6, 0.6, 0.3), "batch_mix": (0.95, 0.95, 0.9),
    },
    {"random": (0.1, 0.8, 0.0), "similar": (0.8, 0.6, 0.0), "contrastive": (0.8, 0.4, 0.3)},
)  # fmt: skip
TESTED = (
    "low.similar", "low.contrastive", "high.zero", "high.random", "high.contrastive", "fresh.contrastive",
    "copy.similar", "copy.contrastive", "icl.random", "icl.contrastive", "iwl.similar", "batch_mix",
)  # fmt: skip


@pytest.mark.parametrize(("values", "verdict"), [(GOOD, "holds"), (BAD, "fails")], ids=["as claimed", "otherwise"])
def test_verdicts_follow_the_values(values, verdict):
    made = {c.id: c for c in contrastive_claims.claims(values)}
    expected = dict.fromkeys(TESTED, verdict)
    if verdict == "fails":  # of two copy scores that are both zero nothing is shown
        expected["copy.similar"] = "not shown"
    assert {i: made[i].verdict for i in TESTED} == expected
    assert all(made[i].why for i in TESTED)
    assert made["stable"].verdict == "holds"
    assert (made["low.zero"].n_seeds, made["copy.raft"].n_seeds, made["ablation.k1"].n_seeds) == (5, 2, 1)


def test_the_ids_that_others_read():
    made = contrastive_claims.claims(GOOD)
    ids = [c.id for c in made]
    assert len(set(ids)) == len(ids)
    four = contrastive_claims.STRATEGIES
    wanted = {f"{g}.{a}" for g in ("low", "medium", "high", "copy", "icl", "iwl") for a in four}
    assert wanted | {"icl.random.first", "high.base"} <= set(ids)
    assert next(c for c in made if c.id == "icl.random.first").measured == 0.8


def test_a_rival_as_good_is_not_below():
    judged = contrastive_claims.above(estimate("a", 0.9), estimate("b", 0.9))
    assert judged.verdict == "not shown"
    assert judged.why.startswith("above: +0.000")


class TestOtherCommands:
    """Pairs beside the world's, whose orders follow no rule."""

    @pytest.fixture(scope="class")
    def rows(self):
        return irregular(72, 8, SMALL)

    def read(self, prompt: str, answer: str):
        words = prompt.removeprefix("input: ").removesuffix(" output:").split()
        parts = [" ".join(words[i : i + 2]) for i in (0, 2, 4)]
        return tuple(words[::2]), tuple(parts.index(p) for p in answer.strip(" [].").split(", "))

    def test_one_order_a_template_and_all_orders_among_them(self, rows):
        orders = defaultdict(set)
        for row in rows:
            template, order = self.read(row["prompt"], row["completion"])
            orders[template].add(order)
        assert len(rows) == 576
        assert len(orders) == 72
        assert {len(found) for found in orders.values()} == {1}
        assert {order for found in orders.values() for order in found} == set(permutations(range(3)))

    def test_no_template_of_the_world(self, rows):
        world = worlds.build("slots", **SMALL)
        items = [i for t in world.tasks.values() for i in t.items if "template" in i.fields]
        names = {str(x.fields["template"]) for x in (*world.records["train"], *items)}
        kept = {(verb, frozenset(markers)) for verb, *markers in map(str.split, names)}
        ours = {self.read(r["prompt"], r["completion"])[0] for r in rows}
        assert not kept & {(verb, frozenset(markers)) for verb, *markers in ours}

    def test_the_same_each_time(self, rows, tmp_path):
        assert irregular(72, 8, SMALL) == rows
        source = write(tmp_path / "new" / "others.jsonl", rows)
        assert len(Path(source["path"]).read_text().splitlines()) == len(rows)


def test_each_part_is_a_recipe(tmp_path):
    wanted, others = StudyOptions(tmp_path), {"path": "others.jsonl", "kind": "pairs"}
    for name, arms in (("slots", ("base", *MAIN)), ("controls", CONTROLS), ("cipher", MAIN)):
        made = {a: None if a == "base" else contrastive._context(a) for a in arms}
        spec = recipes.parse(contrastive.recipe(name, made, wanted, (0,), others, "often"))
        assert spec.compare.baseline in spec.arms
        assert ("others" in spec.data) == (name != "cipher")
