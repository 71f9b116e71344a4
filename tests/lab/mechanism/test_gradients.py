"""Contextual gradients: against finite differences and whole gradients, on target tokens that are the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from contextune import models
from contextune.core.errors import UserError
from contextune.core.progress import Reporter
from contextune.core.sequence import IGNORED, Rendered
from contextune.experiment import recipe
from contextune_lab.mechanism import gradients as study
from contextune_lab.mechanism import gradients_measure as measuring
from contextune_lab.mechanism import gradients_page as pages
from contextune_lab.mechanism import gradients_stats as stats
from contextune_lab.mechanism.gradients_measure import BASE, MeasureOptions, measure
from contextune_lab.mechanism.gradients_meter import Meter


@pytest.fixture(scope="module")
def model(tiny):
    return models.load_model(str(tiny))


def row(context: list[int], target: list[int]) -> Rendered:
    return Rendered((1, *context, *target), (IGNORED,) * (1 + len(context)) + tuple(target))


PLAIN = [row([], [10 + i, 30 + 2 * i, 50, 17 + i]) for i in range(6)]
AFTER = [row([60, 61 + i, 70], [10 + i, 30 + 2 * i, 50, 17 + i]) for i in range(6)]
ASKED = {"one": [row([20 + i, 21], [40 + i]) for i in range(5)], "two": [row([9], [11 + i, 12]) for i in range(4)]}
QUICK = MeasureOptions(resamples=50, blocks=3)


def loss_of(model, rows) -> float:
    """Of every labelled token, from the logits of the whole row, in the model's own precision."""
    total = 0.0
    with torch.no_grad():
        for r in rows:
            logits = model(input_ids=torch.tensor([r.ids])).logits[0, :-1]
            labels = torch.tensor(r.labels[1:])
            total += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
    return total


def test_gradient_is_that_of_finite_differences(model):
    meter = Meter(model)
    vector, losses = meter.take(AFTER[:2])
    assert sum(float(x.sum()) for x in losses) == pytest.approx(loss_of(model, AFTER[:2]), rel=1e-5)
    assert all(p.grad is None for p in model.parameters())
    double = models.load_model(str(model.name_or_path)).double()
    name = "model.layers.0.self_attn.v_proj.weight"
    weight, step = dict(double.named_parameters())[name], 1e-5
    place = int(vector[meter.places[name]].abs().argmax())
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.view(-1)[place] += sign * step
            ends.append(loss_of(double, AFTER[:2]))
            weight.view(-1)[place] -= sign * step
    expected = (ends[0] - ends[1]) / (2 * step)
    assert abs(expected) > 1e-2, "a parameter that does nothing would prove nothing"
    assert float(vector[meter.places[name]][place]) == pytest.approx(expected, rel=1e-3)


def test_layers_hold_every_parameter_once(model):
    meter = Meter(model)
    assert list(meter.layers) == ["embeddings", "block 0", "block 1", "norm", "head"]
    held = np.zeros(meter.width, dtype=int)
    for place in meter.places.values():
        held[place] += 1
    assert (held == 1).all()
    assert meter.width == sum(p.numel() for p in model.parameters())


def test_projected_products_are_right_on_average(model):
    """A sketch so small that one of them is far off; the mean of many is not."""
    whole = Meter(model)
    a, b = whole.take(PLAIN[:2])[0], whole.take(AFTER[:2])[0]
    products = []
    for seed in range(60):
        meter = Meter(model, "sketch", seed, size=31)
        products.append(meter.take(PLAIN[:2])[0] @ meter.take(AFTER[:2])[0])
    found = torch.stack(products).double()
    error = found.std() / len(found) ** 0.5
    assert abs(found.mean() - (a @ b).double()) < 4 * error
    assert error < 0.5 * abs(a @ b), "as wide an interval would hold zero"


def test_nothing_against_nothing(model):
    made = measure(model, {BASE: PLAIN, "same": PLAIN}, ASKED, options=QUICK)
    of = made["contexts"]["same"]
    assert of["shift"]["value"] == 0
    assert of["cosine"]["value"] == pytest.approx(1, abs=1e-6)
    assert of["ratio"]["value"] == pytest.approx(1, abs=1e-6)
    assert of["downstream"]["one"]["difference"] == {"value": 0, "interval": [0, 0]}


