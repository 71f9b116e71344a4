"""The regression study: exact resume, nothing done twice, claims and figures from what lies in its folder."""

from __future__ import annotations

import io
import json
import math
import multiprocessing
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from contextune.core.errors import UserError
from contextune.core.files import read_checked
from contextune.core.progress import Reporter
from contextune_lab.mechanism.regression import loop, study, tune
from contextune_lab.mechanism.regression.data import CLASSES, Draw, moments
from contextune_lab.mechanism.regression.figures import picture
from contextune_lab.mechanism.regression.model import Regressor
from contextune_lab.mechanism.regression.presets import PRESETS, preset
from contextune_lab.mechanism.regression.pretrain import Pupil, base
from contextune_lab.mechanism.regression.results import Results, SeedValue
from contextune_lab.papers import cft_synthetic
from contextune_lab.papers.claims import StudyOptions

NANO = replace(
    preset("tiny"), name="tiny", width=8, d=2, points=3, pretrain_steps=12, pretrain_batch=4, steps=8, batch=4,
    grow_below=float("inf"), patience=float("inf"), log_every=4, save_every=5, aligned=8, tested=16, bases=2,
)  # fmt: skip
ARMS = {"polynomial": tuple(tune.ARMS), "relu": ("cft", "cpt", "neg")}


class Killed(Exception):
    pass


def killing(steps: int):
    """Stands for a kill: raised after so many steps."""

    def tell(step: int) -> None:
        if step == steps:
            raise Killed

    return tell


def test_pretraining_goes_on_bit_for_bit(tmp_path):
    whole = base(NANO, 0, tmp_path / "whole")
    for stop in (3, 8, 11):  # before the first checkpoint, and twice after it
        with pytest.raises(Killed):
            base(NANO, 0, tmp_path / "cut", tell=killing(stop))
    again = base(NANO, 0, tmp_path / "cut")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    assert (tmp_path / "whole/losses.json").read_text() == (tmp_path / "cut/losses.json").read_text()
    assert not (tmp_path / "cut/checkpoint.pt").exists()
    other = base(NANO, 1, tmp_path / "other")
    assert not torch.equal(whole.read_in.weight, other.read_in.weight)


def test_a_start_that_does_not_get_on_is_given_up_for_another(tmp_path, monkeypatch):
    """The first never learns enough to grow; the second is asked for nothing."""
    honest = Pupil.__init__

    def slow(self, model, given):
        first = not (tmp_path / "stuck-0").exists()
        honest(self, model, replace(given, grow_below=-9.0) if first else given)

    monkeypatch.setattr(Pupil, "__init__", slow)
    impatient = replace(NANO, start_dims=1, grow_every=2, patience=4)
    model = base(impatient, 3, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["losses.json", "model.safetensors", "stuck-0"]
    fresh = base(replace(impatient, patience=float("inf")), 1003, tmp_path / "fresh")
    assert torch.equal(model.read_in.weight, fresh.read_in.weight)


def test_resume_reads_the_checkpoint_and_not_the_start(tmp_path):
    """Without this a run that began anew would pass for one that went on."""
    with pytest.raises(Killed):
        base(NANO, 0, tmp_path, tell=killing(11))
    steps = []
    base(NANO, 0, tmp_path, tell=steps.append)
    assert steps == [10, 11]


def test_fine_tuning_goes_on_bit_for_bit(tmp_path, monkeypatch):
    start, which = Regressor(NANO, 0), tune.TuneRun("polynomial", "neg", 1)
    tune.tune(start, NANO, which, tmp_path / "whole")
    honest = tune.loss

    def dying(run, preset, run_of, device, step):
        if step == 7:
            raise Killed
        return honest(run, preset, run_of, device, step)

    monkeypatch.setattr(tune, "loss", dying)
    with pytest.raises(Killed):
        tune.tune(start, NANO, which, tmp_path / "cut")
    assert (tmp_path / "cut/checkpoint.pt").exists()
    monkeypatch.setattr(tune, "loss", honest)
    tune.tune(start, NANO, which, tmp_path / "cut")
    assert tune.read(tmp_path / "whole").log == tune.read(tmp_path / "cut").log
    a, b = (load_file(tmp_path / f / "errors.safetensors") for f in ("whole", "cut"))
    assert all(torch.equal(a[k], b[k]) for k in ("with", "without"))


def _train_for_ever(folder, steps):
    torch.set_num_threads(1)  # a forked process has none of the threads that its parent had
    base(replace(NANO, pretrain_steps=10**6, save_every=3), 0, folder, tell=steps.send)


def test_a_killed_process_leaves_a_checkpoint_that_loads(tmp_path):
    """Forked, so that it need not import torch anew."""
    steps, told = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_train_for_ever, args=(tmp_path, told), daemon=True)
    process.start()
    told.close()
    while steps.recv() < 10:
        assert steps.poll(60)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    whole = read_checked(tmp_path / "checkpoint.pt")
    assert whole is not None
    step = torch.load(io.BytesIO(whole), weights_only=True)["step"]
    assert step >= 9
    assert step % 3 == 0


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> study.StudyPlan:
    plan = study.StudyPlan(NANO, ARMS, (0, 1, 2), tmp_path_factory.mktemp("study"))
    study.run_all(plan, Reporter.silent())
    return plan


