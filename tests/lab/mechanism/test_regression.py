"""In-context regression: data, model, arms and measures against small cases worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from contextune.core.errors import UserError
from contextune_lab.mechanism.regression import measure, tune
from contextune_lab.mechanism.regression.arms import ARMS
from contextune_lab.mechanism.regression.data import CLASSES, Draw, generator, gradient, interleave, moments
from contextune_lab.mechanism.regression.model import Regressor, size
from contextune_lab.mechanism.regression.presets import PRESETS, preset
from contextune_lab.mechanism.regression.pretrain import Pupil, batch, curriculum
from contextune_lab.mechanism.regression.tune import TuneRun

SMALL = replace(preset("tiny"), width=8, layers=2, d=3, points=4, batch=4, aligned=6, tested=8, pretrain_batch=4)


def draw(n: int = 6, points: int = 4, d: int = 3) -> Draw:
    return Draw.fresh(n, points, d, (7, 1))


def test_tokens_alternate_and_values_are_padded():
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    y = torch.tensor([[5.0, 6.0]])
    assert interleave(x, y).tolist() == [[[1, 2], [5, 0], [3, 4], [6, 0]]]


def test_a_batch_depends_on_its_key_alone():
    torch.manual_seed(1)
    first = Draw.fresh(2, 3, 4, (1, 0, 5))
    torch.manual_seed(2)
    assert torch.equal(first.x, Draw.fresh(2, 3, 4, (1, 0, 5)).x)
    assert not torch.equal(first.x, Draw.fresh(2, 3, 4, (1, 0, 6)).x)
    golden = torch.tensor([-2.073835611343384, -2.653650999069214])  # a change here changes every study
    torch.testing.assert_close(Draw.fresh(1, 1, 2, (0,)).x.flatten(), golden, rtol=0, atol=1e-6)


def test_values_by_hand():
    x = torch.tensor([[[1.0, 2.0], [-1.0, 0.0]]])
    d = Draw(x, torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 2.0]]))
    assert d.f.tolist() == [[3, -1]]
    assert CLASSES["polynomial"](d).tolist() == [[12, 0]]
    assert CLASSES["linear"](d).tolist() == [[7, -1]]
    assert CLASSES["relu"](d).tolist() == [[3, 0]]
    assert CLASSES["product"](d).tolist() == [[12, 0]]
    torch.testing.assert_close(CLASSES["tanh"](d), torch.tensor([[math.tanh(3), math.tanh(-1)]]))
    torch.testing.assert_close(CLASSES["sigmoid"](d)[0, 0], torch.tensor(1 / (1 + math.exp(-3))))


@pytest.mark.parametrize("name", CLASSES)
def test_true_gradients_are_those_of_finite_differences(name):
    d = draw()
    d = Draw(d.x.double(), d.w.double(), d.w2.double())
    found, step = gradient(CLASSES[name], d), 1e-6
    for i in range(3):
        moved = torch.zeros(3, dtype=torch.float64)
        moved[i] = step
        slope = (CLASSES[name](d.at(d.x + moved)) - CLASSES[name](d.at(d.x - moved))) / (2 * step)
        torch.testing.assert_close(found[..., i], slope, rtol=1e-6, atol=1e-7)


def test_true_gradients_have_the_forms_that_follow_from_the_classes():
    d = draw()
    w = d.w[:, None]
    torch.testing.assert_close(gradient(CLASSES["polynomial"], d), (1 + 2 * d.f)[..., None] * w)
    torch.testing.assert_close(gradient(CLASSES["linear"], d), (w + d.w2[:, None]).expand_as(d.x))
    torch.testing.assert_close(gradient(CLASSES["relu"], d), (d.f > 0)[..., None] * w)


@pytest.mark.parametrize("d", [5, 20])
def test_moments_are_near_the_exact_ones(d):
    root = math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))  # E|w|
    exact = {
        "polynomial": (d, 2 * d * d + 7 * d),
        "linear": (0, 2 * d),
        "relu": (root / math.sqrt(2 * math.pi), d / 2 - root**2 / (2 * math.pi)),
        "product": (0, d * (d + 2)),
        "sigmoid": (0.5, None),
        "tanh": (0.0, None),
    }
    for name, (mean, variance) in exact.items():
        found = moments(name, d)
        assert abs(found[0] - mean) < 5 * (found[1] / 200_000) ** 0.5
        assert variance is None or abs(found[1] / variance - 1) < 0.05
    if d == 20:  # the constant predictor's errors in the paper's units: 940, 40, 6.9
        assert exact["polynomial"][1] == 940
        assert round(exact["relu"][1], 1) == 6.9


def test_curriculum_grows_to_full_size_and_no_further():
    paper = PRESETS["paper"]
    assert [curriculum(paper, grown) for grown in (0, 1, 14, 15, 99)] == [
        (5, 11), (6, 13), (19, 39), (20, 41), (20, 41),
    ]  # fmt: skip
    x, y = batch(SMALL, (2, 3), 0, 0)
    assert x.shape == (4, 3, 3)
    assert x[..., 2].abs().max() == 0 < x[..., 1].abs().min()
    assert y.shape == (4, 3)


def test_curriculum_grows_by_the_clock_and_where_wanted_by_what_was_learned():
    clock = Pupil(torch.nn.Identity(), replace(PRESETS["paper"], grow_every=3))
    assert [(clock.saw(9.0), clock.size[0])[1] for _ in range(7)] == [5, 5, 6, 6, 6, 7, 7]
    pupil = Pupil(torch.nn.Identity(), replace(SMALL, start_dims=2, start_points=4, grow_every=2, grow_below=0.5))
    assert [(pupil.saw(1.8), pupil.size[0])[1] for _ in range(4)] == [2, 2, 2, 2]  # 0.9, of which 0.375 is exact
    pupil.average.fill_(0.45)
    pupil.saw(1.2)
    assert pupil.size[0] == 3
    again = Pupil(torch.nn.Identity(), pupil.preset)
    again.load_state_dict(pupil.state_dict())
    assert again.size == pupil.size


def test_model_has_no_token_table_and_reads_no_future():
    model = Regressor(SMALL, 0)
    assert size(model) == sum(p.numel() for name, p in model.named_parameters() if "wte" not in name)
    d = draw()
    y = d.f.clone()
    before = model(d.x, y)
    y[:, 2] += 1  # the value of the third point is seen from the fourth on
    after = model(d.x, y)
    assert before.shape == (6, 4)
    assert torch.equal(before[:, :3], after[:, :3])
    assert (before[:, 3] != after[:, 3]).all()


def test_a_masked_prefix_is_the_same_as_none_at_shifted_positions():
    """The released CPT arm feeds zeros under a mask; here the tokens are left out."""
    model, d = Regressor(SMALL, 0), draw()
    tokens = torch.cat((torch.zeros(6, 8, 3), interleave(d.x, d.f)), 1)
    mask = torch.cat((torch.zeros(6, 8), torch.ones(6, 8)), 1)
    hidden = model.backbone(
        inputs_embeds=model.read_in(tokens), attention_mask=mask, position_ids=torch.arange(16)[None]
    )
    masked = model.read_out(hidden.last_hidden_state[:, 8::2])[..., 0]
    torch.testing.assert_close(masked, model(d.x, d.f, start=8), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(masked, model(d.x, d.f), atol=1e-3)


def test_each_prefix_says_what_its_arm_promises():
    d = draw(2000, 4, 3)

    def made(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return ARMS[name].prefix(d, generator(1))

    assert ARMS["cpt"].prefix is ARMS["cpt-positions"].prefix is ARMS["cpt-scaled"].prefix is None
    assert (ARMS["cpt"].start(4), ARMS["cpt-positions"].start(4)) == (8, 0)
    x, y = made("cft")
    assert torch.equal(x, d.x)
    assert torch.equal(y, d.f)
    x, y = made("other-points")
    assert not torch.isclose(x, d.x).any()
    torch.testing.assert_close(y, (x * d.w[:, None]).sum(-1))
    x, y = made("other-function")
    assert torch.equal(x, d.x)
    fitted = torch.linalg.lstsq(x.double(), y.double()[..., None]).solution
    assert (x.double() @ fitted - y[..., None]).abs().max() < 1e-4  # a linear function of its own
    assert abs(torch.corrcoef(torch.stack((y.flatten(), d.f.flatten())))[0, 1]) < 0.1
    x, y = made("shuffled")
    assert torch.equal(y.sort(1).values, d.f.sort(1).values)
    assert (y != d.f).float().mean() > 0.6
    for name, variance in (("neg", 1.0), ("matched-noise", 3.0)):
        x, y = made(name)
        assert torch.equal(x, d.x)
        assert abs(y.var() / variance - 1) < 0.1
        assert abs(torch.corrcoef(torch.stack((y.flatten(), d.f.flatten())))[0, 1]) < 0.1


def test_scaled_arms_give_g_the_variance_of_f():
    d = Draw.fresh(50_000, 1, 5, (9,))
    for arm, variance in (("cft", 85), ("cft-scaled", 5)):
        _, y, scale = tune.prompt(ARMS[arm], d, "polynomial", (0, 0))
        assert abs(y.var() / variance - 1) < 0.1
        torch.testing.assert_close(y * scale, CLASSES["polynomial"](d))


def test_arms_of_a_seed_see_the_same_functions_at_a_step():
    seen = []

    def model(x, y, prefix, start):
        seen.append((x, y))
        return y

    for arm in ("cft", "cpt", "matched-noise"):
        tune.loss(model, SMALL, TuneRun("linear", arm, 3), "cpu", 17)
    assert all(torch.equal(x, seen[0][0]) and torch.equal(y, seen[0][1]) for x, y in seen)


def test_least_squares_is_exact_once_it_has_as_many_pairs_as_dimensions():
    d = draw(5, 6, 3)
    made = measure.least_squares(d.x, d.f)
    assert (made[:, 0] == 0).all()
    torch.testing.assert_close(made[:, 3:], d.f[:, 3:], rtol=1e-3, atol=1e-3)
    x = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    assert measure.least_squares(x, torch.tensor([[2.0, 9.0]]))[0, 1] == 2  # the minimum-norm fit is w = (2, 0)


def test_neighbours_and_averaging_by_hand():
    x = torch.tensor([[[0.0], [1.0], [5.0], [6.0], [0.5]]])
    y = torch.tensor([[1.0, 2.0, 10.0, 20.0, 0.0]])
    torch.testing.assert_close(measure.neighbours(x, y), torch.tensor([[0, 1, 1.5, 13 / 3, 13 / 3]]))
    torch.testing.assert_close(measure.averaging(x, y), torch.tensor([[0, 0, 5.0, 6 * 52 / 3, 0.5 * 172 / 4]]))


def test_alignment_of_known_predictors():
    d, target = draw(), CLASSES["polynomial"]
    torch.testing.assert_close(measure.alignment(lambda x: target(d.at(x)), target, d), torch.ones(6))
    torch.testing.assert_close(measure.alignment(lambda x: -target(d.at(x)), target, d), -torch.ones(6))
    linear = measure.alignment(lambda x: CLASSES["linear"](d.at(x)), target, d)
    wanted = torch.cosine_similarity(d.w + d.w2, (1 + 2 * d.f[:, -1:]) * d.w)
    torch.testing.assert_close(linear, wanted)
    assert (measure.alignment(lambda x: x.sum(-1) * 0, target, d) == 0).all()


def test_copies_of_a_point_in_the_prefix_move_with_it():
    model, d, which = Regressor(SMALL, 0), draw(), TuneRun("polynomial", "cft", 0)
    y = CLASSES["polynomial"](d)
    x = d.x.clone().requires_grad_()
    (both,) = torch.autograd.grad(model(x, y, (x, d.f))[:, -1].sum(), x)
    wanted = measure.cosines(both[:, -1], gradient(CLASSES["polynomial"], d)[:, -1])
    torch.testing.assert_close(tune.aligned(model, SMALL, which, d, "alignment"), wanted)
    x = d.x.clone().requires_grad_()
    (alone,) = torch.autograd.grad(model(x, y, (d.x, d.f))[:, -1].sum(), x)
    assert not torch.allclose(both[:, -1], alone[:, -1], atol=1e-4)
    x = d.x.clone().requires_grad_()
    (all_move,) = torch.autograd.grad(model(x, y, (x, d.at(x).f))[:, -1].sum(), x)
    wanted = measure.cosines(all_move[:, -1], gradient(CLASSES["polynomial"], d)[:, -1])
    torch.testing.assert_close(tune.aligned(model, SMALL, which, d, "through"), wanted)


def test_bands_hold_the_mean_and_shrink_with_more_functions():
    errors = torch.rand(3, 400, 2, generator=generator(3))
    low, high = measure.band(errors)
    mean = errors.mean((0, 1))
    assert (low < mean).all()
    assert (mean < high).all()
    few = measure.band(errors[:, :25])
    assert (few[1] - few[0] > 2 * (high - low)).all()
    same = measure.band(torch.ones(2, 5, 3))
    torch.testing.assert_close(same[0], torch.ones(3))


def test_interval_is_students():
    low, high = measure.interval([1.0, 2.0, 3.0])
    assert (round(low, 3), round(high, 3)) == (-0.484, 4.484)  # 2 ± 4.303 / √3
    assert measure.interval([1.0]) is None


def test_unknown_scale_is_said_with_the_nearest():
    with pytest.raises(UserError, match="unknown scale 'tin'") as error:
        preset("tin")
    assert "tiny" in error.value.hint
