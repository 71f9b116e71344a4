from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contextune.core.errors import UserError
from contextune.core.files import write_sealed
from contextune.report import write, write_many
from contextune.report.text import safe

from . import folder as made
from .reading import Node, read


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.make(tmp_path_factory.mktemp("runs") / "membranes")


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return write(run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Node:
    return read(html)


def test_data_never_becomes_markup(html: str, page: Node) -> None:
    assert "<script>alert" not in html.lower()
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert not [n for n in page.all() if any(name.startswith("on") for name in n.attributes)]
    for text in (made.EVIL, made.RIGHT_TO_LEFT, "🧬🔬", "structure <i>", "<b>the loss</b>", "alert('recipe')</script>"):
        assert text in page.text
    assert "one‹U+202E›two‹U+0007›‹U+001B›[31mred\ufffd" in page.text


def test_nothing_is_fetched_and_no_other_script_can_run(html: str, page: Node) -> None:
    for node in page.all():
        assert not {"src", "srcset", "action", "data", "poster", "background"} & set(node.attributes)
        assert node.attributes.get("href", "#").startswith("#")
        assert "://" not in " ".join(node.attributes.values())
    style, script = page.one("style").text, page.one("script").text
    assert not re.search(r"url\(|@import|@font-face", style)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(n.attributes["content"] for n in page.all("meta") if n.attributes.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy


def test_links_within_the_page_lead_somewhere(page: Node) -> None:
    ids = {n.attributes["id"] for n in page.all() if "id" in n.attributes}
    assert {n.attributes["href"][1:] for n in page.all("a")} <= ids


def test_verdict_is_that_of_the_results(page: Node) -> None:
    verdict = made.results()["verdict"]
    said = page.one("p", "verdict").text + " " + page.one("p", "caveats").text
    assert said.replace("\xa0", " ") == verdict["sentence"]
    margin = page.one("p", "margin")
    assert margin.values() == [verdict["difference"]]
    assert "+0.054 [+0.039, +0.069]" in " ".join(margin.text.split())
    assert "clear difference" in margin.text


def test_every_number_is_that_of_the_results(page: Node) -> None:
    results = made.results()
    arms, tasks = results["arms"], results["tasks"]
    scores, differences = page.by_id("arms").all("div", "chart")
    assert scores.values() == [arm["score"] for arm in arms.values()]
    assert differences.values() == [arms[a]["difference"]["value"] for a in ("untrained", "cft", "negative")]
    for panel in page.by_id("measures").all("div", "mini"):
        assert panel.values() == [arm["measures"][panel.one("h3").text]["value"] for arm in arms.values()]
    overview, *_ = page.by_id("tasks").all("table")
    expected = [[t["n"], *(arm["tasks"][name]["value"] for arm in arms.values())] for name, t in tasks.items()]
    assert overview.values() == [x for row in expected for x in row]
    for article, (name, task) in zip(page.by_id("tasks").all("article", "task"), tasks.items(), strict=True):
        found = [arm["tasks"][name] for arm in arms.values()]
        assert article.one("h3").text == name
        assert article.one("div", "chart").values() == [score["value"] for score in found]
        assert f"N {task['n']}" in article.one("p", "said-of").text
        if article.all("table"):
            assert article.all("table")[0].values() == [x for score in found for x in flat(score)]
        if task["chance"] is not None:
            assert f"chance {task['chance']:.3f}" in article.one("p", "refs").text


def test_what_needs_no_training_stands_beside_every_value(tmp_path: Path) -> None:
    """In the table of all tasks, and as lines in the figures of the score, of each measure and of each task."""
    folder = made.make(tmp_path / "run")
    results = made.results()
    floor = {"chance": 0.25, "constant": 0.31, "copier": 0.42, "deaf": 0.53, "untrained": 0.34}
    results["floors"] = {
        "tasks": {name: floor | ({"copier": None} if name == "notes" else {}) for name in results["tasks"]},
        "measures": {spec["measure"]: floor for spec in results["tasks"].values()},
        "score": floor,
    }
    made.dump(folder / "results.json", results)
    page = read(write(folder).read_text(encoding="utf-8"))
    lines = ("chance 0.250", "constant 0.310", "copier 0.420", "deaf 0.530")
    charts = [page.by_id("arms").all("div", "chart")[0], *page.by_id("measures").all("div", "mini")]
    charts += page.by_id("tasks").all("article", "task")[:-1]
    for chart in charts:
        assert all(line in " ".join(chart.one("p", "refs").text.split()) for line in lines)
    overview, *_ = page.by_id("tasks").all("table")
    assert all(word in overview.text for word in ("Chance", "Constant", "Copier", "Deaf"))
    assert overview.values()[-3:] == [0.25, 0.31, 0.53]
    assert "the trained arm that does best without the context" in page.by_id("measures").text


def test_too_few_seeds_are_no_clear_difference(tmp_path: Path) -> None:
    folder = made.make(tmp_path / "run")
    results = made.results()
    results["verdict"] |= {"clear": False, "enough_seeds": False}
    made.dump(folder / "results.json", results)
    assert "too few seeds to tell" in read(write(folder).read_text(encoding="utf-8")).one("p", "margin").text


def flat(score: dict) -> list[float]:
    """A table's row: value, lower end, then all other metrics in their order."""
    rest = [v for k, v in score["metrics"].items() if k != score["metric"] and not isinstance(v, dict)]
    return [score["value"], score["interval"][0], *rest]


def test_the_best_value_is_bold_unless_all_are_equal(tmp_path: Path) -> None:
    results = made.results()
    for arm in results["arms"].values():
        arm["tasks"]["reversal"]["value"] = 0.5
    made.dump(tmp_path / "results.json", results)
    rows = read(write(tmp_path).read_text("utf-8")).by_id("tasks").all("table")[0].all("tr")[1:]
    assert [[b.text for b in row.all("b")] for row in rows] == [["0.597"], [], ["0.506"], ["0.287"], ["0.904"]]


def test_recall_by_class(page: Node) -> None:
    table = page.by_id("tasks").all("details")[0].one("table")
    arms = made.results()["arms"].values()
    assert table.values() == [arm["tasks"]["topic"]["metrics"]["recall"][c] for c in made.RECALL for arm in arms]


def test_token_accounting_and_matched_targets(page: Node) -> None:
    table = page.by_id("training").all("table")[-1]
    keys = ("stage", "rows", "tokens_in", "trained", "context", "cut", "dropped", "duplicated", "updates")
    assert table.values() == [row[k] for row in made.accounting() for k in keys]
    assert "All trained arms are trained on the same number of tokens." in page.by_id("training").text


def test_unmatched_targets_are_said(tmp_path: Path) -> None:
    rows = made.accounting()
    rows[1]["trained"] += 1
    made.dump(made.make(tmp_path / "run") / "accounting.json", rows)
    text = " ".join(read(write(tmp_path / "run").read_text("utf-8")).text.split())
    assert "The arms are not trained on the same number of tokens." in text
    assert "318,720–318,721" in text


def test_an_arm_has_one_colour_everywhere_and_the_untrained_one_is_grey(page: Node) -> None:
    found: dict[str, set[str]] = {}
    for node in page.all("span", "arm"):
        found.setdefault(node.text.strip(), set()).update(node.classes - {"arm"})
    found.pop("")
    assert found == {"untrained": {"au"}, "cpt": {"a0"}, "cft": {"a1"}, "negative": {"a2"}}
    assert {n.one("", "who").text.strip() for n in page.all("div", "untrained")} == {"untrained"}


def test_prompts_hashes_recipe_command_and_warnings_are_there(page: Node) -> None:
    prompts = page.by_id("prompts")
    for task in made.TASKS.values():
        assert task["prompt_hash"] in prompts.text
    assert prompts.all("pre")[1].text == "The organelle that makes most of a cell's ATP is·"
    command, recipe = page.by_id("repeat").all("pre")
    assert (command.text, recipe.text) == (made.info()["command"], made.RECIPE.rstrip())
    assert len(page.one("ul", "warnings").all("li")) == 2
    assert "2 warnings" in page.one("header").text


def test_a_command_given_takes_the_place_of_the_recorded_one(tmp_path: Path) -> None:
    page = read(write(made.make(tmp_path / "run"), "contextune run <x>").read_text("utf-8"))
    assert page.by_id("repeat").all("pre")[0].text == "contextune run <x>"


def test_same_folder_same_bytes(run: Path, html: str, tmp_path: Path) -> None:
    again = made.make(tmp_path / "membranes")
    assert write(again).read_bytes() == write(run).read_bytes() == html.encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("recipe.yaml", "model: pocket\ndata: {}\narms: {cpt: {}}\n"),
        ("run.json", '{"status": "training"}'),
        ("results.json", '{"schema": 1}'),
        (
            "results.json",
            '{"schema": 1, "verdict": {"sentence": "None.", "winner": null}, "arms": {"a": {"score": null}}}',
        ),
    ],
)
def test_a_folder_of_one_file_is_enough(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    page = read(write(tmp_path).read_text("utf-8"))
    for missing in ("losses were logged", "token accounting", "samples", "rendered prompts", "tasks were scored"):
        assert f"No {missing}" in page.text
    assert ("has not been evaluated" in page.text) == ("verdict" not in content)
    assert ("“training”" in page.text) == ("status" in content)


def test_one_arm_says_that_there_is_nothing_to_compare(tmp_path: Path) -> None:
    results = made.results()
    results["arms"] = {"cft": results["arms"]["cft"] | {"difference": None}}
    made.dump(tmp_path / "results.json", results)
    assert "There is one arm only" in read(write(tmp_path).read_text("utf-8")).by_id("arms").text


def test_numbers_that_are_none_or_not_finite_leave_a_gap(tmp_path: Path) -> None:
    results = made.results()
    results["arms"]["cpt"]["tasks"]["reversal"] |= {"value": float("nan"), "interval": None}
    results["arms"]["cft"]["tasks"]["reversal"] |= {"interval": None}
    del results["arms"]["negative"]["tasks"]["reversal"]
    made.dump(tmp_path / "results.json", results)
    chart = read(write(tmp_path).read_text("utf-8")).by_id("tasks").all("article")[1].one("div", "chart")
    assert [" ".join(n.text.split()) for n in chart.all("div", "what")[:4]] == [
        "0.508 [0.445, 0.574]",
        "– not measured",
        "0.579 no interval",
        "– not measured",
    ]


def test_what_is_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        write(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not a run's folder"):
        write(tmp_path)
    for name, content, found in (
        ("results.json", '{"schema": 1', "results.json: not valid JSON"),
        ("results.json", '{"schema": 2}', "schema is 2, this version reads 1"),
        ("results.json", "[]", "expected a JSON dict, found list"),
        ("recipe.yaml", "a: [", "recipe.yaml:1: not valid YAML"),
    ):
        bad = tmp_path / f"{len(found)}"
        bad.mkdir(exist_ok=True)
        (bad / name).write_text(content)
        with pytest.raises(UserError, match=re.escape(found)):
            write(bad)
    made.dump(tmp_path / "run" / "run.json", {})
    made.dump(tmp_path / "run/arms/a/seed-0/stage-0/losses.json", [{"step": 1}])
    with pytest.raises(UserError, match="expected rows with numbers 'step' and 'loss'"):
        write(tmp_path / "run")


def test_several_runs_on_one_page(run: Path, tmp_path: Path) -> None:
    write(run)
    other = made.make(tmp_path / "other <x>", seeds=1)
    results = made.results()
    results["arms"] = dict(reversed(results["arms"].items()))
    made.dump(other / "results.json", results)
    out = write_many([run, other], tmp_path / "all.html")
    page = read(out.read_text("utf-8"))
    table = page.all("table")[0]
    assert table.values() == [made.results()["verdict"]["difference"]] * 2
    links = [a.attributes["href"] for a in table.all("a")]
    assert links == ["#run-0", f"../{run.parent.name}/membranes/report.html", "#run-1"]
    named = [[n for n in page.by_id(f"run-{i}").all("span", "arm") if n.text.strip()] for i in (0, 1)]
    colours = [{n.text.strip(): n.classes - {"arm"} for n in nodes} for nodes in named]
    assert colours[0] == colours[1] == {"untrained": {"au"}, "cpt": {"a0"}, "cft": {"a1"}, "negative": {"a2"}}
    with pytest.raises(UserError, match="no run's folder"):
        write_many([], tmp_path / "none.html")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(), min_size=1, max_size=60))
