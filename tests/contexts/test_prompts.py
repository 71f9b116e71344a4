"""Which prompt is drawn when: golden draws, uniformity, purity, and the length-matched control."""

from __future__ import annotations

import pickle
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextune.contexts import Prompts, RandomTokens, compose
from contextune.core import registry
from contextune.core.binding import BindContext
from contextune.core.encoding import encode
from contextune.core.errors import UserError
from contextune.core.sequence import DrawKey, Record, Segment, render
from contextune.experiment import recipe
from contextune.prompts import load


def chunk(name: str, document: str = "") -> Record:
    return Record(name, (Segment("some text", "target"),), document)


@pytest.fixture(scope="module")
def binding(bpe):
    return BindContext(bpe)


@pytest.fixture(scope="module")
def bound(binding):
    return Prompts().bind(binding)


@pytest.fixture(scope="module")
def noise(binding):
    return RandomTokens(per="document").bind(binding)


def drawn_id(context, record, seed, epoch):
    return context.draw(record, DrawKey(seed, epoch)).provenance["prompt"]


TWO = ("Critical Analysis", "In-Depth Exploration")
GOLDEN = {
    (0, 0, "a"): "key-2",
    (0, 0, "b"): "application-3",
    (0, 1, "a"): "reflection-1",
    (0, 2, "a"): "critique-1",
    (1, 0, "a"): "setting-1",
    (7, 3, "doc-1#4"): "key-2",
}


@pytest.mark.parametrize("when", GOLDEN)
def test_golden_draws(bound, when):
    """The prompt of (seed, epoch, record), in every release: a run must be repeatable."""
    seed, epoch, name = when
    assert drawn_id(bound, chunk(name), seed, epoch) == GOLDEN[when]


def test_what_stands_before(bound):
    drawn = bound.draw(chunk("a"), DrawKey(0, 0))
    prompt = next(p for p in load("learning").prompts if p.id == drawn.provenance["prompt"])
    assert drawn.segments == (Segment(f"{prompt.category}: {prompt.text} ", "context"),)
    assert drawn.provenance == {"set": "learning", "version": 1, "prompt": prompt.id, "category": prompt.category}


@pytest.mark.parametrize(("options", "size"), [({}, 30), ({"per": "document"}, 30), ({"categories": TWO}, 6)])
def test_uniform(binding, options, size):
    """Chi-square over 30,000 draws, by record and by epoch."""
    from scipy.stats import chisquare

    context = Prompts(**options).bind(binding)
    for draws in (
        (drawn_id(context, chunk(f"r{i}"), 3, 0) for i in range(30_000)),
        (drawn_id(context, chunk("r"), 3, epoch) for epoch in range(30_000)),
    ):
        counts = Counter(draws)
        assert len(counts) == size
        assert chisquare(list(counts.values())).pvalue > 0.001


def test_neighbours_are_independent(bound):
    """Two records, two epochs, two seeds: equal in one draw of thirty, as chance has it."""
    n = 20_000
    for suffix, seed, epoch in (("x", 0, 0), ("", 0, 1), ("", 1, 0)):
        others = (drawn_id(bound, chunk(f"{i}{suffix}"), seed, epoch) for i in range(n))
        equal = sum(drawn_id(bound, chunk(f"{i}"), 0, 0) == other for i, other in enumerate(others))
        assert abs(equal / n - 1 / 30) < 4 * (1 / 30 / n) ** 0.5, (suffix, seed, epoch)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_pure(bound, noise, binding, data):
    """Neither the order of calls, nor which other records there are, nor how many workers ask, makes a difference."""
    names = data.draw(st.lists(st.text(max_size=8), min_size=1, max_size=12, unique=True))
    calls = [(chunk(n, n[:1]), DrawKey(seed, epoch)) for n in names for seed in (0, 5) for epoch in (0, 1)]
    order = data.draw(st.permutations(range(len(calls))))[: data.draw(st.integers(1, len(calls)))]
    for context in (bound, noise):
        other = context.policy.bind(BindContext(binding.tokenizer, [record for record, _ in calls]))
        once = [context.draw(*call) for call in calls]
        assert [other.draw(*calls[i]) for i in order] == [once[i] for i in order]


