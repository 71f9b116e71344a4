"""The two-layer model's closed forms against autograd and against drawn data."""

from __future__ import annotations

import json

import pytest
import torch

from contextune_lab.mechanism import mixture, mixture_figure, mixture_study
from contextune_lab.mechanism.mixture import SIGMA, attention, predict, risk

MATURE = 40.0  # ψ at which φ is 1 to the last bit


def theta(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def drawn(n: int, k: int) -> tuple[torch.Tensor, ...]:
    stream = torch.Generator().manual_seed(5)
    return tuple(torch.randn(*shape, generator=stream, dtype=torch.float64) for shape in ((n, k), (n,), (n, k)))


@pytest.mark.parametrize("correction", [0.0, 0.7])
def test_risk_is_the_mean_squared_error_of_drawn_data(correction):
    n, s = 200_000, torch.tensor([0.9, 0.1, 0.0], dtype=torch.float64)
    stream = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=stream, dtype=torch.float64)

    t = theta(2.5, 0.4, correction, 0.3).detach()
    mature = torch.sigmoid(t[3])
    y = normal(n)
    y_i = s * y[:, None] + (1 - s**2).sqrt() * normal(n, 3)
    known, known_i = mature * (y + SIGMA * normal(n)), mature * (y_i + SIGMA * normal(n, 3))
    errors = (predict(t, s.expand(n, 3), y_i, known, known_i) - y) ** 2
    assert abs(errors.mean() - risk(t, s)) < 4 * errors.std() / n**0.5


