"""Questions of a writer: what is kept, what is refused and why, and that nothing is asked twice. No model is loaded."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from contextune.core.errors import UserError
from contextune.data import load
from contextune.data.options import Source
from contextune.evaluate.tasks.load import load_task
from contextune.exam import decisions, languages, writing
from contextune.exam.make import Settings, build, make
from contextune.exam.writing import checks
from contextune.generation.protocol import Failure
from contextune.generation.stored_writer import StoredWriter
from contextune.report.exam import exam_html

HARBOUR = re.compile(r"The harbour of (\w+) was built by (\w+ \w+) in")


def told(text: str) -> tuple[str, str]:
    """The harbour's town, and who built it."""
    found = HARBOUR.search(text)
    return (found[1], found[2]) if found else ("Nowhere", "Nobody")


class Scribe:
    """Answers about harbours as a good writer would; `broken` replaces what it says to some prompts."""

    identity = "scribe"
    name = "scribe"

    def __init__(self, **broken: object) -> None:
        self.broken, self.asked = broken, Counter[str]()

    def complete(self, requests):
        for place, request in enumerate(requests):
            kind = request.operation.removeprefix("exam.").partition("/")[0]
            self.asked[kind] += 1
            if kind in self.broken:
                said = self.broken[kind]
                yield place, said if isinstance(said, Failure) else said(request) if callable(said) else said
            else:
                yield place, getattr(self, f"_{kind}")(request.prompt.rpartition("\n\nText:")[2], request.prompt)

    def _open(self, text, prompt):
        town, builder = told(text)
        return f"Question: Who built the harbour of {town}?\nAnswer: {builder}"

    def _choice(self, text, prompt):
        return "Wrong answers: Ann Other | Bob Nother | Cid Third"

    def _reversed(self, text, prompt):
        builder = re.findall(r"\nAnswer: (.+)\n", prompt)[-1]
        return f"Turned round: Whose harbour did {builder} build, of which town?"

    def _paraphrased(self, text, prompt):
        town = re.findall(r"harbour of (\w+)", prompt)[-1]
        return f"In other words: By whom was the harbour of {town} constructed?"

    def _two_passages(self, text, prompt):
        return "I cannot do that."

    def _unanswerable(self, text, prompt):
        town = re.search(r"(?:harbour|museum) of (\w+)", text)[1]
        return f"Question: How deep is the water at the harbour of {town}?"

    def _answer(self, text, prompt):
        question = re.findall(r"Question: (.*)\n", prompt)[-1]
        town, builder = told(text)
        if "Whose" in question:
            return town
        return builder if question.startswith(("Who", "By")) else "The text does not say."

    def _choose(self, text, prompt):
        return self._answer(text, prompt)

    def _alone(self, text, prompt):
        return "Otto Kessel"


def asking(store: Path, engine: Scribe) -> writing.Writing:
    return writing.Writing(
        asks := StoredWriter(lambda: engine, store, None), asks, writing.load(languages.load("en"))
    )  # fmt: skip


def made(towns: Path, store: Path, engine: Scribe, items: int = 20):
    documents = load(Source(path=str(towns)), Path())
    rules = languages.load("en"), decisions.Decisions()
    return build(documents, Settings(items), *rules, asking=asking(store, engine))


def test_what_a_good_writer_writes_becomes_items_of_every_measure(towns, tmp_path):
    exam = made(towns, tmp_path / "s.sqlite", Scribe())
    counts = exam.counts["written"]["kinds"]
    assert {k: n["kept"] for k, n in counts.items()} == {
        "open": 10, "choice": 10, "reversed": 10, "paraphrased": 10, "two_passages": 0, "unanswerable": 10,
    }  # fmt: skip
    assert sum(d.reason == "the same question again" for d in exam.refused) == 10
    assert counts["open"]["known"] == 1  # Otto Kessel's harbour
    item = next(r for r in exam.items["learn_open"] if "Belmora" in r["prompt"])
    assert item["prompt"] == "Question: Who built the harbour of Belmora?\nAnswer:"
    assert (item["options"], item["answer"], item["made_by"], item["known"]) == (["Otto Kessel"], 0, "writer", True)
    turned = next(r for r in exam.items["generalise_reversed"] if "Otto Kessel" in r["prompt"])
    assert turned["options"] == ["Belmora"]
    assert turned["cluster"] == item["cluster"]  # one fact
    unanswered = [r for r in exam.items["resist_no_answer"] if r["options"][r["answer"]] == " The text does not say."]
    assert len(unanswered) == len(exam.items["resist_no_answer"]) / 2
    listened = next(r for r in exam.items["listen_open"] if r["id"] == item["id"])
    assert listened["prompt"].endswith(item["prompt"])
    assert listened["prompt"].count("was built by") == 2  # its passage, and another


def test_refusals_name_their_reason_and_stop_nothing(towns, tmp_path):
    def open_(request):
        said = Scribe()._open(request.prompt.rpartition("\n\nText:")[2], "")
        if "Belmora" in said:
            return Failure("over-long: cut at 72 tokens")
        return said.replace("Castrin", "the text") if "Castrin" in said else said

    exam = made(towns, tmp_path / "s.sqlite", Scribe(open=open_, paraphrased="", answer=lambda r: "no idea"))
    reasons = Counter(d.reason.split(":")[0] for d in exam.refused if d.kind == "open")
    assert reasons["over-long"] == 1
    assert reasons["the question refers to a text"] == 1
    assert reasons["the writer answers otherwise with its passage"] == 8
    assert exam.items["learn_told"]  # by rule
    assert "learn_open" not in exam.items
    assert sum(n["kept"] for n in exam.counts["written"]["kinds"].values()) == 0


