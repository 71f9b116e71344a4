"""`contextune exam`, its page, and what a recipe makes of the folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from contextune.cli import main
from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.core.sequence import Record, Segment
from contextune.evaluate.tasks.load import load_task
from contextune.exam.make import Settings, make
from contextune.experiment import overlaps
from contextune.report.exam import exam_html


def command(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["exam", *arguments])
    said = capsys.readouterr()
    return int(stopped.value.code or 0), said.out, said.err


def test_the_command_says_what_it_made(towns, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, _ = command(capsys, "towns", "--items", "20", "--retain", "mmlu_medical")
    assert code == 0
    assert "20 statements of 60 sentences in 20 passages of 10 documents, each in 12 forms" in out
    assert "evaluate: {tasks: [exam/]}" in out
    assert (tmp_path / "exam" / "tasks.yaml").read_text().endswith("- mmlu_medical\n")
    code, out, _ = command(capsys, "towns", "--items", "20", "--retain", "mmlu_medical", "--json")
    assert json.loads(out)["unchanged"] is True
    code, out, _ = command(capsys, "towns", "--items", "2000", "--out", "all")
    assert "warning: 2,000 statements are asked for" in out
    for arguments in (
        ("nowhere",),
        ("towns", "--language", "xx"),
        ("towns", "--out", "towns"),
        ("towns", "--items", "0"),
        ("towns", "--retain", "mmlu_medicle"),
    ):
        code, _, err = command(capsys, *arguments)
        assert code == 2
        assert "Traceback" not in err
        assert err.strip()


def test_line_ends_of_unicode_end_no_line_of_json(towns, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = towns / "Belmora.md"
    file.write_text(
        file.read_text("utf-8").replace("It is larger than", "It is\u2028larger\u0085than"), encoding="utf-8"
    )
    assert command(capsys, "towns", "--items", "20")[0] == 0
    row = next(r for r in (tmp_path / "exam/statements.jsonl").read_text("utf-8").split("\n") if "\u2028" in r)
    mend = {"id": json.loads(row)["id"], "form": "learn_told", "decision": "mend", "prompt": "a\u2028b"}
    (tmp_path / "exam/decisions.jsonl").write_text(json.dumps(mend, ensure_ascii=False) + "\n", encoding="utf-8")
    assert command(capsys, "towns", "--items", "20")[0] == 0
    assert "a\u2028b" in (tmp_path / "exam/items/learn_told.jsonl").read_text("utf-8")


def test_a_page_of_an_earlier_exam_is_written_anew(towns, tmp_path, monkeypatch, capsys):
    """As a command leaves it that is killed after exam.json and before the page."""
    monkeypatch.chdir(tmp_path)
    command(capsys, "towns", "--items", "5")
    page = tmp_path / "exam" / "index.html"
    earlier, whole = exam_html(tmp_path / "exam").replace("Ardenholm", "Gone"), page.read_bytes()
    page.write_text(earlier, encoding="utf-8")
    os.utime(page, ns=(0, 0))
    assert command(capsys, "towns", "--items", "5")[0] == 0
    assert page.read_bytes() == whole


def test_columns_and_folders_that_lie_in_each_other(towns, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"body": file.read_text("utf-8"), "id": file.stem} for file in sorted(towns.glob("*.md"))]
    (tmp_path / "towns.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    assert "columns: {text: body}" in command(capsys, "towns.jsonl")[2]
    code, out, _ = command(capsys, "towns.jsonl", "--column", "text=body", "--items", "5")
    assert code == 0
    assert "5 statements of 60 sentences" in out
    assert "warning: fewer than 20 statements" in out
    assert "expected our name=your column" in command(capsys, "towns.jsonl", "--column", "body")[2]
    for arguments in ((".", "--out", "new"), ("exam/*.jsonl",), ("towns", "--out", "towns/exam")):
        code, _, err = command(capsys, *arguments)
        assert code == 2
        assert "the folder lies within the documents" in err


def test_an_exam_by_rule_never_imports_torch(towns, tmp_path):
    probe = (
        "import sys\nfrom contextune.cli import main\n"
        f"try:\n    main(['exam', {str(towns)!r}, '--out', {str(tmp_path / 'e')!r}, '--items', '5'])\n"
        "except SystemExit as e:\n    code = e.code\n"
        "print('HEAVY', sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)), code, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert "HEAVY [] 0" in done.stderr, done.stderr


def test_the_page_shows_every_item_and_escapes_what_it_shows(towns, tmp_path):
    evil = towns / "evil.md"
    evil.write_text((towns / "Belmora.md").read_text().replace("Otto Kessel", "Otto 'K' Kes&sel"), encoding="utf-8")
    made = make((str(towns),), tmp_path / "exam", Settings(12), lambda text: None, tmp_path)
    (tmp_path / "exam" / "decisions.jsonl").write_text('{"id": "</script><b>", "decision": "reject"}\n', "utf-8")
    page = exam_html(tmp_path / "exam")
    assert page.count('class="item"') == sum(map(len, made.items.values()))
    assert page.count('class="statement"') == 12
    assert page.count('<li class="right">') == page.count('class="item"')
    assert all(f'data-id="{one.statement.id}"' in page for one in made.asked)
    assert page.count('<mark class="said value">') == 13  # and once in the legend
    assert "</script><b>" not in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert page.count("<script>") == 1


def exam_task(tmp_path, form: str) -> Task:
    return next(t for t in load_task("exam", tmp_path) if t.name == f"exam.{form}")


def prepared(tasks: list[Task], *texts: str):
    """As much of a prepared run as the guard looks at."""
    records = [Record(str(i), (Segment(text, "target"),), str(i)) for i, text in enumerate(texts)]
    held = type("Held", (), {"records": records})
    recipe = type("Recipe", (), {"allow_overlap": False})
    return type(
        "Prepared",
        (),
        {"records": {"d": held}, "tasks": tasks, "arms": {}, "documents": {}, "recipe": recipe, "warnings": []},
    )


def test_documents_may_hold_what_is_asked_but_not_the_questions(towns, tmp_path):
    make((str(towns),), tmp_path / "exam", Settings(12), lambda text: None, tmp_path)
    tasks = load_task("exam", tmp_path)
    documents = [file.read_text("utf-8") for file in towns.glob("*.md")]
    assert overlaps.refuse_overlap(prepared(tasks, *documents)).ids == ()
    question = exam_task(tmp_path, "generalise_reworded").items[0]
    leaked = f"Notes. {question.prompt} and so on"
    with pytest.raises(UserError, match="1 test items occur in the training texts"):
        overlaps.refuse_overlap(prepared(tasks, *documents, leaked))


def test_what_augmentation_makes_is_looked_through(towns, tmp_path):
    make((str(towns),), tmp_path / "exam", Settings(12), lambda text: None, tmp_path)
    task = exam_task(tmp_path, "generalise_gap")
    found = prepared([task], "nothing")
    rows = [{"id": "m0", "prompt": "", "text": task.items[3].prompt, "kept": True},
            {"id": "m1", "prompt": "", "text": task.items[4].prompt, "kept": False}]  # fmt: skip
    stage = type("Stage", (), {"augmented": type("Augmented", (), {"rows": rows})})
    found.arms = {"a": (stage,)}
    assert overlaps.overlaps(found).ids == (f"exam.generalise_gap:{task.items[3].id}",)


def test_alone_and_wording_of_a_task_file(tmp_path):
    row = {"q": "Who?", "p": "Kalo is here.", "o": [" Kalo", " Mido"]}
    keys = {"name": "t", "rows": [row], "prompt": "{{ p }} {{ q }}", "options": "{{ o }}", "answer": "0"}
    (task,) = load_task({**keys, "alone": "{{ q }}", "wording": "{{ q }}"}, tmp_path)
    assert task.items[0] == Item("0", "Kalo is here. Who?", 0, (" Kalo", " Mido"), {"wording": "Who?"}, alone="Who?")
    (task,) = load_task(keys, tmp_path)
    assert task.items[0].alone is None
    assert "wording" not in task.items[0].fields
    with pytest.raises(UserError, match="'alone' has no effect"):
        load_task({**keys, "alone": "{{ q }}", "chat": True}, tmp_path)
