"""Hand-made outcomes whose winner is known."""

from __future__ import annotations

import json

import pytest

from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.evaluate.analysis.published import figures
from contextune.evaluate.analysis.summary import summarise
from contextune.evaluate.options import Compare
from contextune.evaluate.scoring import outcomes

COMPARE = Compare(resamples=1000)


def choices(name: str = "quiz", n: int = 40, **more) -> Task:
    items = tuple(Item(str(i), f"{name} {i}?", i % 2, (" A", " B")) for i in range(n))
    return Task(name, "choice", items, "accuracy", chance=0.5, about="a quiz", **more)


def put(folder, task: Task, arm: str, seed: int, right) -> None:
    """Outcomes of an arm that answers item i right where `right(i)`."""
    rows = []
    for i, item in enumerate(task.items):
        chosen = item.answer if right(i) else 1 - item.answer
        sums = [-1.0 if k == chosen else -2.0 for k in range(2)]
        row = {"options": item.options, "sums": sums, "tokens": [1, 1], "bytes": [1, 1], "gold": item.gold}
        rows.append(row | {"predicted": item.options[chosen], "correct": float(chosen == item.answer)})
    outcomes.write(
        folder / "outcomes" / outcomes.file_name(arm, seed, task.name), outcomes.table(task, rows, arm, seed)
    )


def put_texts(folder, name: str, arm: str, seed: int, nats: float, measure: str = "task") -> None:
    task = Task(name, "perplexity", (Item("a", "", "text"), Item("b", "", "more")), "perplexity", measure)
    rows = [{"sums": [-nats * 4], "tokens": [4], "bytes": [8]}] * 2
    outcomes.write(folder / "outcomes" / outcomes.file_name(arm, seed, name), outcomes.table(task, rows, arm, seed))


def run(folder, arms, compare=COMPARE, **more):
    found = summarise(folder, compare, {arm: f"about {arm}" for arm in arms}, "test", **more)
    json.dumps(found, allow_nan=False)
    return found


def test_a_clear_winner(tmp_path):
    for seed in range(5):
        put(tmp_path, choices(), "cpt", seed, lambda i, s=seed: (i + s) % 2 == 0)
        put(tmp_path, choices(), "cft", seed, lambda i, s=seed: (i + s) % 20 not in (0, 1))
    found = run(tmp_path, ["cpt", "cft"])
    verdict = found["verdict"]
    assert (verdict["winner"], verdict["runner_up"], verdict["baseline"], verdict["clear"]) == (
        "cft",
        "cpt",
        "cpt",
        True,
    )
    assert verdict["difference"] == pytest.approx(0.4)
    assert 0 < verdict["interval"][0] < 0.4 < verdict["interval"][1]
    low, high = (f"{100 * v:.1f}" for v in verdict["interval"])
    assert (
        verdict["sentence"] == f"cft is ahead of cpt by 40.0 points (95 % interval {low} to {high}; 5 seeds, 40 items)."
    )
    assert found["schema"] == 1
    assert found["name"] == "test"
    cft, cpt = found["arms"]["cft"], found["arms"]["cpt"]
    assert cft["about"] == "about cft"
    assert cft["seeds"] == [0, 1, 2, 3, 4]
    assert cft["score"] == pytest.approx(0.9)
    assert cft["difference"] == {"value": pytest.approx(0.4), "interval": verdict["interval"]}
    assert cpt["difference"] is None
    cell = cft["tasks"]["quiz"]
    assert (cell["metric"], cell["n"], cell["value"]) == ("accuracy", 40, pytest.approx(0.9))
    assert cell["interval"] == cft["interval"]
    assert cell["metrics"]["recall"] == {"A": pytest.approx(0.9), "B": pytest.approx(0.9)}
    assert cft["measures"] == {"task": {"value": pytest.approx(0.9), "interval": cft["interval"]}}
    assert found["tasks"]["quiz"] == {
        "kind": "choice",
        "metric": "accuracy",
        "measure": "task",
        "chance": 0.5,
        "majority": 0.5,
        "n": 40,
        "cut": 0,
        "prompt": "quiz 0?",
        "prompt_hash": outcomes.prompt_hash("quiz 0?"),
        "about": "a quiz",
        "higher_is_better": True,
    }


def test_a_tie_is_not_a_win(tmp_path):
    for arm in ("cpt", "cft"):
        put(tmp_path, choices(), arm, 0, lambda i: i < 30)
    verdict = run(tmp_path, ["cpt", "cft"])["verdict"]
    assert (verdict["clear"], verdict["difference"], verdict["interval"]) == (False, 0.0, [0.0, 0.0])
    assert verdict["sentence"] == (
        "No arm is clearly better: cpt and cft score the same (95 % interval 0.0 to 0.0; 1 seed, 40 items). "
        "With one seed the interval leaves out the variation between trainings."
    )


