"""Answers are right and unique, by a solver that reads the texts alone and knows nothing of how they were made."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import pytest

from contextune import worlds
from contextune.worlds import syllogisms
from contextune.worlds.solve import Knowledge, read, sentence

PUBLIC = Path(__file__).parents[3] / "shared" / "data" / "reversal_curse" / "name_description"
KNOWN = pytest.mark.parametrize("name", ["reversals", "descriptions", "semantic", "study"])


@lru_cache
def build(name: str, size: str = "small", seed: int = 5):
    return worlds.build(name, size=size, seed=seed)


def said(record) -> str:
    return "".join(s.text for s in record.segments)


def train(name: str, size: str = "small") -> Knowledge:
    return Knowledge(f for r in build(name, size).records["train"] for f in read(said(r)))


def stated(prompt: str, answer: str):
    """The fact that a prompt's last line says with an answer."""
    found = list(read(prompt.rpartition("\n")[2] + f" {answer.strip().removesuffix('.')}."))
    assert len(found) == 1, (prompt, answer)
    return found[0]


def context(item) -> Knowledge:
    return Knowledge(read(item.prompt.rpartition("\n")[0]))


def names(name: str) -> list[str]:
    return sorted({n for r in build(name).records["train"] for n in re.findall(r"[A-Z][a-z]+", said(r))})


@KNOWN
@pytest.mark.parametrize("measure", ["learn", "generalise"])
def test_one_option_follows_from_the_training_texts(name, measure):
    known, checked = train(name), 0
    for task in build(name).tasks.values():
        for item in task.items if task.measure == measure and task.kind == "choice" else ():
            true = [o for o in item.options if known.judge(stated(item.prompt, o))]
            assert true == [item.gold], (task.name, item)
            checked += 1
    assert checked >= 40


@KNOWN
def test_written_answers_follow_and_no_other_does(name):
    """No other name, description or feature of the training texts completes the prompt."""
    known, checked = train(name), 0
    ends = sorted({x for f in known.facts for x in (f.a, f.b)})
    for task in build(name).tasks.values():
        if task.measure in ("learn", "generalise") and task.kind == "generate":
            for item in task.items[::2]:
                fact = stated(item.prompt, item.answer)
                side = "a" if fact.a == item.answer else "b"
                others = [type(fact)(fact.relation, *((x, fact.b) if side == "a" else (fact.a, x))) for x in ends]
                assert [f for f in others if known.judge(f)] == [fact], (task.name, item)
                checked += 1
    assert checked >= 15


@KNOWN
def test_contexts_hold_the_answer(name):
    for task in build(name).tasks.values():
        if task.name.endswith("_in_context") or task.name == "open_book":
            for item in task.items:
                options = item.options or (item.answer,)
                true = [o for o in options if context(item).judge(stated(item.prompt, o))]
                assert true == [item.gold], (task.name, item)


@KNOWN
def test_listening_needs_the_context(name):
    known, checked = train(name), 0
    for task in build(name).tasks.values():
        for item in task.items if task.measure == "listen" and task.name != "listen_check" else ():
            fact = stated(item.prompt, item.gold)
            others = [stated(item.prompt, o) for o in item.options if o != item.gold]
            assert context(item).judge(fact) is True, item
            assert not any(context(item).judge(other) for other in others), item
            assert known.judge(fact) is not True, item
            weights = item.fields.get("weights")
            assert weights is None or known.judge(stated(item.prompt, weights)) is True
            checked += 1
    assert checked >= 80


@KNOWN
def test_the_context_answers_yes_or_no(name):
    """As often yes as no; the training texts never say what is to be answered with yes."""
    known, asked = train(name), build(name).tasks["listen_check"].items
    assert sum(i.gold == " yes." for i in asked) == len(asked) / 2
    for item in asked:
        statement = item.prompt.rpartition("is it true that ")[2].partition("?")[0]
        (fact,) = read(f"{statement}.")
        assert (context(item).judge(fact) is True) == (item.gold == " yes."), item
        assert known.judge(fact) is not True or item.gold == " no."


