"""The house of docs/architecture.md: imports between rooms run as its table says, and files form no circle."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
LAB = "contextune_lab"


def table(page: str) -> dict[str, set[str]]:
    """Room: the rooms that it may import."""
    rows = re.findall(r"^\| `([\w/]+)` \| [^|]+ \| ([^|]+) \|$", page.partition("## Extensions")[0], re.MULTILINE)
    return {room: set() if said == "–" else set(said.replace(" ", "").split(",")) for room, said in rows}


def modules(src: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(src.rglob("*.py")):
        parts = path.relative_to(src).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def _import_nodes(text: str) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]


def imports(module: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules of the two packages that a file names, wherever in it."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in _import_nodes(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{whole}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name:
                yield name


def room(module: str) -> str:
    parts = module.split(".")
    return LAB if parts[0] == LAB else parts[1] if len(parts) > 1 else ""


def violations(src: Path, allowed: dict[str, set[str]]) -> list[str]:
    known, found = modules(src), []
    for module, path in known.items():
        own = room(module)
        for other in imports(module, path, known):
            there = room(other)
            if own in (LAB, "", "__main__") and not (own == "" and there == LAB):
                continue  # the lab may use everything; the package's top names its public calls
            if there != own and there not in allowed.get(own, set()) | {""}:
                found.append(f"{module} -> {other}")
    return found


def circles(src: Path) -> list[list[str]]:
    """Strongly connected files (Tarjan)."""
    known = modules(src)
    graph = {m: {o for o in imports(m, p, known) if o != m and not m.startswith(f"{o}.")} for m, p in known.items()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(m: str) -> None:
        index[m] = low[m] = len(index)
        stack.append(m)
        for other in graph[m]:
            if other not in index:
                visit(other)
                low[m] = min(low[m], low[other])
            elif other in stack:
                low[m] = min(low[m], index[other])
        if low[m] == index[m]:
            part = stack[stack.index(m) :]
            del stack[stack.index(m) :]
            if len(part) > 1:
                found.append(sorted(part))

    for m in graph:
        if m not in index:
            visit(m)
    return found


ALLOWED = table((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))


def test_the_table_names_every_room_once_and_runs_downward():
    rooms = list(ALLOWED)
    there = {room(m) for m in modules(SRC)} - {"", "__main__"}
    assert set(rooms) == there
    for place, (name, may) in enumerate(ALLOWED.items()):
        assert name == LAB or may <= {*rooms[:place]}, name


def test_imports_between_rooms():
    assert violations(SRC, ALLOWED) == []


def test_no_circle_among_files():
    assert circles(SRC) == []


@pytest.mark.parametrize(
    ("file", "line", "found"),
    [
        ("core/errors.py", "from contextune.data import load", "contextune.core.errors -> contextune.data"),
        ("contexts/none.py", "from ..worlds import solve", "contextune.contexts.none -> contextune.worlds.solve"),
        ("report/text.py", "import contextune.models.load", "contextune.report.text -> contextune.models.load"),
        ("cli/run.py", "from contextune_lab import pictures", "contextune.cli.run -> contextune_lab.pictures"),
    ],
)
@pytest.mark.parametrize("place", ["top", "function", "typing"])
def test_one_forbidden_import_is_found(tmp_path, file, line, found, place):
    """The test can fail: wherever in a file the import stands."""
    wrapped = {"top": line, "function": f"def f():\n    {line}", "typing": f"if TYPE_CHECKING:\n    {line}"}[place]
    _copy(tmp_path)
    path = tmp_path / "contextune" / file
    path.write_text(path.read_text(encoding="utf-8") + f"\n\n{wrapped}\n", encoding="utf-8")
    assert violations(tmp_path, ALLOWED) == [found]


def test_a_circle_is_found(tmp_path):
    _copy(tmp_path)
    path = tmp_path / "contextune" / "data" / "raw.py"
    more = "\n\ndef f():\n    from .readers import rows\n"
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    assert any({"contextune.data.raw", "contextune.data.readers"} <= set(part) for part in circles(tmp_path))


def _copy(target: Path) -> None:
    for path in SRC.rglob("*.py"):
        there = target / path.relative_to(SRC)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(path.read_bytes())


@pytest.mark.parametrize(
    ("name", "light"),
    [
        ("contextune.contexts", ("torch", "transformers", "contextune.worlds", "contextune.train")),
        ("contextune.experiment.recipe", ("torch", "transformers")),
        ("contextune.report", ("torch", "pandas", "contextune.experiment")),
        ("contextune", ("torch", "pydantic", "yaml")),
    ],
)
def test_what_an_import_does_not_load(name, light):
    code = f"import sys, {name}; print([m for m in {light!r} if m in sys.modules])"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"
