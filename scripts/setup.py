"""Make `.venv` with everything that Contextune needs. Standard library only; safe to run again.

    python3 scripts/setup.py [EXTRA ...]

torch goes first and by itself: where no NVIDIA GPU is found its CPU build (200 MB), else the default one.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if platform.system() == "Windows" else "bin")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def pip(*arguments: str, quiet: bool = False) -> bool:
    out = subprocess.DEVNULL if quiet else None
    command = [str(BIN / "python"), "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, stdout=out, stderr=out).returncode == 0


def has_torch() -> bool:
    probe = "import importlib.metadata as m; print(m.version('torch'))"
    found = subprocess.run([str(BIN / "python"), "-c", probe], capture_output=True, text=True)
    return found.returncode == 0 and found.stdout.startswith(torch_version())


def torch_version() -> str:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line.removeprefix("torch==") for line in lines if line.startswith("torch=="))


def install_torch() -> bool:
    wanted = f"torch=={torch_version()}"
    if shutil.which("nvidia-smi") or platform.system() == "Darwin":
        return pip("install", "-q", wanted)
    print(f"installing the CPU build of {wanted}", flush=True)
    local = pip("install", "-q", f"{wanted}+cpu", quiet=True)  # from a wheel that pip knows of, if there is one
    return local or pip("install", "-q", wanted, "--index-url", CPU_INDEX)


def main(extras: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036
        print(
            f"error: Python 3.11 or newer is needed, this is {platform.python_version()}\n"
            "hint: make setup PYTHON=python3.12",
            file=sys.stderr,
        )
        return 2
    state = hashlib.sha256(
        b"".join((ROOT / f).read_bytes() for f in ("pyproject.toml", "constraints.txt")) + str(ROOT).encode()
    ).hexdigest()
    mark = VENV / f"ready-{'-'.join(['core', *sorted(extras)])}"
    if mark.exists() and mark.read_text() == state:
        return 0
    if not (BIN / "python").exists():
        print("making .venv", flush=True)
        venv.create(VENV, with_pip=True)
    if not has_torch() and not install_torch():
        print(f"error: torch {torch_version()} could not be installed (see above)", file=sys.stderr)
        return 1
    package = str(ROOT) + (f"[{','.join(extras)}]" if extras else "")
    print(f"installing contextune{f' with {chr(44).join(extras)}' if extras else ''} (a minute or two)", flush=True)
    if not pip("install", "-q", "-c", str(ROOT / "constraints.txt"), "-e", package):
        print("error: the package could not be installed (see above)", file=sys.stderr)
        return 1
    mark.write_text(state)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
