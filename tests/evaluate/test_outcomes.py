from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.evaluate.scoring import outcomes
from contextune.evaluate.scoring.score import score
from tests.evaluate.conftest import llama

TASKS = [
    Task(
        "letters", "choice", (Item("0", "Which?", 1, (" A", " B"), {"hops": 2}),), "accuracy", "learn", 0.5, about="x"
    ),
    Task("words", "generate", (Item("0", "Say", "A"), Item("1", "Say it", "B")), "exact_match", max_tokens=4, stop=()),
    Task("texts", "perplexity", (Item("d1", "", "The anatomy."),), "perplexity"),
]


@pytest.fixture(scope="module")
def tables(model, byte_level):
    return score(model, byte_level, TASKS, arm="cft", seed=3)


def test_columns_are_those_of_the_architecture(tables):
    names = "arm seed task item measure kind prompt_hash gold predicted correct options sums tokens bytes output fields"
    names += " cluster deaf"
    for table in tables.values():
        assert table.schema.names == names.split()
        assert table.schema.remove_metadata() == outcomes.schema()


def test_a_row_of_each_kind(tables, byte_level):
    (row,) = tables["letters"].to_pylist()
    best = max((0, 1), key=lambda i: row["sums"][i])
    assert (row["arm"], row["seed"], row["task"], row["item"], row["measure"]) == ("cft", 3, "letters", "0", "learn")
    assert (row["gold"], row["predicted"], row["correct"]) == (" B", (" A", " B")[best], float(best == 1))
    assert (row["tokens"], row["bytes"], row["options"], row["output"]) == ([1, 1], [1, 1], [" A", " B"], None)
    assert json.loads(row["fields"]) == {"hops": 2}
    first, _ = tables["words"].to_pylist()
    assert first["predicted"] == first["output"].strip() != ""
    assert (first["gold"], first["correct"], first["sums"]) == ("A", 0.0, [])
    (text,) = tables["texts"].to_pylist()
    assert (text["gold"], text["predicted"], text["correct"], text["options"]) == (None, None, None, [])
    assert (len(text["sums"]), text["tokens"], text["bytes"]) == (1, [len(byte_level.encode("The anatomy."))], [12])


def test_the_file_says_what_the_task_is(tables):
    about = outcomes.about(tables["letters"])
    assert about == {
        "name": "letters",
        "kind": "choice",
        "metric": "accuracy",
        "measure": "learn",
        "chance": 0.5,
        "about": "x",
        "prompt": "Which?",
        "prompt_hash": outcomes.prompt_hash("Which?"),
        "floors": {"constant": 1.0},
    }
    assert outcomes.prompt_hash("Which?") == "ae380de59e526764"


def test_round_trip(tables, tmp_path):
    for name, table in tables.items():
        file = outcomes.write(tmp_path / "new" / outcomes.file_name("cft", 3, name), table)
        assert file.name == f"cft.seed-3.{name}.parquet"
        back = outcomes.read(file)
        assert back.equals(table)
        assert outcomes.about(back) == outcomes.about(table)


