"""A task: the keys of a task file, so that everything a task file can say holds here too."""

from typing import Any

from contextune.core import registry


@registry.tasks("capitals")
def capitals() -> dict[str, Any]:
    return {
        "about": "capitals of countries, four options",
        "prompt": "The capital of {{ country }} is",
        "options": [" Paris", " Rome", " Cairo", " Lima"],
        "answer": "{{ at }}",
        "rows": [{"country": country, "at": at} for at, country in enumerate(["France", "Italy", "Egypt", "Peru"])],
        "measure": "retain",
    }
