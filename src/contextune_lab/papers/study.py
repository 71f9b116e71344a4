"""A reproduction from the command line: run it, keep it, print it, put it on a page."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from contextune import __version__
from contextune.core import ownership
from contextune.core.errors import UserError
from contextune.core.files import digest, write_json
from contextune.core.progress import Reporter

from . import claims, presets
from .claims import Claim, Figure, Study, StudyOptions

FORMAT = 3
"""Raised when verdicts are reached otherwise, so that an earlier study is judged anew from its outcomes."""


def reproduce(name: str, wanted: StudyOptions, reporter: Reporter) -> Study:
    """The study of a name in the folder `wanted.out`; what an equal call has finished is read back.

    Writes `study.json` and `study.html` there. Raises UserError for an unknown name or options.
    """
    make = claims.find(name)
    key = digest(
        [
            FORMAT,
            name,
            __version__,
            wanted.model,
            wanted.scale,
            wanted.seeds,
            wanted.options,
            *presets.key(name, wanted),
        ]
    )
    file = wanted.out / "study.json"
    if (kept := read(file, key)) is not None:
        return kept
    claim(wanted.out)
    began, spent = time.monotonic(), _spent(wanted.out)
    try:
        made = make(wanted, reporter)
    finally:  # what was spent before a kill or an error counts where the same call goes on
        _keep_spent(wanted.out, spent + time.monotonic() - began)
    made = replace(made, seconds=round(_spent(wanted.out), 1))
    write_json(file, {"key": key, **made.to_json(), "figures": [vars_of(f) for f in made.figures]})
    from .page import write

    write(wanted.out / "study.html", [made], made.title)
    return made


def claim(out: Path) -> None:
    """UserError where `out` holds what no study has written."""
    ownership.claim(
        out,
        "study",
        "--out",
        "give another folder with --out",
        earlier=lambda f: of_earlier_version(f) or not foreign(f),
    )


def of_earlier_version(out: Path) -> bool:
    return any((out / name).exists() for name in ("study.json", "seconds.json", "index.html"))


def foreign(out: Path) -> list[str]:
    """What no study has written in its folder; of a study's runs their own folders know."""
    whole = (out / "preset.json").exists()  # of the regression study, which has many folders
    found = [p for p in out.iterdir() if p.name not in FILES and not p.name.startswith(ownership.MARK)]
    return sorted(p.name for p in found if not (p.is_dir() and not p.is_symlink() and (whole or ownership.claimed(p))))


def read(file: Path, key: str | None = None) -> Study | None:
    """A finished study; None where there is none, or one of other options."""
    if not file.exists():
        return None
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if key is not None and kept["key"] != key:
        return None
    kept.pop("key")
    made = [
        Claim(**{**c, "interval": None if c["interval"] is None else (c["interval"][0], c["interval"][1])})
        for c in kept.pop("claims")
    ]
    figures = [Figure(**f) for f in kept.pop("figures")]
    notes, folders = tuple(kept.pop("notes")), tuple(kept.pop("folders"))
    return Study(claims=tuple(made), figures=tuple(figures), notes=notes, folders=folders, **kept)


def vars_of(figure: Figure) -> dict[str, str]:
    return {"title": figure.title, "caption": figure.caption, "svg": figure.svg}


def _spent(out: Path) -> float:
    file = out / "seconds.json"
    return float(json.loads(file.read_text())) if file.exists() else 0.0


def _keep_spent(out: Path, seconds: float) -> None:
    write_json(out / "seconds.json", round(seconds, 1))


FILES = ("study.json", "study.html", "index.html", "seconds.json", "others.jsonl", "preset.json")


def everything(out: Path, wanted: StudyOptions, reporter: Reporter) -> list[Study]:
    """All studies one after another, each in a folder of its own, and one page of them all.

    Options are named STUDY.KEY. Raises UserError for one of another name before anything is run.
    """
    from .page import write

    names, studies = claims.names(), list[Study]()
    options = {name: _own(wanted.options, name) for name in names}
    for key in wanted.options:
        if key.partition(".")[0] not in names:
            raise UserError(f"--set {key}: of which study?", f"write --set STUDY.{key.rpartition('.')[2]}=…")
    claim(out)
    for i, name in enumerate(names):
        reporter.say(f"{name} ({i + 1} of {len(names)})", "bold")
        studies.append(reproduce(name, replace(wanted, out=out / name, options=options[name]), reporter))
        write(out / "index.html", studies, "What holds", names[i + 1 :])
    return studies


def _own(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key.removeprefix(f"{name}."): value for key, value in options.items() if key.startswith(f"{name}.")}
