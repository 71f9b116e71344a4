"""Contexts of each grade hold what they promise, and never the item, its duplicate or a paraphrase of either."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.core.errors import UserError
from contextune.core.items import Item, Task
from contextune.evaluate.tasks import answer_edits as edits
from contextune.evaluate.tasks import graded
from contextune.evaluate.tasks import query_similarity as near
from contextune.evaluate.tasks.examples import Example, bare, normal
from contextune.evaluate.tasks.graded import PooledTask
from contextune.evaluate.tasks.load import load_task
from contextune.evaluate.tasks.specs import Graded
from contextune.retrieval.overlap import WordOverlap
from contextune.retrieval.space import grade as grade_of

TEXTS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5).map(" ".join)


def bench(inputs, pool, **options) -> PooledTask:
    items = tuple(Item(str(i), f"Q {x} A", f"y{i}", (), {"input": x}) for i, x in enumerate(inputs))
    examples = tuple(Example(f"e{i}", x, f"Q {x} A", f"z{i}", of=of) for i, (x, of) in enumerate(pool))
    return PooledTask(Task("t", "generate", items, "exact_match"), examples, Graded(**options))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(TEXTS, min_size=1, max_size=5, unique_by=normal),
    st.lists(st.tuples(TEXTS, st.sampled_from(["", "0", "e0"])), min_size=2, max_size=24),
    st.integers(1, 3),
    st.integers(0, 3),
)
def test_grades_hold_and_nothing_leaks(inputs, pool, k, seed):
    pool += [("i j", ""), ("j i", "")]  # else what all texts begin with would count as their frame
    made = bench(inputs, pool, k=k, seed=seed, grades=("none", "low", "medium", "high", "high_all"))
    for i, around in enumerate(made.neighbourhoods()):
        same = {e.id for e in made.pool if normal(e.input) == normal(inputs[i])}
        for grade, drawn in graded.draw(around, made.pool, made.options).items():
            ids = [e.id for e in drawn.examples]
            assert len(ids) == len(set(ids)) == (0 if grade == "none" else k)
            scores = _scores(inputs[i], [e.input for e in drawn.examples])
            assert max(scores, default=0.0) == pytest.approx(drawn.similarity)
            for e in drawn.examples:
                assert normal(e.input) != normal(inputs[i]), "the item itself, or its duplicate"
                assert e.of not in {str(i), *same}, "a paraphrase"
            if grade in ("low", "medium", "high"):
                assert grade_of(drawn.similarity) == grade
                assert sum(grade_of(s) != "low" for s in scores) == (grade != "low")
            if grade == "high_all":
                assert grade_of(drawn.similarity) == "high"


def _scores(query, texts):
    """By counting words, apart from what is tested."""
    found = []
    for text in texts:
        a, b = query.split(), text.split()
        found.append(sum(min(a.count(w), b.count(w)) for w in set(a)) / max(len(a), len(b)))
    return found


POOL = [(f"{a} {b} {c}", "") for a in "uvw" for b in "xyz" for c in "rst"] + [("a b x", ""), ("a x y", "")]


def test_grades_differ_in_one_example_at_one_place():
    tasks = {t.name: t for t in graded.expand(bench(["a b c"], POOL, k=3))}
    assert list(tasks) == ["t.none", "t.low", "t.medium", "t.high"]
    low, medium, high = (tasks[f"t.{g}"].items[0].fields["examples"] for g in ("low", "medium", "high"))
    assert [a == b for a, b in zip(low, high, strict=True)].count(False) == 1
    assert [a == b for a, b in zip(medium, high, strict=True)].count(False) == 1
    (item,) = tasks["t.high"].items
    assert item.fields["slot"] == [a == b for a, b in zip(low, high, strict=True)].index(False)
    assert item.prompt.endswith("\nQ a b c A")
    assert item.fields["asked"] == "Q a b c A"
    assert tasks["t.none"].items[0].prompt == "Q a b c A"
    assert graded.expand(bench(["a b c"], POOL, k=3)) == [*tasks.values()], "the same seed gives the same contexts"
    assert graded.expand(bench(["a b c"], POOL, k=3, seed=1)) != [*tasks.values()]


def test_items_that_lack_a_grade_are_counted_and_left_out():
    tasks = graded.expand(bench(["a b c", "q q q q"], POOL, k=3))
    assert [len(t.items) for t in tasks] == [1, 1, 1, 1]
    assert "1 of 2 items have a context of each grade; lacking: 1 of grade medium, 1 of grade high" in tasks[0].about
    alone = graded.expand(bench(["a b c", "q q q q"], POOL, k=3, paired=False))
    assert [len(t.items) for t in alone] == [2, 2, 1, 1]
    with pytest.raises(UserError, match=r"no item is left for grade none.*1 of grade high"):
        graded.expand(bench(["q q q q"], POOL, k=3))


def test_an_example_with_the_same_answer_may_be_kept_out():
    made = bench(["a b c"], POOL, k=1, grades=("high",))
    (one,) = graded.expand(made)
    assert not one.items[0].fields["shows_gold"]
    z = one.items[0].fields["examples"][0]
    answer = next(e.answer for e in made.pool if e.id == z)
    item = Item("0", "Q a b c A", answer, (), {"input": "a b c"})
    same = PooledTask(Task("t", "generate", (item,), "exact_match"), made.pool, Graded(k=1, grades=("high",)))
    assert graded.expand(same)[0].items[0].fields["shows_gold"]
    with pytest.raises(UserError, match="no item is left"):
        graded.expand(PooledTask(same.task, made.pool, Graded(k=1, grades=("high",), same_answer=False)))


def test_a_paraphrase_by_rule_has_an_answer_of_its_own():
    pool = tuple(Example(f"e{i}", f"call {n} at noon", f"Q call {n} at noon A", f"[CALL {n}]") for i, n in
                 enumerate(["Anna", "Boris", "Clara"]))  # fmt: skip
    far = tuple(Example(f"f{i}", f"play song {i}", f"Q play song {i} A", f"[PLAY {i}]") for i in range(5))
    item = Item(
        "0", "Q please wake Dora early today now A", "[WAKE Dora]", (), {"input": "please wake Dora early today now"}
    )
    options = {"k": 2, "grades": ("low", "high")}
    with pytest.raises(UserError, match="set paraphrase: swap"):
        graded.expand(PooledTask(Task("t", "generate", (item,), "exact_match"), pool + far, Graded(**options)))
    swap = Graded(**options, paraphrase="swap")
    _, high = graded.expand(PooledTask(Task("t", "generate", (item,), "exact_match"), pool + far, swap))
    assert high.items[0].fields["made"]
    assert "Dora" not in high.items[0].prompt.split("\n")[high.items[0].fields["slot"]]
    assert not high.items[0].fields["shows_gold"]


def test_edits_can_be_undone():
    text = "[IN:GET_X [SL:GET_X a ] ] GET_XY"
    made = edits.replaced(text, "GET_X", "ZUBA")
    assert made == "[IN:ZUBA [SL:ZUBA a ] ] GET_XY"
    assert edits.replaced(made, "ZUBA", "GET_X") == text
    assert edits.units("[IN:GET_X of 2018 Wetter.]") == ["GET_X", "Wetter"]


def test_frames_are_no_part_of_what_is_compared():
    assert bare(["Question: a b\nAnswer:", "Question: c\nAnswer:"]) == ["a b", "c"]
    assert bare(["same", "same"]) == ["same", "same"]
    (row,) = near.rows(WordOverlap(), ["a b"], ["a c", "b a"])
    assert row.scores.tolist() == pytest.approx([0.5, 1.0])


ROWS = [{"q": "a b c", "a": "1"}]
SPEC = {"name": "t", "kind": "generate", "rows": ROWS, "prompt": "{{ q }}", "answer": "{{ a }}"}


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"graded": {}}, "graded: no pool of examples"),
        ({"graded": {"pool": "nowhere"}}, "pool: 'nowhere' is neither a source in data nor a file"),
        ({"graded": {"pol": "x"}}, r"unknown key 'graded.pol'"),
        ({"graded": {"pool": {"source": "x"}}}, "pool: there is no source 'x' in data"),
        ({"graded": {"k": 0}}, "graded.k: .*greater than 0, found 0"),
        ({"graded": {"grades": ["lo"]}}, "graded.grades"),
        ({"graded": {"pool": {"skip": 1}}}, "skip is 1, there are 1 rows"),
        ({"skip": 5}, "skip is 5, there are 1 rows"),
        ({"graded": {"pool": {"skip": 0}}, "fewshot": {"n": 1}}, "the key 'graded' has no effect"),
        ({"kind": "perplexity", "prompt": "", "graded": {"pool": {"skip": 0}}}, "the key 'graded' has no effect"),
        (
            {"kind": "choice", "options": [" 1", " 2"], "graded": {"pool": {"skip": 0}, "paraphrase": "swap"}},
            "graded.paraphrase: an item made by rule has no options",
        ),
    ],
)
def test_bad_input(tmp_path, keys, why):
    with pytest.raises(UserError, match=why):
        load_task({**SPEC, **keys}, tmp_path)


def test_a_pool_from_a_source(tmp_path):
    from contextune.data.options import Source

    (tmp_path / "p.jsonl").write_text('{"q": "x y z", "a": "7"}\n{"q": "u v w", "a": "8"}\n')
    source = Source(
        path="p.jsonl", kind="pairs", columns={"prompt": "q", "completion": "a"}, template="Ask {{ prompt }} =>"
    )
    wanted = {**SPEC, "graded": {"pool": "pairs", "k": 2, "grades": ["none", "low"]}}
    _, low = load_task(wanted, tmp_path, sources={"pairs": source})
    assert sorted(low.items[0].prompt.split("\n")) == ["Ask u v w =>8", "Ask x y z =>7", "a b c"]
    texts = source.model_copy(update={"kind": "text"})
    with pytest.raises(UserError, match=r"data.pairs holds text, expected pairs"):
        load_task(wanted, tmp_path, sources={"pairs": texts})


QUIZ = {
    "name": "quiz",
    "prompt": "Q: {{ q }} A:",
    "options": "{{ o }}",
    "answer": "{{ a }}",
    "input": "{{ q }}",
    "rows": [{"q": "a b c d", "o": [" x", " y"], "a": 1}, {"q": "zz", "o": [" x", " y", " v", " w"], "a": 0}],
}
SOLVED = [("a b c e", 0), ("a b f g", 1), ("h i j k", 0), ("l m n o", 1), ("a b c d", 1)]


def quiz(tmp_path, **graded):
    lines = [f'{{"q": "{q}", "o": [" x", " y"], "a": {a}}}\n' for q, a in SOLVED]
    (tmp_path / "pool.jsonl").write_text("".join(lines))
    return load_task({**QUIZ, "graded": {"pool": "pool.jsonl", "k": 2, **graded}}, tmp_path)


def test_a_choice_task_by_grade(tmp_path):
    tasks = {t.name: t for t in quiz(tmp_path)}
    assert list(tasks) == ["quiz.none", "quiz.low", "quiz.medium", "quiz.high"]
    high = tasks["quiz.high"].items[0]
    assert (high.options, high.answer) == ((" x", " y"), 1)
    *context, asked = high.prompt.split("\n")
    assert asked == "Q: a b c d A:"
    assert "Q: a b c e A: x" in context
    assert "Q: a b c d" not in " ".join(context), "its duplicate"
    assert all(line.endswith((" A: x", " A: y")) for line in context)


def test_the_chance_is_that_of_the_items_that_are_left(tmp_path):
    assert [t.chance for t in quiz(tmp_path)] == [0.5] * 4  # the item of four options has no near example
    assert [t.chance for t in quiz(tmp_path, paired=False)] == [0.375, 0.375, 0.5, 0.5]


def test_a_choice_task_by_grade_is_scored(tmp_path, tiny):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from contextune.evaluate.scoring.score import score

    words = {"q": "w1 w2 w3", "o": [" w8", " w9"], "a": 0}
    pool = [{**words, "q": q} for q in ("w1 w2 w4", "w1 w5 w6", "w20 w21 w22", "w23 w24 w25")]
    spec = {
        **QUIZ,
        "rows": [words],
        "prompt": "w7 {{ q }}",
        "graded": {"pool": "p.jsonl", "k": 2, "grades": ["none", "high"]},
    }
    import json

    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, pool)))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny).eval(), AutoTokenizer.from_pretrained(tiny)
    found = score(model, tokenizer, load_task(spec, tmp_path, tokenizer=tokenizer), arm="a", seed=0)
    assert [t.column("kind")[0].as_py() for t in found.values()] == ["choice"] * 2
    assert list(found) == ["quiz.none", "quiz.high"]
