"""What a model does not compute rightly is found at load, whatever its architecture, precision, adapter and mode."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from contextune import BindContext, models
from contextune.contexts import bind_policy, parse
from contextune.core import registry
from contextune.core.errors import UserError
from contextune.core.progress import say_once
from contextune.core.sequence import Record, Rendered, Segment
from contextune.models.options import Adapter
from contextune.train import stage
from contextune.train.collator import ContextCollator
from contextune.train.fast_path import FastPath
from contextune.train.layouts import LAYOUTS, PACKED, PADDED, SHARED, SINGLE, SPARING, Layout, choose, fallback
from contextune.train.options import Train
from contextune_lab.bench.tiny_models import configuration, tiny

from .shapes import update

ISOLATED = ["llama", "gpt2", "qwen3_moe", "falcon", "deepseek_v3", "lfm2"]
LEAKING = ["opt", "bloom", "mpt", "gpt_oss", "mamba", "rwkv", "qwen3_next"]  # the others in the slow test
BIDIRECTIONAL = ["xlnet", "bert", "roberta", "cpmant"]


def gradient(model, layout):
    """Of an update of rows much longer than the trial's."""
    model.zero_grad()
    engine, known = FastPath(), lambda ids: tuple(i - 90 if i > 95 else i for i in ids)
    rows = [Rendered(known(row.ids), known(row.labels)) for row in update()[:7]]
    for batch in layout(rows, 10_000, 0):
        with engine.around(model, batch):
            engine.loss(model, batch, 0.01).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def off(model, layout, plain):
    try:
        return float((gradient(model, layout) - plain).norm() / plain.norm())
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return float("inf")


def judged(model):
    """Layout -> whether it is refused, which must be exactly where its gradients are others."""
    refused = FastPath.of(model, 60).refused  # as long as the longest of the update
    plain = gradient(model, SINGLE)
    differ = {name: off(model, LAYOUTS[name], plain) > 1e-4 for name in ("padded", "packed", "shared")}
    assert {name: name in refused for name in differ} == differ, refused
    return differ


@pytest.mark.parametrize("name", ISOLATED)
def test_what_isolates_is_allowed(name):
    assert not judged(tiny(name))["packed"]


@pytest.mark.parametrize("name", LEAKING)
def test_packed_rows_that_see_each_other_are_refused(name):
    found = judged(tiny(name))
    assert found["packed"]
    assert not found["padded"]


@pytest.mark.parametrize("name", BIDIRECTIONAL)
def test_what_is_not_causal_is_refused_in_every_layout(name):
    refused = FastPath.of(tiny(name), 96).refused
    assert set(refused) == {"single", "padded", "packed", "shared"}
    for layout in ("auto", "single", "padded"):
        with pytest.raises(UserError, match="cannot be trained on texts: a token sees those that follow"):
            choose(layout, "sdpa", "cpu", False, refused)


@pytest.mark.slow
def test_every_causal_architecture_is_right_or_refused():
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as names

    counts = Counter()
    large = {"phi4_multimodal", "git"}  # parts whose sizes are fixed
    for name in sorted(set(names) - large):
        try:
            if any(hasattr(configuration(name), part) for part in ("text_config", "decoder_config", "decoder")):
                continue  # its text model has a name of its own
            model = tiny(name)
            model(input_ids=torch.arange(3, 16)[None], use_cache=False)
        except Exception:  # no tiny one could be made
            counts["not made"] += 1
            continue
        if model.num_parameters() < 10_000_000:
            refused = FastPath.of(model, 60).refused
            counts["packed refused" if "packed" in refused else "packed allowed"] += 1
            if "single" not in refused:
                judged(model)
    assert counts["packed refused"] > 50
    assert counts["packed allowed"] > 70
    assert counts["not made"] < 45


def of_initial_weights(name):
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(configuration(name)).train()


