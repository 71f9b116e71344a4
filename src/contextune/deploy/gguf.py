"""GGUF by llama.cpp's own converter, where it is installed; there is none in Contextune."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from contextune.core.errors import UserError, first_line

SCRIPT = "convert_hf_to_gguf.py"
VARIABLE = "LLAMA_CPP"
TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
HOURS = 6


def converter() -> list[str]:
    """The words that start the converter: of llama.cpp's folder `$LLAMA_CPP`, else on the PATH; empty where none is."""
    folder = os.environ.get(VARIABLE)
    if folder:
        script = Path(folder).expanduser() / SCRIPT
        if not script.is_file():
            raise UserError(f"{VARIABLE}={folder}: no {SCRIPT} there", "name the folder of a checkout of llama.cpp")
        return [sys.executable, str(script)]
    found = shutil.which(SCRIPT)
    return [] if found is None else [sys.executable, found] if found.endswith(".py") else [found]


def command(weights: Path, file: Path, dtype: str, words: list[str]) -> list[str]:
    """As the converter's own help has it."""
    return [*(words or ["python", SCRIPT]), str(weights), "--outfile", str(file), "--outtype", TYPES[dtype]]


def convert(weights: Path, file: Path, dtype: str) -> str:
    """Convert a folder of merged weights; the command that does it, where there is no converter, else "".

    Raises UserError where the converter fails, with what it said last.
    """
    words = converter()
    line = command(weights, file, dtype, words)
    if not words:
        return shlex.join(line)
    part = file.with_name(f"{file.name}.part")
    line[line.index("--outfile") + 1] = str(part)
    done = subprocess.run(line, capture_output=True, text=True, timeout=HOURS * 3600, check=False)
    if done.returncode or not part.is_file():
        said = [said for said in done.stderr.strip().splitlines() if said.strip()] or ["it said nothing"]
        part.unlink(missing_ok=True)
        raise UserError(
            f"{SCRIPT}: exit status {done.returncode} ({first_line(ValueError(said[-1]))})",
            f"the merged weights are in {weights}; llama.cpp reads known architectures and tokenizers alone",
        )
    part.replace(file)
    return ""
