"""Density: what is diluted holds the same sentences, and every arm of a cell trains on the same target tokens."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from contextune.core.errors import UserError
from contextune.evaluate.analysis.statistics import Estimate
from contextune.experiment import recipe as recipes
from contextune.experiment.accounting import accounting
from contextune.experiment.prepare import prepare
from contextune_lab.papers import density
from contextune_lab.papers.claims import StudyOptions


def test_a_text_is_diluted_as_said():
    text = "Kalo lives in Mido. Rune greets Bako."
    assert density.diluted(text, 0, random.Random(0)) == text
    said = density.diluted(text, 3, random.Random(0))
    assert said == (
        "Kalo lives in Mido. the text goes on in the same way. some of this is old and some of it is new. "
        "Rune greets Bako. nothing in this line is new."
    )
    words = len(said.split()) - len(text.split())
    assert 3 * len(text.split()) <= words <= 3 * len(text.split()) + 10


def test_the_same_facts_stand_in_both_kinds_of_text(tmp_path):
    wanted = StudyOptions(tmp_path, seeds=(0,))
    dense, thin = (of.path.read_text() for of in density.write(wanted, density.setup(wanted)).values())
    said = [s.strip() for s in json.loads(dense)["text"].split(".") if s.strip()]
    diluted = [s.strip() for s in json.loads(thin)["text"].split(".") if s.strip()]
    left = iter(diluted)
    assert all(sentence in left for sentence in said), "in their order"
    assert 3.9 < len(thin.split()) / len(dense.split()) < 4.1


@pytest.mark.parametrize("length", [64, 256])
def test_every_arm_trains_on_as_many_target_tokens(tmp_path, length):
    wanted = StudyOptions(tmp_path, seeds=(0,), options={"epochs": 1})
    made = density.setup(wanted)
    kind, texts = next(iter(density.write(wanted, made).items()))
    spec = density.recipe(wanted, made, kind, texts, length)
    prepared = prepare(recipes.parse({**spec, "output": str(tmp_path / "run")}), tmp_path, tmp_path / "run", plan=True)
    trained = {row["arm"]: row["trained"] for row in accounting(prepared)}
    assert set(trained) == set(made.arms)
    assert len(set(trained.values())) == 1


def test_files_are_trained_on_and_others_judged(tmp_path):
    data, wanted = tmp_path / "data", StudyOptions(tmp_path / "out", "smollm2", seeds=(0,))
    (data / "craft_fulltext").mkdir(parents=True)
    (data / "irc_chat").mkdir()
    rows = [json.dumps({"pmid": str(i), "text": f"article {i} says. " * 9}) for i in range(9)]
    (data / "craft_fulltext" / "articles.jsonl").write_text("\n".join(rows) + "\n")
    for i in range(9):
        (data / "irc_chat" / f"ubuntu_dev_{i}.txt").write_text(f"[12:0{i}] <a> line {i}\n")
    with pytest.raises(UserError, match="no folder is given"):
        density.write(wanted, density.setup(wanted))
    wanted = StudyOptions(tmp_path / "out", "smollm2", seeds=(0,), options={"data": str(data)})
    made = density.setup(wanted)
    texts = density.write(wanted, made)
    for kind, of in texts.items():
        trained, held = (
            [json.loads(x)["text"] for x in p.read_text().splitlines()]
            for p in (of.path, of.path.with_name(f"{kind}.held_out.jsonl"))
        )
        assert (len(trained), len(held)) == (6, 3)
        assert not set(trained) & set(held)
        for length in made.lengths:
            recipes.parse({**density.recipe(wanted, made, kind, of, length), "output": str(tmp_path / "run")})


def test_lengths_are_numbers(tmp_path):
    assert density.setup(StudyOptions(tmp_path, options={"lengths": "64,128"})).lengths == (64, 128)
    assert density.setup(StudyOptions(tmp_path, options={"lengths": 512})).lengths == (512,)
    with pytest.raises(UserError, match="'b' is no number"):
        density.setup(StudyOptions(tmp_path, options={"lengths": "64,b"}))


class Cell:
    """A comparison of which the values are given; draws lie within a hundredth."""

    def __init__(self, **values):
        self.values, self.results = values, {"arms": dict.fromkeys(values)}

    def of(self, arm, task):
        return Estimate(self.values[arm], self.values[arm] + np.linspace(-0.01, 0.01, 21) * (arm == "cft"))


def judged(more, dense, thin):
    made = density.Setup(lengths=(64,), arms=("cpt", "cft"))
    texts = {k: density.Texts(Path(k), (), "asked", more) for k in ("dense", "chat")}
    found = {("dense", 64): Cell(none=0.2, **dense), ("chat", 64): Cell(none=0.2, **thin)}
    assert "<svg" in density.figure(found, texts).svg
    return {c.id: (c.verdict, round(c.measured, 3)) for c in density.claims(found, texts, made, 3)}


def test_what_helps_is_more_right_answers_or_less_loss():
    dense, thin = {"cpt": 0.6, "cft": 0.5}, {"cpt": 0.4, "cft": 0.7}
    shares = judged(True, dense, thin)
    assert shares["dense.64.cft_over_cpt"] == ("fails", -0.1)
    assert shares["chat.64.cft_over_cpt"] == ("holds", 0.3)
    assert shares["chat.64.cft_over_cpt.prompted"] == ("holds", 0.3)
    assert shares["chat.64.more_than_dense"] == ("holds", 0.4)
    assert shares["dense.64.cpt"] == ("measured", 0.6)
    loss = judged(False, dense, thin)
    assert loss["dense.64.cft_over_cpt"] == ("holds", 0.1)
    assert loss["chat.64.cft_over_cpt"] == ("fails", -0.3)
    assert "chat.64.more_than_dense" not in loss, "other documents are not paired"


def test_a_loss_has_no_ceiling():
    """Over .98 of right answers nothing can be clearly better; a loss of 1.4 bits a byte can."""
    loss = judged(False, {"cpt": 1.5, "cft": 1.4}, {"cpt": 1.0, "cft": 1.1})
    assert loss["dense.64.cft_over_cpt"] == ("holds", 0.1)
    assert loss["chat.64.cft_over_cpt"] == ("fails", -0.1)
