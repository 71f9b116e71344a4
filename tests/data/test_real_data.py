"""The public texts beside the project: they have quirks that nobody would make up."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from contextune import data
from contextune.core.encoding import encode
from contextune.core.errors import UserError
from contextune.core.progress import Reporter
from contextune.data import readers as read
from contextune.data.contamination import overlap
from contextune.data.options import Source
from contextune.data.records import records
from contextune.experiment import recipe
from contextune.experiment import run as comparison
from contextune.experiment.prepare import prepare
from tests.conftest import SHARED, needs_shared

pytestmark = needs_shared
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_articles(bpe):
    source = Source(path="craft_fulltext/articles.jsonl", columns={"id": "pmid"}, held_out=0.1)
    found = data.load(source, SHARED)
    assert (found.read, found.duplicates, found.characters) == (69, 0, 3052980)
    assert len(found.documents) + len(found.held_out) == 69
    some = found.documents[:8]
    made = records(some, source, bpe, 480).records
    assert max(len(encode(r.target, bpe)) for r in made) <= 480
    for document in some:
        pieces = [r.target for r in made if r.document == document.id]
        assert squeeze("".join(pieces)) == squeeze(document.text)
    ends = [r.target[-1] in ".!?”)" or r.ends for r in made]
    assert sum(ends) / len(ends) > 0.8, "most chunks end where a sentence does; headings do not"


def test_questions_and_answers(bpe):
    columns = {"prompt": "question", "completion": "answer"}
    source = Source(path="medquad_sample/qa_sample2000.jsonl", kind="pairs", columns=columns, overlong="drop")
    found = data.load(source, SHARED)
    assert (found.read, found.duplicates) == (2000, 4)
    assert found.documents[0].fields["qtype"] == "symptoms"
    made = records(found.documents[:200], source, bpe, 510)
    assert len(made.records) + made.dropped == 200
    assert made.dropped > 0


def test_labels_are_numbers(bpe):
    source = Source(
        path="fincausal2020_task1/practice_sample.jsonl",
        kind="pairs",
        columns={"prompt": "text", "completion": "label", "id": "index"},
        template="{{ prompt }}\nCausal:",
        separator=" ",
    )
    found = data.load(source, SHARED)
    assert (found.read, found.duplicates) == (4992, 30)
    targets = [r.target for r in records(found.documents, source, bpe, 510).records]
    assert (targets.count(" 1"), targets.count(" 0")) == (992, 4000)


def test_an_empty_text_among_thousands_is_named():
    with pytest.raises(UserError, match=r"trial_full\.jsonl:1487: column 'text': expected text, found an empty text"):
        data.load(Source(path="fincausal2020_task1/trial_full.jsonl", columns={"id": "index"}), SHARED)


def test_chat_logs_in_a_folder(bpe):
    found = data.load(Source(path="irc_chat"), SHARED)
    assert (found.read, found.ignored) == (26, 1), "the README counts, the licence has no suffix that is read"
    logs = data.load(Source(path="irc_chat/*.txt"), SHARED)
    assert (logs.read, logs.characters) == (25, 2783801)
    made = records(logs.documents[:1], Source(path="x"), bpe, 480).records
    whole = [r.target.startswith(("[", "=")) for r in made]
    assert sum(whole) / len(whole) > 0.7, "most chunks begin with a message, the rest with a sentence of one"


@pytest.mark.slow
def test_test_items_that_are_known_from_training():
    def texts(path: str) -> list[tuple[str, str]]:
        return [(r.name, r.values["text"]) for r in read.rows(Source(path=path), SHARED)]

    train = texts("fincausal2020_task1/practice_sample.jsonl")
    found = overlap(train, texts("fincausal2020_task1/trial_full.jsonl"))
    assert (found.checked, len(found.unchecked), len(found.hits)) == (8424, 156, 345)


PLACES = {
    "mtop": "mtop", "translation": "translation", "mmlu_medical": "mmlu_medical",
    "articles.jsonl": "craft_fulltext/articles.jsonl", "medquad.jsonl": "medquad_sample/qa_sample2000.jsonl",
    "medqa_test.jsonl": "medqa_usmle_4opt/test.jsonl", "text2sql/bird_dev.jsonl": "text2sql/bird_dev.jsonl",
    "text2sql/spider_dev.jsonl": "text2sql/spider_dev.jsonl",
    "text2sql/department_store.sqlite": "text2sql/spider_db_department_store/department_store.sqlite",
}  # fmt: skip
"""Where the shipped recipes look for public data, and where it is here."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["medical", "mtop", "text2sql", "translation"])
def test_recipes_for_real_data_pass_their_own_check(name, tmp_path):
    """All that `check` refuses, with another model; a recipe that is refused out of the box is of no use."""
    file = RECIPES / f"{name}.yaml"
    for place, here in PLACES.items():
        (tmp_path / "data" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / place).symlink_to(SHARED / here)
    wanted = recipe.load(file, ["model=pocket", "train.max_length=2048"])
    prepared = prepare(wanted, tmp_path, tmp_path, (), lambda said: None)
    comparison.preflight(prepared, Reporter(Console(file=io.StringIO())))
    assert prepared.tasks
