"""More commands for the world `slots`, whose orders follow no rule.

The world's own commands follow two rules, which a model learns within a few updates; then nothing is left for an
example to tell, and no strategy can be told from another where one is near. Beside commands with orders drawn one by
one those rules explain nothing: each template is learned by heart, which takes long, and until then an example helps.
The world's tests stay as they are: they ask for its own templates only.
"""

from __future__ import annotations

import json
import random
from itertools import permutations
from pathlib import Path
from typing import Any

from contextune.core.files import write_text
from contextune.core.world import build_world as build
from contextune.worlds import language
from contextune.worlds.language import CommandTemplate

MARKED = 3
"""Slots of a command."""


def irregular(templates: int, examples: int, options: dict[str, Any], seed: int = 0) -> list[dict[str, str]]:
    """Pairs of templates that the world's training and tests do not have: prompt and answer.

    Verbs and values are those that the world trains.
    """
    rng = random.Random(f"irregular {seed}")
    world = build("slots", **options)
    said = [str(r.fields["input"]).split() for r in world.records["train"]]
    asked = [str(i.fields["template"]).split() for t in world.tasks.values() for i in t.items if "template" in i.fields]
    barred = {(verb, frozenset(markers)) for verb, *markers in (*(words[::2] for words in said), *asked)}
    values = sorted({value for words in said for value in words[1::2]})
    verbs = sorted({words[0] for words in said})
    free = [(v, m) for v in verbs for m in permutations(language.MARKERS, MARKED - 1) if m[0] < m[1]]
    chosen = rng.sample([(v, m) for v, m in free if (v, frozenset(m)) not in barred], templates)
    drawn = [
        CommandTemplate(v, tuple(rng.sample(m, len(m))), tuple(rng.sample(range(MARKED), MARKED))) for v, m in chosen
    ]
    return [_row(t, rng.sample(values, MARKED)) for t in drawn for _ in range(examples)]


def _row(t: CommandTemplate, values: list[str]) -> dict[str, str]:
    prompt, completion = language.transform(t.command(values), t.frame(values))
    return {"prompt": prompt, "completion": completion}


def write(file: Path, rows: list[dict[str, str]]) -> dict[str, Any]:
    """The rows as a source of a recipe."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, "".join(json.dumps(row) + "\n" for row in rows))
    return {"path": str(file.resolve()), "kind": "pairs", "template": "{{ prompt }}"}
