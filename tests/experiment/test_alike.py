"""What two arms ask of one model alike is scored once, and stands for both."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

from contextune.core.items import Item, Task
from contextune.evaluate.scoring import outcomes
from contextune.experiment import scoring
from contextune.experiment.alike import Wanted, copied, first_alike


def task(name: str, *items: Item) -> Task:
    return Task(name=name, kind="choice", items=items, metric="accuracy", measure="learn", chance=0.5, about="")


def item(before: str = "") -> Item:
    return Item("i0", "Is it?", 0, (" yes", " no"), before=before)


def wanted() -> dict[str, Wanted]:
    listed = [
        Wanted("cpt", 1, task("told", item()), "A"),
        Wanted("cpt+retrieval", 1, task("told", item()), "A"),
        Wanted("cpt", 1, task("known", item()), "B"),
        Wanted("cpt+retrieval", 1, task("known", item("a passage")), "B"),  # as if the key were blind to it
        Wanted("cft", 1, task("told", item()), "C"),  # another model
        Wanted("cft", 1, task("other", item()), "A"),  # another task of the same items
    ]
    return {outcomes.file_name(w.arm, w.seed, w.task.name): w for w in listed}


def test_the_same_model_and_items_alone_are_alike():
    first = first_alike(wanted())
    assert {n: f for n, f in first.items() if n != f} == {
        "cpt+retrieval.seed-1.told.parquet": "cpt.seed-1.told.parquet"
    }


def test_either_arm_gives_the_other_its_outcomes(tmp_path):
    rows = [{"gold": " yes", "predicted": " no", "correct": 0.0, "sums": [-2.0, -1.0]}]
    for done, lacking in (("cpt", "cpt+retrieval"), ("cpt+retrieval", "cpt")):
        folder = tmp_path / done
        name, other = (outcomes.file_name(arm, 1, "told") for arm in (done, lacking))
        outcomes.write(folder / name, outcomes.table(task("told", item()), rows, done, 1))
        assert list(copied(folder, wanted(), first_alike(wanted()), {name})) == [other]
        made, of = outcomes.read(folder / other), outcomes.read(folder / name)
        assert made["arm"].to_pylist() == [lacking]
        assert made["seed"].to_pylist() == [1]
        assert made.drop_columns(["arm"]).equals(of.drop_columns(["arm"]))
        assert outcomes.about(made) == outcomes.about(of)


def test_nothing_is_copied_of_what_is_not_done(tmp_path):
    assert list(copied(tmp_path, wanted(), first_alike(wanted()), set())) == []


def test_the_count_ends_when_the_last_is_scored(tmp_path, monkeypatch):
    """A run was done at 40 of 70 with a quarter of an hour to go: copies took no time and were counted."""
    files, seen = wanted(), []
    heads = [n for n, f in first_alike(files).items() if n == f]
    rows = [{"gold": " yes", "predicted": " no", "correct": 0.0, "sums": [-2.0, -1.0]}]

    def score(prepared, arm, seed, tell):
        for name in (n for n in heads if files[n][:2] == (arm, seed)):
            outcomes.write(tmp_path / "outcomes" / name, outcomes.table(files[name].task, rows, arm, seed))
            tell(scoring._told(name, files[name]))

    @contextmanager
    def counting(what, total, already=0):
        seen.append([total, already])
        yield SimpleNamespace(advance=lambda label, note="", by=1: seen[-1].__setitem__(1, seen[-1][1] + by))

    monkeypatch.setattr(scoring, "wanted_of", lambda prepared: files)
    monkeypatch.setattr(scoring, "score_one", score)
    prepared = SimpleNamespace(out=tmp_path, arms={})
    for _ in range(2):  # all of it, then again with nothing to do
        scoring.evaluate_all(prepared, SimpleNamespace(counting=counting))
    assert seen == [[5, 5], [5, 5]]
    assert {p.name for p in (tmp_path / "outcomes").glob("*.parquet")} == set(files)
