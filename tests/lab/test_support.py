"""The table of architectures: right where it is, refused in words, and a fault is seen as one."""

from __future__ import annotations

import pytest

from contextune.core.errors import UserError
from contextune_lab.bench import support
from contextune_lab.bench.support import BEGIN, COLUMNS, END, Cell, matrix, put, table

LAYOUTS = ("train, padded", "packed", "shared")


@pytest.mark.parametrize(("name", "refused"), [("Llama", set()), ("OPT", {"packed"}), ("Mamba", {"packed", "shared"})])
def test_layouts_are_right_or_refused(name, refused, monkeypatch):
    monkeypatch.setattr(support, "COLUMNS", {k: COLUMNS[k] for k in LAYOUTS})
    row = matrix([name])[name]
    assert {k: c.state for k, c in row.items()} == {k: "refused" if k in refused else "right" for k in LAYOUTS}
    assert all("as it computes texts alone" in row[k].why for k in refused)


def test_every_column_of_a_llama():
    assert matrix(["Llama"]) == {"Llama": {column: Cell("right") for column in COLUMNS}}


def test_what_is_wrong_is_seen(monkeypatch):
    """Packed rows without a trial; scores, answers and a saved model that are a little off; and any other error."""

    def silent(*_, **__):
        return support.FastPath()

    monkeypatch.setattr(support.FastPath, "of", silent)
    scored = support.score_choices

    def shifted(*args):
        return [type(s)(tuple(x * 1.01 for x in s.sums), s.tokens, s.bytes) for s in scored(*args)]

    monkeypatch.setattr(support, "score_choices", shifted)
    monkeypatch.setattr(support.LocalEngine, "complete", lambda self, asked: ((i, "w1") for i in range(len(asked))))
    row = matrix(["OPT"])["OPT"]
    assert row["packed"].state == row["score"].state == row["generate"].state == "wrong"
    assert row["packed"].why.startswith("loss by ")
    assert row["score"].why == "log-likelihoods by 1.00%"
    assert row["train, padded"].state == "right"


def test_an_error_of_any_kind_is_wrong(monkeypatch):
    def fails(start, words, folder):
        raise KeyError("layers")

    monkeypatch.setattr(support, "COLUMNS", {"score": fails})
    assert matrix(["Llama"]) == {"Llama": {"score": Cell("wrong", "KeyError: 'layers'")}}


def test_the_table_takes_its_place_in_a_page(tmp_path):
    cells = dict.fromkeys(COLUMNS, Cell("right")) | {"packed": Cell("refused", "no"), "score": Cell("wrong", "by 1%")}
    text = table({"A": cells, "B": dict.fromkeys(COLUMNS, Cell("right")) | {"shared": Cell("refused", "no")}})
    assert "| A | right | refused (1) | right | **wrong** (2) | right | right | right |" in text
    assert "| B | right | right | refused (1) |" in text
    assert text.endswith("1. refused: no\n2. wrong: by 1%")
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n{BEGIN}\nold\n{END}\nmore\n")
    put(page, text)
    put(page, text)
    assert page.read_text() == f"# Title\n{BEGIN}\n{text}\n{END}\nmore\n"
    page.write_text("# Title\n")
    with pytest.raises(UserError, match="no place for the table"):
        put(page, text)
    assert page.read_text() == "# Title\n"


def test_an_unknown_architecture_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="no architecture 'Lama'") as error:
        support.check(["Lama"])
    assert "Llama" in error.value.hint
    support.check(["gpt_neo", "Gemma 3, beyond its window"])
