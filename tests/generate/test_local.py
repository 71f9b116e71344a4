"""The transformers engine: what a request is answered depends on that request and the model alone."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections import Counter

import pytest

from contextune.generate import Failure, Request, Store, ask
from contextune.generate.local import Local, identify
from tests.conftest import words


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
    return Local(model, plain)


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
    requests = [Request(p, max_tokens=12) for p in prompts(8)]
    loops = [greedy(model, plain.encode(r.prompt), 12) for r in requests]
    expected = [plain.decode(ids, skip_special_tokens=True) for ids in loops]
    assert answers(engine, requests) == expected
    assert len({*expected}) > 4


@pytest.mark.parametrize("tokens", [60, 200, 8192])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_batched_is_one_at_a_time(model, plain, tokens, temperature):
    requests = [Request(p, 5 + i % 9, temperature, seed=i % 3) for i, p in enumerate(prompts(24))]
    alone = [answers(Local(model, plain), [r])[0] for r in requests]
    assert answers(Local(model, plain, tokens), requests) == alone
    assert answers(Local(model, plain, tokens), requests[::-1]) == alone[::-1]


def test_batches_keep_to_their_budget(model, plain):
    seen, engine = [], Local(model, plain, 120)
    queue = [(i, engine.prompt(p)) for i, p in enumerate(prompts(30))]
    for batch in engine._batches(queue, [Request(p, 4 + len(p) % 7) for p in prompts(30)]):
        most = max(4 + len(prompts(30)[place]) % 7 for place, _ in batch)
        assert len(batch) == 1 or len(batch) * (max(len(ids) for _, ids in batch) + most) <= 120
        seen += [place for place, _ in batch]
    assert sorted(seen) == list(range(30))


def test_mixed_batch(engine):
    """Greedy and sampled rows side by side, each with its own length and stop."""
    base = [Request(p, 8) for p in prompts(4)]
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
        logits = model(torch.tensor([engine.prompt(prompt)])).logits[0, -1].double()
    expected = {
        plain.decode([i], skip_special_tokens=True): float(p) * n
        for i, p in enumerate((logits / temperature).softmax(-1))
    }
    drawn = Counter(answers(engine, [Request(prompt, 1, temperature, seed) for seed in range(n)]))
    often = [t for t, e in expected.items() if t and e >= 20]
    assert len(often) > 5
    counts = [drawn[t] for t in often]
    wanted = [expected[t] for t in often]
    assert chisquare([*counts, n - sum(counts)], [*wanted, n - sum(wanted)]).pvalue > 0.001


def test_seeds(engine):
    request = Request("w5 w6", 12, 1.0)
    several = answers(engine, [dataclasses.replace(request, seed=s) for s in range(6)])
    assert len({*several}) == 6
    assert several == answers(engine, [dataclasses.replace(request, seed=s) for s in range(6)])
    greedy = answers(engine, [dataclasses.replace(request, temperature=0.0, seed=s) for s in range(3)])
    assert len({*greedy}) == 1


def test_end_of_text(model, plain):
    """All of the model's own end tokens end a text, and what a finished row is filled with is no part of it."""
    requests = [Request(p, 10) for p in prompts(6)]
    whole = [plain.encode(a)[1:] for a in answers(Local(model, plain), requests)]
    ended = copy.deepcopy(model)
    ended.generation_config.eos_token_id = [2, whole[0][3]]
    ended.generation_config.pad_token_id = None
    found = answers(Local(ended, plain), requests)
    assert [plain.encode(a)[1:] for a in found] == [w[: w.index(whole[0][3])] if whole[0][3] in w else w for w in whole]
    assert len(found[0].split()) == whole[0].index(whole[0][3]) <= 3


def test_no_end_of_text(model, plain):
    """Without any end token each row still ends at its own length."""
    endless, bare = copy.deepcopy(model), copy.deepcopy(plain)
    endless.generation_config.eos_token_id = bare.eos_token = None
    requests = [Request(p, 2 + 3 * i) for i, p in enumerate(prompts(4))]
    alone = [answers(Local(endless, bare), [r])[0] for r in requests]
    assert answers(Local(endless, bare), requests) == alone
    assert len(alone[0].split()) <= 2


def test_chat_template(model, tokenizer, plain):
    """A user's turn and the opening of the answer; no second <s>."""
    mark = {
        t: i
        for i, t in enumerate(("<pad>", "<s>", "</s>", "<unk>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"))
    }
    assert Local(model, tokenizer).prompt("w0 w1") == [mark["<|user|>"], 8, 9, mark["<|end|>"], mark["<|assistant|>"]]
    assert Local(model, plain).prompt("w0 w1") == [mark["<s>"], 8, 9]
    request = Request("w0 w1", 6)
    expected = greedy(model, Local(model, tokenizer).prompt("w0 w1"), 6)
    assert answers(Local(model, tokenizer), [request]) == [tokenizer.decode(expected, skip_special_tokens=True)]


def test_the_models_own_sampling_is_not_used(model, plain):
    requests = [Request(p, 8) for p in prompts(4)]
    expected = answers(Local(model, plain), requests)
    other = copy.deepcopy(model)
    config = other.generation_config
    config.update(do_sample=True, temperature=3.0, repetition_penalty=9.0, no_repeat_ngram_size=1, min_new_tokens=8)
    other.train()
    assert answers(Local(other, plain), requests) == expected
    assert other.training
    assert other.generation_config is config


def test_what_does_not_fit_is_a_failure(engine):
    """512 positions: 480 words and <s> leave room for 31 new tokens."""
    long = " ".join(["w1"] * 480)
    found = dict(engine.complete([Request(long, 32), Request("w1", 4), Request(long, 31)]))
    assert found[0] == Failure("the prompt has 481 tokens and 32 are to be written, the model holds 512")
    assert isinstance(found[1], str)
    assert isinstance(found[2], str)


def test_through_the_store(engine, tmp_path):
    requests = [Request(p, 6) for p in prompts(5)]
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
        answers(Local(model, fresh), [Request("w1", 3)])
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
