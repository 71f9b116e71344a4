"""Twelve short documents about towns that there are not."""

from __future__ import annotations

from pathlib import Path

import pytest

TOWNS = ["Ardenholm", "Belmora", "Castrin", "Dunvale", "Elsmere", "Fjordby", "Galtona", "Harwick", "Istria", "Jolanda"]
RIVERS = ["Lisle", "Marn", "Neva", "Orke", "Prut", "Queis", "Rhune", "Saal", "Trent", "Ulm"]
PEOPLE = ["Ada Brunt", "Otto Kessel", "Mira Voss", "Jens Halder", "Pia Lund", "Karl Zeder", "Rosa Imhof", "Tom Wyler",
          "Lena Graf", "Emil Stark"]  # fmt: skip
ARTISTS = ["Vera Holm", "Hugo Pell", "Ines Roth", "Paul Darn", "Nora Quist", "Sven Tolk", "Lia Marsh", "Max Ritter",
           "Eva Blum", "Leo Hart"]  # fmt: skip


def town(i: int) -> str:
    here, river, person, artist = TOWNS[i], RIVERS[i], PEOPLE[i], ARTISTS[i]
    return (
        f"# {here}\n\n"
        f"{here} lies on the river {river}. The harbour of {here} was built by {person} in {1801 + 7 * i}. "
        f"It is larger than most. In {1901 + 3 * i}, {artist} painted the old bridge across the {river}.\n\n"
        f"## Museum\n\n"
        f"The museum of {here} has {120 + 11 * i} rooms for the paintings of {artist}. It was closed for two years.\n\n"
        f"| a | b |\n| - | - |\n| 1 | {here} |\n\n- {here} is a list\n\n```\n{here} is code.\n```\n\n"
        f"## References\n\n{person} wrote a book about {here} in 1950.\n"
    )


@pytest.fixture
def towns(tmp_path: Path) -> Path:
    folder = tmp_path / "towns"
    folder.mkdir()
    for i, name in enumerate(TOWNS):
        (folder / f"{name}.md").write_text(town(i), encoding="utf-8")
    return folder
