"""What `check` says before a run is what the run will be: memory, tokens at once, disk, rows, small numbers."""

from __future__ import annotations

import json

import pytest

import contextune
from contextune.core import memory as machine
from contextune.core.errors import UserError
from contextune.experiment import fingerprint, memory
from contextune.experiment.accounting import accounting
from contextune.experiment.preflight import reached, same_targets, target_line, warn_of_small_numbers
from contextune.experiment.prepare import prepare
from contextune.experiment.recipe import parse
from contextune.experiment.run_dir import stage_folder

MIB = 2**20


@pytest.fixture
def recipe(tmp_path, tiny):
    """Twelve rows of twelve words, ten items, one arm."""
    rows = [{"text": " ".join(f"w{(i * 7 + j) % 92}" for j in range(12))} for i in range(12)]
    (tmp_path / "docs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    items = [{"q": f"w{i} w{i + 1} w{i}", "a": 0} for i in range(10)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    task = {"name": "t", "kind": "choice", "path": "items.jsonl", "prompt": "{{ q }}", "options": [" w1", " w2"],
            "answer": "{{ a }}"}  # fmt: skip
    return {
        "name": "numbers", "model": str(tiny), "output": str(tmp_path / "out"),
        "data": {"docs": {"path": "docs.jsonl", "chunk": "none"}}, "arms": {"cpt": {"data": "docs"}},
        "train": {"max_length": 32, "batch": 2}, "evaluate": {"tasks": [task], "samples": 0},
    }  # fmt: skip


def made(recipe, tmp_path, **train):
    values = {**recipe, "train": {**recipe["train"], **train}}
    (tmp_path / "out").mkdir(exist_ok=True)
    return prepare(parse(values), tmp_path, tmp_path / "out", plan=True)


class TestTokens:
    def test_plenty_is_the_value_that_it_always_was(self, recipe, tmp_path):
        settled, chosen = memory.settle(made(recipe, tmp_path))
        assert settled.arms["cpt"][0].train.tokens == 8192
        assert chosen["cpt/stage-0"].need is None

    def test_little_is_a_power_of_two_and_is_kept(self, recipe, tmp_path, monkeypatch):
        prepared = made(recipe, tmp_path, batch=1000)
        monkeypatch.setattr(machine, "free", lambda: 266 * MIB)
        settled, chosen = memory.settle(prepared)
        tokens = settled.arms["cpt"][0].train.tokens
        assert 16 <= tokens < 8192
        assert tokens & (tokens - 1) == 0
        assert chosen["cpt/stage-0"].need <= 266 * MIB
        memory.write(prepared, chosen)
        fingerprint.begin(stage_folder(prepared.out, "cpt", 0, 0), {})
        monkeypatch.setattr(machine, "free", lambda: 1 << 40)  # resumed elsewhere
        assert memory.settle(prepared)[0].arms["cpt"][0].train.tokens == tokens
        assert memory.with_tokens(prepared, memory.read(prepared.out)).arms["cpt"][0].train.tokens == tokens

    def test_what_was_not_begun_chooses_again(self, recipe, tmp_path):
        prepared = made(recipe, tmp_path)
        memory.write(prepared, {"cpt/stage-0": memory.Chosen(64)})
        assert memory.settle(prepared)[0].arms["cpt"][0].train.tokens == 8192

    def test_workers_share(self, recipe, tmp_path, monkeypatch):
        prepared = made(recipe, tmp_path, batch=1000)
        monkeypatch.setattr(machine, "free", lambda: 560 * MIB)
        one, two = (memory.settle(prepared, n)[0].arms["cpt"][0].train.tokens for n in (1, 2))
        assert two < one

    @pytest.mark.parametrize(("free", "train", "said"), [
        (100 * MIB, {}, r"one row of 1\d tokens takes about .* are free"),
        (266 * MIB, {"tokens": 8192, "batch": 1000}, r"train.tokens is 8,192 tokens at once"),
        (1, {"adapter": {"rank": 2}}, r"one row of"),
    ])  # fmt: skip
    def test_what_does_not_fit_is_one_sentence(self, recipe, tmp_path, monkeypatch, free, train, said):
        monkeypatch.setattr(machine, "free", lambda: free)
        with pytest.raises(UserError, match=said) as error:
            contextune.check({**recipe, "train": {**recipe["train"], **train}}, base=tmp_path)
        assert ("adapter" in error.value.hint) == (free == 100 * MIB)
        assert not (tmp_path / "out" / "arms").exists()

    @pytest.mark.parametrize("value", [0, "big", -1, 2.5])
    def test_what_is_no_number(self, recipe, value):
        with pytest.raises(UserError, match=r"recipe: train\.tokens: .*'auto', found"):
            parse({**recipe, "train": {"tokens": value}})


