"""Slots and cipher, solved from their training pairs and contexts alone."""

from __future__ import annotations

import random
import re
from collections import Counter
from functools import lru_cache
from itertools import combinations

import pytest

from contextune import worlds
from contextune.core.errors import UserError
from contextune.worlds.language import CommandTemplate
from contextune.worlds.slots import SlotPool, similarity

PAIR = re.compile(r"input: (.+?) output: (.+?)\.")


@lru_cache
def build(name: str, size: str = "small"):
    return worlds.build(name, size=size, seed=2)


def pairs(text: str) -> list[tuple[str, str]]:
    return PAIR.findall(text)


def train(name: str) -> list[tuple[str, str]]:
    return [p for r in build(name).records["train"] for p in pairs("".join(s.text for s in r.segments))]


def asked(item) -> str:
    return re.fullmatch(r"input: (.+) output:", item.prompt.rpartition("\n")[2])[1]


def shown(item) -> list[tuple[str, str]]:
    return pairs(item.prompt.rpartition("\n")[0])


# ------------------------------------------------------------------------------------------ slots


def parts(command: str) -> list[str]:
    """ "send Kalo to Mido" -> ["send Kalo", "to Mido"]."""
    return re.findall(r"[a-z]+ [A-Z][a-z]+", command)


def template(command: str) -> tuple[str, ...]:
    return tuple(part.split()[0] for part in parts(command))


class Rules:
    """Where each verb's part stands and which of two markers comes first, read off solved pairs."""

    def __init__(self, solved: list[tuple[str, str]]) -> None:
        self.first: dict[str, set[bool]] = {}
        self.before: set[tuple[str, str]] = set()
        for given, made in solved:
            verb, order = template(given)[0], [part.split()[0] for part in parts(made)]
            self.first.setdefault(verb, set()).add(order[0] == verb)
            self.before |= set(combinations([m for m in order if m != verb], 2))

    def frame(self, command: str) -> str:
        verb, *others = parts(command)
        (first,) = self.first[verb.split()[0]]
        x, y = others if (template(others[0] + " " + others[1])) in self.before else others[::-1]
        assert (y.split()[0], x.split()[0]) not in self.before
        assert (x.split()[0], y.split()[0]) in self.before
        return f"[{', '.join([verb, x, y] if first else [x, y, verb])}]"


def align(command: str, example: tuple[str, str]) -> str:
    """The command's parts in the order in which the example lists its own."""
    own = dict(zip(template(command), parts(command), strict=True))
    return f"[{', '.join(own[part.split()[0]] for part in parts(example[1]))}]"


@pytest.mark.parametrize("name", ["trained", "combined", "low", "medium", "high", "resist_lure"])
def test_slots_answers_follow_from_the_training_pairs(name):
    rules, known = Rules(train("slots")), {template(given) for given, _ in train("slots")}
    for item in build("slots").tasks[name].items:
        assert rules.frame(asked(item)) == item.answer
        assert (template(asked(item)) in known) == (name != "combined")


@pytest.mark.parametrize("name", ["trained_order", "combined_order"])
def test_slots_options_are_orders_of_one_frame(name):
    rules = Rules(train("slots"))
    for item in build("slots").tasks[name].items:
        assert [o for o in item.options if o == f" {rules.frame(asked(item))}."] == [item.gold]
        assert len({tuple(sorted(parts(o))) for o in item.options}) == 1


@pytest.mark.parametrize("name", ["listen_fresh", "listen_edited"])
def test_slots_example_in_context_decides(name):
    rules, verbs = Rules(train("slots")), {template(given)[0] for given, _ in train("slots")}
    for item in build("slots").tasks[name].items:
        (example,) = (e for e in shown(item) if template(e[0]) == template(asked(item)))
        assert align(asked(item), example) == item.answer
        if name == "listen_fresh":
            assert template(asked(item))[0] not in verbs
        else:
            assert item.fields["weights"] == rules.frame(asked(item)) != item.answer


def test_slots_lure_is_wrong():
    for item in build("slots").tasks["resist_lure"].items:
        (lure,) = (e for e in shown(item) if e[1] == item.fields["copy"])
        assert {p.split()[1] for p in parts(lure[0])} == {p.split()[1] for p in parts(asked(item))}
        assert template(lure[0]) != template(asked(item))
        assert item.fields["copy"] != item.answer


