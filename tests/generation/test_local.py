"""The transformers engine: what a request is answered depends on that request and the model alone."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections import Counter
from functools import partial, wraps

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextune.generation import Failure, Request, Store, ask
from contextune.generation.local import LocalEngine, identify, prompt_ids
from contextune.generation.shared_prefix import shared
from contextune.models.decoding import keeps_all
from tests.conftest import words

Cut = partial(Request, cut=True)


@pytest.fixture(scope="module")
def model(tiny):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny).eval()


@pytest.fixture(scope="module")
def plain(tokenizer):
    """The tokenizer as a base model has it: without a chat template."""
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    return bare


@pytest.fixture(scope="module")
def engine(model, plain):
    return LocalEngine(model, plain)


def prompts(n: int, longest: int = 40) -> list[str]:
    rng = random.Random(1)
    return [words(rng, 1, longest) for _ in range(n)]


def answers(engine, requests) -> list[str]:
    found = dict(engine.complete(requests))
    return [found[i] for i in range(len(requests))]


def greedy(model, ids: list[int], n: int) -> list[int]:
    """The plainest decoding there is: no cache, no batch, no padding."""
    import torch

    new: list[int] = []
    while len(new) < n and (not new or new[-1] != 2):
        with torch.inference_mode():
            new.append(int(model(torch.tensor([ids + new])).logits[0, -1].argmax()))
    return [i for i in new if i != 2]


def test_greedy_is_that_of_a_plain_loop(engine, model, plain):
    requests = [Cut(p, max_tokens=12) for p in prompts(8)]
    loops = [greedy(model, plain.encode(r.prompt), 12) for r in requests]
    expected = [plain.decode(ids, skip_special_tokens=True) for ids in loops]
    assert answers(engine, requests) == expected
    assert len({*expected}) > 4


@pytest.mark.parametrize("tokens", [60, 200, 8192])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_batched_is_one_at_a_time(model, plain, tokens, temperature):
    requests = [Cut(p, 5 + i % 9, temperature, seed=i % 3) for i, p in enumerate(prompts(24))]
    alone = [answers(LocalEngine(model, plain), [r])[0] for r in requests]
    assert answers(LocalEngine(model, plain, tokens), requests) == alone
    assert answers(LocalEngine(model, plain, tokens), requests[::-1]) == alone[::-1]


def test_batches_keep_to_their_budget(model, plain):
    seen, engine = [], LocalEngine(model, plain, 120)
    queue = [(i, prompt_ids(p, plain)) for i, p in enumerate(prompts(30))]
    for batch in engine._batches(queue, [Cut(p, 4 + len(p) % 7) for p in prompts(30)]):
        most = max(4 + len(prompts(30)[place]) % 7 for place, _ in batch)
        assert len(batch) == 1 or len(batch) * (max(len(ids) for _, ids in batch) + most) <= 120
        seen += [place for place, _ in batch]
    assert sorted(seen) == list(range(30))


def test_mixed_batch(engine):
    """Greedy and sampled rows side by side, each with its own length and stop."""
    base = [Cut(p, 8) for p in prompts(4)]
    mixed = [
        base[0],
        dataclasses.replace(base[1], temperature=1.5, seed=4),
        dataclasses.replace(base[2], max_tokens=2),
        dataclasses.replace(base[3], stop=(answers(engine, base)[3].split()[2],)),
    ]
    full, found = answers(engine, base), answers(engine, mixed)
    assert found[0] == full[0]
    assert found[1] != full[1]
    assert found[2].split() == full[2].split()[:2]
    assert found[3].split() == full[3].split()[: full[3].split().index(mixed[3].stop[0])]


def test_sampling_is_from_the_softmax(engine, model, plain):
    """First tokens of 3,000 seeds against softmax(logits / T): chi-square over the tokens expected 20 times or more."""
    import torch
    from scipy.stats import chisquare

    prompt, temperature, n = "w1 w2 w3", 0.05, 3000
    with torch.inference_mode():
        logits = model(torch.tensor([prompt_ids(prompt, plain)])).logits[0, -1].double()
    expected = {
        plain.decode([i], skip_special_tokens=True): float(p) * n
        for i, p in enumerate((logits / temperature).softmax(-1))
    }
    drawn = Counter(answers(engine, [Cut(prompt, 1, temperature, seed) for seed in range(n)]))
    often = [t for t, e in expected.items() if t and e >= 20]
    assert len(often) > 5
    counts = [drawn[t] for t in often]
    wanted = [expected[t] for t in often]
    assert chisquare([*counts, n - sum(counts)], [*wanted, n - sum(wanted)]).pvalue > 0.001


def test_seeds(engine):
    request = Cut("w5 w6", 12, 1.0)
    several = answers(engine, [dataclasses.replace(request, seed=s) for s in range(6)])
    assert len({*several}) == 6
    assert several == answers(engine, [dataclasses.replace(request, seed=s) for s in range(6)])
    greedy = answers(engine, [dataclasses.replace(request, temperature=0.0, seed=s) for s in range(3)])
    assert len({*greedy}) == 1


def test_end_of_text(model, plain):
    """All of the model's own end tokens end a text, and what a finished row is filled with is no part of it."""
    requests = [Cut(p, 10) for p in prompts(6)]
    whole = [plain.encode(a)[1:] for a in answers(LocalEngine(model, plain), requests)]
    ended = copy.deepcopy(model)
    ended.generation_config.eos_token_id = [2, whole[0][3]]
    ended.generation_config.pad_token_id = None
    found = answers(LocalEngine(ended, plain), requests)
    assert [plain.encode(a)[1:] for a in found] == [w[: w.index(whole[0][3])] if whole[0][3] in w else w for w in whole]
    assert len(found[0].split()) == whole[0].index(whole[0][3]) <= 3