def test_seeds_take_the_bases_in_turn(done):
    assert done.bases == [0, 1]
    assert sorted(p.name for p in (done.out / "bases").iterdir()) == ["seed-0", "seed-1"]
    assert len(done.runs) == 3 * 13


def test_what_is_finished_is_not_done_again(done, monkeypatch):
    monkeypatch.setattr(loop, "train", None)
    before = study.spent(done.out)
    assert study.run_all(done, Reporter.silent()) == before > 0


def test_another_rounding_is_the_same_training_but_for_the_order_of_its_sums(tmp_path):
    which = tune.TuneRun("polynomial", "shuffled", 0)
    model, again = Regressor(NANO, 0), replace(which, rounding=1)
    one, other = (tune.loss(model, NANO, w, "cpu", 3).item() for w in (which, again))
    assert one == pytest.approx(other, rel=1e-5)
    plan = study.StudyPlan(NANO, {"polynomial": ("cft", "cpt"), "relu": ("cft",)}, (0, 1, 2), tmp_path, (0,))
    study.run_all(plan, Reporter.silent())
    assert sorted(p.name for p in (tmp_path / "bases").iterdir()) == ["seed-0", "seed-0-rounding-1", "seed-1"]
    weights = [load_file(plan.base(0, rounding) / "model.safetensors") for rounding in (0, 1)]
    assert all(torch.allclose(weights[0][k], v, atol=1e-3) for k, v in weights[1].items())
    assert any(not torch.equal(weights[0][k], v) for k, v in weights[1].items()), "rounding did change something"
    made = {c.id: c for c in cft_synthetic._rounding(Results(plan), "polynomial")}
    assert set(made) == {f"polynomial.alignment.{arm}.rounding" for arm in ("cft", "cpt")}
    told = made["polynomial.alignment.cft.rounding"]
    assert (told.verdict, told.interval, told.whose, told.n_seeds) == ("measured", None, "ours", 1)
    assert 0 <= told.measured < 0.2
    assert not list(cft_synthetic._rounding(Results(plan), "relu"))
    assert len(plan.runs) == 9, "repeats are in no mean"


def test_a_folder_of_another_size_is_refused(done):
    with pytest.raises(UserError, match=r"other values of: lr, steps"):
        study.run_all(replace(done, preset=replace(NANO, lr=1.0, steps=9)), Reporter.silent())


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(UserError, match="'polynomal'") as error:
        study.StudyPlan(NANO, {"polynomal": ("cft",)}, (0,), tmp_path).check()
    assert "polynomial" in error.value.hint
    with pytest.raises(UserError, match="'cpt2'"):
        study.StudyPlan(NANO, {"relu": ("cpt2",)}, (0,), tmp_path).check()