def test_a_small_lead_is_not_a_win(tmp_path):
    for seed in (1, 2, 3):
        put(tmp_path, choices(), "cpt", seed, lambda i, s=seed: (i * 7 + s) % 3 != 0)
        put(tmp_path, choices(), "cft", seed, lambda i, s=seed: (i * 7 + s) % 3 != 1 or i == 5)
    found = run(tmp_path, ["cpt", "cft"])
    verdict = found["verdict"]
    assert verdict["winner"] == "cft"
    assert not verdict["clear"]
    assert verdict["interval"][0] < 0 < verdict["difference"]
    assert verdict["sentence"].startswith("No arm is clearly better: cft is ahead of cpt by ")
    assert "the interval contains zero" in verdict["sentence"]
    assert "With 3 seeds the interval is rough." in verdict["sentence"]
    parts = [f"{verdict['statement']} ({verdict['aside']}).", *verdict["notes"]]
    assert verdict["sentence"] == " ".join(parts), "the report shows the parts"


def test_the_runner_up_is_not_the_baseline(tmp_path):
    for arm, right in (("cpt", 10), ("neg", 24), ("cft", 38)):
        put(tmp_path, choices(), arm, 0, lambda i, n=right: i < n)
    found = run(tmp_path, ["cpt", "neg", "cft"])
    verdict = found["verdict"]
    assert (verdict["winner"], verdict["runner_up"], verdict["baseline"]) == ("cft", "neg", "cpt")
    assert verdict["difference"] == pytest.approx(14 / 40)
    assert "Over the baseline cpt its lead is 70.0 points (" in verdict["sentence"]
    assert found["arms"]["neg"]["difference"]["value"] == pytest.approx(14 / 40)


def test_the_baseline_may_be_named_and_may_win(tmp_path):
    for arm, right in (("cpt", 36), ("cft", 10)):
        put(tmp_path, choices(), arm, 0, lambda i, n=right: i < n)
    found = run(tmp_path, ["cpt", "cft"], Compare(baseline="cft", resamples=200))
    assert found["verdict"]["baseline"] == "cft"
    assert found["arms"]["cpt"]["difference"]["value"] == pytest.approx(26 / 40)
    won = run(tmp_path, ["cpt", "cft"])["verdict"]
    assert (won["winner"], won["baseline"], won["clear"]) == ("cpt", "cpt", False), "on one seed nothing is clear"
    assert won["sentence"].startswith("cpt is ahead of cft by 65.0 points")


def test_the_untrained_arm_stands_once(tmp_path):
    put(tmp_path, choices(), "base", 0, lambda i: i < 22)
    for seed in (1, 2):
        put(tmp_path, choices(), "cft", seed, lambda i: i < 38)
    found = run(tmp_path, ["base", "cft"])
    assert found["verdict"]["baseline"] == "cft"  # the first trained one
    assert found["verdict"]["sentence"].startswith("cft is ahead of base (untrained) by 40.0 points")
    assert found["arms"]["base"]["seeds"] == [0]
    assert found["arms"]["base"]["difference"]["value"] == pytest.approx(-0.4)
    assert found["arms"]["cft"]["seeds"] == [1, 2]


def test_with_seed_zero_alone_the_untrained_arm_is_named(tmp_path):
    put(tmp_path, choices(), "base", 0, lambda i: i < 22)
    put(tmp_path, choices(), "cft", 0, lambda i: i < 38)
    assert run(tmp_path, ["base", "cft"])["verdict"]["baseline"] == "base"
    assert run(tmp_path, ["base", "cft"], untrained=["base"])["verdict"]["baseline"] == "cft"


def test_a_seed_that_is_not_there_is_no_untrained_arm(tmp_path):
    put(tmp_path, choices(), "cpt", 0, lambda i: True)
    for seed in (0, 1):
        put(tmp_path, choices(), "cft", seed, lambda i: True)
    with pytest.raises(UserError, match=r"cpt\.seed-1\.quiz\.parquet: missing"):
        run(tmp_path, ["cpt", "cft"], untrained=[])