@pytest.mark.parametrize("name", ["opt", "gpt_oss", "recurrent_gemma"])
def test_weak_attention_hides_no_leak(name):
    """In fresh weights a leak changes the loss by less than rounding may."""
    assert judged(of_initial_weights(name))["packed"]


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "gpt2", "lfm2"])
def test_bf16_refuses_no_right_model(name):
    assert not {"padded", "packed", "shared"} & set(FastPath.of(tiny(name).bfloat16(), 96).refused)


@pytest.mark.parametrize("name", ["opt", "bloom", "recurrent_gemma"])
def test_bf16_passes_no_wrong_model(name):
    assert "packed" in FastPath.of(tiny(name).bfloat16(), 96).refused
    assert "packed" in FastPath.of(of_initial_weights(name).bfloat16(), 96).refused


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointed"])
@pytest.mark.parametrize(("name", "leaks"), [("llama", False), ("qwen3", False), ("opt", True)])
def test_with_an_adapter(name, leaks, checkpointing):
    model = models.adapt(tiny(name), Adapter(rank=4)).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    assert ("packed" in FastPath.of(model, 96).refused) == leaks


def test_the_trial_leaves_no_trace():
    """A model with dropout is tried without it; its mode, gradients, hooks and all generators stay as they were."""
    model = tiny("gpt2", resid_pdrop=0.2, embd_pdrop=0.2, attn_pdrop=0.2)
    state = torch.get_rng_state()
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert not FastPath.of(model, 96).refused
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]