def test_values_are_those_of_whole_gradients(model):
    """By hand: loss.backward() on all rows at once, cosines of what torch gives."""

    def gradient(rows, scale=1.0):
        model.zero_grad()
        for r in rows:
            mean = model(input_ids=torch.tensor([r.ids]), labels=torch.tensor([r.labels])).loss
            (mean * r.trained * scale).backward()
        found = torch.cat([p.grad.flatten() for p in model.parameters()]).double()
        block = torch.cat([p.grad.flatten() for p in model.model.layers[1].parameters()]).double()
        model.zero_grad()
        return found, block

    made = measure(model, {BASE: PLAIN, "after": AFTER}, ASKED, ["one", "two"], QUICK)
    (g0, b0), (gc, bc) = gradient(PLAIN), gradient(AFTER)
    together = sum(gradient(rows, 1 / len(rows))[0] for rows in ASKED.values())
    cosine = torch.nn.functional.cosine_similarity
    of = made["contexts"]["after"]
    assert of["cosine"]["value"] == pytest.approx(float(cosine(gc, g0, 0)), abs=1e-5)
    assert of["ratio"]["value"] == pytest.approx(float(gc.norm() / g0.norm()), rel=1e-5)
    layer = next(x for x in of["layers"] if x["layer"] == "block 1")
    assert layer["cosine"]["value"] == pytest.approx(float(cosine(bc, b0, 0)), abs=1e-5)
    gain = float(cosine(gc, together, 0) - cosine(g0, together, 0))
    assert of["downstream"]["deciding"]["difference"]["value"] == pytest.approx(gain, abs=1e-5)
    tokens = sum(r.trained for r in PLAIN)
    shift = (loss_of(model, AFTER) - loss_of(model, PLAIN)) / tokens
    assert of["shift"]["value"] == pytest.approx(shift, abs=1e-5)
    assert [p["tokens"] for p in of["by_place"]] == [6, 12, 6]
    assert sum(p["value"] * p["tokens"] for p in of["by_place"]) / tokens == pytest.approx(shift, abs=1e-6)


def test_blocks_change_intervals_and_nothing_else(model):
    found = [
        measure(model, {BASE: PLAIN, "after": AFTER}, {}, options=MeasureOptions(resamples=20, blocks=n))["contexts"][
            "after"
        ]
        for n in (2, 6)
    ]
    assert found[0]["cosine"]["value"] == pytest.approx(found[1]["cosine"]["value"], abs=1e-6)
    assert found[0]["cosine"]["interval"] != found[1]["cosine"]["interval"]


def test_other_target_tokens_are_refused(model):
    other = [*AFTER[:-1], row([60], [10, 11, 12, 13])]
    with pytest.raises(UserError, match="changes which tokens are trained on"):
        measure(model, {BASE: PLAIN, "other": other}, {}, options=QUICK)


def test_large_models_are_sketched():
    assert measuring.chosen(MeasureOptions(), 900_000, 6) == ("exact", 32)
    assert measuring.chosen(MeasureOptions(), 7_000_000_000, 6) == ("sketch", 32)
    assert measuring.chosen(MeasureOptions(how="exact"), 7_000_000_000, 6) == ("exact", 2)


def test_training_does_not_notice(model):
    """Weights, gradients, mode and random numbers are as before."""
    model.train()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    state = torch.get_rng_state()
    measure(model, {BASE: PLAIN, "after": AFTER}, ASKED, options=MeasureOptions(resamples=20, how="sketch", size=31))
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None and torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_interval_of_a_mean_is_that_of_its_standard_error():
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, size=(400, 1))
    draws = stats.Resamples.of(400, 2000, 0)
    found = stats.value(stats.pooled(values, np.ones_like(values), draws)[:, 0], 0.95)
    half = 1.96 * values.std() / 20
    assert found["value"] == pytest.approx(values.mean())
    assert found["interval"] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.02)


CONTEXTS = {
    "cft": {"policy": "prompts", "set": "prompts.txt"},
    "noise": {"policy": "random_tokens", "set": "prompts.txt"},
}


