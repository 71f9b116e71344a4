"""A study is run once, kept, printed and put on a page; its page shows data and runs nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from contextune.cli import main
from contextune.core.errors import UserError
from contextune.core.progress import Reporter
from contextune_lab.papers import claims, page, study
from contextune_lab.papers import figures as drawing
from contextune_lab.papers.claims import Claim, Figure, Study, StudyOptions

PLAIN = Figure("bars", "what is seen", '<svg viewBox="0 0 1 1"><rect width="1" height="1"/></svg>')
MADE = (
    Claim("reversal.finetuned", "stays at <chance>", 0.52, (0.47, 0.56), 5, "holds", "at most 0.55"),
    Claim("reversal.augmented", "is solved", 0.31, (0.2, 0.4), 5, "fails"),
    Claim("gain", "grows", -0.2, (-0.3, -0.1), 5),
    Claim("later", "needs a large model", None, None, 0, "not testable"),
)


@pytest.fixture
def calls(monkeypatch) -> list[StudyOptions]:
    seen: list[StudyOptions] = []

    def made(wanted: StudyOptions, reporter: Reporter) -> Study:
        seen.append(wanted)
        if wanted.options.get("broken"):
            raise UserError("no luck")
        return Study("toy", "A toy", "Nobody 2026", MADE, (PLAIN,), ("one <note>",), ("a",))

    monkeypatch.setattr(claims, "_known", {"toy": made})
    monkeypatch.setattr(claims, "STUDIES", {"toy": "claims"})
    return seen


def test_a_finished_study_is_read_back(calls, tmp_path):
    first = study.reproduce("toy", StudyOptions(tmp_path), Reporter.silent())
    again = study.reproduce("toy", StudyOptions(tmp_path), Reporter.silent())
    assert len(calls) == 1
    assert again == first
    assert again.claims == MADE
    study.reproduce("toy", StudyOptions(tmp_path, seeds=(0, 1)), Reporter.silent())
    assert len(calls) == 2, "other options, another study"


def test_time_before_an_error_counts(calls, tmp_path, monkeypatch):
    clock = iter([0.0, 10.0, 100.0, 105.0])
    monkeypatch.setattr(study.time, "monotonic", lambda: next(clock))
    with pytest.raises(UserError):
        study.reproduce("toy", StudyOptions(tmp_path, options={"broken": True}), Reporter.silent())
    assert study.reproduce("toy", StudyOptions(tmp_path), Reporter.silent()).seconds == 15.0


def test_json_is_one_object_of_claims(calls, tmp_path, capsys):
    with pytest.raises(SystemExit) as e:
        main(["reproduce", "toy", "--json", "--out", str(tmp_path)])
    assert e.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["claims"][0]) >= {"id", "paper", "measured", "interval", "n_seeds", "verdict"}
    assert [c["verdict"] for c in told["claims"]] == ["holds", "fails", "measured", "not testable"]
    assert told["claims"][0]["interval"] == [0.47, 0.56]
    assert "svg" not in json.dumps(told)


def test_the_page_counts_and_escapes(calls, tmp_path):
    study.reproduce("toy", StudyOptions(tmp_path), Reporter.silent())
    html = (tmp_path / "study.html").read_text()
    assert "1 of 2 claims hold" in html
    assert "stays at &lt;chance&gt;" in html
    assert "one &lt;note&gt;" in html
    assert PLAIN.svg in html


def test_a_study_without_claims_of_a_source_counts_its_own(tmp_path):
    own = tuple(replace(c, whose="ours") for c in MADE)
    html = page.write(
        tmp_path / "study.html", [Study("toy", "A toy", "Nobody", own, (), (), ("a",))], "toy"
    ).read_text()
    assert "1 of 2 claims of our own hold here" in html


def test_what_is_only_measured_stands_folded_below_what_is_tested(calls, tmp_path):
    study.reproduce("toy", StudyOptions(tmp_path), Reporter.silent())
    tested, _, folded = (tmp_path / "study.html").read_text().partition("<details>")
    for id in ("reversal.finetuned", "reversal.augmented", "later"):
        assert f"<code>{id}</code>" in tested
    assert "<code>gain</code>" in folded.partition("</details>")[0]
    assert "<code>gain</code>" not in tested
    assert "nothing claimed: 1</summary>" in folded
    assert '<i class="holds" style="width: 25.000%">1</i>' in tested, "a claim is a quarter of the strip"


def test_all_values_of_a_study_are_on_one_line():
    made = [*MADE, Claim("ratio", "", 1.2, (0.9, 7.0), 5, "holds", theirs=0.5)]
    line = page.PageLine.of(made)
    assert (line.low, line.high) == (-0.5, page.FURTHEST)
    rows = {c.id: page._row(c, line) for c in made}
    assert rows["ratio"]["high"] == 100.0, "at the end of the line"
    assert rows["ratio"]["theirs"] == line.at(0.5) == 40.0
    assert rows["gain"]["low"] < rows["gain"]["at"] < line.at(0.0) < rows["reversal.augmented"]["at"]
    assert rows["later"]["at"] is None
    assert [text for _, text in line.marks] == ["−0.5", "0", "1", "2"]
    assert page.PageLine.of(MADE[:2]) == page.PageLine(0.0, 1.0)
    assert page.PageLine.of([]) == page.PageLine(0.0, 1.0)


@pytest.mark.parametrize(("plates", "how"), [(1, "single"), (2, "pairs"), (3, ""), (4, "pairs"), (6, ""), (8, "pairs")])
def test_plates_leave_no_gaps(plates, how):
    made = drawing.bars([("one", {"a": (0.5, None)}, None)] * plates, {})
    assert page.laid(made) == how
    assert page.laid('<svg viewBox="0 0 720 300"></svg>') == "", "a picture of several panels has the whole width"


def test_the_source_s_own_figure_is_drawn_and_kept(calls, tmp_path, monkeypatch):
    theirs = Study("toy", "A toy", "Nobody", (Claim("a", "x", 0.5, None, 1, "holds", theirs=0.75),))
    monkeypatch.setattr(claims, "_known", {"toy": lambda wanted, reporter: theirs})
    study.reproduce("toy", StudyOptions(tmp_path), Reporter.silent())
    html = (tmp_path / "study.html").read_text()
    assert "theirs 0.750" in html
    assert 'class="theirs" d="M75.0 0' in html
    assert study.read(tmp_path / "study.json").claims == theirs.claims


def test_studies_that_are_still_to_come_are_said(tmp_path):
    page.write(tmp_path / "index.html", [Study("toy", "A toy", "Nobody", MADE)], "What holds", ["synthesis"])
    assert '<bdi>synthesis</bdi></span><div role="cell">has not been run yet' in (tmp_path / "index.html").read_text()


def test_all_of_them_on_one_page(calls, tmp_path):
    made = study.everything(tmp_path, StudyOptions(tmp_path), Reporter.silent())
    assert [s.name for s in made] == ["toy"]
    assert (tmp_path / "index.html").exists()
    assert calls[0].out == tmp_path / "toy"
    study.everything(tmp_path, StudyOptions(tmp_path, options={"toy.steps": 3}), Reporter.silent())
    assert calls[-1].options == {"steps": 3}
    with pytest.raises(UserError, match="--set steps: of which study"):
        study.everything(tmp_path, StudyOptions(tmp_path, options={"steps": 3}), Reporter.silent())
    assert len(calls) == 2, "refused before anything was run"


@pytest.mark.parametrize(
    "svg",
    [
        "<p>no drawing</p>",
        "<svg><script>alert(1)</script></svg>",
        '<svg onload="alert(1)"></svg>',
        '<svg><a href="https://x.y">x</a></svg>',
        "<svg><foreignObject/></svg>",
    ],
)
def test_a_picture_that_could_run_is_refused(svg):
    with pytest.raises(UserError, match="no plain SVG"):
        page.drawing(Figure("bad", "", svg))


def test_pictures_are_the_same_each_time_and_follow_the_page():
    panels = [("one", {"a": (0.5, (0.4, 0.6)), "b": (0.1, None)}, 0.25)]
    first, second = (drawing.bars(panels, drawing.palette(["a", "b"], ["b"])) for _ in range(2))
    assert first == second
    assert "currentColor" in first
    two = drawing.bars([*panels, *panels], {})
    assert two.count("<svg") == 2, "a plate a panel"
    assert drawing.INK not in first
    series = {"a": [(0.0, 0.5, 0.4, 0.6), (1.0, 0.7, 0.6, 0.8)]}
    assert page.drawing(Figure("f", "c", drawing.lines([("one", series)], {}, "step", "score", {"chance": 0.25})))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "unknown reproduction 'nothing'"),
        (["toy", "--scale", "huge"], "--scale huge: unknown"),
        (["toy", "--set", "steps"], "--set steps: no value"),
    ],
)
def test_bad_input(calls, arguments, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as e:
        main(["reproduce", *arguments, "--out", str(tmp_path / "out")])
    assert e.value.code == 2
    assert said in capsys.readouterr().err


def test_fresh_removes_nothing_but_a_study(calls, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit) as e:
        main(["reproduce", "toy", "--fresh", "--out", str(tmp_path)])
    assert e.value.code == 2
    assert "holds no study" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "mine"