def test_retention_and_perplexity_do_not_decide(tmp_path):
    for arm, quiz, kept, nats in (("cpt", 30, 5, 1.0), ("cft", 36, 1, 9.0)):
        put(tmp_path, choices(), arm, 0, lambda i, n=quiz: i < n)
        put(tmp_path, choices("kept", measure="retain"), arm, 0, lambda i, n=kept: i < n)
        put_texts(tmp_path, "perplexity.docs", arm, 0, nats)
    found = run(tmp_path, ["cpt", "cft"])
    assert found["verdict"]["winner"] == "cft"
    assert found["arms"]["cft"]["score"] == pytest.approx(0.9)
    assert set(found["arms"]["cft"]["measures"]) == {"task", "retain"}
    assert found["arms"]["cft"]["measures"]["task"]["value"] == pytest.approx(0.9)
    assert found["arms"]["cpt"]["tasks"]["perplexity.docs"]["value"] == pytest.approx(2.718281828)
    assert not found["tasks"]["perplexity.docs"]["higher_is_better"]
    assert found["tasks"]["perplexity.docs"]["majority"] is None
    named = run(tmp_path, ["cpt", "cft"], Compare(tasks=("kept",), resamples=200))
    assert named["verdict"]["winner"] == "cpt"
    for wrong, message in (("perplexity.docs", "cannot be averaged"), ("quizz", "no outcomes of a task 'quizz'")):
        with pytest.raises(UserError, match=message):
            run(tmp_path, ["cpt", "cft"], Compare(tasks=(wrong,)))


def test_the_score_is_the_mean_over_tasks_not_items(tmp_path):
    for arm in ("cpt", "cft"):
        put(tmp_path, choices("large", 100), arm, 0, lambda i: i < 50)
        put(tmp_path, choices("small", 10), arm, 0, lambda i: True)
    assert run(tmp_path, ["cpt", "cft"])["arms"]["cft"]["score"] == pytest.approx(0.75)


def test_a_group_may_decide(tmp_path):
    from contextune.evaluate.tasks.load import members

    for name in members("mmlu_medical"):
        put(tmp_path, choices(name, 4), "cft", 0, lambda i: i < 3)
    found = run(tmp_path, ["cft"], Compare(tasks=("mmlu_medical",), resamples=200))
    assert found["arms"]["cft"]["score"] == pytest.approx(0.75)
    assert found["verdict"]["sentence"] == "cft scores 75.0; there is no other arm to compare."
    assert (found["verdict"]["winner"], found["verdict"]["clear"]) == ("cft", False)


def test_perplexity_alone_gives_no_verdict(tmp_path):
    for arm in ("cpt", "cft"):
        put_texts(tmp_path, "perplexity.docs", arm, 0, 1.0)
    found = run(tmp_path, ["cpt", "cft"])
    assert found["verdict"]["winner"] is None
    assert found["verdict"]["sentence"].startswith("No verdict")
    assert found["verdict"]["aside"] == "perplexity and retention tasks do not"
    assert found["arms"]["cft"]["score"] is None


def test_no_better_than_chance_is_said(tmp_path):
    for arm, right in (("cpt", 12), ("cft", 21)):
        put(tmp_path, choices(), arm, 0, lambda i, n=right: i < n)
    sentence = run(tmp_path, ["cpt", "cft"])["verdict"]["sentence"]
    assert "No arm is clearly above what chance or one constant answer scores (50.0)." in sentence


def test_published_figures_that_a_recipe_names_are_in_its_results(tmp_path):
    put(tmp_path, choices(), "cft", 0, lambda i: True)
    assert "published" not in run(tmp_path, ["cft"])
    found = run(tmp_path, ["cft"], Compare(published="cft-financial-7b", resamples=200))
    assert found["published"] == figures("cft-financial-7b")


def test_only_the_arms_asked_for_are_looked_at(tmp_path):
    put(tmp_path, choices(), "cft", 0, lambda i: True)
    put(tmp_path, choices("other"), "old", 3, lambda i: True)
    assert list(run(tmp_path, ["cft"])["tasks"]) == ["quiz"]
    again = run(tmp_path / "outcomes", ["cft"], Compare(baseline="old", resamples=200))  # old is not among the arms
    assert again["verdict"]["baseline"] == "cft"