def test_no_end_of_text(model, plain):
    """Without any end token each row still ends at its own length."""
    endless, bare = copy.deepcopy(model), copy.deepcopy(plain)
    endless.generation_config.eos_token_id = bare.eos_token = None
    requests = [Cut(p, 2 + 3 * i) for i, p in enumerate(prompts(4))]
    alone = [answers(LocalEngine(endless, bare), [r])[0] for r in requests]
    assert answers(LocalEngine(endless, bare), requests) == alone
    assert len(alone[0].split()) <= 2


def test_chat_template(model, tokenizer, plain):
    """A user's turn and the opening of the answer; no second <s>."""
    mark = {
        t: i
        for i, t in enumerate(("<pad>", "<s>", "</s>", "<unk>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"))
    }
    assert prompt_ids("w0 w1", tokenizer) == [mark["<|user|>"], 8, 9, mark["<|end|>"], mark["<|assistant|>"]]
    assert prompt_ids("w0 w1", plain) == [mark["<s>"], 8, 9]
    request = Cut("w0 w1", 6)
    expected = greedy(model, prompt_ids("w0 w1", tokenizer), 6)
    assert answers(LocalEngine(model, tokenizer), [request]) == [tokenizer.decode(expected, skip_special_tokens=True)]


def test_the_models_own_sampling_is_not_used(model, plain):
    requests = [Cut(p, 8) for p in prompts(4)]
    expected = answers(LocalEngine(model, plain), requests)
    other = copy.deepcopy(model)
    config = other.generation_config
    config.update(do_sample=True, temperature=3.0, repetition_penalty=9.0, no_repeat_ngram_size=1, min_new_tokens=8)
    other.train()
    assert answers(LocalEngine(other, plain), requests) == expected
    assert other.training
    assert other.generation_config is config


def test_what_does_not_fit_is_a_failure(engine):
    """512 positions: 480 words and <s> leave room for 31 new tokens."""
    long = " ".join(["w1"] * 480)
    found = dict(engine.complete([Cut(long, 32), Cut("w1", 4), Cut(long, 31)]))
    assert found[0] == Failure("the prompt has 481 tokens and 32 are to be written, the model holds 512")
    assert isinstance(found[1], str)
    assert isinstance(found[2], str)


def gpt2():
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(3)
    config = GPT2Config(vocab_size=100, n_positions=512, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)
    return GPT2LMHeadModel(config).eval()


def beginning_alike(rng: random.Random) -> list[Request]:
    """Two long documents before short questions, samples of one prompt, and prompts that share nothing."""
    documents = [words(rng, 90, 90), words(rng, 120, 120)]
    asked = [
        Cut(f"{d} {words(rng, 1, 12)}", rng.randint(2, 6), rng.choice([0.0, 1.0]), i)
        for d in documents
        for i in range(9)
    ]
    asked += [Cut(words(rng, 60, 60) if i > 5 else documents[0], 4, 1.0, seed=i) for i in range(9)]
    return rng.sample(asked, len(asked))


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
@pytest.mark.parametrize("tokens", [400, 8192])
def test_a_common_beginning_is_computed_once(model, plain, shape, tokens, monkeypatch):
    """Equal tokens with and without, and fewer of them computed."""
    chosen = model if shape == "llama" else gpt2()
    requests, computed = beginning_alike(random.Random(tokens)), []
    forward = type(chosen).forward

    @wraps(forward)  # transformers looks at its signature
    def counting(self, input_ids=None, **more):
        computed.append(input_ids.numel())
        return forward(self, input_ids=input_ids, **more)

    monkeypatch.setattr(type(chosen), "forward", counting)
    counts, found = {}, {}
    for share in (False, True):
        engine = LocalEngine(chosen, plain, tokens)
        engine.share = share
        computed.clear()
        found[share] = answers(engine, requests)
        counts[share] = sum(computed)
    assert found[True] == found[False]
    assert len({*found[True]}) > 15
    assert counts[True] < 0.5 * counts[False]