# --------------------------------------------------------------------- slots, several orders a template


AMBIGUOUS = {"size": "small", "orders": 3, "groups": 10, "examples": 3, "values": 120, "probes": 48}


@lru_cache
def ambiguous(seed: int = 2, **other):
    return worlds.build("slots", seed=seed, **{**AMBIGUOUS, **other})


def listed(made: str) -> tuple[str, ...]:
    """Marks in the order of a frame."""
    return tuple(part.split()[0] for part in parts(made))


def owner(command: str) -> str:
    return parts(command)[0].split()[1]


class Law:
    """Orders of each template by owner, read off the training pairs."""

    def __init__(self, records) -> None:
        self.orders: dict[tuple[str, ...], dict[str, set[tuple[str, ...]]]] = {}
        for r in records:
            (pair,) = pairs("".join(s.text for s in r.segments))
            found = self.orders.setdefault(template(pair[0]), {}).setdefault(owner(pair[0]), set())
            found.add(listed(pair[1]))

    def share(self, asked: str) -> Counter[tuple[str, ...]]:
        """Owners of each order of the template."""
        return Counter(order for of in self.orders[template(asked)].values() for order in of)

    def usual(self, asked: str) -> tuple[str, ...]:
        return self.share(asked).most_common(1)[0][0]


@pytest.mark.parametrize("orders", [2, 3])
def test_a_template_has_several_orders_and_each_owner_one(orders):
    law = Law(ambiguous(orders=orders).records["train"])
    assert len(law.orders) == 24
    for by_owner in law.orders.values():
        assert len(by_owner) == 10
        assert {len(of) for of in by_owner.values()} == {1}
        counts = Counter(next(iter(of)) for of in by_owner.values())
        assert sorted(counts.values()) in ([[3, 7], [4, 6]] if orders == 2 else [[2, 2, 6]])


def test_the_usual_order_follows_the_rules_and_the_others_do_not_follow_any():
    world, law = ambiguous(), Law(ambiguous().records["train"])
    usual = [law.usual(" ".join(f"{m} Kalo" for m in t)) for t in law.orders]
    rules = Rules([(" ".join(f"{m} Kalo" for m in t), ", ".join(f"{m} Kalo" for m in u))
                   for t, u in zip(law.orders, usual, strict=True)])  # fmt: skip
    for item in world.tasks["combined"].items:
        assert rules.frame(asked(item)) == item.answer
    other = [order for t in law.orders for order in law.share(" ".join(f"{m} Kalo" for m in t))]
    first = Counter(tuple(sorted(order)).index(order[0]) for order in other)
    assert min(first.values()) > 10, "any part may stand first"


def test_the_nearest_training_examples_have_the_same_order():
    """Those of the same template and owner: two thirds similar, others of the template half."""
    rows = [pairs("".join(s.text for s in r.segments))[0] for r in ambiguous().records["train"]]
    for given, made in rows[:60]:
        same = [(similarity(given, g), owner(g), listed(m)) for g, m in rows if template(g) == template(given)]
        near = [order for s, by, order in same if by == owner(given) and s < 1]
        assert near == [listed(made)] * 2
        assert {round(s, 4) for s, by, _ in same if by == owner(given)} == {1.0, 0.6667}
        assert {s for s, by, _ in same if by != owner(given)} == {0.5}


@pytest.mark.parametrize("name", ["high", "listen_edited", "listen_fresh"])
def test_the_near_example_decides(name):
    law = Law(ambiguous().records["train"])
    for item in ambiguous().tasks[name].items:
        near = [e for e in shown(item) if template(e[0]) == template(asked(item))]
        assert [align(asked(item), e) for e in near] == [item.answer]
        assert owner(near[0][0]) == owner(asked(item)), "an example of another owner would not tell"
        if name != "listen_fresh":
            trained = law.share(asked(item))
            assert (listed(item.answer) in trained) == (name == "high")
            assert listed(item.answer) != law.usual(asked(item))
        if name == "listen_edited":
            assert listed(item.fields["weights"]) == law.usual(asked(item))


