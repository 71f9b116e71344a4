"""The calls of the library: augment, score, check, and the names that they take."""

from __future__ import annotations

import pytest

import contextune
from contextune import UserError


@pytest.fixture(scope="module")
def pocket():
    return contextune.load_model("pocket").eval(), contextune.load_tokenizer("pocket")


def test_augment_with_a_loaded_model(pocket, tmp_path):
    model, tokenizer = pocket
    options = {"writer": model, "tokenizer": tokenizer, "store": tmp_path / "store.sqlite"}
    (row,) = contextune.augment(["Kalo teaches Mido."], ["reversal"], **options)
    assert row["text"] == "Mido is taught by Kalo."
    assert (row["source"], row["operation"], row["kept"]) == ("text-0", "reversal", True)
    assert contextune.augment(["Kalo teaches Mido."], ["reversal"], **options) == [row]


def test_augment_by_name_and_filtered():
    rows = contextune.augment(
        [{"id": "a", "text": "Kalo teaches Mido."}], ["repeat", "reversal"], writer="pocket", filters=["near_copy"]
    )
    assert {(r["source"], r["operation"]): r["kept"] for r in rows} == {("a", "repeat"): False, ("a", "reversal"): True}


def test_augment_refuses_what_it_does_not_know(pocket):
    with pytest.raises(UserError, match="unknown operation 'reversl'"):
        contextune.augment(["Kalo teaches Mido."], ["reversl"], writer=pocket[0], tokenizer=pocket[1])


def test_score(pocket):
    tasks = [{"world": "reversals", "options": {"size": "small"}, "tasks": ["forward"]}]
    found = contextune.score(*pocket, tasks, limit=8)
    assert found["outcomes"]["forward"].num_rows == 8
    correct = found["outcomes"]["forward"].to_pydict()["correct"]
    task = found["tasks"]["forward"]
    assert task["value"] == pytest.approx(sum(correct) / 8)
    assert task["interval"][0] <= task["value"] <= task["interval"][1]


def test_check_takes_a_file_values_and_a_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = {
        "model": "pocket",
        "data": {"facts": {"world": "reversals", "options": {"size": "small"}}},
        "arms": {"cpt": {"data": "facts"}},
    }
    import yaml

    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "other").mkdir()
    found = [
        contextune.check(given, measure=False)
        for given in ("mine.yaml", values, contextune.Recipe.model_validate(values))
    ]
    assert found[0]["accounting"] == found[1]["accounting"] == found[2]["accounting"]
    assert found[0]["accounting"][0]["rows"] > 0


def test_a_hub_id_that_cannot_be_reached():
    with pytest.raises(UserError, match="no folder of that name here, and not found on the hub") as error:
        contextune.load_tokenizer("nobody/nothing")
    assert "pocket" in error.value.hint