def plain(tiny: Path, folder: Path, **more) -> recipe.Recipe:
    texts = [{"text": " ".join(f"w{(7 * i + 3 * j) % 90}" for j in range(12))} for i in range(9)]
    (folder / "texts.jsonl").write_text("\n".join(map(json.dumps, texts)))
    (folder / "prompts.txt").write_text("w1 w2 w3\nw4 w5 w6 w7\n")
    arms = {"cpt": {"data": "texts"}, **{k: {"data": "texts", "context": c} for k, c in CONTEXTS.items()}}
    return recipe.parse(
        {"name": "g", "model": str(tiny), "data": {"texts": {"path": "texts.jsonl"}}, "arms": arms,
         "train": {"max_length": 64}, "output": str(folder / "run"), **more}
    )  # fmt: skip


QUIZ = {"name": "quiz", "kind": "choice", "rows": [{"q": f"w{i} w{i + 1}", "a": i % 2} for i in range(4)],
        "prompt": "{{ q }}", "options": [" w5", " w6"], "answer": "{{ a }}"}  # fmt: skip


def test_of_a_recipe(tiny, tmp_path):
    made = study.study(
        plain(tiny, tmp_path, evaluate={"tasks": [QUIZ]}),
        tmp_path,
        study.GradientsOptions(("cft", "noise"), 5),
        QUICK,
        Reporter.silent(),
    )
    assert list(made["contexts"]) == ["cft", "noise"]
    assert made["contexts"]["cft"]["policy"] == {"policy": "prompts", "set": "prompts.txt"}
    assert list(made["downstream"]) == ["quiz"]
    assert made["records"] == 5
    assert set(made) == {
        "schema", "recipe", "model", "of", "seed", "parameters", "how", "records", "blocks", "target_tokens",
        "confidence", "layers", "reference", "contexts", "downstream", "notes", "seconds",
    }  # fmt: skip
    assert set(made["contexts"]["cft"]) == {
        "context_tokens", "cut", "shift", "by_place", "ratio", "cosine", "layers", "downstream", "policy",
    }  # fmt: skip
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    page = study.save(made, tmp_path / "out").read_text()
    assert pages.table(made).count("\n") == 3
    assert "cft" in page
    assert "<svg" in page


def test_the_same_tokens_are_trained_on(tiny, tmp_path):
    """What is rendered is what the trainer's own rendering gives, and its targets are those without a context."""
    from contextune.contexts import compose
    from contextune.core.sequence import DrawKey, render
    from contextune.experiment.prepare import prepare

    made, notes = plain(tiny, tmp_path), []
    contexts, _ = study.policies(made, ("cft",))
    prepared = prepare(study._with(made, made.arms["cft"].stages[0], contexts), tmp_path, tmp_path / "run")
    rows = study.rendered(prepared, contexts, 5, 0, notes)
    trained = prepare(made, tmp_path, tmp_path / "run").arms["cft"][0]
    every = {render(compose(r, trained.context, DrawKey(0, 0)), prepared.tokenizer, 64) for r in trained.records}
    assert set(rows["cft"]) <= every
    assert [measuring.targets(r) for r in rows["cft"]] == [measuring.targets(r) for r in rows[BASE]]
    assert not notes


def test_without_tasks_the_downstream_part_is_left_out_and_said(tiny, tmp_path):
    made = study.study(plain(tiny, tmp_path), tmp_path, study.GradientsOptions(("cft",), 4), QUICK, Reporter.silent())
    assert made["downstream"] == {}
    assert any("no tasks" in note for note in made["notes"])
    assert "toward tasks" not in pages.table(made)
    study.save(made, tmp_path / "out")


def test_contexts_by_default(tiny, tmp_path):
    found, _ = study.policies(plain(tiny, tmp_path), ())
    assert list(found) == ["cft", "noise", *study.DEFAULTS]


@pytest.mark.parametrize(("arms", "message"), [(("nope",), "no arm 'nope'"), (("cpt",), "its texts have no context")])
def test_bad_arms(tiny, tmp_path, arms, message):
    with pytest.raises(UserError, match=message):
        study.policies(plain(tiny, tmp_path), arms)


def test_adapter_parameters_alone(tiny, tmp_path):
    made = study.study(
        plain(tiny, tmp_path), tmp_path, study.GradientsOptions(("cft",), 4, adapter=True), QUICK, Reporter.silent()
    )
    assert made["of"] == "lora parameters of rank 16"
    assert set(made["layers"]) == {"block 0", "block 1"}
    assert made["contexts"]["cft"]["cosine"]["value"] < 1