@KNOWN
def test_what_stands_before_says_nothing_about_a_trained_fact(name):
    """Whether told of others, of others of nearly its name, of itself in other relations, or in a long text."""
    known = train(name)
    for form in ("near", "subject", "story"):
        for item in build(name).tasks[f"resist_{form}"].items:
            fact = stated(item.prompt, item.answer)
            assert known.judge(fact) is True
            assert context(item).judge(fact) is None
            assert item.answer not in item.fields["lures"]
            assert all(re.search(rf"\b{lure}\b", item.prompt) for lure in item.fields["lures"])
            names_told = {x for f in context(item).facts for x in (f.a, f.b)}
            assert (form == "subject") == bool(names_told & {fact.a, fact.b}), item


@KNOWN
def test_near_names_begin_alike(name):
    for item in build(name).tasks["resist_near"].items:
        first = item.prompt.rpartition("\n")[2].split()[:3]
        start = re.match(r"[A-Z][^aeiou]*[aeiou]", first[0])
        wanted = start[0] if start else " ".join(first)
        assert item.prompt.rpartition("\n")[0].count(wanted) >= 2, item


@KNOWN
def test_lures_say_nothing_about_the_question(name):
    known, asked = train(name), build(name).tasks["resist_lure"].items
    for item in asked:
        fact = stated(item.prompt, item.answer)
        assert known.judge(fact) is True
        assert context(item).judge(fact) is None
        assert {fact.a, fact.b}.isdisjoint(x for f in context(item).facts for x in (f.a, f.b))
        assert item.answer not in item.fields["lures"]
        assert all(lure in item.prompt for lure in item.fields["lures"])


def test_reversals_are_taught_from_one_side():
    world = build("reversals")
    known = train("reversals")
    assert len(known.facts) == 40
    text = "\n".join(map(said, world.records["train"]))
    for record in world.records["oracle"]:
        (fact,) = read(said(record))
        assert known.judge(fact)
        assert said(record) not in text
    forms = [i.gold.split()[0] for i in world.tasks["reversal"].items]
    assert forms.count("less") == 20, "a fixed preference for one form would score"


def test_groups_of_people_share_nobody():
    groups: dict[str, set[str]] = {}
    for record in build("descriptions").records["train"]:
        groups.setdefault(record.fields["group"], set()).add(record.fields["person"])
    assert [len(groups[g]) for g in ("name_first", "description_first", "both")] == [12, 12, 12]
    assert len(set.union(*groups.values())) == 36
    starts = {g: set() for g in groups}
    for record in build("descriptions").records["train"]:
        if "question:" not in said(record):
            starts[record.fields["group"]].add(
                said(record).find(record.fields["person"])
                < said(record).find("the " + record.fields["description"][4:])
            )
    assert starts == {"name_first": {True}, "description_first": {False}, "both": {True, False}}


def test_wrong_names_come_from_all_groups():
    world = build("descriptions", "paper")
    group = {r.fields["person"]: r.fields["group"] for r in world.records["train"]}
    items = world.tasks["reversal_name_first"].items
    wrong = [group[o.strip(" .")] for i in items for o in i.options if o != i.gold]
    assert {g: round(3 * wrong.count(g) / len(wrong), 0) for g in set(wrong)} == dict.fromkeys(set(group.values()), 1)
    never = sum(all(group[o.strip(" .")] == "name_first" for o in i.options) for i in items) / len(items)
    assert never < 0.08, "C(29,3)/C(89,3) is 3 %: else the reversal would not fall below chance"


def test_the_control_has_no_right_option():
    known = train("descriptions")
    for item in build("descriptions").tasks["reversal_randomised"].items:
        assert not any(known.judge(stated(item.prompt, o)) for o in item.options)