def test_a_model_that_fails_is_refused_in_words(monkeypatch):
    model = tiny("llama")
    monkeypatch.setattr(model.model, "forward", lambda **_: 1 / torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(UserError, match="on a short text it fails: inconsistent tensor size"):
        choose("auto", "sdpa", "cpu", False, FastPath.of(model, 96).refused)


LONG = {
    "rope_type": "longrope",
    "original_max_position_embeddings": 32,
    "short_factor": [1.0] * 8,
    "long_factor": [4.0] * 8,
}


@pytest.mark.parametrize(
    ("name", "rope"), [("phi3", LONG), ("llama", LONG), ("llama", {"rope_type": "dynamic", "factor": 4.0})]
)
def test_positions_that_hang_on_the_longest_text(name, rope):
    """Beyond its first length such a model computes a short text otherwise beside a long one, padded or not."""
    first = "max_position_embeddings" if rope["rope_type"] == "dynamic" else "original_max_position_embeddings"
    model = tiny(name, rope_parameters={**rope, "rope_theta": 10000.0}, **{first: 32})
    assert not {"padded", "packed"} & set(FastPath.of(model, 32).refused)
    refused = FastPath.of(model, 96).refused
    assert {"padded", "packed", "shared"} == set(refused)
    assert choose("auto", "sdpa", "cpu", False, refused) is SINGLE
    assert off(model, PACKED, gradient(model, SINGLE)) > 1e-3


def test_a_layout_of_a_plug_in_is_tried_too(monkeypatch):
    doubled = Layout(lambda rows, tokens, pad: SINGLE([*rows, rows[0]], tokens, pad))
    monkeypatch.setitem(registry.layouts._known, "doubled", doubled)
    refused = FastPath.of(tiny("llama"), 96, layout="doubled").refused
    assert "loss and gradients are others" in refused["doubled"]
    with pytest.raises(UserError, match="does not compute layout doubled as it computes texts alone"):
        choose("doubled", "sdpa", "cpu", True, refused)


WHY = "texts see each other"


@pytest.mark.parametrize(
    ("attention", "device", "refused", "layout", "said"),
    [
        ("sdpa", "cpu", (), SPARING, ""),
        ("sdpa", "cpu", ("packed",), SPARING, ""),
        ("sdpa", "cpu", ("shared",), PADDED, "layout: padded; this model does not compute shared beginnings"),
        ("sdpa", "cpu", ("padded",), SHARED, "layout: shared; this model does not compute padded rows"),
        ("sdpa", "cpu", ("padded", "shared", "packed"), SINGLE, "layout: single; this model does not compute padded"),
        ("flash_attention_2", "cuda", (), PACKED, ""),
        ("flash_attention_2", "cuda", ("packed",), SPARING, "layout: shared; this model does not compute packed rows"),
        ("flash_attention_2", "cuda", ("packed", "shared"), PADDED, "layout: padded; this model does not compute pack"),
    ],
)
def test_auto_takes_what_was_not_refused(attention, device, refused, layout, said):
    why = dict.fromkeys(refused, WHY)
    assert choose("auto", attention, device, "shared" not in why, why) is layout
    sentence = fallback(attention, device, why)
    assert sentence.startswith(said)
    assert (WHY in sentence) == bool(said)


@pytest.mark.parametrize(("name", "what"), [("packed", "packed rows"), ("padded", "padded rows")])
def test_a_refused_layout_asked_for_by_name(name, what):
    with pytest.raises(
        UserError, match=f"train.layout is {name}, .* {what} as it computes texts alone .{WHY}"
    ) as error:
        choose(name, "sdpa", "cpu", True, {name: WHY})
    assert error.value.hint == "use layout: auto"


def test_a_stage_refuses_by_name_and_falls_back_with_one_sentence(tmp_path, tokenizer, caplog):
    start = tmp_path / "start"
    tiny("mamba", vocab_size=100).save_pretrained(start)
    records = [Record(f"r{i}", (Segment(f"w{i} w3 w4", "target"),), f"d{i}") for i in range(4)]
    context = bind_policy(parse("none"), BindContext(tokenizer, tuple(records)))

    def job(layout):
        train = Train(steps=1, batch=4, max_length=32, precision="fp32", layout=layout)
        return stage.TrainJob(records, context, tokenizer, train, 0, str(start), tmp_path / layout)

    with pytest.raises(UserError, match="layout is packed"):
        stage.run(job("packed"))
    assert not [m for m in caplog.messages if m.startswith("layout")]
    say_once.cache_clear()
    stage.run(job("auto"))
    (said,) = (m for m in caplog.messages if m.startswith("layout"))
    assert said.startswith("layout: padded; this model does not compute shared beginnings")


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("llama", set()),
        ("gemma2", {"shared"}),
        ("opt", {"packed"}),
        ("mamba", {"packed", "shared"}),
        ("bert", set("*")),
    ],
)
def test_a_collator_refuses_a_model_that_does_not_fit(name, refused, tokenizer):
    """For other trainers: layouts made of masks and positions. Eager attention (Gemma 2) adds a mask of booleans."""
    model = tiny(name)
    for layout in ("padded", "packed", "shared"):
        collator = ContextCollator(tokenizer, layout)
        if refused & {layout, "*"}:
            with pytest.raises(UserError, match=f"layout '{layout}': this model does not compute it"):
                collator.refuse(model)
        else:
            collator.refuse(model)


def test_transformers_trainer_is_stopped_before_the_first_update(tmp_path, tokenizer):
    from transformers import Trainer, TrainingArguments

    from contextune import ContextDataset

    for name in ("llama", "opt"):
        dataset = ContextDataset(
            ["w1 w2 w3", "w4 w5", "w6"], context="none", tokenizer=tokenizer, max_length=32, layout="packed"
        )
        trainer = Trainer(
            tiny(name, vocab_size=100),
            TrainingArguments(str(tmp_path), max_steps=1, use_cpu=True, report_to="none", save_strategy="no"),
            train_dataset=dataset,
            data_collator=dataset.collator,
            callbacks=[dataset.epoch_callback],
        )
        if name == "llama":
            trainer.train()
        else:
            with pytest.raises(UserError, match="layout 'packed'"):
                trainer.train()
        assert trainer.state.global_step == (name == "llama")
