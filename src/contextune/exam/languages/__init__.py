"""What the exam knows of a language, from a YAML file: a new language is a new file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

from contextune.core import registry
from contextune.core.errors import UserError, nearest
from contextune.core.yaml_files import read_yaml

HERE = Path(__file__).parent
KINDS = ("name", "year", "date", "number", "percent", "money", "quoted")
FORMS = {
    "about": {"title"},
    "reworded": {"about", "missing", "gapped"},
    "turned": {"about", "missing", "gapped"},
    "behind_passage": {"passage", "missing", "gapped"},
    "says_or_not": {"passage", "missing", "gapped"},
}
"""Wordings of questions, and what stands in each."""
SETS = (
    *("begins", "refers", "possessive", "elsewhere", "verbs", "bounds", "labels", "closed", "titles", "places"),
    *(
        "definite",
        "refers_early",
        "unnamed",
        "peoples",
        "bounds_after",
        "naming",
        "goes_on",
        "months",
        "months_and_days",
        "adverbials",
        "years_after",
        "years_not_after",
        "broad",
        "skipped",
        "abbreviations",
    ),
)
DEFAULTS: dict[str, Any] = {
    "reasoner": "", "begins_small": False, "between_texts": "\n\n", "before_question": "\n\n", "retain": [],
}  # fmt: skip
"""Keys that a language may leave out."""
NEEDED = {"passage", "gapped", "title"}
"""Parts without which a question cannot be asked; a wording may leave out the others."""
PHRASES = ("begins_with", "refers_with", "open", "notices")


@dataclass(frozen=True)
class Language:
    """Lists of words, and wordings of questions; the comments of `en.yaml` say what each list is for."""

    name: str
    version: int
    missing: dict[str, str]
    """What a value of each kind is called; kinds that the file does not name are not asked for."""
    says_not: str
    words: dict[str, frozenset[str]]
    phrases: dict[str, tuple[str, ...]]
    wordings: dict[str, str]
    reasoner: str = ""
    """Who words the questions: a registered reasoner; "": the wordings, which show the statement with a gap."""
    begins_small: bool = False
    """Whether sentences begin in small letters."""
    between_texts: str = "\n\n"
    before_question: str = "\n\n"
    """What separates a passage from a statement that is to be continued."""
    retain: tuple[str, ...] = ()
    """Tasks of what a model of this language could do before."""

    @property
    def skipped(self) -> frozenset[str]:
        return self.words["skipped"]

    def __getitem__(self, name: str) -> frozenset[str]:
        return self.words[name]

    def said(self, wording: str, **parts: str) -> str:
        """A wording with its parts filled in."""
        return self.wordings[wording].format(**parts)


def names() -> list[str]:
    return sorted(f.stem for f in HERE.glob("*.yaml"))


def load(name: str) -> Language:
    """A language by its name, or by a YAML file of the user's own. Raises UserError."""
    file = Path(name) if name.endswith((".yaml", ".yml")) else HERE / f"{name}.yaml"
    if file.parent == HERE and name not in names():
        raise UserError(
            f"language '{name}': the exam has no rules for it",
            f"{nearest(name, names())}; rules of your own: --language FILE.yaml, after exam/languages/en.yaml",
        )
    if not file.exists():
        raise UserError(f"--language {name}: no such file", f"a YAML file of yours, or one of: {', '.join(names())}")
    return _language(read_yaml(file), str(file))


def _language(keys: dict[str, Any], where: str) -> Language:
    known = ("language", "version", "missing", "says_not", *SETS, *PHRASES, *FORMS)
    for key in keys:
        if key not in (*known, *DEFAULTS):
            raise UserError(f"{where}: unknown key '{key}'", nearest(key, (*known, *DEFAULTS)))
    for key in known:
        if key not in keys:
            raise UserError(f"{where}: the key '{key}' is missing", "en.yaml has them all")
    missing = keys["missing"]
    if not isinstance(missing, dict) or not missing or (odd := [k for k in missing if k not in KINDS]):
        found = f"the kind '{odd[0]}'" if isinstance(missing, dict) and missing else "none"
        raise UserError(f"{where}: missing: expected kinds of values, found {found}", f"kinds: {', '.join(KINDS)}")
    if "name" not in missing:
        raise UserError(f"{where}: missing: no 'name', by which what a statement is about is asked", "name: name")
    for key, parts in FORMS.items():
        _refuse_parts(keys[key], parts, f"{where}: {key}")
    return Language(
        name=str(keys["language"]),
        version=int(keys["version"]),
        missing={str(k): str(v) for k, v in missing.items()},
        says_not=str(keys["says_not"]),
        words={key: frozenset(_words(keys[key], f"{where}: {key}")) for key in SETS},
        phrases={key: tuple(_words(keys[key], f"{where}: {key}")) for key in PHRASES},
        wordings={key: str(keys[key]) for key in FORMS},
        **_optional(keys, where),
    )


def _optional(keys: dict[str, Any], where: str) -> dict[str, Any]:
    found = {key: keys.get(key, default) for key, default in DEFAULTS.items()}
    for key, default in DEFAULTS.items():
        if type(found[key]) is not type(default):
            raise UserError(f"{where}: {key}: found {found[key]!r:.60}", f"as {default!r}")
    if found["reasoner"]:
        registry.reasoners.find(found["reasoner"])
    return found | {"retain": tuple(_words(found["retain"], f"{where}: retain"))}


def _words(value: object, where: str) -> list[str]:
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return value
    raise UserError(f"{where}: expected words, or a list of them", "write numbers and truths in quotes")


def _refuse_parts(wording: object, parts: set[str], where: str) -> None:
    hint = " ".join(f"{{{p}}}" for p in sorted(parts))
    if not isinstance(wording, str):
        raise UserError(f"{where}: expected a text", hint)
    try:
        found = {name for _, name, _, _ in Formatter().parse(wording) if name is not None}
    except ValueError as e:
        raise UserError(f"{where}: {e}", hint) from None
    if not parts & NEEDED <= found <= parts:
        raise UserError(f"{where}: holds {sorted(found)}, expected {sorted(parts)}", hint)