def test_fact_1_gradients_of_the_prediction():
    y, known, known_i = drawn(6, 4)
    s = torch.rand(6, 4, dtype=torch.float64)
    t = theta(1.5, 0.5, 0.3, 0.0)
    made = predict(t, s, y, known, known_i)
    values = y + 0.3 * (known[:, None] - known_i)
    a, own = attention(t, s)
    for i in range(6):
        (g,) = torch.autograd.grad(made[i], t, retain_graph=True)
        torch.testing.assert_close(g[0], (a * s * (values - made[:, None])).sum(-1)[i], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(g[1], (own * (known - made))[i], rtol=1e-12, atol=1e-14)


def test_fact_1_without_spread_within_a_context_relevance_learns_nothing_of_its_own():
    y, known, known_i = drawn(5, 4)
    for grade in (0.0, 0.4, 0.9):
        t = theta(1.5, 0.5, 0.0, 0.0)
        made = predict(t, torch.full((5, 4), grade, dtype=torch.float64), y, known, known_i)
        for value in made:
            (g,) = torch.autograd.grad(value, t, retain_graph=True)
            torch.testing.assert_close(g[0], -grade * g[1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("k", [1, 4, 16])
def test_fact_2_random_contexts_leave_the_weights_in_charge(k):
    share = mixture.random_share(k)
    trust = torch.log(torch.tensor(k * (1 - share) / share, dtype=torch.float64)).item()
    t = theta(0.0, trust, 0.0, MATURE)
    s = torch.zeros(k, dtype=torch.float64)
    torch.testing.assert_close(1 - attention(t, s).own.item(), share, rtol=1e-12, atol=0.0)
    (g,) = torch.autograd.grad(risk(t, s), t)
    assert abs(g[1]) < 1e-14
    assert mixture.random_share(k, sigma=1e-3) < 1e-5


def test_fact_3_the_learner_learns_as_much_as_it_is_trusted():
    y, known, known_i = drawn(5, 4)
    known = known.requires_grad_()
    t = theta(6.0, -1.0, 0.0, 0.0)
    s = torch.rand(5, 4, dtype=torch.float64)
    (g,) = torch.autograd.grad(predict(t, s, y, known, known_i).sum(), known)
    torch.testing.assert_close(g, attention(t, s).own, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("grade", [0.1, 0.5, 0.9, 0.99])
def test_fact_4_the_best_weight_on_one_graded_example(grade):
    s = torch.tensor([grade], dtype=torch.float64)
    t = theta(3.0, 3.0 * grade - torch.log(SIGMA**2 / mixture.distance(s)).item(), 0.0, MATURE)
    torch.testing.assert_close(attention(t, s).examples, mixture.best_share(s), rtol=1e-12, atol=0.0)
    value = risk(t, s)
    (g,) = torch.autograd.grad(value, t)
    assert abs(g[:2]).max() < 1e-13
    torch.testing.assert_close(value, mixture.best_risk(s)[0], rtol=1e-12, atol=0.0)
    assert value < min(SIGMA**2, mixture.distance(s).item())


def test_fact_4_context_and_weights_change_over_where_both_are_as_wrong():
    s = torch.tensor(mixture.switch(), dtype=torch.float64)
    torch.testing.assert_close(mixture.distance(s).item(), SIGMA**2)
    torch.testing.assert_close(mixture.best_share(s).item(), 0.5)


def test_fact_5_two_grades_identify_relevance_and_trust():
    low, high = torch.tensor(0.7, dtype=torch.float64), torch.tensor(0.97, dtype=torch.float64)
    t = theta(*(v.item() for v in mixture.identified(low, high)), 0.0, MATURE)
    for grade in (low, high):
        (g,) = torch.autograd.grad(risk(t, grade[None]), t)
        assert abs(g[:2]).max() < 1e-13
        torch.testing.assert_close(attention(t, grade[None]).examples[0], mixture.best_share(grade), rtol=1e-12, atol=0)
    curved = torch.autograd.functional.hessian(lambda v: risk(v, high[None]) + risk(v, low[None]), t.detach())[:2, :2]
    assert torch.linalg.eigvalsh(curved).min() > 1e-4
    flat = torch.autograd.functional.hessian(lambda v: risk(v, high[None]), t.detach())[:2, :2]
    assert abs(torch.linalg.eigvalsh(flat).min()) < 1e-12


def test_contexts_have_the_shares_and_grades_of_their_strategy():
    s = mixture_study.contexts(4000, 2, torch.Generator().manual_seed(0))
    assert s.shape == (len(mixture_study.STRATEGIES), 2, 4000, 4)
    for strategy, drawn_s in zip(mixture_study.STRATEGIES, s, strict=True):
        same, near = (drawn_s[..., 0] >= 0.95).double().mean(), ((drawn_s >= 0.65) & (drawn_s < 0.95)).all(-1)
        assert abs(near.double().mean() - strategy.similar) < 0.03
        assert abs(same - strategy.shares[0] * (1 - strategy.similar)) < 0.03
        assert (drawn_s[~near][:, 1:] <= 0.15).all()
    assert not torch.equal(s[:, 0], s[:, 1])


def test_strategies_differ_as_simulated_before():
    """Directions only; the table in docs/lab.md comes from the full length."""
    result = mixture_study.study(mixture_study.MixtureOptions(seeds=2, steps=500))
    rows = {r["strategy"]: r for r in result.rows() if r["parameters"] == 2}
    assert rows["similar"]["random"] > 0.9 > 0.3 > rows["contrastive"]["random"]
    assert rows["similar"]["copied"] > 0.85 > 0.2 > rows["contrastive"]["copied"]
    assert rows["random"]["paraphrase"] > 2 * rows["contrastive"]["paraphrase"]
    assert rows["paraphrase"]["copied"] > 0.7
    assert all(r["theta3"] == 0 for r in rows.values())
    assert result.theta.shape == (6, 2, len(mixture_study.STRATEGIES), 2, 4)
    again = mixture_study.study(mixture_study.MixtureOptions(seeds=2, steps=500))
    assert torch.equal(result.theta, again.theta)
    picture = mixture_figure.figure(result)
    assert picture.startswith("<svg")
    assert "contrastive" in picture
    assert "theta3" in mixture_figure.table(result, 3)


def test_command_writes_its_figure_and_prints_json(tmp_path, capsys):
    from contextune.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["lab", "mixture", "--steps", "20", "--seeds", "1", "--json", "--out", str(tmp_path / "made")])
    assert ended.value.code == 0
    made = json.loads(capsys.readouterr().out)
    assert len(made["rows"]) == 2 * len(mixture_study.STRATEGIES)
    assert made == json.loads((tmp_path / "made" / "mixture.json").read_text())
    assert (tmp_path / "made" / "mixture.svg").read_text().startswith("<svg")


def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path, capsys):
    from contextune.cli import main

    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ended:
        main(["lab", "mixture", "--steps", "1", "--seeds", "1", "--json", "--out", str(tmp_path / "file")])
    assert ended.value.code == 2
    assert "cannot write into" in capsys.readouterr().err