def test_whole_or_absent(tables, tmp_path, monkeypatch):
    file = outcomes.write(tmp_path / "a.parquet", tables["letters"])
    before = file.read_bytes()

    def fail(table, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        outcomes.write(file, tables["words"])
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_files_that_are_not_outcomes(tables, tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 cut off")
    pq.write_table(pa.table({"arm": ["x"]}), tmp_path / "b.parquet")
    pq.write_table(tables["letters"].replace_schema_metadata(None), tmp_path / "c.parquet")
    pq.write_table(tables["letters"].slice(0, 0), tmp_path / "d.parquet")
    for name, why in {"a": "not readable", "b": "no column seed", "c": "no word of its task", "d": "no rows"}.items():
        with pytest.raises(UserError, match=rf"{name}\.parquet: .*{why}"):
            outcomes.read(tmp_path / f"{name}.parquet")


def test_flipped_bytes_are_told(tables, tmp_path):
    file = outcomes.write(tmp_path / "a.parquet", tables["letters"])
    whole, told = file.read_bytes(), 0
    for place in range(0, len(whole), 61):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x04]) + whole[place + 1 :])
        if why := outcomes.fault(file):
            assert "damaged" in why or "not" in why or "no " in why
            told += 1
        else:
            assert outcomes.read(file).to_pydict() == tables["letters"].to_pydict()
            assert outcomes.about(outcomes.read(file)) == outcomes.about(tables["letters"])
    assert told > 10
    for content in (b"", whole[: len(whole) // 2], bytes(len(whole))):
        file.write_bytes(content)
        assert "not readable" in outcomes.fault(file)
    file.unlink()
    assert outcomes.fault(file) == "gone"


def test_an_answer_that_changed_in_place(tables, tmp_path):
    """A file that reads well and says something else."""
    file = outcomes.write(tmp_path / "a.parquet", tables["letters"])
    found = pq.read_table(file)
    other = found.set_column(found.schema.get_field_index("gold"), "gold", pa.array(["other"] * found.num_rows))
    pq.write_table(other, file)
    assert outcomes.fault(file) == "damaged (its checksum is another)"
    pq.write_table(other.replace_schema_metadata(tables["letters"].schema.metadata), file)
    assert outcomes.fault(file) == "", "an earlier version wrote no checksum"


def test_scoring_refuses_what_makes_no_sense(model, byte_level):
    with pytest.raises(UserError, match="two tasks are called 'letters'"):
        score(model, byte_level, [TASKS[0], TASKS[0]], arm="a", seed=0)
    with pytest.raises(UserError, match="task t: no items"):
        score(model, byte_level, [Task("t", "choice", (), "accuracy")], arm="a", seed=0)
    with pytest.raises(UserError, match="not for tasks of kind choice"):
        score(model, byte_level, [Task("t", "choice", TASKS[0].items, "exact_match")], arm="a", seed=0)


def test_prompts_that_lost_their_beginning_are_counted(byte_level, tmp_path, caplog):
    from contextune.evaluate.analysis.summary import summarise
    from contextune.evaluate.options import Compare

    small = llama(len(byte_level), window=24)
    long = "noise " * 40
    items = (Item("0", "A", 0, (" A", " B"), {"hops": 2}), Item("1", long, 0, (" A", " B"), {"hops": 3}))
    texts = tuple(Item(i.id, i.prompt, "x") for i in items)
    tasks = [Task("t", "choice", items, "accuracy"), Task("g", "generate", texts, "exact_match", max_tokens=8)]
    for name, table in score(small, byte_level, tasks, arm="a", seed=0).items():
        outcomes.write(tmp_path / outcomes.file_name("a", 0, name), table)
        fields = [json.loads(f) for f in table.column("fields").to_pylist()]
        assert "cut" not in fields[0]
        # the space that ends the prompt is the answer's: scored with it, or left to be written
        read = len(byte_level.encode(long)) - 24 if name == "t" else len(byte_level.encode(long.rstrip())) - 16
        assert fields[1]["cut"] == read
    assert fields[0] == {}
    found = summarise(tmp_path, Compare(resamples=100), {"a": ""}, "x")
    assert [found["tasks"][name]["cut"] for name in ("t", "g")] == [1, 1]
    assert "t: 1 of 2 prompts are too long and lost their beginning" in caplog.text


def test_progress_and_state(model, byte_level):
    import torch

    seen = []
    model.train()
    state = torch.get_rng_state()
    score(model, byte_level, TASKS, arm="a", seed=0, progress=lambda *at: seen.append(at))
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert [s for s in seen if s[1] == s[2]] == [("letters", 1, 1), ("words", 2, 2), ("texts", 1, 1)]
    model.eval()


def test_files_that_changed_places_are_told(tables, tmp_path):
    table = tables["pick"] if "pick" in tables else next(iter(tables.values()))
    arms, place = ("cpt", "cft.seed-5.x"), table.schema.get_field_index("arm")
    task, files = table["task"][0].as_py(), []
    for arm in arms:
        column = pa.array([arm] * table.num_rows, table.schema.field(place).type)
        name = outcomes.file_name(arm, table["seed"][0].as_py(), task)
        files.append(outcomes.write(tmp_path / name, table.set_column(place, table.schema.field(place), column)))
    assert [outcomes.arm_of(f) for f in files] == list(arms)
    aside = files[0].rename(tmp_path / "aside")
    files[1].rename(files[0])
    aside.rename(files[1])
    assert f"holds the outcomes of {files[1].name}" in outcomes.fault(files[0])
    (tmp_path / "mine.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError) as e:
        outcomes.read(tmp_path / "mine.parquet")
    assert "delete" not in e.value.hint