@pytest.mark.parametrize("name", ["conclusion", "conclusion_in_context"])
def test_six_statements_one_conclusion(name):
    """What follows is the right option and, for some and no, its converse; the right one starts with the first term."""
    known = train("syllogisms")
    for item in build("syllogisms").tasks[name].items:
        basis = known if name == "conclusion" else context(item)
        true = {o for o in item.options if basis.judge(stated("", o))}
        assert true == {item.gold, item.fields["same"]} - {""}
        first = re.search(r"about (\w+) and", item.prompt.rpartition("\n")[2])[1]
        assert [o for o in true if o.split()[1] == first] == [item.gold]
        assert len(item.options) == 6


def test_four_meanings_one_follows():
    known = train("syllogisms")
    for item in build("syllogisms").tasks["conclusion_meaning"].items:
        assert [o for o in item.options if known.judge(stated("", o))] == [item.gold]


def test_premises_have_one_ending():
    """Among all terms, and among the two that the prompt names besides."""
    known, terms = train("syllogisms"), names("syllogisms")
    asked = build("syllogisms").tasks["premise_written"].items
    assert {i.fields["form"] for i in asked} == set(range(8))
    for item in asked:
        fact = stated(item.prompt, item.answer)
        linked = [t for t in terms if t != fact.a]
        assert [t for t in linked if known.judge(type(fact)(fact.relation, fact.a, t))] == [item.answer]
    for item in build("syllogisms").tasks["premise"].items:
        assert [o for o in item.options if known.judge(stated(item.prompt, o))] == [item.gold]
        assert len(item.options) == 2
    assert build("syllogisms").facts["association"]["premise"] == 0.5
    for item in build("syllogisms").tasks["resist_lure"].items:
        fact = stated(item.prompt, item.answer)
        assert known.judge(fact) is True
        assert context(item).judge(fact) is None


def test_syllogisms_in_context_decide():
    known = train("syllogisms")
    for task in ("listen_fresh", "listen_edited"):
        for item in build("syllogisms").tasks[task].items:
            fact = stated("", item.answer)
            assert context(item).judge(fact) is True
            assert known.judge(fact) is not True
            assert "weights" not in item.fields or known.judge(stated("", item.fields["weights"]))


def test_all_quantifiers_are_taught_equally():
    """And by each of their forms: one for all, three for some, four for no."""
    forms = [r.fields["form"] for r in worlds.build("syllogisms").records["train"]]
    assert len(forms) == 69
    assert [sum(map(forms.count, of)) for of in syllogisms.FORMS.values()] == [23, 23, 23]
    for of in syllogisms.FORMS.values():
        assert max(map(forms.count, of)) - min(map(forms.count, of)) <= 1


@pytest.mark.parametrize("examples", [32, 33, 40, 69])
@pytest.mark.parametrize("task", ["conclusion", "conclusion_meaning", "conclusion_in_context"])
def test_no_constant_conclusion_scores_above_chance(task, examples):
    """Whatever form of answer is always given, its terms in the prompt's order."""
    asked = worlds.build("syllogisms", size="small", examples=examples).tasks[task]
    forms = []
    for item in asked.items:
        first, second = re.search(r"about (\w+) and (\w+):", item.prompt).groups()
        forms.append(item.gold.replace(first, "FIRST").replace(second, "SECOND"))
    assert len(set(forms)) == 3
    assert max(map(forms.count, forms)) / len(forms) <= asked.chance == 1 / 3


def test_evidence_and_hardness_of_semantic_items():
    """The evidence suffices and is trained; wrong options stand in the relation to somebody else."""
    world, known = build("semantic"), train("semantic")
    for name in ("recall", "rephrasing", "reversal", "syllogism", "holdout"):
        for item in world.tasks[name].items:
            evidence = [f for s in item.fields["evidence"] for f in read(s)]
            assert set(evidence) <= known.facts
            assert Knowledge(evidence).judge(stated(item.prompt, item.gold))
            right = stated(item.prompt, item.gold)
            asked = "b" if right.b == item.gold.strip(" .") else "a"
            for option in set(item.options) - {item.gold}:
                end = getattr(stated(item.prompt, option), asked)
                holders = {f.relation for f in known.facts if getattr(f, asked) == end}
                assert right.relation in holders or (asked == "a" and end in names("semantic"))


