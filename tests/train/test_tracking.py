"""What trackers are told, through transformers' own callbacks: stand-ins for the packages, and the real ones where
they are installed.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState

from contextune.contexts import NoContext
from contextune.core import progress
from contextune.core.errors import UserError
from contextune.experiment import recipe, tracking
from contextune.train import stage
from contextune.train.options import Train
from contextune.train.track_options import Track
from contextune.train.trackers import TrackedRun
from contextune.train.tracking import Tracking, log

TRACKIO = """
import os
from types import SimpleNamespace
said, __version__, fails = [], "1.0.0", []
config = {}
context_vars = SimpleNamespace(current_space_id=SimpleNamespace(get=lambda: None))
def init(**options):
    said.append(("init", options, os.environ.get("TRACKIO_SPACE_ID")))
def log(values):
    if fails:
        raise ConnectionError("the disk is on fire")
    said.append(("log", values))
def finish():
    said.append(("finish",))
"""
WANDB = """
from types import SimpleNamespace
said, run, config, summary = [], None, {}, {}
Settings = dict
def init(**options):
    global run
    said.append(("init", options))
    run = SimpleNamespace(_label=lambda **_: None, id=options["id"], summary=summary)
def define_metric(*_, **__): pass
def log(values): said.append(("log", values))
def finish():
    global run
    said.append(("finish",))
    run = None
"""
PACKAGES = {
    "trackio/__init__.py": TRACKIO,
    "trackio/utils.py": "import os\nTRACKIO_DIR = os.environ['TRACKIO_DIR']",
    "wandb/__init__.py": WANDB,
    "wandb/sdk/__init__.py": "",
    "wandb/sdk/lib/__init__.py": "",
    "wandb/sdk/lib/config_util.py": "class ConfigError(Exception): pass",
}


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Stand-ins for trackio and wandb that keep what they are told in `said`."""
    for name, text in PACKAGES.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "site")
    for name in [n for n in sys.modules if n.partition(".")[0] in ("trackio", "wandb")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("TRACKIO_DIR", "WANDB_ERROR_REPORTING", "WANDB_MODE"):
        monkeypatch.setenv(name, "")  # what is set for good is taken back
        monkeypatch.delenv(name)
    progress.say_once.cache_clear()
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in ("trackio", "wandb")]:
        del sys.modules[name]


def a_run(folder, track, **options) -> TrackedRun:
    return TrackedRun(Track.model_validate(track), folder, "study", "cft/seed-0", "abc", **options)


def train(callback, steps=2) -> None:
    """What a trainer tells a callback."""
    state, control = TrainerState(global_step=0, is_world_process_zero=True), TrainerControl()
    callback.on_train_begin(None, state, control)
    for step in range(1, steps + 1):
        state.global_step = step
        callback.on_log(None, state, control, logs={"loss": 1.0 / step})
    callback.on_train_end(None, state, control)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("tensorboard", ["tensorboard"]),
        (["wandb", "trackio"], ["trackio", "wandb"]),
        ({"mlflow": None, "project": "lab"}, ["mlflow"]),
        ({"wandb": {"online": True}}, ["wandb"]),
    ],
)
def test_forms(given, named):
    found = Track.model_validate(given)
    assert [name for name, _ in found.trackers()] == named
    again = Track.model_validate(found.model_dump(mode="json", exclude_defaults=True))
    assert again == found  # as worker processes are given it


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("tensorbord", "tensorboard"),
        ({"trackio": {"spaces": "me/x"}}, "space"),
        ({"wandb": {"online": "no way"}}, "true"),
    ],
)
def test_a_wrong_name_or_option_is_told(given, said):
    plain = {"model": "pocket", "data": {"d": {"path": "x"}}, "arms": {"a": {"data": "d"}}, "track": given}
    with pytest.raises(UserError, match="track") as e:
        recipe.parse(plain)
    assert said in str(e.value)


def test_a_package_that_is_missing_is_told_before_training(monkeypatch):
    monkeypatch.setattr("contextune.train.track_options.find_spec", lambda name: None)
    for name in ("tensorboard", "trackio", "wandb", "mlflow"):
        with pytest.raises(UserError, match=rf"track\.{name}.*not installed") as e:
            Track.model_validate(name).check()
        assert f'pip install "{name}"' in e.value.hint


def test_the_service_is_not_asked_for_a_key_during_training(packages, monkeypatch, tmp_path):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    Track.model_validate("wandb").check()
    online = Track.model_validate({"wandb": {"online": True}})
    with pytest.raises(UserError, match="not logged in"):
        online.check()
    monkeypatch.setenv("WANDB_API_KEY", "x")
    online.check()