@pytest.mark.parametrize("name", ["trained", "low", "medium", "resist_lure"])
def test_without_it_the_answer_is_not_determined(name):
    """Six of ten owners have the order that is asked for, the best that can be said of a new one."""
    law = Law(ambiguous().records["train"])
    for item in ambiguous().tasks[name].items:
        assert listed(item.answer) == law.usual(asked(item))
        assert law.share(asked(item))[listed(item.answer)] == 6
        assert owner(asked(item)) not in law.orders[template(asked(item))]
        near = [e for e in shown(item) if template(e[0]) == template(asked(item))]
        assert len(near) == (name == "medium")
        assert all(owner(e[0]) != owner(asked(item)) for e in near)


def test_another_owners_example_may_have_any_order():
    items = ambiguous().tasks["medium"].items
    agree = [align(asked(i), e) == i.answer for i in items for e in shown(i) if template(e[0]) == template(asked(i))]
    assert 0.4 < sum(agree) / len(agree) < 0.8


def test_where_no_template_is_unlike_another():
    one = CommandTemplate("send", ("to", "for"), (0, 1, 2))
    pool = SlotPool(random.Random(0), {one: [one]}, [], grouped=False)
    with pytest.raises(ValueError, match="too few templates"):
        pool.low((one, ["Kalo", "Mido", "Rune"]), 1)


def test_wrong_options_are_orders_without_training():
    law = Law(ambiguous().records["train"])
    for item in ambiguous().tasks["trained_order"].items:
        assert {listed(o) for o in item.options} & set(law.share(asked(item))) == {listed(item.gold)}


@pytest.mark.parametrize("orders", [1, 3])
def test_graded_items_differ_in_the_nearest_example_alone(orders):
    tasks = ambiguous(orders=orders).tasks
    for low, medium, high in zip(*(tasks[g].items for g in ("low", "medium", "high")), strict=True):
        assert asked(low) == asked(medium) == asked(high)
        found = [max(similarity(asked(i), given) for given, _ in shown(i)) for i in (low, medium, high)]
        assert found[0] < 1 / 3
        assert found[1:] == [0.5, pytest.approx(5 / 6)]
        assert [round(s, 4) for s in found] == [i.fields["similarity"] for i in (low, medium, high)]


@pytest.mark.parametrize("options", [{"size": "small"}, AMBIGUOUS], ids=["one order", "three orders"])
def test_no_test_line_stands_in_training(options):
    """Neither an item nor an example in its context: no overlap has to be allowed."""
    world = worlds.build("slots", seed=4, **options)
    known = {"".join(s.text for s in r.segments).strip() for r in world.records["train"]}
    values = {v for r in world.records["train"] for v in re.findall(r"[A-Z][a-z]+", r.fields["input"])}
    for task in world.tasks.values():
        if task.name != "retain_skills":
            for item in task.items:
                assert not known & {line.strip() for line in item.prompt.splitlines()}
                assert not values & set(re.findall(r"[A-Z][a-z]+", item.prompt))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"orders": 4}, "a template has 3 orders at most"),
        ({"orders": 3, "groups": 4}, "for 3 orders a template needs 5 groups or more"),
        ({"orders": 2}, "for 2 orders a template needs 3 groups or more"),
        ({"groups": 24, "examples": 5}, "the examples of a template need 264 values"),
    ],
)
def test_options_that_do_not_go_together(options, why):
    with pytest.raises(UserError, match=f"world 'slots' cannot be made with .*{why}"):
        worlds.build("slots", size="small", **options)


# ----------------------------------------------------------------------------------------- cipher


def unswap(codes: str) -> list[str]:
    made = codes.split()
    for i in range(0, len(made) - 1, 2):
        made[i], made[i + 1] = made[i + 1], made[i]
    return made


def lexicon(solved: list[tuple[str, str]]) -> dict[str, set[str]]:
    codes: dict[str, set[str]] = {}
    for given, made in solved:
        for word, code in zip(given.split(), unswap(made), strict=True):
            codes.setdefault(word, set()).add(code)
    return codes


def test_cipher_words_have_the_codes_that_they_should():
    codes = lexicon(train("cipher"))
    assert Counter(len(c) > 1 for c in codes.values()) == {False: 26, True: 6}
    assert max(map(len, codes.values())) <= 3
    assert len(set().union(*codes.values())) == sum(map(len, codes.values())), "codes mean one word each"
    assert codes.keys().isdisjoint(set().union(*codes.values()))