def test_positions_are_bounded_with_a_common_beginning(model, plain, monkeypatch):
    seen, write = [], LocalEngine._write

    def watch(self, prompts, requests, past=None, size=0):
        seen.append((len(prompts) * (max(map(len, prompts)) + max(r.max_tokens for r in requests)), size))
        return write(self, prompts, requests, past, size)

    monkeypatch.setattr(LocalEngine, "_write", watch)
    answers(LocalEngine(model, plain, 600), beginning_alike(random.Random(5)))
    assert max(positions for positions, _ in seen) <= 600
    assert {size > 80 for _, size in seen} == {True, False}


def test_a_sliding_window_shares_nothing(model):
    other = copy.deepcopy(model)
    assert keeps_all(other)
    other.config.sliding_window, other.config.layer_types = 8, ["sliding_attention"] * 2
    assert not keeps_all(other)


class TestBeginnings:
    def test_by_hand(self):
        a, b = [1] * 100, [2] * 50
        prompts = [[*a, 3], [*b, 9], [*a, 4, 5], [7], [*a, 3, 8]]
        assert shared(prompts, 1) == [(100, [0, 4, 2]), (0, [1, 3])]
        assert shared([[*a, 3]] * 4, 1) == [(100, [0, 1, 2, 3])]
        assert shared(prompts, 100) == [(0, [0, 1, 2, 3, 4])]

    def test_a_header_hides_no_document(self):
        """All share 40 tokens; each document's three prompts share 300."""
        header = [1] * 40
        prompts = [[*header, *[d] * 260, i] for d in (2, 3) for i in range(3)]
        assert sorted(size for size, _ in shared(prompts, 1)) == [300, 300]

    def test_ever_longer(self):
        """Each prompt begins the next one, two thousand deep."""
        assert shared([[1] * n for n in range(1, 2001)], 4)

    @given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=12), max_size=12), st.integers(0, 1))
    def test_groups_part_the_prompts_and_do_share(self, prompts, passes):
        groups = shared([[*p, 9] * 8 for p in prompts], passes)
        assert sorted(place for _, places in groups for place in places) == list(range(len(prompts)))
        for size, places in groups:
            starts = {tuple(([*prompts[i], 9] * 8)[:size]) for i in places}
            assert len(starts) == 1 or size == 0
            assert all(size < 8 * (len(prompts[i]) + 1) for i in places)


def test_what_is_cut_is_a_failure_unless_allowed(engine):
    request = Cut(prompts(1)[0], 3)
    whole = answers(engine, [dataclasses.replace(request, max_tokens=12)])[0]
    assert len(whole.split()) > 3
    assert answers(engine, [dataclasses.replace(request, cut=False)]) == [Failure("over-long: cut at 3 tokens")]
    stopped = dataclasses.replace(request, cut=False, stop=(whole.split()[1],))
    assert answers(engine, [stopped])[0].split() == whole.split()[:1]


def test_cost(engine):
    found = answers(engine, [Cut("w1 w2 w3", 5)])[0]
    assert (found.cost.read, found.cost.wrote) == (4, 5)


def test_through_the_store(engine, tmp_path):
    requests = [Cut(p, 6) for p in prompts(5)]
    with Store(tmp_path / "s") as store:
        assert ask(engine, requests, store) == answers(engine, requests)


class TestIdentity:
    def test_a_copy_elsewhere_is_the_same(self, engine, tiny, tmp_path):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        AutoModelForCausalLM.from_pretrained(tiny).save_pretrained(tmp_path)
        bare = AutoTokenizer.from_pretrained(tiny)
        bare.chat_template = None
        assert identify(AutoModelForCausalLM.from_pretrained(tmp_path), bare) == engine.identity

    def test_use_does_not_change_it(self, model, plain):
        fresh = copy.deepcopy(plain)
        before = identify(model, fresh)
        answers(LocalEngine(model, fresh), [Cut("w1", 3)])
        fresh(["w1", "w1 w2"], padding=True, truncation=True, max_length=2)
        assert identify(model, fresh) == before

    def test_what_decides_the_answers_changes_it(self, model, plain, tokenizer):
        import torch

        def changed(change):
            other = copy.deepcopy(model)
            with torch.no_grad():
                change(other)
            return identify(other, plain)

        words = copy.deepcopy(plain)
        words.add_tokens(["new"])
        identities = [
            identify(model, plain),
            identify(model, tokenizer),
            identify(model, words),
            changed(lambda m: m.model.layers[1].mlp.up_proj.weight[3, 5].add_(1e-6)),
            changed(lambda m: m.to(torch.bfloat16)),
            changed(lambda m: m.config.update({"rms_norm_eps": 1e-5})),
        ]
        assert len({*identities}) == len(identities)