def test_what_cannot_be_compared(tmp_path):
    with pytest.raises(UserError, match="no outcomes of cpt, cft"):
        run(tmp_path, ["cpt", "cft"])
    put(tmp_path, choices(), "cpt", 0, lambda i: True)
    put(tmp_path, choices(n=39), "cft", 0, lambda i: True)
    with pytest.raises(UserError, match=r"cft\.seed-0\.quiz\.parquet: not the same items"):
        run(tmp_path, ["cpt", "cft"])
    put(tmp_path, choices(), "cft", 0, lambda i: True)
    put(tmp_path, choices("more"), "cft", 0, lambda i: True)
    with pytest.raises(UserError, match=r"cpt\.seed-0\.more\.parquet: missing"):
        run(tmp_path, ["cpt", "cft"])


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (
            {"none": 30, "cpt": 20, "cft": 20},
            "No trained arm scores above none (untrained): cpt -25.0, cft -25.0 points.",
        ),
        ({"cpt": 30, "cft": 30, "none": 30}, "No trained arm scores above none (untrained): cpt 0.0, cft 0.0 points."),
        ({"none": 30, "cpt": 28, "cft": 38}, "Not above none (untrained): cpt -5.0 points."),
        ({"none": 22, "cpt": 38, "cft": 38}, "Over none (untrained) its lead is 40.0 points ("),
        (
            {"cpt": 12, "cft": 12, "none": 14},
            "No trained arm scores above none (untrained): cpt -5.0, cft -5.0 points.",
        ),
    ],
)
def test_the_untrained_arm_is_never_left_out(tmp_path, scores, said):
    for arm, right in scores.items():
        put(tmp_path, choices(), arm, 0, lambda i, n=right: i < n)
    assert said in run(tmp_path, list(scores), untrained=["none"])["verdict"]["sentence"]


def lose(folder, arm: str, *losses: float, seed: int = 0, stage: int = 0) -> None:
    file = folder / "arms" / arm / f"seed-{seed}" / f"stage-{stage}" / "losses.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([{"step": i + 1, "loss": loss} for i, loss in enumerate(losses)]))


def kinds(found, kind: str) -> list[str]:
    return [n["text"] for n in found["notes"] if n["kind"] == kind]


def test_a_loss_that_barely_moved_is_said(tmp_path):
    arms = ["none", "cpt", "cft", "once", "known", "two", "worse"]
    for arm in arms:
        put(tmp_path, choices(), arm, 0, lambda i: i < 30)
    lose(tmp_path, "cpt", *[3.0] * 5, *[2.96] * 5)
    lose(tmp_path, "cft", *[3.0] * 5, *[2.5] * 5)
    lose(tmp_path, "once", 2.0)
    lose(tmp_path, "known", 0.01, 0.01)
    lose(tmp_path, "two", 3.0, 1.0)
    lose(tmp_path, "two", 1.0, 1.0, stage=1)
    lose(tmp_path, "worse", 2.0, 2.5)
    lose(tmp_path, "gone", 2.0)
    found = run(tmp_path, arms, untrained=["none"])
    shown = ["cpt: 3.000 to 2.960", "once: 2.000 to 2.000", "two (stage 2): 1.000 to 1.000", "worse: 2.000 to 2.500"]
    assert kinds(found, "undertrained") == shown
    assert f"has barely moved: {', '.join(shown)}; raise train.lr or train.epochs." in found["verdict"]["sentence"]


def test_a_loss_is_averaged_over_seeds(tmp_path):
    for seed, last in ((0, 2.99), (1, 2.0)):
        put(tmp_path, choices(), "cpt", seed, lambda i: i < 30)
        lose(tmp_path, "cpt", 3.0, last, seed=seed)
    assert kinds(run(tmp_path, ["cpt"]), "undertrained") == []


def test_tasks_that_tell_nobody_apart_are_said(tmp_path):
    for arm, right in (("cpt", 38), ("cft", 20)):
        put(tmp_path, choices("easy"), arm, 0, lambda i: True)
        put(tmp_path, choices("hard"), arm, 0, lambda i: i < 20)
        put(tmp_path, choices("below"), arm, 0, lambda i: i < 3)
        put(tmp_path, choices("fair"), arm, 0, lambda i, n=right: i < n)
        put_texts(tmp_path, "perplexity.docs", arm, 0, 1.0)
    found = run(tmp_path, ["cpt", "cft"])
    assert kinds(found, "ceiling") == ["easy"]
    assert kinds(found, "floor") == ["below (50.0)", "hard (50.0)"]
    assert "(ceiling), which tells nobody apart: easy." in found["verdict"]["sentence"]
    assert "(floor): below (50.0), hard (50.0)." in found["verdict"]["sentence"]
    assert [*found["verdict"]["notes"][-2:]] == [n for n in found["verdict"]["notes"] if "ceiling" in n or "floor" in n]


def test_the_floor_of_the_only_task_is_said_once(tmp_path):
    for arm in ("cpt", "cft"):
        put(tmp_path, choices(), arm, 0, lambda i: i < 21)
    found = run(tmp_path, ["cpt", "cft"])
    assert kinds(found, "floor") == ["quiz (50.0)"]
    assert found["verdict"]["sentence"].count("clearly above") == 1
