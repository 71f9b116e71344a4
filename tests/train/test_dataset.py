"""ContextDataset: literal ids, the draws of a run, three layouts with one loss, and two trainers that take it."""

from __future__ import annotations

import pytest
import torch

import contextune
from contextune import ContextDataset, DrawKey, Record, Segment, UserError
from contextune.contexts import bind_policy, compose, parse
from contextune.core.binding import BindContext
from contextune.core.sequence import render
from contextune.train.collator import ContextCollator

TEXTS = ["w1 w2 w3", "w4 w5", "w6 w7 w8 w9"]
PREFIX = {"policy": "prompts", "set": "set.yaml"}
SET = """name: two
version: 1
template: "{{ prompt }} "
prompts:
  - {id: a, text: w50 w51}
  - {id: b, text: w60 w61}
"""


@pytest.fixture
def dataset(tokenizer, tmp_path):
    (tmp_path / "set.yaml").write_text(SET)
    return ContextDataset(TEXTS, PREFIX, tokenizer=tokenizer, max_length=32, seed=0, folder=tmp_path)


def test_ids_and_labels(dataset):
    found = [dataset[i] for i in range(3)]
    prompts = {(58, 59), (68, 69)}
    for row, target in zip(found, ([9, 10, 11, 2], [12, 13, 2], [14, 15, 16, 17, 2]), strict=True):
        assert row["input_ids"][0] == 1
        assert tuple(row["input_ids"][1:3]) in prompts
        assert row["input_ids"][3:] == target
        assert row["labels"] == [-100, -100, -100, *target]


def test_epochs_draw_anew_and_the_same_again(dataset):
    def epoch(e):
        dataset.set_epoch(e)
        return [tuple(dataset[i]["input_ids"]) for i in range(3)]

    assert [epoch(e) for e in range(4)] == [epoch(e) for e in range(4)]
    assert len({tuple(epoch(e)) for e in range(8)}) > 1


def test_the_same_as_a_run(dataset, tokenizer, tmp_path):
    """`contextune run` composes and renders a record in this way."""
    policy = parse(PREFIX).located(tmp_path)
    bound = bind_policy(policy, BindContext(tokenizer, tuple(dataset.records), folder=tmp_path))
    dataset.set_epoch(2)
    for i, record in enumerate(dataset.records):
        expected = render(compose(record, bound, DrawKey(0, 2)), tokenizer, 32)
        assert dataset[i] == {"input_ids": list(expected.ids), "labels": list(expected.labels)}


def test_to_hf(dataset):
    made = dataset.to_hf(epoch=1, epochs=2)
    assert made.column_names == ["input_ids", "labels"]
    assert len(made) == 6
    dataset.set_epoch(2)
    assert made[4] == dataset[1]


@pytest.mark.parametrize("layout", ["packed", "shared"])
def test_layouts_give_one_loss_and_gradient(layout, tokenizer, tiny):
    model = contextune.load_model(str(tiny))
    shared = [Segment("w50 w51 w52 ", "context")]
    records = [Record(f"r{i}", (*shared, Segment(t, "target"))) for i, t in enumerate(TEXTS)]
    dataset = ContextDataset(records, tokenizer=tokenizer, max_length=32)
    rows = [dataset[i] for i in range(3)]

    def gradients(form):
        model.zero_grad()
        loss = model(**ContextCollator(tokenizer, form)(rows)).loss
        loss.backward()
        return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])

    loss, expected = gradients("padded")
    found, grad = gradients(layout)
    assert found == pytest.approx(float(loss), rel=1e-5)
    assert torch.allclose(grad, expected, atol=1e-6)


def test_shared_holds_the_beginning_once(tokenizer):
    rows = [{"input_ids": [1, 50, 51, 9, 2], "labels": [-100, -100, -100, 9, 2]},
            {"input_ids": [1, 50, 51, 12, 2], "labels": [-100, -100, -100, 12, 2]}]  # fmt: skip
    made = ContextCollator(tokenizer, "shared")(rows)
    assert made["input_ids"].tolist() == [[1, 50, 51, 9, 2, 51, 12, 2]]
    assert made["position_ids"].tolist() == [[0, 1, 2, 3, 4, 2, 3, 4]]
    assert made["labels"].tolist() == [[-100, -100, -100, 9, 2, -100, 12, 2]]


def test_transformers_trainer(dataset, tiny, tmp_path):
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(tmp_path / "out"), num_train_epochs=8, per_device_train_batch_size=3, report_to="none",
        use_cpu=True, disable_tqdm=True, save_strategy="no", remove_unused_columns=False,
    )  # fmt: skip
    model = contextune.load_model(str(tiny))
    trainer = Trainer(
        model, arguments, train_dataset=dataset, data_collator=dataset.collator, callbacks=[dataset.epoch_callback]
    )
    assert trainer.train().training_loss > 0
    assert dataset.epoch == 7


def test_trl_sft_trainer(dataset, tiny, tokenizer, tmp_path):
    trl = pytest.importorskip("trl")
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=3, report_to="none", use_cpu=True,
        disable_tqdm=True, save_strategy="no", bf16=False, gradient_checkpointing=False,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        contextune.load_model(str(tiny)), arguments, train_dataset=dataset.to_hf(epoch=0), processing_class=tokenizer
    )
    (batch,) = trainer.get_train_dataloader()
    rows = {tuple(x for x in row if x != -100) for row in batch["labels"].tolist()}
    assert rows == {(9, 10, 11, 2), (12, 13, 2), (14, 15, 16, 17, 2)}
    trainer.train()


@pytest.mark.parametrize(
    ("records", "context", "message"),
    [
        ([], "none", "no records"),
        (["w1"], "prompt", "unknown context policy 'prompt'"),
        (["w1"], {"policy": "prompts", "sett": "x"}, "context.sett"),
        (["w1"], {"policy": "similar"}, "how long it is at most is not known"),
        ([{"prompt": "w1"}], "none", "no column 'text'"),
        ([{"text": 3}], "none", "record 0"),
    ],
)
def test_bad_input(records, context, message, tokenizer):
    with pytest.raises(UserError, match=message):
        ContextDataset(records, context, tokenizer=tokenizer, max_length=32)


def test_unknown_layout(tokenizer):
    with pytest.raises(UserError, match="unknown layout 'pack'"):
        ContextCollator(tokenizer, "pack")