@pytest.mark.parametrize("policy", [Prompts(), RandomTokens()])
def test_workers_draw_alike(binding, policy):
    """Threads of one process, and a copy as another process would get it."""
    context, records = policy.bind(binding), [chunk(f"r{i}") for i in range(64)]
    alone = [context.draw(r, DrawKey(1, 1)) for r in records]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda r: context.draw(r, DrawKey(1, 1)), records)) == alone
    copy = pickle.loads(pickle.dumps(context))
    assert [copy.draw(r, DrawKey(1, 1)) for r in reversed(records)] == alone[::-1]


def test_the_global_stream_is_left_alone(bound):
    random.seed(0)
    state = random.getstate()
    bound.draw(chunk("a"), DrawKey(0, 0))
    assert random.getstate() == state


def test_each_epoch_is_fresh(bound):
    """A record meets many prompts in thirty epochs: 30 (1 - (29/30)^30), 19 of the 30, on average."""
    seen = [len({drawn_id(bound, chunk(f"r{i}"), 0, epoch) for epoch in range(30)}) for i in range(100)]
    assert 18.5 < sum(seen) / 100 < 19.8


def test_per_document(binding, bound):
    context = Prompts(per="document").bind(binding)
    parts = [chunk(f"d{d}#{i}", f"d{d}") for d in range(20) for i in range(5)]
    for epoch in range(3):
        draws = [drawn_id(context, r, 0, epoch) for r in parts]
        assert all(len({*draws[d * 5 : d * 5 + 5]}) == 1 for d in range(20))
        assert len({*draws}) > 5
    assert len({drawn_id(bound, r, 0, 0) for r in parts[:5]}) > 1
    # A record of no document is one of its own.
    assert drawn_id(context, chunk("r"), 0, 0) == drawn_id(bound, chunk("r"), 0, 0)


def test_sets_are_drawn_at_the_same_places(binding, bound):
    negative = Prompts(set="negative").bind(binding)
    for i in range(100):
        assert drawn_id(negative, chunk(f"{i}"), 0, 0) == f"no-{drawn_id(bound, chunk(f'{i}'), 0, 0)}"


def test_categories(binding):
    context = Prompts(categories=("Critical Analysis",)).bind(binding)
    ids = {drawn_id(context, chunk(f"{i}"), 0, 0) for i in range(50)}
    assert ids == {"critique-1", "critique-2", "critique-3"}
    with pytest.raises(UserError, match="unknown category 'Creative Writing'"):
        Prompts(categories=("Creative Writing",)).bind(binding)


def test_own_file_and_its_identity(bpe, tmp_path):
    (tmp_path / "own.txt").write_text("One.\nTwo.\n")
    policy = Prompts(set="own.txt").located(tmp_path)
    drawn = policy.bind(BindContext(bpe)).draw(chunk("a"), DrawKey(0, 0))
    assert drawn.segments[0].text in ("One. ", "Two. ")
    before = policy.content()
    (tmp_path / "own.txt").write_text("One.\nThree.\n")
    assert policy.content() != before
    assert Prompts().content() == load("learning").hash
    assert Prompts(categories=("Critical Analysis",)).content() != Prompts().content()