class TestRows:
    @pytest.mark.parametrize(("train", "line", "rows", "learned"), [
        ({"steps": 4}, "cpt: 4 updates of 2: 8 of 12 rows are reached", 8, 8 / 12),
        ({"epochs": 3}, "cpt: 18 updates of 2: 12 rows, each seen 3 times", 12, 3),
        ({"epochs": 1}, "cpt: 6 updates of 2: 12 rows, each seen once", 12, 1),
        ({"epochs": 1.5}, "cpt: 9 updates of 2: 12 rows, 6 of them seen 2 times, the others once", 12, 1.5),
    ])  # fmt: skip
    def test_reached(self, recipe, tmp_path, train, line, rows, learned):
        prepared = made(recipe, tmp_path, **train)
        (row,) = accounting(prepared)
        assert reached(prepared) == [line]
        assert (row["reached"], row["learned"]) == (rows, row["trained"] * learned)  # rows are of one length

    def test_arms_that_train_longer_are_not_the_same(self, recipe, tmp_path):
        recipe["arms"]["more"] = {"data": "docs", "train": {"epochs": 2}}
        found = accounting(made(recipe, tmp_path))
        assert not same_targets(found)
        assert "not the same" in target_line(found)


class TestSmallNumbers:
    def warnings(self, prepared):
        warn_of_small_numbers(prepared)
        return " | ".join(prepared.warnings)

    def test_none(self, recipe, tmp_path):
        assert self.warnings(made(recipe, tmp_path)) == ""

    @pytest.mark.parametrize(("train", "said"), [
        ({"steps": 1}, "arm cpt: one update in all"),
        ({"batch": 6}, "arm cpt: 2 updates in all"),
        ({"batch": 16, "epochs": 20}, "train.batch 16 is more than its 12 rows"),
    ])  # fmt: skip
    def test_training(self, recipe, tmp_path, train, said):
        assert said in self.warnings(made(recipe, tmp_path, **train))

    def test_evaluation(self, recipe, tmp_path):
        recipe["data"]["docs"]["held_out"] = 0.05
        recipe["evaluate"] |= {"perplexity": ["docs"], "limit": 3}
        said = self.warnings(made(recipe, tmp_path))
        assert "one held-out document" in said
        assert "task t: 3 items" in said


@pytest.mark.parametrize(
    "train",
    [
        {},
        pytest.param({"adapter": {"rank": 4}}, marks=pytest.mark.slow),
        pytest.param({"adapter": {"rank": 64}}, marks=pytest.mark.slow),
    ],
)
def test_disk_is_what_the_folder_takes(recipe, tmp_path, train):
    recipe["train"] |= {"steps": 5, **train}
    said = contextune.check(recipe, base=tmp_path, measure=False)["disk"]
    contextune.run(recipe, base=tmp_path)
    size = sum(f.stat().st_size for f in (tmp_path / "out").rglob("*") if f.is_file())
    models = sum(f.stat().st_size for f in (tmp_path / "out").rglob("*.safetensors"))
    assert abs(said["kept"] - size) < 0.1 * size + 60_000, (said, size, models)
    assert said["needed"] >= said["kept"] + 2 * 3 * models * 0.8  # headers apart


def test_estimate_has_all_parts(recipe, tmp_path):
    recipe["evaluate"]["samples"] = 2
    found = contextune.check(recipe, base=tmp_path)["estimate"]
    assert all(found["parts"][what] > 0 for what in ("training", "evaluation", "samples"))
    assert found["seconds"] <= sum(found["parts"].values())
    assert found["memory"] > 0