def test_any_text_anywhere_leaves_a_well_formed_page_that_shows_it(tmp_path: Path, text: str) -> None:
    results = made.results()
    results["name"] = results["arms"]["cft"]["about"] = results["tasks"]["topic"]["about"] = f"a{text}z"
    results["tasks"][f"t{text}"] = results["tasks"].pop("topic")
    results["warnings"] = [f"w{text}z"]
    for arm in results["arms"].values():
        arm["tasks"][f"t{text}"] = arm["tasks"].pop("topic")
    made.dump(tmp_path / "results.json", results)
    sample = {"prompt": f"p{text}z", "gold": text, "before": text, "after": {"cft": text, f"x{text}": text}}
    made.dump(tmp_path / "samples.json", [sample])
    page = read(write(tmp_path).read_bytes().decode("utf-8"))
    assert len(page.all("script")) == 1
    assert {n.tag for n in page.all()} <= KNOWN
    for mark in ("a{}z", "w{}z", "p{}z"):
        assert safe(mark.format(text)) in page.text


KNOWN = set(
    re.findall(
        "[a-z0-9]+",
        """html head meta title style body script header p span bdi h1 h2 h3 h4 a nav main section figure figcaption div
        svg line rect circle polyline b i dl dt dd table thead tbody tr th td button small article details summary pre
        code ul li footer strong wbr br""",
    )
)


