from __future__ import annotations

import io
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from contextune.report.preview import preview_html, preview_text, tokens_text, wrap
from contextune.report.text import pieces, shown

from . import rows as made
from .reading import Node, read

texts = st.text(st.characters(), max_size=8)


@st.composite
def tokens(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = draw(st.lists(st.tuples(texts, st.booleans(), st.booleans()), max_size=30))
    return [
        {
            "id": i + 7,
            "text": text,
            "label": i + 7 if labelled else -100,
            "position": i,
            "special": special,
            "role": "context",
        }
        for i, (text, labelled, special) in enumerate(found)
    ]


def row(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"arm": "a", "stage": 0, "row": 0, "epochs": [{"epoch": 0, "tokens": found, "provenance": {}, "counts": {}}]}


def printed(rows: list[dict[str, Any]], width: int = 80, ids: bool = False, colour: bool = False) -> str:
    file, system = io.StringIO(), "standard" if colour else None
    preview_text(rows, Console(file=file, width=width, force_terminal=colour, color_system=system), ids=ids)
    return file.getvalue()


def positions(nodes: list[Node]) -> list[int]:
    return [int(n.attributes["title"].rsplit(" ", 1)[1]) for n in nodes]


@settings(max_examples=60, deadline=None)
@given(tokens())
def test_exactly_the_labelled_tokens_are_lit(found: list[dict[str, Any]]) -> None:
    (shown_tokens,) = read(preview_html([row(found)])).all("div", "tokens")
    spans = [n for n in shown_tokens.all("span", "t") if n.attributes.get("title")]
    assert positions(spans) == [t["position"] for t in found]
    assert positions([n for n in spans if "lit" in n.classes]) == [t["position"] for t in found if t["label"] != -100]
    assert positions([n for n in spans if "special" in n.classes]) == [t["position"] for t in found if t["special"]]
    assert [n.text for n in spans] == [shown(t["text"]).replace(" ", "·").replace("\n", "⏎") for t in found]


@given(tokens())
def test_the_terminal_lights_the_same_ones(found: list[dict[str, Any]]) -> None:
    text = tokens_text(found)
    lit = "".join(text.plain[s.start : s.end] for s in text.spans if "green" in str(s.style))
    dim = "".join(text.plain[s.start : s.end] for s in text.spans if "dim" in str(s.style))
    spell = {t["position"]: "".join(p + "\n" * (k == "line") for k, p in pieces(t["text"])) for t in found}
    assert lit == "".join(spell[t["position"]] for t in found if t["label"] != -100)
    assert dim == "".join(spell[t["position"]] for t in found if t["label"] == -100)


@given(tokens())
def test_without_colours_brackets_stand_around_what_is_lit(found: list[dict[str, Any]]) -> None:
    found = [t | {"text": t["text"].replace("⟦", "").replace("⟧", "")} for t in found]
    parts = re.split(r"[⟦⟧]", tokens_text(found, plain=True).plain)
    spell = ["".join(p + "\n" * (k == "line") for k, p in pieces(t["text"])) for t in found]
    assert "".join(parts[1::2]) == "".join(s for s, t in zip(spell, found, strict=True) if t["label"] != -100)


@given(st.text(st.sampled_from("ab·é界🧬⏎\n"), max_size=120), st.integers(2, 30))
def test_wrapping_loses_nothing_and_keeps_the_width(plain: str, width: int) -> None:
    wrapped = wrap(Text(plain), width).plain
    assert wrapped.replace("\n", "") == plain.replace("\n", "")
    assert all(cell_len(line) <= width for line in wrapped.split("\n"))


def test_lines_break_before_a_space() -> None:
    assert wrap(Text("one·two·three"), 8).plain == "one·two\n·three"
    assert wrap(Text("unbreakable·x"), 5).plain == "unbre\nakabl\ne·x"


def test_a_page_by_hand() -> None:
    page = read(preview_html(made.rows()))
    assert "<script>alert(1)" not in preview_html(made.rows())
    first = page.all("div", "tokens")[0]
    assert "<script>alert(1)</script>·🧬" in first.text
    assert "".join(n.text for n in first.all("span", "lit")) == (
        "The·Golgi·apparatus·modifies,·sorts·and·packs·proteins.⏎⏎"
        "Vesicles·bud·from·its·trans·face·(see·<script>alert(1)</script>·🧬).</s>"
    )
    assert [n.text for n in first.all("span", "special")] == ["<s>", "</s>"]
    assert first.all("span", "t")[1].attributes["title"] == "id 280 · label -100 · position 1"
    assert len(page.all("div", "tokens")) == 4
    assert "golgi.txt:3" in page.all("dl", "pairs")[0].text
    table = page.all("table")[0]
    epoch = made.rows()[0]["epochs"][0]
    assert table.values() == [t[k] for t in epoch["tokens"] for k in ("position", "id", "label")]


def test_a_label_that_nothing_stands_before_is_pointed_out() -> None:
    first = {"id": 5, "text": "The", "label": 5, "position": 0, "special": False, "role": "target"}
    assert "nothing before it" in read(preview_html([row([first])])).text
    assert "nothing before it" not in read(preview_html(made.rows())).text
    assert "No rows were given." in read(preview_html([])).text


def test_the_terminal_by_hand() -> None:
    wide = printed(made.rows()[:1], width=220)
    line = next(x for x in wide.splitlines() if "Golgi" in x)
    assert line.count("⟦The·Golgi·apparatus·modifies,·sorts·and·packs·proteins.⏎") == 2
    narrow = printed(made.rows()[:1], width=60)
    assert max(map(cell_len, narrow.splitlines())) <= 60
    assert narrow.index("epoch 0") < narrow.index("epoch 1")
    coloured = printed(made.rows()[:1], colour=True)
    assert "\x1b[1;32mThe" in coloured.replace("\x1b[0m", "")
    assert "\x1b[2;7m<s>" in coloured
    assert "⟦" not in coloured


def test_ids_are_listed_on_request() -> None:
    listed = [line.split() for line in printed(made.rows()[:1], ids=True).splitlines()]
    assert ["1", "280", "-100", "As"] in listed
    assert ["position", "id", "label", "token"] in listed
    assert ["position", "id", "label", "token"] not in [x.split() for x in printed(made.rows()[:1]).splitlines()]


def test_no_escape_sequence_of_the_data_reaches_the_terminal() -> None:
    evil = made.row("a\x1b[2J", [["\x1b[31m", "\u202e"]], ["\x07", "[bold]x[/bold]"], record="\x1b]0;title\x07")
    evil["epochs"][0]["provenance"]["prompt"] = "\x1b[2J"
    said = printed([evil], ids=True)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", said)
    assert "[bold]x[/bold]" in said