def test_an_episode_keeps_one_sense():
    """And ambiguous words cannot be known from their words alone: their senses vary over episodes."""
    by_episode: dict[int, list[tuple[str, str]]] = {}
    for record in build("cipher").records["train"]:
        solved = (record.fields["input"], record.fields["output"].removesuffix("."))
        by_episode.setdefault(record.fields["episode"], []).append(solved)
    assert all(len(c) == 1 for solved in by_episode.values() for c in lexicon(solved).values())
    ambiguous = {w for w, c in lexicon(train("cipher")).items() if len(c) > 1}
    assert ambiguous == {w for r in build("cipher").records["train"] for w in r.fields["ambiguous"]}


@pytest.mark.parametrize("name", ["taught", "composed", "low", "medium", "high", "resist_lure"])
def test_cipher_answers_follow_from_the_training_pairs(name):
    codes, taught = lexicon(train("cipher")), {given for given, _ in train("cipher")}
    for item in build("cipher").tasks[name].items:
        words = asked(item).split()
        assert [codes[w] for w in words] == [{c} for c in unswap(item.answer)]
        assert (asked(item) in taught) == (name == "taught")


def test_cipher_options_differ_in_one_code():
    codes = lexicon(train("cipher"))
    for item in build("cipher").tasks["composed_codes"].items:
        expected = [codes[w] for w in asked(item).split()]
        assert [o for o in item.options if [{c} for c in unswap(o[1:-1])] == expected] == [item.gold]


def test_cipher_sense_is_only_shown():
    """Other examples do not hold the word; the trained codes leave it open; the shown one decides."""
    codes = lexicon(train("cipher"))
    for item in build("cipher").tasks["listen_sense"].items:
        word, own = item.fields["word"], lexicon(shown(item))
        assert codes[word] >= own[word]
        assert len(own[word]) == 1
        expected = [next(iter(own[w] if w == word else codes[w])) for w in asked(item).split()]
        assert unswap(item.answer) == expected
        assert not own[word] & set(item.fields["other_codes"])


def test_cipher_edit_is_against_the_weights():
    codes = lexicon(train("cipher"))
    for item in build("cipher").tasks["listen_edited"].items:
        word, own = item.fields["word"], lexicon(shown(item))
        assert len(own[word]) == 1
        assert own[word].isdisjoint(codes[word])
        expected = [next(iter(own[w] if w == word else codes[w])) for w in asked(item).split()]
        assert unswap(item.answer) == expected
        assert [codes[w] for w in asked(item).split()] == [{c} for c in unswap(item.fields["weights"])]


def test_cipher_lure_is_wrong_in_one_place():
    for item in build("cipher").tasks["resist_lure"].items:
        (lure,) = (e for e in shown(item) if e[1] == item.fields["copy"])
        assert sum(x != y for x, y in zip(lure[0].split(), asked(item).split(), strict=True)) == 1
        assert sum(x != y for x, y in zip(unswap(lure[1]), unswap(item.answer), strict=True)) == 1


# ------------------------------------------------------------------------------------------- both


@pytest.mark.parametrize("size", ["small", "paper"])
@pytest.mark.parametrize("name", ["slots", "cipher"])
def test_grades_are_exact_and_paired(name, size):
    tasks = build(name, size).tasks
    for low, medium, high in zip(*(tasks[g].items for g in ("low", "medium", "high")), strict=True):
        assert low.id == medium.id == high.id
        assert low.answer == medium.answer == high.answer
        for item, least, most in ((low, 0, 1 / 3), (medium, 1 / 3, 2 / 3), (high, 2 / 3, 1)):
            assert len(shown(item)) == 4
            nearest = max(similarity(asked(item), given) for given, _ in shown(item))
            assert round(nearest, 4) == item.fields["similarity"]
            assert least <= nearest < most


def test_similarity():
    assert similarity("send Kalo to Mido", "send Kalo to Mido") == 1
    assert similarity("send Kalo to Mido", "send Rune to Bako") == 0.5
    assert similarity("Kalo Kalo", "Kalo Mido Rune Bako") == 0.25
    assert similarity("Kalo", "Mido") == 0
