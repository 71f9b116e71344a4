"""Each tracker opened for one run: transformers' own callback, told where to write, and its end.

What a variable of the environment names, and the recipe does not, is sent nowhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from .track_options import MLflow, TensorBoard, Track, Tracker, Trackio, Wandb


@dataclass(frozen=True)
class TrackedRun:
    """One arm at one seed, as trackers know it."""

    track: Track
    folder: Path
    """Where trackers that are given no other place keep what is logged."""
    group: str
    name: str
    """ARM/seed-S"""
    id: str
    """The same for all stages and resumes, and for no other run."""
    before: int = 0
    """Updates of the arm's earlier stages, which its steps go on from."""
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def project(self) -> str:
        return self.track.project or self.group


class Arguments(SimpleNamespace):
    """What transformers' callbacks read of TrainingArguments, of which only the names are a tracker's business."""

    config: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return dict(self.config)

    def to_json_string(self) -> str:
        return json.dumps(self.to_dict(), indent=2, default=str)


def told(run: TrackedRun) -> Arguments:
    trackio = run.track.trackio or Trackio()
    return Arguments(
        config=run.config, run_name=run.name, output_dir=str(run.folder), project=run.project,
        trackio_space_id=trackio.space or None, trackio_bucket_id=None, trackio_static_space_id=False,
        hub_private_repo=trackio.private, logging_steps=1,
    )  # fmt: skip


@contextmanager
def _tensorboard(run: TrackedRun, step: int) -> Iterator[TrainerCallback]:
    """What was logged after the step that training resumes from is no longer shown."""
    from transformers.integrations.integration_utils import TensorBoardCallback

    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        from tensorboardX import SummaryWriter  # type: ignore[no-redef]
    writer = SummaryWriter(str(run.folder / "tensorboard" / run.name), purge_step=step + 1)
    try:
        yield TensorBoardCallback(writer)
    finally:
        writer.close()


def trackio_folder(folder: Path) -> Path:
    """Where trackio keeps what is logged on this machine: it reads the variable when it is first imported."""
    os.environ.setdefault("TRACKIO_DIR", str(folder / "trackio"))
    from trackio.utils import TRACKIO_DIR

    return Path(TRACKIO_DIR)


@contextmanager
def _trackio(run: TrackedRun, step: int) -> Iterator[TrainerCallback]:
    """No variable of the environment sends anything to a Space or server: the recipe names it, or none is told."""
    from transformers.integrations.integration_utils import TrackioCallback

    trackio_folder(run.folder)
    gone = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_BUCKET_ID", "TRACKIO_DATASET_ID", "TRACKIO_WEBHOOK_URL")
    with environment(dict.fromkeys(gone)):
        callback = TrackioCallback()
        try:
            yield callback
        finally:
            callback.on_train_end(told(run), TrainerState(is_world_process_zero=True), TrainerControl())  # type: ignore[arg-type]


@contextmanager
def _wandb(run: TrackedRun, step: int) -> Iterator[TrainerCallback]:
    from transformers.integrations.integration_utils import WandbCallback

    options = run.track.wandb or Wandb()
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    here = os.environ.get("WANDB_MODE", "")
    unwatched = {"WANDB_LOG_MODEL": "false", "WANDB_WATCH": "false", "WANDB_MODE": None, "WANDB_RUN_ID": None}
    with environment(unwatched):
        import wandb

        place = run.folder / "wandb"
        place.mkdir(parents=True, exist_ok=True)
        wandb.init(
            project=run.project, group=run.group, name=run.name, id=run.id, resume="allow", dir=str(place),
            mode="online" if options.online and here in ("", "online") else "offline",
            entity=options.entity or None, reinit="finish_previous",
            settings=wandb.Settings(silent=True, console="off"),
        )  # fmt: skip
        try:
            yield WandbCallback()
        finally:
            wandb.finish()


@contextmanager
def _mlflow(run: TrackedRun, step: int) -> Iterator[TrainerCallback]:
    """Parameters are logged once, since MLflow refuses to have them change."""
    from transformers.integrations.integration_utils import MLflowCallback

    found = begin_mlflow(run)
    with environment({**dict.fromkeys(MLFLOW), **({"MLFLOW_MAX_LOG_PARAMS": "0"} if found else {})}):
        import mlflow

        mlflow.start_run(found, run_name=None if found else run.name, tags={TAG: run.id})
        try:
            yield MLflowCallback()
        finally:
            mlflow.end_run()


def begin_mlflow(run: TrackedRun) -> str | None:
    """Make the store and its experiment where they are not there yet; the id that the store has for the run, if any."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is first imported
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    import mlflow

    run.folder.mkdir(parents=True, exist_ok=True)
    uri = (run.track.mlflow or MLflow()).uri or f"sqlite:///{(run.folder / 'mlflow.db').resolve()}"
    mlflow.set_tracking_uri(uri)
    if mlflow.get_experiment_by_name(run.project) is None:
        files = None if (run.track.mlflow or MLflow()).uri else (run.folder / "mlflow").resolve().as_uri()
        mlflow.create_experiment(run.project, artifact_location=files)
    mlflow.set_experiment(run.project)
    there = mlflow.search_runs(
        experiment_names=[run.project], filter_string=f"tags.`{TAG}` = '{run.id}'", max_results=1, output_format="list"
    )
    return str(there[0].info.run_id) if there else None


TAG = "contextune.run"
MLFLOW = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "MLFLOW_NESTED_RUN", "MLFLOW_TAGS")
OPENED: dict[type[Tracker], Any] = {TensorBoard: _tensorboard, Trackio: _trackio, Wandb: _wandb, MLflow: _mlflow}


def opened(run: TrackedRun, tracker: Tracker, step: int) -> AbstractContextManager[TrainerCallback]:
    """transformers' callback of a tracker, for as long as the run is logged; `step`: the last one that stays."""
    found: AbstractContextManager[TrainerCallback] = OPENED[type(tracker)](run, step)
    return found


@contextmanager
def environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Within, variables have these values; None: they are not set."""
    before = {name: os.environ.get(name) for name in values}
    try:
        _set(values)
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