@pytest.mark.parametrize("nonsense", ["", "blah blah", "Question:", "?\n" * 50, "Question: Who?\nAnswer: x", "\x00"])
def test_nonsense_is_refused_whole(towns, tmp_path, nonsense):
    kinds = ("open", "choice", "reversed", "paraphrased", "two_passages", "unanswerable", "answer", "alone")
    exam = made(towns, tmp_path / "s.sqlite", Scribe(**dict.fromkeys(kinds, nonsense)), 5)
    assert exam.written == []
    assert len(exam.refused) >= 10
    assert all(d.reason for d in exam.refused)
    assert exam.asked


def test_the_second_answer_counts_too(towns, tmp_path):
    twice = Scribe(
        answer=lambda r: Scribe()._answer(r.prompt.rpartition("\n\nText:")[2], r.prompt) if not r.temperature else "x"
    )
    exam = made(towns, tmp_path / "s.sqlite", twice)
    assert exam.counts["written"]["kinds"]["open"]["kept"] == 0
    assert any("when asked again" in d.reason for d in exam.refused)


def test_a_killed_exam_resumes_and_asks_nothing_twice(towns, tmp_path):
    whole = made(towns, tmp_path / "a.sqlite", Scribe())

    class Dies(Scribe):
        def complete(self, requests):
            for answer in super().complete(requests):
                if self.asked["answer"] > 15:
                    raise KeyboardInterrupt
                yield answer

    first, second = Dies(), Scribe()
    with pytest.raises(KeyboardInterrupt):
        made(towns, tmp_path / "b.sqlite", first)
    resumed = made(towns, tmp_path / "b.sqlite", second)
    assert resumed.items == whole.items
    assert second.asked["open"] == 0
    assert second.asked["answer"] + first.asked["answer"] - 1 <= whole_asked(towns, tmp_path)["answer"]


def whole_asked(towns, tmp_path):
    engine = Scribe()
    made(towns, tmp_path / "c.sqlite", engine)
    return engine.asked


def test_a_writer_that_never_answers_is_an_error(towns, tmp_path):
    lost = Failure("no connection", passing=True)
    kinds = ("open", "unanswerable", "two_passages")
    with pytest.raises(UserError, match=r"the writer answered none of \d+ requests \(no connection\)"):
        made(towns, tmp_path / "s.sqlite", Scribe(**dict.fromkeys(kinds, lost)))


def test_a_folder_with_written_items(towns, tmp_path, monkeypatch):
    engine = Scribe()
    monkeypatch.setattr(
        writing, "open_writing", lambda w, m, folder, prompts, seed, say: asking(folder / "written.sqlite", engine)
    )
    settings = Settings(6, writer=writing.writer_options("some-model", None, "auto"))
    out = tmp_path / "exam"
    make((str(towns),), out, settings, lambda text: None, tmp_path)
    tasks = {t.name: t for t in load_task("exam", tmp_path)}
    assert tasks["exam.learn_open"].kind == "generate"
    assert tasks["exam.learn_open"].metric == "contains"
    assert tasks["exam.resist_no_answer"].chance == 0.5
    assert tasks["exam.learn_open"].items[0].fields["wording"].startswith("Question: ")
    rows = [json.loads(line) for line in (out / "refused.jsonl").read_text("utf-8").splitlines()]
    assert {r["kind"] for r in rows} >= {"two_passages"}
    page = exam_html(out)
    assert "by a writer" in page
    id = json.loads((out / "items" / "learn_open.jsonl").read_text("utf-8").splitlines()[0])["id"]
    lines = [{"id": id, "form": "learn_open", "decision": "mend", "options": ["K. Kessel"], "answer": 0}]
    (out / "decisions.jsonl").write_text("".join(json.dumps(d) + "\n" for d in lines), encoding="utf-8")
    asked = sum(engine.asked.values())
    again = make((str(towns),), out, settings, lambda text: None, tmp_path)
    assert sum(engine.asked.values()) == asked
    assert next(r for r in again.items["learn_open"] if r["id"] == id)["options"] == ["K. Kessel"]
    (out / "decisions.jsonl").write_text(json.dumps({"id": id, "decision": "reject"}) + "\n", encoding="utf-8")
    assert all(r["id"] != id for r in make((str(towns),), out, settings, print, tmp_path).items.get("learn_open", ()))


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("Who built the harbour of Belmora?", "Otto Kessel", ""),
        ("Who built the harbour of Belmora", "Otto Kessel", "no question of 4 to 40 words"),
        ("Who built it, then and there?", "Otto Kessel", "names nothing"),
        ("Who built Belmora according to the passage?", "Otto Kessel", "refers to a text"),
        ("Who built the harbour of Castrin?", "Otto Kessel", "names 'Castrin'"),
        ("Who built the harbour of Belmora?", "Mira Voss", "does not stand in the passage"),
        ("Who built the harbour of Belmora?", "", "the answer has none or more than 10 words"),
        ("Did Otto Kessel build the harbour of Belmora?", "Otto Kessel", "holds its answer"),
    ],
)
def test_what_is_seen_of_a_question_without_a_model(question, answer, reason):
    read = ["The harbour of Belmora was built by Otto Kessel in 1808."]
    found = checks.question(question, answer, read, ("the passage",))
    assert (reason in found) if reason else not found


def test_right_answers():
    assert checks.right("It was Otto Kessel.", "Otto Kessel")
    assert checks.right("the bridge", "Bridge")
    assert checks.right("in 1808", "1808")
    assert not checks.right("Otto", "Otto Karl Kessel")  # a third of it
    assert not checks.right("", "1808")
    assert not checks.right("18080", "1808")
