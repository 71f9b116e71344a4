"""The pages do not drift from the program: commands parse, links lead somewhere, keys are those of the grammar.

Outputs are made again by `make docs`, not here.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def module(path: Path):
    """A Python file that is no part of a package."""
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # dataclasses and pydantic look names up there
    spec.loader.exec_module(made)
    return made


docs = module(ROOT / "scripts" / "docs.py")
PAGES = {p.relative_to(ROOT).as_posix(): p.read_text(encoding="utf-8") for p in docs.pages()}
COMMANDS = [(page, command) for page, text in PAGES.items() for command in docs.commands(text)]
FENCED = re.compile(r"^```[^\n]*\n.*?^```$", re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """As browsers of repositories make them of headings."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{p}: {c}"[:90] for p, c in COMMANDS])
def test_commands_parse(page, command):
    """By the command line itself: an option that is gone or a missing argument is an error."""
    import typer

    from contextune.cli import add_commands, app

    add_commands()

    words = shlex.split(re.sub(r"\d?>\S*( /dev/null|&1)?", "", re.sub(r"\$\w+", "padded", command)))
    words = words[next(i for i, w in enumerate(words) if w == "contextune") :]
    words = words[1:]
    group = typer.main.get_command(app)
    with group.make_context("contextune", list(words)) as context:
        name, found, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        parsed = found.make_context(name, rest, parent=context)
    file = parsed.params.get("file")
    if file is not None:
        from contextune.experiment import recipe

        assert (docs.EXAMPLE / file).exists(), f"{file} is not in docs/example"
        if "error: " not in PAGES[page]:
            recipe.load(docs.EXAMPLE / file, [o for o in parsed.params["overrides"] or [] if o.count("=") == 1])


@pytest.mark.parametrize("page", PAGES)
def test_blocks_are_there_and_of_their_command(page):
    for mark in docs.marks(PAGES[page]):
        assert mark.body, f"{page}: {mark.what} prints nothing yet; make docs"
        if mark.kind == "run":
            assert mark.body.startswith(f"```console\n$ {mark.what.removesuffix(' || true')}\n"), "make docs"
            assert "Traceback" not in mark.body
        if mark.kind == "file":
            assert mark.body == docs.file(mark.what), f"{page}: {mark.what} has changed; make docs"


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", PAGES[page])):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{page}: {target}"


def test_index_links_every_page():
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", PAGES["docs/index.md"]))
    assert linked == {Path(p).name for p in PAGES if p.startswith("docs/")} - {"index.md"}


def test_recipe_page_has_every_key_and_no_other():
    """The page is the grammar: by group, from the page's tables and from the JSON Schema."""
    from contextune.experiment.schema import recipe_schema

    tables = {m.what: m for m in docs.marks(PAGES["docs/recipe.md"]) if m.kind == "keys"}
    schema = recipe_schema()
    defs = {"top": schema, **schema["$defs"]}
    named = {"top": "top", "model": "Model", "data.NAME": "Source", "arms.NAME": "Arm", "arms.NAME.stages": "Stage",
             "train": "Train", "train.adapter": "Adapter", "evaluate": "Evaluate", "compare": "Compare",
             "writer": "Writer"}  # fmt: skip
    assert set(tables) == {*docs.groups(), *docs.registered()}, "a group is missing on the page"
    for what, mark in tables.items():
        if what in named:
            keys = re.findall(r"^\| `(\w+)` \|", mark.body, re.MULTILINE)
            assert keys == list(defs[named[what]]["properties"]), what
        if what not in docs.registered():
            assert mark.body == docs.keys(what), f"{what} has changed; make docs"


def test_recipe_page_says_what_is_so_of_everything_registered():
    """What the page says of it is so. What is new may be missing until `make docs`: an extension is one file."""
    tables = {m.what: m for m in docs.marks(PAGES["docs/recipe.md"]) if m.kind == "keys"}
    for kind in docs.registered():
        left = set(tables[kind].body.splitlines()) - set(docs.keys(kind).splitlines())
        assert not left, f"{kind} have changed; make docs"


def test_no_meaning_is_left_over():
    used = set()
    for model in docs.groups().values():
        for key, info in model.model_fields.items():
            if info.description is None:
                used.add(f"{model.__name__}.{key}")
    assert used == set(docs.MEANING)


def test_every_registered_key_has_a_description():
    from contextune.core import registry
    from tests.registered import own

    for kind, models in docs.registered().items():
        for name in own(getattr(registry, kind)):
            for key, info in models[name].model_fields.items():
                assert info.description, f"{kind}.{name}.{key}"


@pytest.mark.parametrize("file", sorted(docs.EXAMPLE.iterdir()), ids=lambda p: p.name)
def test_examples_can_be_read(file):
    from contextune.experiment import recipe

    if file.suffix == ".py":
        ast.parse(file.read_text())
    elif file.suffix == ".jsonl":
        assert all(isinstance(json.loads(line), dict) for line in file.read_text().splitlines())
    elif "arms" in yaml.safe_load(file.read_text()):
        recipe.load(file)


def test_yaml_fragments_have_keys_of_a_recipe():
    from contextune.experiment.recipe import Recipe, Stage

    known = {*Recipe.model_fields, *Stage.model_fields}
    for page, text in PAGES.items():
        for fragment in re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            value = yaml.safe_load(fragment)
            assert set(value) <= known or {"kind", "prompts"} & set(value), page


def test_pages_that_the_source_names_are_there():
    root = Path(docs.__file__).resolve().parents[1]
    for path in (root / "src").rglob("*.py"):
        for page in re.findall(r"\b(?:docs|spec)/[\w/-]+\.md", path.read_text(encoding="utf-8")):
            assert (root / page).exists(), f"{path}: {page}"


def test_each_statement_on_security_has_its_test():
    rows = re.findall(r"^\| (?!---|\| test).+ \| (.+) \|$", PAGES["docs/security.md"], re.MULTILINE)
    assert len(rows) > 30
    for row in rows:
        file, name = re.fullmatch(r"`([\w/]+\.py)::(test_\w+)`", row).groups()
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), row