def test_claims_have_their_ids_and_agree_with_the_files(done):
    results = Results(done)
    made = {c.id: c for c in cft_synthetic.claims(results)}
    for arm in tune.ARMS:
        assert {f"polynomial.alignment.{arm}", f"polynomial.error0.{arm}"} <= made.keys()
    assert {"relu.error-all.neg", "polynomial.alignment.cft.off", "polynomial.control.removed.alignment"} <= made.keys()
    logs = [
        json.loads((done.folder(tune.TuneRun("polynomial", "cft", s)) / "log.json").read_text()) for s in done.seeds
    ]
    claim = made["polynomial.alignment.cft"]
    assert claim.measured == pytest.approx(sum(log[-1]["alignment"] for log in logs) / 3)
    assert claim.n_seeds == 3
    assert claim.interval[0] < claim.measured < claim.interval[1]
    errors = load_file(done.folder(tune.TuneRun("relu", "neg", 0)) / "errors.safetensors")["with"]
    values = CLASSES["relu"](Draw.fresh(NANO.tested, NANO.points, NANO.d, (5,)))[:, 2]
    mean, variance = moments("relu", NANO.d)
    unit = (values - mean).square().mean() / variance
    assert results.error("relu", "neg", -1).by_seed[0] == pytest.approx((errors[:, 2].mean() / unit).item())
    assert all(c.verdict == "measured" for c in made.values() if c.id.endswith((".off", ".shuffled")))
    json.dumps([c.measured for c in made.values()], allow_nan=False)


def test_simple_estimators_are_in_the_unit_of_the_best_constant(done):
    errors = Results(done).simple("linear")
    assert set(errors) == {"least squares", "3 nearest", "averaging"}
    assert errors["least squares"][:, 0].mean() == pytest.approx(1, abs=0.01)  # zero is the best constant here
    assert errors["least squares"][:, 2].mean() < 1e-3  # two dimensions, two pairs
    assert all(e.shape == (16, 3) and math.isfinite(e.mean()) for e in errors.values())


def test_verdicts_follow_the_interval():
    assert SeedValue((0.5, 0.6, 0.55)).sign == 1
    assert SeedValue((-0.5, 0.6, 0.05)).sign == 0
    assert (SeedValue((1.0, 2.0, 3.0)) - SeedValue((2.0, 3.1, 4.0))).sign == -1
    assert SeedValue((1.0,)).interval is None
    assert SeedValue((1.0,)).sign == 0


def test_figures_are_drawn_twice_the_same(done):
    results = Results(done)
    first = picture(results, ("cft", "cpt"), off=("cft",), simple=True)
    assert first == picture(results, ("cft", "cpt"), off=("cft",), simple=True)
    assert first.startswith("<svg")
    assert "cft, prefix off" in first
    assert "least squares" in first


def test_the_reproduction_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", NANO)
    wanted = StudyOptions(tmp_path, seeds=(0,), options={"classes": "linear", "workers": 1})
    made = cft_synthetic.cft_synthetic(wanted, Reporter.silent())
    assert len(made.figures) == 3
    assert any(note.startswith("linear: ") for note in made.notes)
    assert {c["id"] for c in made.to_json()["claims"]} >= {"linear.alignment.cft", "linear.alignment.shuffled"}


@pytest.mark.parametrize("options", [{"clases": "relu"}, {"workers": -1}, {"workers": "two"}, {"classes": "cubic"}])
def test_bad_options_are_refused(tmp_path, options):
    with pytest.raises(UserError):
        cft_synthetic.cft_synthetic(StudyOptions(tmp_path, options=options), Reporter.silent())


def test_paper_size_takes_a_step(tmp_path):
    """One step of fine-tuning at a batch of two: 12 layers, 164 tokens."""
    paper = replace(PRESETS["paper"], batch=2)
    model = Regressor(paper, 0)
    from contextune_lab.mechanism.regression.model import size

    assert 9.4e6 < size(model) < 9.7e6
    which = tune.TuneRun("polynomial", "cft", 0)
    optimiser = torch.optim.Adam(model.parameters(), paper.lr)
    loss = tune.loss(model, paper, which, "cpu", 0)
    loss.backward()
    before = model.read_in.weight.clone()
    optimiser.step()
    assert torch.isfinite(loss)
    assert not torch.equal(before, model.read_in.weight)


@pytest.mark.slow
def test_the_tiny_study(tmp_path):
    """Whole, with two processes: what the documentation says of it."""
    made = cft_synthetic.cft_synthetic(StudyOptions(tmp_path), Reporter.silent())
    found = {c.id: c for c in made.claims}
    assert found["polynomial.error0.cpt"].verdict == found["linear.error0.cpt"].verdict == "holds"
    assert found["linear.control.positions.alignment"].verdict == "fails"
    assert found["polynomial.control.removed.error-all"].verdict == "fails"
    assert found["polynomial.alignment.cft"].n_seeds == 5
