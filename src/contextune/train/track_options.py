"""Where a run's curves go beside its own folder: the recipe's key `track`. Imports no tracker.

    track: tensorboard
    track: [tensorboard, trackio]
    track: {wandb: {online: true}, project: lab}

Every tracker writes on this machine, below the run's folder, unless its own options name another place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from netrc import NetrcParseError, netrc
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from contextune.core.errors import UserError
from contextune.core.options import Options


class Tracker(Options):
    """Options of one tracker. `packages`: one of these has to be installed; the first is what pip is told."""

    packages: ClassVar[tuple[str, ...]]
    variables: ClassVar[dict[str, str]] = {}
    """Variables of the environment that would send what is logged elsewhere, and the option that does."""

    def check(self, key: str) -> None:
        """UserError where it is not installed."""
        if not any(_installed(package) for package in self.packages):
            raise UserError(
                f"{key}: the package {self.packages[0]} is not installed",
                f'pip install "{self.packages[0]}", or leave {key} out; what is trained is the same without it',
            )


class TensorBoard(Tracker):
    """Event files that `tensorboard --logdir` shows."""

    packages = ("tensorboard", "tensorboardX")


class Trackio(Tracker):
    """A database that `trackio show` shows."""

    packages = ("trackio",)
    variables = {"TRACKIO_SPACE_ID": "space", "TRACKIO_SERVER_URL": "space"}  # noqa: RUF012
    space: str = Field("", description="a Space on the Hugging Face hub that is logged to; default: none, this machine")
    private: bool = Field(True, description="whether a Space that is made for it is private")


class Wandb(Tracker):
    """Weights & Biases: offline runs that `wandb sync` sends."""

    packages = ("wandb",)
    online: bool = Field(False, description="send what is logged to the service at once; default: keep it here")
    entity: str = Field("", description="the user or team at the service; default: the one that is logged in")

    def check(self, key: str) -> None:
        super().check(key)
        if self.online and not _logged_in():
            raise UserError(f"{key}.online: wandb is not logged in", "wandb login, set WANDB_API_KEY, or online: false")


class MLflow(Tracker):
    """A database that `mlflow ui` shows."""

    packages = ("mlflow",)
    variables = {"MLFLOW_TRACKING_URI": "uri"}  # noqa: RUF012
    uri: str = Field("", description="a tracking server or store; default: a SQLite file in the run's folder")


class Track(Options):
    """Trackers by name, each with its options. None of it is part of what is trained: it may change at any time."""

    project: str = Field("", description="the project, or experiment, of the runs; default: the recipe's name")
    tensorboard: TensorBoard | None = Field(None, description="event files; no options")
    trackio: Trackio | None = Field(None, description="options: space, private")
    wandb: Wandb | None = Field(None, description="options: online, entity")
    mlflow: MLflow | None = Field(None, description="options: uri")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        """A name, a list of names, or a mapping in which a name without options stands for its defaults."""
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
            return {name: {} for name in value}
        if isinstance(value, Mapping):
            return {k: {} if v is None and k != "project" else v for k, v in value.items()}
        return value

    def trackers(self) -> Iterator[tuple[str, Tracker]]:
        """Those that are named, in a fixed order."""
        for name in type(self).model_fields:
            if isinstance(found := getattr(self, name), Tracker):
                yield name, found

    def unused(self) -> Iterator[str]:
        """Variables of the environment that have no effect, since the recipe names the place."""
        for name, tracker in self.trackers():
            for variable, option in tracker.variables.items():
                if os.environ.get(variable) and not getattr(tracker, option):
                    yield f"{variable} has no effect: the recipe does not say track.{name}.{option}"

    def check(self) -> None:
        """UserError, before anything is trained, where a tracker could not take what is logged."""
        for name, tracker in self.trackers():
            tracker.check(f"track.{name}")


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _logged_in() -> bool:
    """Whether wandb would find a key without asking for one, as no one may be there to answer."""
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        return netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False