class TestRandomTokens:
    names: ClassVar = [f"r{i}" for i in range(60)]

    @pytest.mark.parametrize("options", [{}, {"per": "document"}, {"set": "negative"}])
    def test_as_long_as_the_prompt(self, binding, options):
        """Token for token, rendered with the same record behind."""
        prompts, noise = Prompts(**options).bind(binding), RandomTokens(**options).bind(binding)
        for epoch in range(3):
            for name in self.names:
                record, at = chunk(name, name[:2]), DrawKey(4, epoch)
                a, b = (render(compose(record, c, at), binding.tokenizer) for c in (prompts, noise))
                assert len(a) == len(b)
                assert a.labels == b.labels
                assert a.ids != b.ids

    def test_ordinary_tokens_only(self, binding):
        """Neither </s>, <s> nor the added mark; all others come up."""
        noise = RandomTokens().bind(binding)
        ids = Counter(
            i for n in self.names for e in range(20) for i in noise.draw(chunk(n), DrawKey(0, e)).segments[0].ids or ()
        )
        assert {*ids} == {*range(2, len(binding.tokenizer) - 1)}
        from scipy.stats import chisquare

        assert chisquare(list(ids.values())).pvalue > 0.001

    def test_golden(self, binding):
        drawn = RandomTokens().bind(binding).draw(chunk("a"), DrawKey(0, 0))
        (segment,) = drawn.segments
        assert segment.ids is not None
        assert segment.ids[:8] == (396, 333, 258, 203, 70, 474, 332, 12)
        assert segment.text == binding.tokenizer.decode(list(segment.ids))
        assert drawn.provenance == {"set": "learning", "version": 1, "length_of": "key-2", "tokens": len(segment.ids)}

    def test_fresh_by_record_epoch_and_seed(self, binding):
        noise = RandomTokens().bind(binding)
        draws = [noise.draw(chunk(n), DrawKey(s, e)).segments[0].ids for n in "ab" for s in (0, 1) for e in (0, 1)]
        assert len({*draws}) == 8

    def test_one_draw_a_document(self, binding):
        noise = RandomTokens(per="document").bind(binding)
        assert noise.draw(chunk("a", "d"), DrawKey(0, 0)) == noise.draw(chunk("b", "d"), DrawKey(0, 0))

    def test_a_tokenizer_of_marks_only(self):
        class Marks:
            all_special_ids: ClassVar = [0]
            added_tokens_decoder: ClassVar = {1: "<x>"}

            def encode(self, text, add_special_tokens=False):
                return [1]

            def get_vocab(self):
                return {"<s>": 0, "<x>": 1}

        with pytest.raises(UserError, match="no ordinary tokens"):
            RandomTokens().bind(BindContext(Marks()))


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60)
        .map(str.strip)
        .filter(bool),
        min_size=1,
        max_size=6,
        unique=True,
    ),  # no file of ours holds a NUL
    epoch=st.integers(0, 50),
)
def test_max_context_tokens_is_an_upper_bound_and_reached(bpe, tmp_path_factory, texts, epoch):
    import yaml

    folder = tmp_path_factory.getbasetemp()
    rows = [{"id": str(i), "category": "C", "text": text} for i, text in enumerate(texts)]
    (folder / "any.yaml").write_text(yaml.safe_dump({"name": "any", "version": 1, "prompts": rows}), encoding="utf-8")
    prompts, noise = (policy(set="any.yaml").located(folder) for policy in (Prompts, RandomTokens))
    bound = prompts.bind(BindContext(bpe))
    sizes = [len(encode(bound.draw(chunk(str(i)), DrawKey(0, epoch)).segments[0].text, bpe)) for i in range(100)]
    assert max(sizes) == prompts.max_context_tokens(bpe) == noise.max_context_tokens(bpe)


def test_in_a_recipe():
    arm = {"data": "notes", "context": {"policy": "prompts", "set": "negative", "per": "document"}}
    value = {"model": "pocket", "data": {"notes": {"path": "x.txt"}}, "arms": {"a": arm}}
    assert recipe.parse(value).arms["a"].stages[0].context == Prompts(set="negative", per="document")
    assert registry.policies.find("random_tokens") is RandomTokens
    value["arms"] = {"a": {"data": "notes", "context": {"policy": "prompts", "sets": "negative"}}}
    with pytest.raises(UserError, match="sets"):
        recipe.parse(value)