def test_importing_costs_no_torch() -> None:
    code = (
        "import sys, contextune.report.preview, contextune.report.render, contextune.report.tasks;"
        "print([m for m in ('torch', 'transformers', 'matplotlib', 'numpy', 'pyarrow', 'rich') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_fixture_is_json_with_lone_surrogates(run: Path) -> None:
    assert "\ud800" in json.loads((run / "samples.json").read_text())[1]["after"]["cft"]


SEARCHED = [
    (0, {"lr": 1e-3}, 10, 2.5), (0, {"lr": 1e-2}, 10, 2.0), (0, {"lr": 1.0}, 10, None), (1, {"lr": 1e-3}, 20, 1.5),
    (1, {"lr": 1e-2}, 20, 1.75),
]  # fmt: skip


def searched(choice: dict, trials: list) -> dict:
    keys = ("rung", "values", "updates", "validation")
    made = [dict(zip(keys, trial, strict=True)) for trial in trials]
    return {"decides": {}, "budget": 80, "trials": made, "choice": choice}


def test_what_was_chosen_and_what_the_other_arms_choice_would_have_given(run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    other = [(0, {"lr": 1e-3}, 10, 3.5), (0, {"lr": 1e-2}, 10, 3.25), (1, {"lr": 1e-2}, 20, 3.0)]
    write_sealed(folder / "search.json", {
        "cpt/seed-0": searched({"lr": 1e-3}, SEARCHED), "cft/seed-0": searched({"lr": 1e-2}, other),
        "negative/seed-0": searched({"lr": 0.5}, [(0, {"lr": 0.5}, 20, 9.0)]),
    })  # fmt: skip
    stage = folder / "arms/cpt/seed-0/stage-0/stage.json"
    stage.write_text(json.dumps({"seconds": 1, "updates": 234, "kept": {"update": 117, "validation": 1.25}}))
    text = write(folder).read_text(encoding="utf-8")
    assert "Chosen by validation loss" in text
    assert "lr 0.01 (cft): 1.750 after 20 updates, own choice 1.500" in text
    assert "lr 0.001 (cpt): 3.500 after 10 updates, own choice 3.250" in text
    assert "lr 0.5 (negative): unknown, not tried" in text
    assert re.search(
        r'data-v="234[.0]*">234</td>\s*<td class="num" data-v="117[.0]*">117</td>\s*<td [^>]*>1.250<', text
    )
    (folder / "search.json").write_text("{}")
    with pytest.raises(UserError, match=r"search\.json is damaged"):
        write(folder)
