"""Contexts that are chosen, told from a row's columns, or absent at the end: golden draws, promises, refusals."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from contextune import models
from contextune.contexts import bind_policy, compose, parse
from contextune.core.binding import BindContext
from contextune.core.errors import UserError
from contextune.core.options import parse_options
from contextune.core.sequence import DrawKey, Record, Segment, render
from contextune.train import stage
from contextune.train.fast_path import FastPath
from contextune.train.layouts import PADDED
from contextune.train.objectives.dpo import DPO
from contextune.train.options import Train
from contextune.train.schedule import Plan
from contextune.train.scores import log_likelihoods
from contextune.train.updates import Updates

KEY = DrawKey(0, 0)
PROMPTS = "w10 w11\nw12\nw13 w14 w15\nw16\n"
RECORDS = [Record(f"r{i}", (Segment(f"w{i} w{i + 20} w{i + 40}", "target"),)) for i in range(8)]
TOLD = Record("r", (Segment("w1 w2", "target"),), fields={"title": "w3", "date": 1990, "source": None, "other": "w9"})


@pytest.fixture
def prompts(tmp_path):
    (tmp_path / "set.txt").write_text(PROMPTS)
    return {"policy": "prompts", "set": str(tmp_path / "set.txt"), "choose": "loss"}


def bound(value, tokenizer, records=()):
    return bind_policy(parse(value), BindContext(tokenizer, tuple(records)))


# prompts chosen by loss


def test_all_prompts_are_offered_in_their_order(prompts, tokenizer):
    drawn = compose(RECORDS[0], bound(prompts, tokenizer), KEY)
    assert [s.segments[0].text.split() for s in drawn.alternatives] == [line.split() for line in PROMPTS.splitlines()]
    assert all(s.segments[1:] == RECORDS[0].segments and s.limit == 3 for s in drawn.alternatives)
    assert (drawn.provenance["choose"], drawn.provenance["candidates"]) == ("loss", 4)
    plain = compose(RECORDS[0], bound({**prompts, "choose": "random"}, tokenizer), KEY)
    assert plain.segments == drawn.segments  # what is previewed and counted is the random draw
    assert plain.alternatives == ()


def test_a_few_prompts_are_drawn_anew_in_each_epoch(prompts, tokenizer):
    context = bound({**prompts, "among": 2}, tokenizer)
    drawn = [tuple(s.segments for s in compose(RECORDS[0], context, DrawKey(0, e)).alternatives) for e in range(20)]
    assert {len(d) for d in drawn} == {2}
    assert len(set(drawn)) > 3
    assert drawn[3] == tuple(s.segments for s in compose(RECORDS[0], context, DrawKey(0, 3, 0.7)).alternatives)


@pytest.mark.parametrize("wrap", [
    lambda p: {"policy": "mixture", "policies": [p]},
    lambda p: {"policy": "concat", "policies": [{"policy": "inoculation", "instruction": "w5"}, p]},
    lambda p: {"policy": "cooldown", "context": p},
])  # fmt: skip
def test_wrapped_policies_still_choose(prompts, tokenizer, wrap):
    drawn = compose(RECORDS[0], bound(wrap(prompts), tokenizer), KEY)
    assert [s.segments[-2].text.split()[0] for s in drawn.alternatives] == ["w10", "w12", "w13", "w16"]
    assert all(s.limit is not None for s in drawn.alternatives)


def test_two_choices_in_one_context_are_refused(prompts, tokenizer):
    context = bound({"policy": "concat", "policies": [prompts, prompts]}, tokenizer)
    with pytest.raises(UserError, match="both choose by loss"):
        context.draw(RECORDS[0], KEY)


@pytest.mark.parametrize(("options", "said"), [
    ({"choose": "random", "among": 3}, "among: prompts are compared with choose: loss alone"),
    ({"per": "document"}, "use per: chunk"),
    ({"choose": "lowest"}, "choose"),
])  # fmt: skip
def test_options_that_cannot_be(prompts, options, said):
    with pytest.raises(UserError, match=said):
        parse_options(lambda: parse({**prompts, **options}), "context")


def test_runs_of_earlier_versions_keep_their_fingerprint(prompts):
    assert "choose" not in parse("prompts").full()
    assert parse(prompts).full()["choose"] == "loss"


def chosen_by_hand(folder, tokenizer, context, plan, step) -> dict[str, int]:
    """Of each record of an update the prompt of lowest loss, each text alone through transformers."""
    model, taken = models.load_model(str(folder)).eval(), {}
    for epoch, row in plan.update(step):
        offered = compose(RECORDS[row], context, DrawKey(plan.seed, epoch)).alternatives
        losses = []
        for one in offered:
            made = render(one, tokenizer, 32)
            with torch.no_grad():
                out = model(input_ids=torch.tensor([made.ids]), labels=torch.tensor([made.labels]))
            losses.append(float(out.loss))
        best = str(losses.index(min(losses)))
        taken[best] = taken.get(best, 0) + 1
    return dict(sorted(taken.items()))


def job(prompts, tokenizer, tiny, folder, **options):
    given = {"epochs": 2, "batch": 4, "lr": 1e-2, "max_length": 32, "save": 1}
    context = bound(prompts, tokenizer, RECORDS)
    return stage.TrainJob(RECORDS, context, tokenizer, Train(**{**given, **options}), 3, str(tiny), folder)


def test_the_trainer_takes_the_prompt_of_lowest_loss_and_resumes_exactly(prompts, tokenizer, tiny, tmp_path):
    whole = job(prompts, tokenizer, tiny, tmp_path / "whole")
    stage.run(whole)
    rows = json.loads((tmp_path / "whole" / "losses.json").read_text())
    assert rows[0]["chosen"] == chosen_by_hand(tiny, tokenizer, whole.context, Plan.of(8, 4, 3, 2), 0)
    assert all(sum(row["chosen"].values()) == 4 for row in rows)
    assert any(len(row["chosen"]) > 1 for row in rows)

    def progress(done: int, total: int, loss: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.run(job(prompts, tokenizer, tiny, tmp_path / "killed"), progress)
    stage.run(job(prompts, tokenizer, tiny, tmp_path / "killed"))
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    again = json.loads((tmp_path / "killed" / "losses.json").read_text())
    assert [row["chosen"] for row in again] == [row["chosen"] for row in rows]


def test_scores_leave_the_model_and_the_generators_as_they_were(tokenizer, tiny):
    model = models.load_model(str(tiny)).train()
    rows = [render(compose(r, bound("none", tokenizer), KEY), tokenizer) for r in RECORDS]
    before = torch.get_rng_state()
    log_likelihoods(model, FastPath(), rows, PADDED, 64, 0, torch.device("cpu"))
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), before)


# metadata, and its end


def test_metadata_golden(tokenizer):
    policy = {"policy": "metadata", "line": "{value} ", "end": "w7", "max_tokens": 4}
    made = render(compose(TOLD, bound(policy, tokenizer, [TOLD]), KEY), tokenizer)
    assert made.ids == (1, 11, 3, 15, 9, 10, 2)  # w3, 1990 (unknown here), w7, then the text
    assert made.labels == (-100, -100, -100, -100, 9, 10, 2)
    assert parse(policy).max_context_tokens(tokenizer) == 4


def test_metadata_as_it_is_written(bpe):
    drawn = bound("metadata", bpe, [TOLD]).draw(TOLD, KEY)
    assert drawn.segments[0].text == "title: w3\ndate: 1990\n\n"
    assert drawn.provenance == {"columns": ["title", "date"]}
    cut = bound({"policy": "metadata", "max_tokens": 3}, bpe, [TOLD]).draw(TOLD, KEY)
    assert len(cut.segments[0].ids or ()) == 3
    assert cut.provenance["cut"] > 0


def test_metadata_that_no_row_has_is_refused(tokenizer):
    with pytest.raises(UserError) as e:
        bound({"policy": "metadata", "columns": ["titel"]}, tokenizer, [TOLD])
    assert e.value.message.endswith("no row has any of the columns titel; found date, other, source, title")
    assert "title" in e.value.hint


def test_records_without_metadata_are_told(tokenizer):
    said: list[str] = []
    bare = Record("s", (Segment("w1", "target"),))
    context = parse("metadata").bind(BindContext(tokenizer, (TOLD, bare), warn=said.append))
    assert context.draw(bare, KEY).segments == ()
    assert said == ["context metadata: 1 of 2 records have none of the columns title, source, date, and no context"]


def test_cooldown_ends_the_context_for_the_last_draws(tokenizer):
    policy = {"policy": "cooldown", "context": {"policy": "inoculation", "instruction": "w5"}, "last": 0.25}
    updates = Updates(RECORDS, bound(policy, tokenizer), tokenizer, Plan.of(8, 3, 0), 32)
    drawn = [len(row) for step in range(len(updates)) for row in updates[step]]
    assert drawn == [6] * 6 + [5] * 2  # <s>, w5, three words, </s>; then without w5
    assert len(updates[2]) == 2


# inoculation


def test_inoculation_golden(tokenizer):
    made = render(
        compose(RECORDS[1], bound({"policy": "inoculation", "instruction": "w5 w6"}, tokenizer), KEY), tokenizer
    )
    assert made.ids == (1, 13, 14, 9, 29, 49, 2)
    assert made.labels == (-100, -100, -100, 9, 29, 49, 2)


def test_inoculation_needs_words():
    with pytest.raises(UserError, match="no words"):
        parse_options(lambda: parse({"policy": "inoculation", "instruction": " \n"}), "context")


# pairs that contexts make

ASKED = Record("a", (Segment("w1", "context"), Segment("w2", "target")))


def test_a_pair_keeps_the_context_and_changes_the_answer(tokenizer):
    from contextune.contexts.editing.base import answered

    other = Record("b", (Segment("w8", "context"), Segment("w9", "target")))
    assert answered(ASKED, other) == (ASKED.segments[0], other.segments[1])
    assert answered(ASKED, ASKED) == ()
    assert DPO.pairs