def test_nothing_is_sent_to_a_space_that_the_recipe_does_not_name(packages, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_SPACE_ID", "me/elsewhere")
    import trackio

    train(Tracking(a_run(tmp_path, "trackio")))
    (_, options, space), *logs, end = trackio.said
    assert options == {
        "project": "study", "name": "cft/seed-0", "space_id": None, "resume": "allow", "private": True,
        "bucket_id": None,
    }  # fmt: skip
    assert space is None
    assert os.environ["TRACKIO_SPACE_ID"] == "me/elsewhere"
    assert [values for _, values in logs] == [
        {"train/loss": 1.0, "train/global_step": 1},
        {"train/loss": 0.5, "train/global_step": 2},
    ]
    assert end == ("finish",)
    assert list(Track.model_validate("trackio").unused())  # and that is said
    assert os.environ["TRACKIO_DIR"] == str(tmp_path / "trackio")
    trackio.said.clear()
    train(Tracking(a_run(tmp_path, {"trackio": {"space": "me/here"}, "project": "lab"})))
    assert (trackio.said[0][1]["space_id"], trackio.said[0][1]["project"]) == ("me/here", "lab")


def test_a_run_is_one_over_stages_and_measures(packages, tmp_path, monkeypatch):
    """In the same tracked run: the second stage's steps go on from the first's, and the measures stand at the end."""
    monkeypatch.setenv("WANDB_MODE", "online")
    import wandb

    train(Tracking(a_run(tmp_path, "wandb")))
    train(Tracking(a_run(tmp_path, "wandb", before=2)))
    log(a_run(tmp_path, "wandb", before=4), {"eval_learn": 0.75})
    begun = [said[1] for said in wandb.said if said[0] == "init"]
    assert {(o["id"], o["name"], o["group"], o["project"], o["mode"], o["resume"]) for o in begun} == {
        ("abc", "cft/seed-0", "study", "study", "offline", "allow")
    }
    logs = [said[1] for said in wandb.said if said[0] == "log"]
    assert [values["train/global_step"] for values in logs] == [1, 2, 3, 4, 4]
    assert logs[-1] == {"eval/learn": 0.75, "train/global_step": 4}
    assert [said[0] for said in wandb.said].count("finish") == 3


def test_a_fault_of_a_tracker_ends_only_the_tracking(packages, tmp_path, caplog):
    import trackio
    import wandb

    trackio.fails.append(True)
    callback = Tracking(a_run(tmp_path, ["trackio", "wandb"]))
    train(callback, steps=3)
    said = [r.message for r in caplog.records if "track.trackio" in r.message]
    assert said == ["track.trackio: ConnectionError: the disk is on fire; the run goes on without it"]
    assert [values["train/global_step"] for what, *values in wandb.said if what == "log" for values in values] == [
        1,
        2,
        3,
    ]


def test_training_is_the_same_with_a_tracker_and_after_its_fault(packages, tiny, records, tokenizer, tmp_path):
    import trackio

    options = Train(steps=4, batch=4, lr=1e-2, max_length=64)
    given = (records, NoContext(), tokenizer, options, 3, str(tiny))
    made = [stage.run(stage.TrainJob(*given, tmp_path / "plain"))]
    for name in ("tracked", "failing"):
        trackio.fails[:] = [True] * (name == "failing")
        job = stage.TrainJob(*given, tmp_path / name, track=Tracking(a_run(tmp_path / "t", "trackio")))
        made.append(stage.run(job))
    plain, *others = (load_file(folder / "model.safetensors") for folder in made)
    assert all((plain[key] == other[key]).all() for other in others for key in plain)
    told = [said[1] for said in trackio.said if said[0] == "log" and "train/loss" in said[1]]
    assert [values["train/global_step"] for values in told] == [1, 2, 3, 4]


def test_measures_go_to_every_seed_of_their_arm(packages, tmp_path, monkeypatch):
    import trackio

    from contextune.core.clock import now

    plain = {
        "name": "study", "model": "pocket", "data": {"d": {"path": "x"}}, "arms": {"base": None, "a": {"data": "d"}},
        "seeds": [0, 1], "track": "trackio",
    }  # fmt: skip
    ready = SimpleNamespace(plan=lambda seed: SimpleNamespace(updates=7), train=Train())
    prepared = SimpleNamespace(
        recipe=recipe.parse(plain), arms={"base": [], "a": [ready]}, out=tmp_path / "run", began=now()
    )
    arm = {"score": 0.5, "measures": {"learn": {"value": 0.5}, "retain": {"value": None}}}
    tracking.log_measures(prepared, {"arms": {"base": arm, "a": arm}})
    names = [said[1]["name"] for said in trackio.said if said[0] == "init"]
    assert names == ["base/seed-0", "a/seed-0", "a/seed-1"]
    logs = [said[1] for said in trackio.said if said[0] == "log"]
    assert logs[0] == {"eval/learn": 0.5, "eval/score": 0.5, "train/global_step": 0}
    assert logs[1]["train/global_step"] == 7
    began = prepared.began.strftime("%Y-%m-%d_%H-%M-%S")
    folder = tmp_path / ".tracking" / "run" / began / "trackio"
    assert list(tracking.lines(prepared)) == [f"TRACKIO_DIR={folder} trackio show --project study"]


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_shows_what_a_resumed_training_logged_again_once(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(Tracking(a_run(tmp_path, "tensorboard")), steps=5)
    resumed, state = Tracking(a_run(tmp_path, "tensorboard")), TrainerState(global_step=3, is_world_process_zero=True)
    resumed.on_train_begin(None, state, TrainerControl())
    for step in (4, 5):
        state.global_step = step
        resumed.on_log(None, state, TrainerControl(), logs={"loss": 9.0})
    resumed.close()
    events = EventAccumulator(str(tmp_path / "tensorboard" / "cft" / "seed-0"))
    events.Reload()
    found = [(e.step, round(e.value, 2)) for e in events.Scalars("train/loss")]
    assert found == [(1, 1.0), (2, 0.5), (3, 0.33), (4, 9.0), (5, 9.0)]


@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed")
def test_mlflow_resumes_the_same_run_in_a_file_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere.invalid")
    import mlflow

    train(Tracking(a_run(tmp_path, "mlflow", config={"train.lr": 1.0})))
    train(Tracking(a_run(tmp_path, "mlflow", before=2, config={"train.lr": 2.0})))
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    place = client.get_experiment_by_name("study").experiment_id
    (run,) = client.search_runs([place])
    assert (run.info.run_name, run.data.params) == ("cft/seed-0", {"train.lr": "1.0"})
    assert [m.step for m in client.get_metric_history(run.info.run_id, "loss")] == [1, 2, 3, 4]