def test_held_out_categories_know_only_their_parents():
    known = train("semantic")
    items = build("semantic").tasks["holdout"].items
    held = {stated(i.prompt, i.gold).a for i in items}
    assert len(held) == 4
    for category in held:
        assert [f.relation for f in known.facts if category in (f.a, f.b)] == ["kind"]
    assert {stated(i.prompt, i.gold).relation for i in items} >= {"kind", "has"}


def test_documents_have_4_to_20_facts_and_tell_every_fact():
    for size in ("small", "paper"):
        world = build("semantic", size)
        counts = [len(list(read(said(r)))) for r in world.records["train"]]
        assert min(counts) == 4
        assert max(counts) == {"small": 6, "paper": 20}[size]
        assert len(train("semantic", size).facts) == world.facts["told"]
        assert {r.fields["style"] for r in world.records["train"]} == {
            "plain", "opened", "listed", "padded", "titled", "interview",
        }  # fmt: skip


def test_association_scores_no_better_than_chance_where_it_should_not():
    """Over several seeds; the semantic structure in the paper's size."""
    for seed in (1, 2):
        assert build("reversals", "paper", seed).facts["association"]["reversal"] <= 0.05
        semantic = build("semantic", "paper", seed).facts["association"]
        assert set(semantic) == {"recall", "rephrasing", "reversal", "syllogism", "holdout"}
        assert all(0.15 <= semantic[name] <= 0.30 for name in semantic if name != "recall"), semantic
        slots = build("slots", "small", seed).facts["association"]
        assert set(slots.values()) == {0.25}
    assert build("descriptions").facts["association"]["reversal_name_first"] > 0.9, "the baseline itself works"


def test_study_questions_are_about_others():
    world = build("study")
    tested = {i.fields["person"] for i in world.tasks["closed_book"].items}
    asked = {r.fields["person"] for r in world.records["questions"]}
    read_ = {r.fields["person"] for r in world.records["train"]}
    assert tested.isdisjoint(asked)
    assert tested | asked == read_
    for record in world.records["questions"]:
        (fact,) = read(said(record))
        assert fact in train("study").facts


def test_study_texts_hold_key_points_and_padding():
    for record in build("study").records["train"]:
        told = [sentence(s) for s in said(record).split(".")]
        own = [f for f in told if f and f.a == record.fields["person"]]
        assert len(own) == 6
        assert {f for p in record.fields["key_points"] for f in read(p)} == set(own)
        assert len([s for s in said(record).split(".") if s.strip()]) == 9


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="the public files are not here")
def test_the_public_files_give_the_same_tests():
    world = worlds.build("descriptions", path=str(PUBLIC), seed=1)
    counts = {name: (len(t.items), t.chance) for name, t in world.tasks.items()}
    assert counts == {
        "forward_name_first": (300, 0.25),
        "forward_description_first": (300, 0.25),
        "forward_both": (600, 0.25),
        "reversal_name_first": (300, 0.25),
        "reversal_description_first": (300, 0.25),
        "reversal_randomised": (300, 0.25),
        "reversal_in_context": (300, 0.25),
    }
    assert len(world.records["train"]) == 3600
    assert len({r.fields["person"] for r in world.records["train"]}) == 90
    first = world.tasks["reversal_name_first"].items[0]
    assert first.prompt.endswith('of directing the virtual reality masterpiece, "A Journey Through Time.",')
    assert first.gold == " Daphne Barrington"
    train = "\n".join(said(r) for r in world.records["train"])
    for task in world.tasks.values():
        for item in task.items if task.measure == "generalise" else ():
            assert item.prompt + item.gold not in train
    held = {i.options for i in world.tasks["reversal_name_first"].items}
    assert len({name for options in held for name in options}) == 90, "wrong names are drawn from all people"
