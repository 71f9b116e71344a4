"""A paper's claim beside what was measured, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from contextune.core.errors import UserError, nearest, shown
from contextune.core.options import MOST, whole

if TYPE_CHECKING:
    from contextune.core.progress import Reporter

Verdict = Literal["holds", "fails", "not shown", "not testable", "measured"]
"""`not shown`: the interval decides neither way.

`measured` stands where a figure is given for comparison and the paper claims nothing testable of it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """`measured` is in [0, 1] where it is an accuracy; the interval is at 95 %, over seeds (and items, if any)."""

    id: str
    paper: str
    """What the source says, in our words, with its figure where it gives one."""
    measured: float | None
    interval: tuple[float, float] | None = None
    n_seeds: int = 0
    verdict: Verdict = "measured"
    why: str = ""
    """How the verdict was reached: the comparison that was made."""
    theirs: float | None = None
    """The source's own figure where it is on the scale of `measured`: drawn beside it."""
    whose: Literal["paper", "ours"] = "paper"
    """Who claims it: the source, or we, as a control. They are counted apart."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture of the page: an SVG without script, and a sentence that says what is to be seen in it."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class Study:
    """What a reproduction gives back."""

    name: str
    title: str
    source: str
    """The paper, with its arXiv number."""
    claims: tuple[Claim, ...]
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader must know: sizes, what differs from the paper, what could not be tested."""
    folders: tuple[str, ...] = ()
    """Run folders that the figures can be rebuilt from."""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """`{"claims": [{id, paper, measured, interval, n_seeds, verdict, why}], …}`, without the pictures."""
        made = asdict(self)
        made.pop("figures")
        return {"claims": made.pop("claims"), **made}


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """What the command line asks of a reproduction."""

    out: Path
    """Its folder: what is finished there is not done again."""
    model: str = "pocket"
    scale: str = "tiny"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    options: dict[str, Any] = field(default_factory=dict)

    def only(self, study: str, *names: str) -> None:
        """UserError for an option that the study does not have."""
        if unknown := self.options.keys() - set(names):
            raise UserError(f"reproduce {study}: unknown option '{min(unknown)}'", ", ".join(names))

    def folder(self, name: str) -> Path | None:
        """The folder that an option of a name gives; None where it is not given. UserError where there is none."""
        given = self.text(name, "")
        if given and not Path(given).is_dir():
            raise UserError(f"--set {name}={given}: no such folder", "give the folder that holds the data")
        return Path(given).resolve() if given else None

    def whole(self, name: str, default: int, least: int = 1, most: int = MOST) -> int:
        """The option of a name. UserError where it is no whole number in these bounds."""
        return whole(self.options.get(name, default), f"--set {name}", least, most)

    def flag(self, name: str, default: bool) -> bool:
        """The option of a name. UserError where it is neither true nor false."""
        found = self.options.get(name, default)
        if type(found) is not bool:
            raise UserError(f"--set {name} is {shown(found)}, expected true or false", f"write --set {name}=false")
        return found

    def text(self, name: str, default: str) -> str:
        """The option of a name. UserError where it is no text."""
        found = self.options.get(name, default)
        if not isinstance(found, str):
            raise UserError(f"--set {name} is {shown(found)}, expected text", f"write --set {name}=TEXT")
        return found


STUDIES = {
    "augmented": "augmented",
    "contrastive": "contrastive",
    "synthesis": "synthesis",
    "cft-synthetic": "cft_synthetic",
    "cft": "cft",
    "frontier": "frontier",
    "density": "density",
}
"""Names of the studies, in the order in which `reproduce all` runs them, and their modules."""

Reproduction = Callable[[StudyOptions, "Reporter"], Study]
_known: dict[str, Reproduction] = {}


def register(name: str) -> Callable[[Reproduction], Reproduction]:
    def add(made: Reproduction) -> Reproduction:
        _known[name] = made
        return made

    return add


def names() -> list[str]:
    _load()
    return [n for n in STUDIES if n in _known]


def find(name: str) -> Reproduction:
    """The study of a name; UserError with the nearest name where there is none."""
    _load()
    if name not in _known:
        raise UserError(f"unknown reproduction '{name}'", nearest(name, ["all", *_known]))
    return _known[name]


def _load() -> None:
    """Each study's module registers itself when it is imported."""
    for module in STUDIES.values():
        import_module(f".{module}", __package__)


TESTED = ("holds", "fails", "not shown")


def tally(claims: Seq[Claim], whose: str) -> str:
    """The verdicts on the claims of one side in words, "3 hold, 1 fails, 2 are not shown"; empty where none is made."""
    found = Counter(c.verdict for c in claims if c.whose == whose)
    words = {"holds": ("holds", "hold"), "fails": ("fails", "fail"), "not shown": ("is not shown", "are not shown"),
             "not testable": ("cannot be tested here",) * 2}  # fmt: skip
    return ", ".join(f"{n} {words[v][n != 1]}" for v in words if (n := found[v]))  # type: ignore[index]


def printed(claims: Seq[Claim]) -> list[tuple[str, str, str, str]]:
    """Rows of a table: id, measured with its interval, verdict, claim."""
    rows = list[tuple[str, str, str, str]]()
    for c in claims:
        rows.append((c.id, value(c), str(c.verdict), c.paper))
    return rows


def value(claim: Claim, places: int = 3) -> str:
    """What was measured, with its interval: "0.360 [0.230, 0.500]"."""
    measured = "–" if claim.measured is None else f"{claim.measured:.{places}f}"
    if claim.interval is None:
        return measured
    low, high = claim.interval
    return f"{measured} [{low:.{places}f}, {high:.{places}f}]"
